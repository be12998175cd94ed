"""MLflow says what the folders say, whatever happened in between."""

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from omnitok import runs, tracking
from omnitok.tracking import store, wanted
from omnitok.tracking.rows import Rows

CREATED = "2026-11-23T16:00:00+00:00"
CREATED_MS = 1795449600000
PSNR = "embedded.test.1x64/psnr"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.QUIET.items():
            patch.setenv(name, value)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "runs"
    root.mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    return root


def write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, data)


def line(step: int, **values: float) -> bytes:
    return runs.encode(runs.Record(step, {f"train/{name}": value for name, value in values.items()}))


def start(root: Path, digest: str, lines: bytes, stage: str = "joint", **spec: object) -> Path:
    """A stage run under way."""
    folder = root / digest
    experiment = {
        "kind": "stage",
        "task": "reconstruct",
        "stage": stage,
        "spec": {"task": "reconstruct", "model": {"quantizer": {"type": "fsq", "levels": [8, 5]}}, "steps": 2, **spec},
        "versions": {},
        "parents": {},
        "handover": {},
        "fingerprints": {},
        "seed": 3,
    }
    write(folder / runs.EXPERIMENT, experiment)
    write(folder / runs.PROVENANCE, {"commit": "c0ffee", "dirty": True, "host": "box", "created": CREATED})
    (folder / runs.RECORDS).write_bytes(lines)
    return folder


def evaluate(folder: Path, edigest: str, key: str, value: float | None, **more: object) -> None:
    write(folder / runs.EVALUATIONS / f"{edigest}.json", {"digest": edigest, "key": key, "value": value, **more})


def plan(root: Path, digest: str, name: str, **stages: list[str]) -> None:
    """A stored sweep whose arms are ``name=[stage digests]``."""
    folder = root / "sweeps" / digest
    write(folder / "sweep.json", {"name": name, "digest": digest, "question": "Which is better?"})
    trials = [
        {"kind": "arm", "name": arm, "arm": {"model.quantizer": arm}, "seed": 3, "stages": path, "parameters": 12}
        for arm, path in stages.items()
    ]
    asked = {path[-1]: {"photos": {"psnr": f"e-{path[-1]}"}} for path in stages.values()}
    evaluations = [{"name": "photos", "key": "embedded.test.1x64"}]
    write(folder / "plan.json", {"trials": trials, "evaluations": evaluations, "evaluation_digests": asked})


class Mlflow:
    """What MLflow holds, read with its own client."""

    def __init__(self, root: Path) -> None:
        self.client = MlflowClient(tracking.tracking_uri(root))
        found = self.client.get_experiment_by_name("omnitok")
        assert found is not None
        self.runs = self.client.search_runs([found.experiment_id])

    def run(self, name: str):  # noqa: ANN201
        (run,) = [run for run in self.runs if run.info.run_name == name]
        return run

    def curve(self, name: str, key: str) -> list[tuple[int, int, float]]:
        history = self.client.get_metric_history(self.run(name).info.run_id, key)
        return sorted((point.step, point.timestamp, point.value) for point in history)

    def rows(self) -> list[object]:
        """Everything that a person could see, but for ids."""
        return sorted(
            (
                run.info.run_name,
                run.info.status,
                sorted(run.data.params.items()),
                key,
                self.curve(run.info.run_name, key),
            )
            for run in self.runs
            for key in run.data.metrics
        )


def test_a_stage_run_is_one_mlflow_run_with_its_choices_curves_and_tags(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=0.5, lr=1e-4) + line(1, loss=math.pi), losses=[{"type": "l1"}])
    write(folder / runs.RESULT, {"steps": 2, "val/psnr": 20.5})
    evaluate(folder, "e1", PSNR, 23.125)
    evaluate(folder, "e2", "embedded.test.1x64/usage", None)
    done = tracking.sync(root)
    assert (done.stages, done.created, done.points) == (1, 1, 3 + 2 + 1)
    mlflow = Mlflow(root)
    run = mlflow.run("joint aaaaaaaa")
    assert run.info.status == "FINISHED"
    assert run.info.start_time == CREATED_MS
    assert run.data.params == {
        "task": "reconstruct", "stage": "joint", "seed": "3", "steps": "2", "losses.0.type": "l1",
        "model.quantizer.type": "fsq", "model.quantizer.levels": "[8, 5]",
    }  # fmt: skip
    assert mlflow.curve("joint aaaaaaaa", "train/loss") == [(0, CREATED_MS, 0.5), (1, CREATED_MS + 1, math.pi)]
    assert run.data.metrics[PSNR] == 23.125
    assert run.data.metrics["final/val/psnr"] == 20.5
    assert "embedded.test.1x64/usage" not in run.data.metrics
    said = {"digest": "aa" * 8, "stage": "joint", "seed": "3", "commit": "c0ffee", "dirty": "true", "host": "box"}
    assert said.items() <= run.data.tags.items()


