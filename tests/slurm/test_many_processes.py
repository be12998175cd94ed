"""One model trained by four tasks on two nodes of a real Slurm: the numbers of one process, whatever happens to them."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from cluster import Cluster
from daemons import until
from safetensors.torch import load_file
from test_jobs import Resources, broken, done, stages, steps, weights
from tiny import EXPERIMENT

from omnitok import runs, trial
from omnitok.cluster import Piece, queue, submit

WHOLE = EXPERIMENT.replace("batch: 2", "batch: 4")
PHOTOS = {
    "type": "reconstruction",
    "data": {"type": "embedded", "short_side": 32},
    "frames": 1,
    "resolution": 16,
    "metrics": [{"type": "psnr"}],
}
LONG = WHOLE.replace("steps: 5", "steps: 120").replace("validate_every: 2", "validate_every: 120")
MANY = {"nodes": 2, "tasks_per_node": 2, "mem_gb": 3}


def piece(*names: str) -> Piece:
    return Piece(names[-1], f"tiny {names[-1]}", names, (), (), MANY)


@pytest.fixture
def sweep(runs_root: Path) -> Path:
    return made(runs_root)


def made(root: Path) -> Path:
    folder = root / "sweeps" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


def task(job: str, rank: int) -> psutil.Process | None:
    """The process of one task of a job, once it is there."""
    for process in psutil.process_iter():
        try:
            said = process.environ()
            mine = said.get("SLURM_JOB_ID") == job and said.get("SLURM_PROCID") == str(rank)
            if mine and process.cmdline()[1:4] == ["-u", "-m", "omnitok.cluster.start"]:  # not the srun that began it
                return process
        except psutil.Error:
            continue
    return None


def test_four_tasks_on_two_nodes_come_to_the_numbers_of_one_process(
    cluster: Cluster, runs_root: Path, sweep: Path, tmp_path: Path
) -> None:
    first, last = stages(runs_root, WHOLE)
    measured = piece(first, last)._replace(evaluations=((last, PHOTOS),))
    submit(runs_root, sweep, [measured], Resources())
    done(sweep, [first, last], 300)
    alone = tmp_path / "alone"
    for name in stages(alone, WHOLE):
        found = trial.run(alone / name)
        assert runs.read_json(runs_root / name / runs.RESULT) == pytest.approx(found, rel=1e-2)
        for key, value in load_file(alone / name / runs.WEIGHTS).items():
            mine = load_file(runs_root / name / runs.WEIGHTS)[key]
            torch.testing.assert_close(mine, value, rtol=1e-3, atol=1e-4)
    until(lambda: queue(sweep)[last].state == "done", 60, "the job is done")
    assert (
        len(list((runs_root / last / runs.EVALUATIONS).glob("*.json"))) == 1
    )  # by the first, when the others had left


def test_four_tasks_that_are_preempted_go_on_to_the_bits_of_four_that_are_not(
    cluster: Cluster, runs_root: Path, sweep: Path, tmp_path: Path
) -> None:
    names = stages(runs_root, LONG)
    [submitted] = submit(runs_root, sweep, [piece(*names)], Resources())
    until(lambda: steps(runs_root / names[0]) > 20, 200, "it trains")
    cluster.ask("scancel", "--signal=USR2", submitted.job)
    done(sweep, list(names), 400)
    begun = runs.attempts(runs_root / names[0])
    assert len(begun) == 2 and begun[1]["from_step"] == begun[0]["to_step"] > 20
    assert not list(runs_root.glob(f"*/{runs.ERROR}"))
    other = tmp_path / "undisturbed"
    assert stages(other, LONG) == names
    folder = made(other)
    submit(other, folder, [piece(*names)], Resources())
    done(folder, list(names), 400)
    assert len(runs.attempts(other / names[0])) == 1
    assert [weights(other / name) for name in names] == [weights(runs_root / name) for name in names]


@pytest.mark.parametrize("rank", [0, 2])
def test_when_one_task_is_killed_all_end_at_once_and_it_is_said_which(
    cluster: Cluster, runs_root: Path, sweep: Path, rank: int
) -> None:
    names = stages(runs_root, LONG.replace("steps: 120", "steps: 100000"))
    [submitted] = submit(runs_root, sweep, [piece(*names)], Resources())
    until(lambda: steps(runs_root / names[0]) > 5, 200, "it trains")
    process = task(submitted.job, rank)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: queue(sweep)[names[-1]].state == "failed", 120, "the job has failed")
    for log in sorted((sweep / "jobs").glob("*_log.*")):
        print(log, log.read_text(), sep="\n")
    found = runs.failure(runs_root / names[0])
    assert found is not None
    assert (found.kind, found.sentence) == ("killed", f"process {rank} of 4 died")
    assert not any(task(submitted.job, other) for other in range(4))


def test_what_one_of_four_cannot_do_ends_all_and_is_what_is_said(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    names = stages(runs_root, WHOLE)
    broken(runs_root, names[1])
    submit(runs_root, sweep, [piece(*names)], Resources())
    until(lambda: queue(sweep)[names[-1]].state == "failed", 200, "the job has failed")
    found = runs.failure(runs_root / names[1])
    assert found is not None and "steps: must be a whole number" in found.sentence
    assert runs.status(runs_root / names[0]) == "done"


def test_when_a_node_of_two_crashes_all_go_on_elsewhere(cluster: Cluster, runs_root: Path, sweep: Path) -> None:
    names = stages(runs_root, LONG)
    [submitted] = submit(runs_root, sweep, [piece(*names)], Resources(checkpoint_every_s=1.0))
    until(lambda: steps(runs_root / names[0]) > 20, 200, "it trains")
    first, second = cluster.ask("scontrol", "show", "hostnames", _nodes(cluster, submitted.job)).split()
    assert first != second
    cluster.crash(second)
    done(sweep, list(names), 400)
    assert set(cluster.ask("scontrol", "show", "hostnames", _nodes(cluster, submitted.job)).split()).isdisjoint(
        {second}
    )
    begun = runs.attempts(runs_root / names[0])
    assert begun[-1]["ended"] == "done" and begun[-1]["from_step"] > 0


def _nodes(cluster: Cluster, job: str) -> str:
    return cluster.ask("squeue", "--noheader", "--states=all", "--format=%N", f"--jobs={job}").strip()
