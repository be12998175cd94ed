"""Looking back: logs of a run, what is behind a cell, what may be deleted, and whether a run can be had again."""

import json
import os
import time

import pytest
import safetensors.torch
import tiny
from click.testing import CliRunner

import omnitok
from omnitok import runs
from omnitok.cli import main
from omnitok.cluster.ledger import Entry
from omnitok.inspection.freed import STALE_S
from omnitok.launching.launch import launch
from omnitok.report.section import section
from omnitok.results import gathered
from omnitok.runs import Failure
from omnitok.spec import SpecError
from omnitok.sweep.stored import locate
from omnitok.training.reconstruct import Reconstruct


@pytest.fixture
def sweep(tmp_path, runs_root):
    path = tiny.write(tmp_path, sweep=tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]"))
    launch(path)
    return path


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def find(name: str):
    return omnitok.read_logs(name).stages[-1].folder


def test_the_logs_of_a_run_are_those_of_its_stages_with_their_attempts(sweep, runs_root):
    found = omnitok.read_logs("ask/fsq+0.5/0", lines=2)
    assert [(one.stage, one.status, len(one.attempts)) for one in found.stages] == [
        ("images", "done", 1),
        ("joint", "done", 1),
    ]
    assert [record.step for record in found.stages[0].records] == [3, 4]
    output = call("logs", "ask/fsq+0.5/0", "--lines", "2")
    assert "step 3: train/l1" in output and "step 1:" not in output and "steps 0 to 5" in output
    assert "no 'fsq+0.4/0'" in call("logs", "ask/fsq+0.4/0", code=2)


def test_a_death_and_the_log_of_its_job_or_worker_are_shown(sweep, runs_root):
    folder, stored = find("ask/fsq+0.5/0"), next(runs_root.glob("sweeps/*/plan.json")).parent
    (stored / "jobs").mkdir()
    (stored / "jobs" / "12_3_0_log.err").write_text("the node burnt\n")
    (stored / "jobs" / "12_30_0_log.err").write_text("another task\n")
    entry = {**dict.fromkeys(Entry._fields, ""), "piece": folder.name, "stages": [folder.name], "job": "12_3"}
    with (stored / "jobs.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n" + json.dumps(entry)[:20])  # and a torn line
    (stored / "logs").mkdir(exist_ok=True)
    (stored / "logs" / "worker-0.log").write_text("Killed by [somebody]\n")
    runs.fail(folder, Failure("killed", "the process died (SIGKILL)", f"its output is in {stored / 'logs'}"))
    runs.fail(folder, Failure("data", "a picture is gone", "Traceback"), f"{runs.EVALUATIONS}/photos.error.txt")
    output = call("logs", f"{folder.name}")
    assert all(said in output for said in ("the node burnt", "Killed by [somebody]", "SIGKILL", "a picture is gone"))
    assert "another task" not in output


def test_a_cell_leads_to_its_runs_files_commits_and_choices(sweep, runs_root):
    cell = omnitok.explain_cell("ask", "fsq+0.5", "psnr")
    (one,) = cell.seeds
    said = json.loads(one.file.read_text())
    assert (said["value"], said["stage"]) == (one.value, one.stages[-1].name) and cell.mean == one.value
    assert cell.metric == "photos/psnr" and cell.protocol == said["protocol"] and cell.base == "vq+0.5"
    assert [stage.name for stage in one.stages] == [find_stage.name for find_stage in
                                                    (log.folder for log in omnitok.read_logs("ask/fsq+0.5/0").stages)]  # fmt: skip
    ((path, (there, here)),) = cell.changed.items()
    assert (
        path == "images, joint: model.quantizer" and there["type"] == "vq" and here == {"type": "fsq", "levels": [4, 4]}
    )
    output = call("why", "ask", "fsq+0.5", "photos/psnr")
    assert (
        str(one.file) in output
        and one.ran["code"] in output
        and "images, joint: model.quantizer: {code_dim: 4" in output
    )
    assert "held against" in call("why", "ask", "vq+0.5", "psnr")