def test_a_second_sync_writes_nothing(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0) + line(1, loss=float("nan")))
    write(folder / runs.RESULT, {"steps": 2})
    evaluate(folder, "e-" + "aa" * 8, PSNR, 1 / 3)
    (folder / "samples" / "photos").mkdir(parents=True)
    (folder / "samples" / "photos" / "00-original.png").write_bytes(b"png")
    plan(root, "5" * 16, "q", fsq=["aa" * 8])
    assert tracking.sync(root).writes > 0
    before = repr([run.to_dictionary() for run in Mlflow(root).runs])  # as text, for a NaN is not equal to itself
    again = tracking.sync(root)
    assert again[3:] == (0, 0, 0, 0, 0)
    assert str(again) == f"1 stage run and 1 trial in sqlite:///{root}/mlflow.db: nothing to do"
    assert repr([run.to_dictionary() for run in Mlflow(root).runs]) == before


def test_only_new_whole_lines_are_pushed(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0) + b'{"step": 1, "train/lo')
    tracking.sync(root)
    (folder / runs.RECORDS).write_bytes(line(0, loss=1.0) + line(1, loss=0.5) + line(2, loss=0.25))
    again = tracking.sync(root)
    assert (again.points, again.replaced) == (2, 0)
    assert [value for _, _, value in Mlflow(root).curve("joint aaaaaaaa", "train/loss")] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    "lines", [line(0, loss=9.0) + line(1, loss=8.0) + line(2, loss=7.0), line(0, loss=9.0), line(0, loss=1.0)]
)
def test_a_stage_that_began_again_is_made_anew(root: Path, lines: bytes) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0) + line(1, loss=0.5))
    tracking.sync(root)
    (folder / runs.RECORDS).write_bytes(lines)
    again = tracking.sync(root)
    assert (again.replaced, again.created) == (1, 0)
    pushed = [(step, value) for step, _, value in Mlflow(root).curve("joint aaaaaaaa", "train/loss")]
    assert pushed == [(record.step, record.values["train/loss"]) for record in runs.records(folder)]
    assert tracking.sync(root).writes == 0


def test_an_evaluation_that_changed_its_mind_is_not_kept_beside_the_new_one(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0))
    evaluate(folder, "e1", PSNR, 23.0)
    tracking.sync(root)
    evaluate(folder, "e1", PSNR, 22.0)
    assert tracking.sync(root).replaced == 1
    assert [value for _, _, value in Mlflow(root).curve("joint aaaaaaaa", PSNR)] == [22.0]
    assert tracking.sync(root).writes == 0


def test_the_interval_of_a_number_stands_beside_it(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0))
    evaluate(folder, "e1", "pets.test.1x64/rfid", 12.0, interval=[11.5, 13.25])
    evaluate(folder, "e2", PSNR, 23.0, interval=None)
    tracking.sync(root)
    found = Mlflow(root).run("joint aaaaaaaa").data.metrics
    name = "pets.test.1x64/rfid"
    assert {key: value for key, value in found.items() if "/rfid" in key or PSNR in key} == {
        name: 12.0, f"{name} low": 11.5, f"{name} high": 13.25, PSNR: 23.0}  # fmt: skip
    assert tracking.mirror(root, None, {"aa" * 8}) == {("aa" * 8, "e1"): 12.0, ("aa" * 8, "e2"): 23.0}


