"""The command line as a person meets it: words, exit codes, no traceback for what a person wrote."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from PIL import Image

from omnitok import runs
from omnitok.cli import main

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


def test_the_packages_names_and_the_commands_are_the_same_calls():
    import omnitok

    assert all(callable(getattr(omnitok, name)) for name in omnitok.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = omnitok.nonsense


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


@pytest.mark.parametrize(("fit", "size"), [("--crop", (32, 16)), ("--resize", (32, 24))])
def test_reconstruct_takes_any_size_after_an_explicit_fit(there, picture, tmp_path, fit, size):
    out = tmp_path / "out"
    assert "8 must divide both; say --crop or --resize" in call(
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
    import omnitok

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
