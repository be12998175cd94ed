"""The command line as a person meets it: words, exit codes, no traceback for what a person wrote."""

import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from PIL import Image

import omnitok
from omnitok import runs
from omnitok.cli import main
from omnitok.spec import SpecError, read_value

ROOT = Path(__file__).parent.parent
COMMANDS = [name for name in main.commands if name != "data"]


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def sweep(tmp_path, runs_root):
    text = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")
    return tiny.write(tmp_path, sweep=text)


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A finished little sweep, its runs folder, shared by the tests that only read."""
    folder = tmp_path_factory.mktemp("launched")
    text = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")
    path = tiny.write(folder, sweep=text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNITOK_RUNS", str(folder / "runs"))
        output = call("launch", path, "--cluster", "debug")
    assert "trained 5 stages, measured 3 evaluations" in output and "3 done" in output
    return path


@pytest.fixture
def there(launched, monkeypatch):
    monkeypatch.setenv("OMNITOK_RUNS", str(launched.parent / "runs"))
    return launched


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    output = call(name, "--help")
    assert f"Example:\n    omnitok {name}" in output


def test_the_packages_names_are_calls_one_a_command_and_one_for_the_model():
    assert all(callable(getattr(omnitok, name)) for name in omnitok.__all__)
    more = {
        "check_report",
        "compare_plan",
        "evaluate_pairs",
        "examine_site",
        "export_items",
        "fetch_weights",
        "load",
        "outdated_report",
        "read_tokens",
        "review_plan",
        "rows",
        "watch_sweep",
    }
    assert more < set(omnitok.__all__) and len(set(omnitok.__all__)) == len(main.commands) + len(more)


def test_a_launched_sweep_is_read_from_python_by_the_same_words(there, tmp_path):
    assert [state.status for state in omnitok.sweep_states(str(there))] == ["done"] * 3
    assert omnitok.sweep_states(there) == omnitok.sweep_states("ask")
    assert len(omnitok.plan_sweep(str(there), ["seeds=[0, 1]"]).trials) == 5
    assert omnitok.rows(str(there)).equals(omnitok.rows("ask"))
    done = omnitok.render_report("ask", out=str(tmp_path / "report"))
    assert done.page == tmp_path / "report" / "index.html" and done.page.is_file()
    assert omnitok.sync().stages == 5
    launched = omnitok.launch_sweep(str(there), cluster="debug", workers=1)
    assert (launched.trained, launched.measured, launched.interrupted) == (0, 0, False)


def test_an_experiment_is_run_from_python_by_the_same_words(sweep):
    done = omnitok.run_experiment(str(sweep.parent / "tiny.yaml"), ["stages.images.steps=2"], seed=7)
    assert done.trained == 2 and all((folder / runs.RESULT).exists() for folder in done.folders)


def test_a_run_is_named_from_python_as_on_the_command_line_or_by_its_folder(there, picture, tmp_path):
    digest = omnitok.sweep_states("ask")[0].trial["stages"][-1]
    folder = runs.root() / digest
    for reference in ("ask/vq+0.5/0", digest, digest[:8], folder, str(folder)):
        assert not omnitok.load(reference).training
    (one,) = omnitok.reconstruct_files(digest, str(picture), str(tmp_path / "o"), fit="crop")
    (two,) = omnitok.reconstruct_files(folder, [picture], tmp_path / "p", fit="crop", side_by_side=True)
    assert one.psnr == two.psnr and size_of(two.target) == (64, 20)
    found = omnitok.evaluate_run("ask/vq+0.5/0", "psnr, ssim", split="val", resolution=16)
    assert [one["key"].split("/")[1] for one in found] == ["psnr", "ssim"]
    assert found == omnitok.evaluate_run(folder, ["psnr", "ssim"], data="{type: embedded, short_side: 32}", split="val")


def test_what_there_is_and_what_is_here_are_calls_too(runs_root, tmp_path, picture):
    assert {entry.slot for entry in omnitok.list_components("quantizer")} == {"quantizer"}
    assert set(omnitok.json_schemas()) == {"experiment", "sweep", "report"}
    assert "python" in {finding.what for finding in omnitok.examine()}
    for i in range(3):
        (tmp_path / "cats").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / "cats" / f"{i}.png")
    assert len(omnitok.check_folder(str(tmp_path / "cats")).manifest.files) == 3


@pytest.mark.parametrize(
    ("call_it", "message"),
    [
        (lambda path: omnitok.launch_sweep(path, cluster="lokal"), "did you mean 'local'?"),
        (lambda path: omnitok.launch_sweep(path, workers=0), "--workers 0: there must be at least 1"),
        (lambda path: omnitok.reconstruct_files("ask/vq+0.5/0", path, fit="cropp"), "did you mean 'crop'?"),
        (lambda path: omnitok.evaluate_run("ask/vq+0.5/0", resolution=0), "greater than or equal to 1, not 0"),
        (lambda path: omnitok.evaluate_run("ask/vq+0.5/0", split="tset"), "'val' or 'test', not 'tset'"),
        (lambda path: omnitok.list_components("quantiser"), "did you mean 'quantizer'?"),
        (lambda path: omnitok.load("ask/vq+0.5/1"), "did you mean 'vq+0.5/0'?"),
    ],
)
def test_what_a_call_cannot_mean_is_refused_as_on_the_command_line(there, call_it, message):
    with pytest.raises(SpecError) as caught:
        call_it(there)
    assert message in str(caught.value)


def test_an_unfinished_run_is_neither_measured_nor_used(there, monkeypatch, picture, tmp_path):
    digest = omnitok.sweep_states("ask")[0].trial["stages"][-1]
    experiment = runs.root() / digest / runs.EXPERIMENT
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / digest).mkdir(parents=True)
    shutil.copy(experiment, tmp_path / "runs" / digest)
    said = f"{digest}: this run is planned; finish it first\n"
    assert call("evaluate", digest, code=2) == said
    assert call("reconstruct", digest, picture, "--out", tmp_path / "o", code=2) == said
    with pytest.raises(SpecError, match="finish it first"):
        omnitok.load(digest)


def test_measuring_a_run_that_somebody_holds_is_refused_in_a_line_with_code_1(there):
    digest = omnitok.sweep_states("ask")[0].trial["stages"][-1]
    with runs.lease(runs.root() / digest):
        output = call("evaluate", digest, "--split", "val", "--frames", 3, code=1)
    assert output.startswith(f"omnitok: {digest}: another process") and output.count("\n") == 1


def test_the_next_command_can_be_pasted(sweep):
    moved = sweep.rename(sweep.with_name("what's this.yaml"))
    output = call("launch", moved, "--cluster", "debug", "--set", "model.quantizer={type: fsq, levels: [4]}", "--set",
                  "stages.images.steps=1", "--set", "stages.joint.steps=1")  # fmt: skip
    words = shlex.split(output.strip().splitlines()[-1].partition("next: omnitok ")[2])
    assert words[:4] == ["report", str(moved), "--set", "model.quantizer={type: fsq, levels: [4]}"]
    assert "done" in call("status", *words[1:])


def test_plan_shows_and_prints_json(sweep):
    output = call("plan", sweep)
    assert "vq+0.5" in output and "3 trials, 5 stages to train once (0 shared), 0 of them done" in output
    plan = json.loads(call("plan", sweep, "--json", "--set", "seeds=[0, 1]"))
    assert plan["seeds"] == [0, 1] and len(plan["trials"]) == 5


@pytest.mark.parametrize("command", ["plan", "launch"])
def test_a_wrong_file_is_refused_with_code_2_and_every_fault(sweep, command):
    sweep.write_text(sweep.read_text().replace("[4, 4]", "[1, x]"))
    lines = call(command, sweep, code=2).splitlines()
    assert len(lines) == 2 and all(
        line.startswith(f"{sweep}:6: stages.images.model.quantizer.levels") for line in lines
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["status", "nothing"], "nothing: names no launched sweep"),
        (["report", "nothing"], "nothing: names no launched sweep"),
        (["components", "quantiser"], "no slot 'quantiser'; did you mean 'quantizer'?"),
        (["reconstruct", "ffff", "x.png"], "ffff: no run begins so"),
        (["evaluate", "a/b/c"], "a: names no launched sweep"),
        (["data", "check", "nowhere"], "nowhere: no such folder"),
        (["launch", "nowhere.yaml", "--cluster", "cloud"], "'cloud' is not one of"),
    ],
)
def test_what_is_not_there_is_said_in_a_line_with_code_2(words, message, runs_root):
    assert message in call(*words, code=2)


def test_an_unwritable_folder_is_a_one_line_error(sweep, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "file" / "runs"))
    assert (
        call("launch", sweep, "--cluster", "debug", code=1).strip() == f"omnitok: {tmp_path}/file/runs: Not a directory"
    )


def test_a_failing_arm_makes_the_exit_code_1(sweep, monkeypatch):
    from omnitok.training import NonFinite
    from omnitok.training.reconstruct import Reconstruct

    def sick(self, start=0):
        raise NonFinite("train/l1 is nan at step 0")
        yield

    monkeypatch.setattr(Reconstruct, "train", sick)
    output = call("launch", sweep, "--cluster", "debug", code=1)
    assert "failed (nan): train/l1 is nan at step 0" in output and "2 blocked" in output
    assert "blocked" in call("status", sweep, code=1)
    assert "failed: nan" in call("run", sweep.parent / "tiny.yaml", "--threads", 1, code=1)


def test_launching_again_says_that_there_is_nothing_to_do(there):
    assert "everything is done" in call("launch", there, "--cluster", "debug")
    assert "3 done" in call("status", there)
    assert "already done" not in call("plan", there)


def test_run_goes_the_whole_way_and_then_does_nothing(sweep):
    output = call("run", sweep.parent / "tiny.yaml", "--seed", 3, "--threads", 1)
    assert "images:" in output and "val/psnr" in output
    assert "already done; nothing was trained" in call("run", sweep.parent / "tiny.yaml", "--seed", 3, "--threads", 1)


def test_evaluate_adds_a_metric_and_refuses_what_does_not_fit(there):
    output = call("evaluate", "ask/vq+0.5/0", "--metrics", "psnr,ssim", "--split", "val")
    assert "val.1x16/psnr" in output and "dB" in output and "uniform 7x7" in output
    assert "no metric 'pnsr'; did you mean 'psnr'?" in call("evaluate", "ask/vq+0.5/0", "--metrics", "pnsr", code=2)
    assert "frames=4 must be 1 more" in call("evaluate", "ask/vq+0.5/0", "--frames", 4, code=2)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (21, 34, 3), dtype=np.uint8)).save(path)
    return path


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.mark.parametrize(("fit", "size"), [("--crop", (32, 20)), ("--resize", (32, 20))])
def test_reconstruct_takes_any_size_after_an_explicit_fit(there, picture, tmp_path, fit, size):
    out = tmp_path / "out"
    assert "4 must divide both; say --crop or --resize" in call(
        "reconstruct", "ask/vq+0.5/0", picture, "--out", out, code=2
    )
    assert not out.exists()
    assert "dB" in call("reconstruct", "ask/vq+0.5/0", picture, "--out", out, fit)
    assert size_of(out / "cat.png") == size
    call("reconstruct", "ask/vq+0.5/0", picture, "--out", out, fit, "--side-by-side")
    assert size_of(out / "cat.png") == (2 * size[0], size[1])


def test_reconstruct_takes_a_video(there, tmp_path):
    from omnitok.data import read_clip, write_clip

    path = tmp_path / "clip.mp4"
    write_clip(path, np.random.default_rng(0).integers(0, 255, (6, 16, 32, 3), dtype=np.uint8), 12.0)
    assert "6 frames: must be 1 more than a multiple of 2" in call(
        "reconstruct", "ask/fsq+0.5/0", path, "--out", tmp_path / "o", code=2
    )
    call("reconstruct", "ask/fsq+0.5/0", path, "--out", tmp_path / "o", "--crop")
    frames, fps = read_clip(tmp_path / "o" / "clip.mp4")
    assert frames.shape == (5, 16, 32, 3) and fps == pytest.approx(12)


def test_reconstruct_names_every_file_that_it_cannot_take_and_writes_none(there, picture, tmp_path):
    torn = tmp_path / "torn.png"
    torn.write_bytes(picture.read_bytes()[:200])
    output = call(
        "reconstruct", "ask/vq+0.5/0", picture, torn, tmp_path / "no.png", "--crop", "--out", tmp_path / "o", code=2
    )
    assert "torn.png" in output and "no.png: no such file" in output and not (tmp_path / "o").exists()
    assert "would be overwritten" in call("reconstruct", "ask/vq+0.5/0", picture, "--crop", "--out", tmp_path, code=2)


def test_reconstruct_refuses_two_files_with_one_target_and_a_target_that_is_a_source(there, picture, tmp_path):
    jpeg, twin, out = tmp_path / "s.jpg", tmp_path / "s.jpg.png", tmp_path / "o"
    with Image.open(picture) as image:
        image.save(jpeg)
        image.save(twin)
    words = ["reconstruct", "ask/vq+0.5/0", jpeg, twin, "--crop", "--out"]
    assert call(*words, out, code=2) == f"{twin}: would be written to {out / 's.jpg.png'}, and so would {jpeg}\n"
    assert f"{twin}: would be overwritten by that of {jpeg}; choose another folder" in call(*words, tmp_path, code=2)
    assert "and so would" in call(*words[:2], jpeg, jpeg, "--crop", "--out", out, code=2)
    assert not out.exists()
    call(*words[:2], jpeg, "--crop", "--out", tmp_path / "fine")
    assert size_of(tmp_path / "fine" / "s.jpg.png") == (32, 20)


@pytest.mark.parametrize(
    ("data", "folder", "name"),
    [("data", "data/pets/cats", "pets/cats"), ("data", "data/null", "null"), ("data", "data/a: b, 'é", "a: b, 'é"),
     ("data", "data/12", "12"), ("data", "elsewhere/cats", "cats"), ("data", "data", "data")],
)  # fmt: skip
def test_data_check_prints_a_line_that_an_experiment_can_say(tmp_path, monkeypatch, data, folder, name):
    place = tmp_path / folder
    place.mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(place / f"{i}.png")
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / data))
    monkeypatch.chdir(place)
    output = call("data", "check", ".")
    said = read_value(output.splitlines()[-1], "line")["data"]
    if folder.startswith("data/"):
        assert "OMNITOK_DATA" not in output
    else:
        assert f"before training: export OMNITOK_DATA={place.parent}\n" in output
        monkeypatch.setenv("OMNITOK_DATA", str(place.parent))
    from omnitok.data import DATASETS
    from omnitok.spec import decode, resolve
    from omnitok.training.stage import data_root

    assert said["name"] == name and resolve(decode(DATASETS, said))(data_root(), "train").items(1)


def test_a_users_folder_is_checked_and_trained_on(tmp_path, sweep, picture):
    folder = tmp_path / "data" / "cats"
    for name in ("tabby", "siamese"):
        (folder / name).mkdir(parents=True)
        for i in range(5):
            pixels = np.random.default_rng([i, len(name)]).integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    output = call("data", "check", folder)
    assert "tabby" in output
    said = output.strip().splitlines()[-1].strip().removeprefix("data: ")
    call(
        "run",
        sweep.parent / "tiny.yaml",
        "--set",
        f"data={said}",
        "--set",
        "stages.joint.schedule=image_only",
        "--threads",
        1,
    )
    (folder / "tabby" / "0.png").write_bytes(b"torn")
    output = call("run", sweep.parent / "tiny.yaml", "--set", f"data={said}", "--seed", 5, "--threads", 1, code=2)
    assert "tabby/0.png" in output
    assert "tabby/0.png" in call("data", "check", folder, code=2)


def test_components_lists_every_slot_with_meanings(runs_root):
    every = call("components")
    assert all(
        name in every for name in ("window", "temporal", "vq", "fsq", "gaussian", "progressive", "psnr", "embedded")
    )
    assert "2309.15505" in call("components", "quantizer") and "levels" in call("components", "quantizer")


def test_doctor_looks_at_everything(runs_root):
    output = call("doctor")
    assert "torch" in output and "writable" in output and "GPUs" in output and "embedded data" in output


def tracking(uri, monkeypatch) -> tuple[bool, str]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(uri))
    return next((finding.fine, finding.seen) for finding in omnitok.examine() if finding.what == "tracking")


class Server(BaseHTTPRequestHandler):
    code = 200

    def do_GET(self):
        self.send_response(self.code if self.path == "/base/health" else 404)
        self.end_headers()

    def log_message(self, *_): ...


@pytest.mark.parametrize(("code", "fine"), [(200, True), (401, True), (404, False), (500, False)])
def test_doctor_asks_a_tracking_server_how_it_is(runs_root, monkeypatch, code, fine):
    monkeypatch.setattr(Server, "code", code)
    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        server.timeout = 30
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        seen = tracking(f"http://me:secret@127.0.0.1:{server.server_port}/base/", monkeypatch)
        thread.join()
    assert seen[0] is fine and "secret" not in seen[1] and ("answers" in seen[1])


def test_doctor_says_where_the_tracking_store_is_none(runs_root, monkeypatch, tmp_path):
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        port = server.server_port
    monkeypatch.setenv("no_proxy", "*")
    fine, seen = tracking(f"http://127.0.0.1:{port}", monkeypatch)
    assert not fine and "cannot be reached" in seen
    assert not tracking("http://[nonsense", monkeypatch)[0]
    assert tracking(f"sqlite:///{tmp_path}/new.db", monkeypatch)[0]
    assert not tracking(f"sqlite:///{tmp_path}/no/new.db", monkeypatch)[0]
    (tmp_path / "bad.db").write_bytes(b"no database, whatever its name may say" * 100)
    assert tracking(f"sqlite:///{tmp_path}/bad.db", monkeypatch) == (
        False,
        f"sqlite:///{tmp_path}/bad.db (MLFLOW_TRACKING_URI): cannot be opened: file is not a database",
    )
    with closing(sqlite3.connect(tmp_path / "good.db")) as database:
        database.execute("CREATE TABLE t (x)")
    assert tracking(f"sqlite:///{tmp_path}/good.db", monkeypatch)[0]


def test_what_a_reader_needs_loads_neither_torch_nor_mlflow(there):
    code = (
        "import sys; from omnitok.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    )
    for words in (["--help"], ["launch", "--help"], ["status", str(there)]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_report_of_a_launched_sweep_is_rendered_from_its_files(there, tmp_path):
    output = call("report", there, "--out", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"report: {tmp_path / 'report' / 'index.html'}" in output
    assert "Does it go the whole way?" in page and "mean_colour" in page
    frame = omnitok.rows(there)
    assert list(frame["arm"]) == ["vq+0.5", "fsq+0.5", "mean_colour"] and frame["photos/psnr"].gt(0).all()
    assert runs.root() == there.parent / "runs"


def test_the_schemas_are_up_to_date_and_every_yaml_file_names_its_own(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert call("schema", "--check") == "up to date\n"
    for path in [*ROOT.glob("experiments/*.yaml"), *ROOT.glob("sweeps/*.yaml"), *ROOT.glob("reports/*.yaml")]:
        assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n"), path


def test_every_choice_of_every_component_has_its_line():
    from omnitok.catalogue import SLOTS, lines
    from omnitok.spec import choices

    for slot, registry in SLOTS.items():
        for name, component in registry.components.items():
            assert list(lines(component)) == list(choices(component)), f"{slot} {name}"


def test_jobs_are_said_once_each_and_an_array_by_its_ends(capsys):
    from omnitok.cli.launching import _say_jobs
    from omnitok.cluster import Submitted
    from omnitok.launching.enqueue import Jobs

    names = ["12_0", "12_0", "12_1", "12_2", "15_0", "15_0", "16"]  # packed pieces share a job
    _say_jobs(Jobs([Submitted(f"p{i}", name) for i, name in enumerate(names)], 0, 0, [], []))
    assert capsys.readouterr().out == "submitted 5 jobs: 12_[0-2], 15_0, 16\n"