def test_a_new_evaluation_adds_to_the_run(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0))
    tracking.sync(root)
    evaluate(folder, "e1", PSNR, 23.0)
    again = tracking.sync(root)
    assert (again.points, again.replaced) == (1, 0)


def test_the_status_follows_the_folder(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0))
    seen = []

    def look() -> None:
        tracking.sync(root)
        run = Mlflow(root).run("joint aaaaaaaa")
        seen.append((run.data.tags["status"], run.info.status))

    look()
    with runs.lease(folder):
        look()
    runs.fail(folder, runs.Failure("nan", "the loss is not a number", ""))
    look()
    write(folder / runs.RESULT, {"steps": 1})
    look()
    assert seen == [("interrupted", "KILLED"), ("running", "RUNNING"), ("failed", "FAILED"), ("done", "FINISHED")]


def test_a_folder_that_has_not_started_is_not_mirrored(root: Path) -> None:
    (start(root, "aa" * 8, b"") / runs.RECORDS).unlink()
    assert tracking.sync(root).stages == 0


def test_a_lost_cursor_doubles_nothing(root: Path) -> None:
    start(root, "aa" * 8, b"".join(line(step, loss=1 / (step + 1), nan=float("nan")) for step in range(20)))
    tracking.sync(root)
    mlflow = Mlflow(root)
    rows = repr(mlflow.rows())
    mlflow.client.delete_tag(mlflow.run("joint aaaaaaaa").info.run_id, "omnitok.records")
    assert tracking.sync(root).created == 0
    assert repr(Mlflow(root).rows()) == rows


def test_more_values_than_a_batch_holds_all_arrive(root: Path) -> None:
    text = b"".join(line(step, a=step, b=-step, c=0.5) for step in range(700))
    spec = {f"choice_{i}": i for i in range(230)} | {"long": "x" * 6000 + "y" * 6000 + "z"}
    folder = start(root, "aa" * 8, text, **spec)
    evaluate(folder, "e1", "user[é]:x/psnr", 1.0)
    assert tracking.sync(root).points == 2101
    mlflow = Mlflow(root)
    assert [point[::2] for point in mlflow.curve("joint aaaaaaaa", "train/b")] == [(i, -i) for i in range(700)]
    params = mlflow.run("joint aaaaaaaa").data.params
    assert params["choice_229"] == "229"
    assert params["long"] + params["long:2"] + params["long:3"] == spec["long"]


def test_a_sync_killed_after_any_write_is_completed_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folders(root: Path) -> None:
        folder = start(root, "aa" * 8, b"".join(line(step, a=step, b=-step) for step in range(600)))
        write(folder / runs.RESULT, {"steps": 600})
        evaluate(folder, "e-" + "aa" * 8, PSNR, 23.0)
        plan(root, "5" * 16, "q", fsq=["aa" * 8])

    clean = root.parent / "clean"
    shutil.copytree(root, clean)
    folders(clean)
    tracking.sync(clean)
    folders(root)

    def fatal(of: type, name: str):  # noqa: ANN202
        whole = getattr(of, name)

        def killed(*args: object, **options: object) -> None:
            whole(*args, **options)
            raise KeyboardInterrupt

        return killed

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", fatal(MlflowClient, "create_run"))
        patch.setattr(Rows, "flush", fatal(Rows, "flush"))
        patch.setattr("omnitok.tracking.rows.AT_ONCE", 0)  # so that each write is a transaction
        while kills < 50:
            try:
                tracking.sync(root)
                break
            except KeyboardInterrupt:
                kills += 1
    assert 4 < kills < 50
    assert Mlflow(root).rows() == Mlflow(clean).rows()


def test_values_and_cursor_are_written_together_or_not_at_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(root, "aa" * 8, b"".join(line(step, loss=step) for step in range(30)))
    whole = Rows._put

    def killed(self: Rows, session: object, name: str, rows: list[object], *, over: bool = False) -> None:
        if name == "tags":
            raise KeyboardInterrupt
        whole(self, session, name, rows, over=over)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "_put", killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync(root)
    assert Mlflow(root).curve("joint aaaaaaaa", "train/loss") == []
    tracking.sync(root)
    assert len(Mlflow(root).curve("joint aaaaaaaa", "train/loss")) == 30


