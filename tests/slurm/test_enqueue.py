"""A sweep on a real Slurm: submitted and left alone, watched, launched again, and equal to what one process makes of it."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster import Cluster
from daemons import until

from omnitok import launch_sweep, plan_sweep, runs
from omnitok.cli import main
from omnitok.cluster import queue
from omnitok.launching.settled import settle

sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny

FORK = tiny.SWEEP.replace("  model.quantizer:\n    vq: {type: vq, codebook_size: 16, code_dim: 4}\n", "").replace(
    "    fsq: {type: fsq, levels: [4, 4]}\n", ""
)
FORK = FORK.replace("{metric: psnr, better: fsq, than: vq}", "{metric: psnr, better: '0.5', than: '0.0'}")
RESOURCES = """\
resources: {timeout_min: 60, mem_gb: 1, slurm_partition: all, max_parallel: 2, stages: {joint: {mem_gb: 2}}}
"""


def call(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def measured(root: Path) -> dict[str, object]:
    """Every number that a runs folder holds, and the weights."""
    found: dict[str, object] = {
        str(path.relative_to(root)): path.read_bytes() for path in root.glob(f"*/{runs.WEIGHTS}")
    }
    for path in root.glob(f"*/{runs.EVALUATIONS}/*.json"):
        found[str(path.relative_to(root))] = {k: v for k, v in runs.read_json(path).items() if k != "seconds"}
    return found


@pytest.fixture
def sweep(tmp_path: Path, runs_root: Path) -> Path:
    """Two arms and two seeds that share a first stage, and a baseline."""
    return tiny.write(tmp_path, sweep=FORK + RESOURCES)


def test_a_sweep_is_submitted_once_and_ends_with_the_numbers_of_one_process(
    cluster: Cluster, sweep: Path, runs_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call("launch", sweep, "--cluster", "slurm")
    assert "submitted 7 jobs: " in said and "next: omnitok status" in said  # 2 first stages, their 2 x 2 children, 1
    again = call("launch", sweep, "--cluster", "slurm")
    assert "submitted " not in again and "7 are queued or running already" in again
    waiting = call("status", sweep)
    assert "job " in waiting and ("queued" in waiting or "running" in waiting)
    watched = call("launch", sweep, "--cluster", "slurm", "--wait")
    assert "joint 0.5/1: done" in watched and "5 done" in watched
    assert "everything is done" in call("launch", sweep, "--cluster", "slurm")
    assert len(queue(next(runs_root.glob("sweeps/*/plan.json")).parent)) == 7
    assert "report: " in call("report", sweep, "--out", tmp_path / "report")
    here = measured(runs_root)
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "alone"))
    call("launch", sweep, "--cluster", "debug")
    assert measured(tmp_path / "alone") == here and len(here) > 7


def test_ctrl_c_leaves_the_jobs_alone_and_says_how_to_cancel_them(
    cluster: Cluster, sweep: Path, runs_root: Path
) -> None:
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=drain", "reason=test")
    code = "from omnitok.cli import main; main()"
    words = [sys.executable, "-u", "-c", code, "launch", str(sweep), "--cluster", "slurm", "--wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("submitted 7 jobs: ")
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[1]
        finally:
            process.kill()  # else a failure would wait for it, and it for the drained nodes
        assert process.returncode == 130, said
    assert call("status", sweep).count("queued") >= 5  # a line each, and their count
    words = shlex.split(said.rpartition("cancel them: ")[2])
    assert words[0] == "omnitok" and "would cancel 7 jobs and 1 keeper; to do so: " in call(*words[1:-1])
    assert "cancelled 7 jobs and 1 keeper" in call(*words[1:])
    until(lambda: not cluster.ask("squeue", "--noheader"), 60, "the queue is empty", pause=0.2)
    assert call("status", sweep).count("cancelled on ") == 5
    assert "submitted 7 jobs: " in call("launch", sweep, "--cluster", "slurm")


def test_what_waits_for_a_stage_that_fails_is_blocked_and_the_rest_is_done(
    cluster: Cluster, sweep: Path, runs_root: Path
) -> None:
    planned = plan_sweep(sweep)
    settle(runs_root, planned)
    first = next(trial.stages[0] for trial in planned.trials if trial.seed == 1)
    said = runs.read_json(runs_root / first / runs.EXPERIMENT)
    runs.write_json(runs_root / first / runs.EXPERIMENT, said | {"spec": {**said["spec"], "data": {"type": "gone"}}})
    done = launch_sweep(sweep, cluster="slurm", wait=True)
    by_name = {(state.trial["name"], state.trial["seed"]): state.status for state in done.states}
    assert by_name == {
        ("0.0", 0): "done", ("0.0", 1): "blocked", ("0.5", 0): "done", ("0.5", 1): "blocked", ("mean_colour", None): "done"
    }  # fmt: skip
    assert (done.trained, done.measured) == (4, 3)
    until(lambda: not cluster.ask("squeue", "--noheader"), 180, "nothing waits for ever, keepers neither", pause=0.2)