def test_what_deviates_is_said_wherever_its_numbers_are(sweep, runs_root):
    first, last = omnitok.explain_cell("ask", "fsq+0.5", "psnr").seeds[0].stages
    said = "recompute=true after out_of_memory"
    path = first / runs.PROVENANCE
    runs.write_json(path, runs.read_json(path) | {"deviations": [said]})
    told = f"stage 'images' deviates: {said}"
    assert told in call("why", "ask", "fsq+0.5", "psnr") and told in call("status", "ask")
    assert told not in call("why", "ask", "vq+0.5", "psnr")
    banner = section(gathered(locate(runs_root, "ask"))).banner
    assert any("1 run of 4 deviated from what the sweep says: recompute=true" in line for line in banner), banner
    assert runs.deviations(last) == []


def test_a_cell_without_a_value_says_why(sweep, runs_root):
    (one,) = omnitok.explain_cell("ask", "mean_colour", "codebook_usage").seeds
    assert (one.value, one.note) == (None, "does not apply") or one.note
    cell = omnitok.explain_cell("ask", "fsq+0.5", "psnr")
    cell.seeds[0].file.unlink()
    (one,) = omnitok.explain_cell("ask", "fsq+0.5", "psnr").seeds
    assert one.value is None and one.note == "not measured yet: 1 metric to measure"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ask", "fsq+0.4", "psnr"), "no such arm; did you mean 'fsq+0.5'?"),
        (("ask", "fsq+0.5", "pnsr"), "no such metric; did you mean 'photos/psnr'? (known: "),
        (("aks", "fsq+0.5", "psnr"), "names no launched sweep; did you mean 'ask'?"),
    ],
)
def test_a_cell_that_is_not_there_is_refused_with_the_nearest(sweep, words, said):
    with pytest.raises(SpecError) as caught:
        omnitok.explain_cell(*words)
    assert said in str(caught.value)


def test_only_what_is_of_no_use_is_freed(sweep, runs_root):
    before = {path: path.read_bytes() for path in runs_root.rglob("*") if path.is_file()}
    assert omnitok.collect_garbage().files == () and "0 files" in call("gc")
    joint = find("ask/fsq+0.5/0")
    images = omnitok.read_logs("ask/fsq+0.5/0").stages[0].folder
    old = time.time() - 2 * STALE_S
    for path in (images / runs.CHECKPOINT, images / ".weights.safetensors.1.partial", images / ".new.2.partial"):
        path.write_bytes(b"12345")
    for path in (images / runs.CHECKPOINT, images / ".weights.safetensors.1.partial"):
        os.utime(path, (old, old))
    (joint / runs.RESULT).unlink()
    (joint / runs.CHECKPOINT).write_bytes(b"to go on from")
    (images / runs.ADVERSARY).write_bytes(b"who judged")
    (runs_root / "0123456789abcdef").symlink_to("gone")
    wanted = {images / runs.CHECKPOINT, images / ".weights.safetensors.1.partial", runs_root / "0123456789abcdef"}
    asked = omnitok.collect_garbage()
    assert {one.path for one in asked.files} == wanted and asked.size == 10 and asked.parents == (images.name,)
    assert all(path.is_symlink() or path.exists() for path in wanted)
    assert "10 B freed" in call("gc", "--yes")
    assert not any(path.is_symlink() or path.exists() for path in wanted)
    assert (joint / runs.CHECKPOINT).exists() and (images / ".new.2.partial").exists()
    assert (images / runs.ADVERSARY).exists()
    gone = {path for path in before if not path.exists()}
    assert gone == {joint / runs.RESULT} and not omnitok.collect_garbage().files