@pytest.mark.parametrize("most", [7, 10_000])
def test_rows_are_what_the_client_would_have_written(root: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    odd = b"".join(line(step, loss=value) for step, value in enumerate((1.0, float("nan"), float("inf"), -0.5)))
    text = b"".join(line(step, loss=step / 3, psnr=-step) for step in range(25)) + odd.replace(b"Infinity", b"1e999")
    write(start(root, "aa" * 8, text) / runs.RESULT, {"steps": 25})
    evaluate(root / ("aa" * 8), "e1", PSNR, 21.0)
    theirs = root.parent / "theirs"
    shutil.copytree(root, theirs, copy_function=shutil.copy2)
    with monkeypatch.context() as patch:
        patch.setattr("omnitok.tracking.rows.MOST", most)
        patch.setattr("omnitok.tracking.rows.AT_ONCE", most)
        tracking.sync(root)
    with monkeypatch.context() as patch:
        patch.setattr("omnitok.tracking.rows.of", lambda client: None)
        tracking.sync(theirs)
    assert repr(Mlflow(root).rows()) == repr(Mlflow(theirs).rows())
    for name in ("train/loss", "train/psnr"):
        ours = Mlflow(root).curve("joint aaaaaaaa", name)
        assert repr(ours) == repr(Mlflow(theirs).curve("joint aaaaaaaa", name)) and len(ours) >= 25
    assert tracking.sync(root).writes == 0


def test_a_stage_shared_by_two_arms_is_one_run_that_both_trials_link_to(root: Path) -> None:
    shared, left, right = "11" * 8, "22" * 8, "33" * 8
    for digest, stage in ((shared, "images"), (left, "joint"), (right, "joint")):
        write(start(root, digest, line(0, loss=1.0), stage) / runs.RESULT, {"steps": 1})
    evaluate(root / left, f"e-{left}", PSNR, 21.0)
    plan(root, "5" * 16, "quick", vq=[shared, left], fsq=[shared, right])
    plan(root, "6" * 16, "other", vq=[shared, left], never=["44" * 8])
    done = tracking.sync(root)
    assert (done.stages, done.trials, done.created) == (3, 3, 6)
    mlflow = Mlflow(root)
    tags = mlflow.run("images 11111111").data.tags
    assert (tags["sweep"], tags["arm"]) == ("other, quick", "vq, fsq")
    assert tags["omnitok.sweep_digest"] == f"{'5' * 16}, {'6' * 16}"
    vq, fsq = mlflow.run("quick: vq seed 3"), mlflow.run("quick: fsq seed 3")
    assert vq.data.metrics == {PSNR: 21.0, "parameters": 12.0}
    assert vq.data.params == {"model.quantizer": "vq", "seed": "3", "arm": "vq"}
    ids = [mlflow.run(name).info.run_id for name in ("images 11111111", "joint 22222222")]
    assert vq.data.tags["omnitok.stage_runs"] == ", ".join(ids)
    assert vq.data.tags["omnitok.stages"] == f"{shared}, {left}"
    assert re.findall(r"\[(.*?)\]\(#/experiments/\d+/runs/(\w+)\)", vq.data.tags["mlflow.note.content"]) == [
        ("images 11111111", ids[0]),
        ("joint 22222222", ids[1]),
    ]
    assert (vq.info.status, fsq.info.status) == ("FINISHED", "SCHEDULED")  # fsq is trained but not evaluated
    assert "mlflow.parentRunId" not in tags


def test_a_trial_stands_as_its_stages_stand(root: Path) -> None:
    first, second = "11" * 8, "22" * 8
    plan(root, "5" * 16, "quick", vq=[first, second])
    seen = []

    def look() -> None:
        tracking.sync(root)
        run = Mlflow(root).run("quick: vq seed 3")
        seen.append((run.data.tags["status"], run.info.status))

    folder = start(root, first, line(0, loss=1.0))
    look()
    runs.fail(folder, runs.Failure("nan", "", ""))
    look()
    write(folder / runs.RESULT, {"steps": 1})
    look()
    runs.fail(start(root, second, line(0, loss=1.0)), runs.Failure("nan", "", ""))
    look()
    write(root / second / runs.RESULT, {"steps": 1})
    (root / second / runs.ERROR).unlink()
    look()
    runs.fail(root / second, runs.Failure("data", "", ""))  # of an attempt before the one that was done
    look()
    (root / second / runs.EVALUATIONS).mkdir()
    runs.fail(root / second, runs.Failure("data", "", ""), runs.evaluation_error("embedded.test.1x64"))
    look()
    evaluate(root / second, f"e-{second}", PSNR, 20.0)
    look()
    assert seen == [
        ("interrupted", "KILLED"),
        ("blocked", "FAILED"),
        ("interrupted", "KILLED"),
        ("failed", "FAILED"),
        ("unevaluated", "SCHEDULED"),
        ("unevaluated", "SCHEDULED"),
        ("failed", "FAILED"),
        ("done", "FINISHED"),
    ]


def test_names_too_many_for_a_tag_are_cut_and_counted() -> None:
    text = wanted.joined([f"arm {i}" for i in range(5000)])
    assert text.endswith(", ... 5000 in all") and len(text) < 5100
    assert wanted.joined(["a", "b"]) == "a, b"


def test_samples_are_pushed_once_and_again_when_they_changed(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0))
    (folder / "samples" / "photos").mkdir(parents=True)
    (folder / "samples" / "photos" / "00-original.png").write_bytes(b"png")
    assert tracking.sync(root).pictures == 1
    assert tracking.sync(root).pictures == 0
    (folder / "samples" / "photos" / "01-original.png").write_bytes(b"png")
    assert tracking.sync(root).pictures == 1
    mlflow = Mlflow(root)
    run_id = mlflow.run("joint aaaaaaaa").info.run_id
    kept = [file.path for file in mlflow.client.list_artifacts(run_id, "samples/photos")]
    assert kept == ["samples/photos/00-original.png", "samples/photos/01-original.png"]
    assert len(list((root / "mlflow-artifacts").rglob("*.png"))) == 2


