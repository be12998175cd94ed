"""What breaks while a sweep runs costs time and nothing else: afterwards every trial is there exactly once, to the bit of
an undisturbed one, and nothing is left running."""

import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest
import tiny
from cluster import Cluster
from faulted import OMNITOK, finish, kills, long, text, trains
from once import exactly_once

from omnitok import launch_sweep
from omnitok.cluster.ledger import LEDGER, read

SEED = 20


QUICKSTART = Path(__file__).parent.parent.parent / "sweeps" / "quickstart.yaml"


SHRUNK = ("seeds=[0,1]", "steps=16", "stages.joint.steps=12", "validate_every=8", "resources.slurm_partition=all",
          "resources.mem_gb=1", "resources.timeout_min=60")  # fmt: skip


def test_the_quickstart_on_slurm_has_the_numbers_of_the_quickstart_here(
    cluster: Cluster, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch_sweep(QUICKSTART, SHRUNK, cluster="slurm", wait=True)
    there = exactly_once(QUICKSTART, SHRUNK, cluster)
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "here" / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    launch_sweep(QUICKSTART, SHRUNK, cluster="local", workers=2)
    assert exactly_once(QUICKSTART, SHRUNK) == there
    assert len(there) == 4 * 2 * 6 + 2 * 6


def test_jobs_that_make_way_for_others_come_back(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    sweep = tiny.write(tmp_path, long(300), text(slurm_partition="low"))
    jobs = launch_sweep(sweep, cluster="slurm").jobs
    assert jobs is not None
    trains(runs_root)
    cluster.ask("sbatch", "--partition=high", "--nodes=4", "--exclusive", "--wrap=sleep 1", "--output=/dev/null")
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(300), text())
    assert any(len(cluster.attempts(one.job)) > 1 for one in jobs.submitted)


def test_jobs_whose_time_is_over_go_on_later(cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path) -> None:
    sweep = tiny.write(tmp_path, long(4000), text(shares="[0.5]", timeout_min=1, slurm_signal_delay_s=50))
    jobs = launch_sweep(sweep, cluster="slurm").jobs
    assert jobs is not None
    finish(sweep, cluster, 1200)
    exactly_once(sweep, cluster=cluster)
    assert any(len(cluster.attempts(one.job)) > 1 for one in jobs.submitted)


def test_a_node_that_dies_loses_its_trials_to_others(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    sweep = tiny.write(tmp_path, long(300), text())
    jobs = launch_sweep(sweep, cluster="slurm").jobs
    assert jobs is not None
    trains(runs_root)
    placed = {cluster.place(one.job) for one in jobs.submitted if cluster.queued(one.job) == "RUNNING"}
    for node in placed or {"node1"}:
        cluster.crash(node)
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(300), text())


def test_a_controller_that_goes_and_comes_loses_nothing(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    """Stopped in good order, then killed, with jobs that run and jobs that wait."""
    sweep = tiny.write(tmp_path, long(300), text())
    launch_sweep(sweep, cluster="slurm")
    trains(runs_root)
    cluster.stop("slurmctld")
    time.sleep(1)
    cluster.start("slurmctld")
    trains(runs_root, 200)
    cluster.crash("slurmctld")
    time.sleep(1)
    cluster.start("slurmctld")
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(300), text())


def test_whoever_is_killed_is_replaced(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    """Five processes of jobs, drawn with a fixed seed, at moments drawn with it."""
    said = text(seeds="[0, 1]")
    sweep = tiny.write(tmp_path, long(300), said)
    launch_sweep(sweep, cluster="slurm")
    assert kills(sweep, cluster, random.Random(SEED), 5) == 5
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(300), said)


def test_launchers_of_one_sweep_at_once_double_nothing(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    """Two submit jobs, a third trains here."""
    sweep = tiny.write(tmp_path, long(100), text())
    places = (["slurm"], ["slurm"], ["local", "--workers", "1"])
    with contextlib.ExitStack() as stack:
        words = [[*OMNITOK, "launch", str(sweep), "--cluster", *place] for place in places]
        begun = [stack.enter_context(subprocess.Popen(one, stdout=PIPE, stderr=PIPE, text=True)) for one in words]
        said = [process.communicate(timeout=300) for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], said
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(100), text())
    [ledger] = runs_root.glob(f"sweeps/*/{LEDGER}")
    submitted = [entry.piece for entry in read(ledger.parent)]
    assert len(submitted) == len(set(submitted))