def test_discriminators_go_on_request_and_stay_while_a_child_needs_them(sweep, runs_root):
    joint = find("ask/fsq+0.5/0")
    images = omnitok.read_logs("ask/fsq+0.5/0").stages[0].folder
    (images / runs.ADVERSARY).write_bytes(b"who judged")
    result, said = (joint / runs.RESULT).read_bytes(), runs.read_json(joint / runs.EXPERIMENT)
    (joint / runs.RESULT).unlink()
    runs.write_json(joint / runs.EXPERIMENT, {**said, "handover": {**said["handover"], "adversary": "keep"}})
    assert not omnitok.collect_garbage(adversaries=True, free=True).files
    (joint / runs.RESULT).write_bytes(result)
    (one,) = omnitok.collect_garbage(adversaries=True, free=True).files
    assert one.path == images / runs.ADVERSARY and not one.path.exists()


def test_a_run_that_somebody_works_in_is_left_alone(sweep, runs_root):
    folder = find("ask/fsq+0.5/0")
    (folder / runs.CHECKPOINT).write_bytes(b"12345")
    with runs.lease(folder):
        found = omnitok.collect_garbage(free=True)
        assert found.busy == (folder.name,) and (folder / runs.CHECKPOINT).exists()


def test_a_replay_is_equal_to_the_bit_and_touches_nothing(sweep, runs_root):
    before = {path: path.read_bytes() for path in runs_root.rglob("*") if path.is_file()}
    found = omnitok.replay_run("ask/fsq+0.5/0")
    assert (found.verdict, found.steps, found.total, found.weights) == (
        "bitwise equal",
        4,
        4,
        True,
    ) and not found.differs
    assert "bitwise equal: 2 of 4 steps" in call("replay", "ask/vq+0.5/0", "--steps", "2")
    assert "all weights are equal to the bit" in call("replay", "ask/mean_colour/-")
    assert {path: path.read_bytes() for path in runs_root.rglob("*") if path.is_file()} == before


def change(folder, step: int, factor: float) -> None:
    lines = [record._replace(values={**record.values, "train/l1": record.values["train/l1"] * (factor if record.step >= step else 1)})
             for record in runs.records(folder)]  # fmt: skip
    (folder / runs.RECORDS).write_bytes(b"".join(map(runs.encode, lines)))


def test_a_replay_says_from_which_step_it_is_off_and_what_it_ran_on(sweep, runs_root):
    folder = find("ask/fsq+0.5/0")
    ran = runs.read_json(folder / runs.PROVENANCE)
    runs.write_json(folder / runs.PROVENANCE, {**ran, "versions": {**ran["versions"], "torch": "2.6.0"}})
    change(folder, 2, 1 + 1e-6)
    found = omnitok.replay_run(folder)
    assert (found.verdict, found.first, found.diverged, found.weights) == ("within tolerance", 2, None, True)
    assert found.differs["versions.torch"][0] == "2.6.0" and len(found.differs) == 1
    change(folder, 3, 1.1)
    output = call("replay", folder.name, code=1)
    assert "diverges at step 3 (train/l1:" in output and "not to the bit from step 2" in output
    assert 'not as then: versions.torch: "2.6.0"' in output


def test_weights_that_are_not_those_of_the_records_are_seen(sweep, runs_root):
    folder = find("ask/fsq+0.5/0")
    weights = safetensors.torch.load_file(folder / runs.WEIGHTS)
    name = next(name for name, value in weights.items() if value.is_floating_point())
    safetensors.torch.save_file({**weights, name: weights[name] + 1e-6}, folder / runs.WEIGHTS)
    found = omnitok.replay_run(folder)
    assert (found.verdict, found.first, found.weights) == ("within tolerance", None, False)


def test_a_replay_needs_records_and_a_parent(sweep, runs_root, monkeypatch):
    folder = find("ask/fsq+0.5/0")
    images = omnitok.read_logs("ask/fsq+0.5/0").stages[0].folder
    weights = (images / runs.WEIGHTS).read_bytes()
    (images / runs.WEIGHTS).unlink()
    with pytest.raises(SpecError, match=f"the weights of its parent {images.name} are not here"):
        omnitok.replay_run(folder)
    (images / runs.WEIGHTS).write_bytes(weights)
    (folder / runs.RECORDS).unlink()
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(SpecError, match="no records"):
        omnitok.replay_run(folder)