def test_the_mirror_reads_back_what_the_files_say(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE", 2)
    said = {}
    for i in range(5):
        digest, value = f"{i}" * 16, math.sqrt(i + 2) * 10 ** (i - 7)
        folder = start(root, digest, line(0, loss=1.0))
        evaluate(folder, f"e{i}", "user[é]:x/psnr", value)
        evaluate(folder, f"f{i}", "user[è]:x/psnr", -value)
        said |= {(digest, f"e{i}"): value, (digest, f"f{i}"): -value}
    tracking.sync(root)
    assert tracking.mirror(root, None, [digest for digest, _ in said]) == said
    assert tracking.mirror(root, None, ["0" * 16]).keys() == {("0" * 16, "e0"), ("0" * 16, "f0")}


def test_of_two_evaluations_under_one_key_the_mirror_says_whose_value_it_has(root: Path) -> None:
    digest = "aa" * 8
    folder = start(root, digest, line(0, loss=1.0))
    write(folder / runs.RESULT, {"steps": 1})
    plan(root, "5" * 16, "quick", vq=[digest])
    evaluate(folder, f"e-{digest}", PSNR, 23.0)
    tracking.sync(root)
    assert tracking.mirror(root, None, [digest]) == {(digest, f"e-{digest}"): 23.0}
    evaluate(folder, "replaced", PSNR, 22.0)
    tracking.sync(root)
    assert tracking.mirror(root, None, [digest]) == {(digest, "replaced"): 22.0}
    assert Mlflow(root).run("quick: vq seed 3").data.metrics[PSNR] == 23.0, "a trial has what its sweep asks for"
    assert tracking.sync(root).writes == 0


def test_a_run_adopted_under_a_new_digest_is_mirrored_once_and_belongs_to_both_sweeps(root: Path) -> None:
    old, new = "aa" * 8, "bb" * 8
    folder = start(root, old, line(0, loss=1.0))
    write(folder / runs.RESULT, {"steps": 1})
    evaluate(folder, f"e-{new}", PSNR, 23.0)
    for name in (new, f".{new}.17"):
        (root / name).symlink_to(old)
    shutil.copytree(folder, root / "copy of a run")
    plan(root, "5" * 16, "quick", vq=[new])
    done = tracking.sync(root)
    assert (done.stages, done.trials) == (1, 1)
    mlflow = Mlflow(root)
    assert mlflow.run("joint aaaaaaaa").data.tags["sweep"] == "quick"
    assert mlflow.run("quick: vq seed 3").data.tags["status"] == "done"


def test_a_torn_line_in_the_middle_is_passed_over(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0) + b'{"step": 1, "tra\n' + line(2, loss=0.25))
    assert tracking.sync(root).points == 2
    assert tracking.sync(root).writes == 0


