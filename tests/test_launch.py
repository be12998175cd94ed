"""Launching: everything once, failures alone, two launchers in peace, and again for nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny

import omnitok
from omnitok import runs
from omnitok.launching import launch as room
from omnitok.launching.drive import drive
from omnitok.launching.launch import launch, run_experiment
from omnitok.launching.pool import Pool
from omnitok.launching.progress import Lines, Silent
from omnitok.launching.work import Work
from omnitok.runs import Failure
from omnitok.training.reconstruct import Reconstruct

SMALL = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=SMALL)


def weights(root):
    return {path.parent.name: path.read_bytes() for path in root.glob(f"*/{runs.WEIGHTS}")}


def test_a_sweep_is_trained_once_and_measured_and_again_for_free(sweep, runs_root, monkeypatch):
    done = launch(sweep)
    assert (done.trained, done.measured) == (5, 3) and {state.status for state in done.states} == {"done"}
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained twice"))
    again = launch(sweep)
    assert (again.trained, again.measured) == (0, 0) and {state.status for state in again.states} == {"done"}
    assert [state.status for state in omnitok.sweep_states("ask")] == ["done"] * 3


def test_adding_a_metric_evaluates_and_trains_nothing(sweep, monkeypatch):
    launch(sweep)
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained"))
    sweep.write_text(sweep.read_text().replace("metrics: [psnr", "metrics: [perplexity, psnr"))
    more = launch(sweep)
    assert (more.trained, more.measured) == (0, 3)


def test_a_local_pool_ends_with_the_bits_of_one_process(sweep, runs_root, monkeypatch, tmp_path):
    launch(sweep)
    alone = weights(runs_root)
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "pool"))
    done = launch(sweep, cluster="local", workers=2)
    assert {state.status for state in done.states} == {"done"}
    assert weights(tmp_path / "pool") == alone


def test_a_failing_arm_ends_alone_with_its_class_and_its_children_are_blocked(sweep, runs_root, monkeypatch, capsys):
    train = Reconstruct.train

    def sick(self, start=0):
        if self.codec.quantizer.codebook_sizes == (16,) and self.codec.quantizer.channels == 4:
            raise MemoryError("no room")
        yield from train(self, start)

    monkeypatch.setattr(Reconstruct, "train", sick)
    done = launch(sweep, view=Lines(runs_root))
    by_name = {state.trial["name"]: state for state in done.states}
    assert by_name["fsq+0.5"].status == by_name["mean_colour"].status == "done"
    assert by_name["vq+0.5"][1:] == ("blocked", "stage 'images': out_of_memory: no room")
    assert "failed (out_of_memory): no room" in capsys.readouterr().out
    monkeypatch.undo()
    os.environ["OMNITOK_RUNS"] = str(runs_root)
    try:
        assert {state.status for state in launch(sweep).states} == {
            "done"
        }  # a failed cell is not done: it is tried again
    finally:
        del os.environ["OMNITOK_RUNS"]


def test_a_worker_that_is_killed_takes_only_its_own_work_with_it(sweep, runs_root, monkeypatch):
    planned = omnitok.plan_sweep(sweep)
    runs_root.mkdir()
    names, data = room.settle(runs_root, planned)
    works = room.works(runs_root, planned, names, data)
    pool = Pool(runs_root, 1, 1, 60.0, runs_root / "logs")
    ended = []

    class Sniper:
        shot = False

        def begin(self, works):
            pass

        def look(self, active):
            if not self.shot and active:
                self.shot = True
                os.kill(pool.busy[0].handle.pid, signal.SIGKILL)

        def ended(self, work, outcome):
            ended.append((work, outcome))

        def close(self):
            pass

    drive(works, pool, Sniper())
    (first, died), *rest = ended
    assert isinstance(died, Failure) and died.kind == "killed" and "SIGKILL" in died.sentence
    assert runs.failure(runs_root / first.stage).kind == "killed"
    assert rest and all(outcome == "done" for _, outcome in rest)
    assert first.stage not in {work.stage for work, _ in rest}


def test_a_worker_that_is_told_to_stop_is_replaced_and_nothing_is_left_undone(sweep, runs_root):
    planned = omnitok.plan_sweep(sweep)
    runs_root.mkdir()
    names, data = room.settle(runs_root, planned)
    works = room.works(runs_root, planned, names, data)
    pool = Pool(runs_root, 1, 1, 60.0, runs_root / "logs")

    class Gentle(Silent):
        told = 0

        def look(self, active):
            records = list(runs_root.glob(f"*/{runs.RECORDS}"))
            if self.told < 1 and active and records:
                self.told += 1
                pool.busy[0].handle.send_signal(signal.SIGTERM)

    assert drive(works, pool, Gentle())[:2] == (5, 3)
    assert {state.status for state in launch(sweep).states} == {"done"}


def test_an_evaluation_that_fails_ends_alone(sweep, runs_root, monkeypatch):
    from omnitok.data import DataError
    from omnitok.data.embedded import Embedded

    more = (
        "  - {name: big, data: {type: embedded, short_side: 64}, frames: 1, resolution: 16, metrics: [psnr]}\nclaims:"
    )
    text = sweep.read_text().replace("claims:", more).replace("{metric: psnr,", "{metric: psnr, on: photos,")
    sweep.write_text(text)
    item = Embedded.item

    def torn(self, index, frames, resolution):
        if self.short_side == 32 and self.split == "test":
            raise DataError("chelsea.png: torn")
        return item(self, index, frames, resolution)

    with monkeypatch.context() as patch:
        patch.setattr(Embedded, "item", torn)
        done = launch(sweep)
    assert (done.trained, done.measured) == (5, 3)
    assert {state.reason for state in done.states} == {"evaluation 'photos': data: chelsea.png: torn"}
    assert {state.status for state in launch(sweep).states} == {"done"}


def started(sweep, *more):
    code = "import sys; from omnitok.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "launch", str(sweep), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_launchers_at_once_train_nothing_twice_and_break_nothing(sweep, runs_root):
    two = [started(sweep, "--cluster", "debug") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], outputs
    for folder in runs_root.glob(f"*/{runs.RESULT}"):
        steps = [record.step for record in runs.records(folder.parent)]
        assert steps == list(range(len(steps)))
        attempts = [json.loads(line) for line in (folder.parent / runs.ATTEMPTS).read_text().splitlines()]
        assert [attempt["ended"] for attempt in attempts] == ["done"], "one digest was trained twice"


@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_ctrl_c_saves_after_the_step_and_the_same_command_goes_on(tmp_path, runs_root, cluster):
    long = tiny.EXPERIMENT.replace("steps: 5", "steps: 4000").replace("validate_every: 2", "validate_every: 4000")
    one_arm = SMALL.replace("    vq: {type: vq, codebook_size: 16, code_dim: 4}\n", "").split("claims:")[0]
    sweep = tiny.write(tmp_path, long, one_arm)
    process = started(sweep, "--cluster", cluster)
    while not any(path.stat().st_size > 1000 for path in runs_root.glob(f"*/{runs.RECORDS}")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "the same command goes on" in said, said
    (checkpoint,) = runs_root.glob(f"*/{runs.CHECKPOINT}")
    assert runs.status(checkpoint.parent) == "interrupted"
    assert runs.last_record(checkpoint.parent).step > 2


def test_one_experiment_runs_in_this_process_and_again_for_nothing(sweep, runs_root):
    done = run_experiment(sweep.parent / "tiny.yaml", ["steps=3"], seed=4, threads=1)
    assert done.trained == 2 and [runs.status(folder) for folder in done.folders] == ["done", "done"]
    assert runs.read_json(done.folders[0] / runs.EXPERIMENT)["seed"] == 4
    assert run_experiment(sweep.parent / "tiny.yaml", ["steps=3"], seed=4, threads=1).trained == 0


def test_work_crosses_to_a_process_as_json(sweep, runs_root):
    planned = omnitok.plan_sweep(sweep)
    runs_root.mkdir()
    names, data = room.settle(runs_root, planned)
    for work in room.works(runs_root, planned, names, data):
        back = json.loads(json.dumps(work._asdict()))
        assert Work(**back | {"after": tuple(back["after"])}) == work
