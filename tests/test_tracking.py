"""MLflow says what the folders say, whatever happened in between."""

import math
import re
import shutil
from pathlib import Path

import pytest
from mirrored import PSNR, Mlflow, evaluate, fresh, line, migrate, plan, start, write

from omnitok import runs, tracking
from omnitok.tracking import store, wanted

CREATED_MS = 1795449600000


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrate(tmp_path_factory.mktemp("template"))


@pytest.fixture
def root(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fresh(migrated, tmp_path, monkeypatch)


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