def test_a_run_deleted_in_mlflow_comes_back(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0))
    tracking.sync(root)
    mlflow = Mlflow(root)
    mlflow.client.delete_run(mlflow.run("joint aaaaaaaa").info.run_id)
    assert tracking.sync(root).created == 1


def test_two_syncs_at_once_on_a_fresh_database_make_one_mirror(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for i in range(4):
        start(root, f"{i}" * 16, b"".join(line(step, loss=step) for step in range(50)))
    code = "import sys, pathlib; from omnitok import tracking; print(*tracking.sync(pathlib.Path(sys.argv[1]))[1:])"
    both = [subprocess.Popen([sys.executable, "-c", code, root], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [err for _, err in said] == ["", ""]  # neither MLflow nor its migrations talk
    assert sorted(out.split()[2] for out, _ in said) == ["0", "4"]
    mlflow = Mlflow(root)
    assert sorted(run.info.run_name for run in mlflow.runs) == [f"joint {str(i) * 8}" for i in range(4)]
    assert all(len(mlflow.curve(run.info.run_name, "train/loss")) == 50 for run in mlflow.runs)


def test_importing_tracking_loads_neither_torch_nor_mlflow_and_syncing_no_torch(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0))
    code = (
        "import sys, pathlib; from omnitok import tracking; assert not {'torch', 'mlflow'} & set(sys.modules);"
        "tracking.sync(pathlib.Path(sys.argv[1])); assert 'torch' not in sys.modules and 'mlflow' in sys.modules;"
        "from mlflow.telemetry.utils import is_telemetry_disabled; assert is_telemetry_disabled()"
    )
    subprocess.run([sys.executable, "-c", code, root], check=True)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("sqlite:////proc/nowhere/mlflow.db", "/proc/nowhere"),
        ("sqlite:///{root}/garbage.db", "not a database"),
        ("postgresql+nodriver://me:secret@127.0.0.1:1/x", r"me:\*\*\*@"),
        ("postgresql://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x: .*refused"),
        ("nowhere://x", "nowhere"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, uri: str, sentence: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (root / "garbage.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(tracking.TrackingError, match=sentence) as caught:
        tracking.sync(root, uri.format(root=root))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_folder_of_runs_or_no_lock_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(tracking.TrackingError, match="no folder of runs at .*absent"):
        tracking.sync(tmp_path / "absent")
    (tmp_path / "mlflow.lock").mkdir()
    with pytest.raises(tracking.TrackingError, match="cannot lock"):
        tracking.sync(tmp_path)


def test_a_broken_run_file_is_named(root: Path) -> None:
    (start(root, "aa" * 8, line(0, loss=1.0)) / runs.EXPERIMENT).write_text("{")
    with pytest.raises(tracking.TrackingError, match="experiment.json is not JSON"):
        tracking.sync(root)


def test_a_moved_folder_says_how_to_make_the_mirror_again(root: Path) -> None:
    tracking.sync(root)
    moved = root.rename(root.parent / "moved")
    with pytest.raises(tracking.TrackingError, match="remove it and sync again"):
        tracking.sync(moved)


def test_the_store_is_the_one_asked_for_then_the_environment_then_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.tracking_uri(tmp_path, "sqlite:///x.db") == "sqlite:///x.db"
    assert tracking.tracking_uri(tmp_path) == tracking.ui_command(tmp_path) == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me@127.0.0.1/x")
    assert tracking.tracking_uri(tmp_path) == "postgresql+psycopg2://me@127.0.0.1/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert f"ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db --host 127.0.0.1" in tracking.ui_command(tmp_path)
