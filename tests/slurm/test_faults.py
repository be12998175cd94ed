"""What breaks while a sweep runs costs time and nothing else: afterwards every trial is there exactly once, to the bit of
an undisturbed one, and nothing is left running."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import psutil
import pytest
import tiny
from cluster import Cluster
from daemons import Failed, until
from once import appended, at_rest, exactly_once, settled, tear
from services import Mlflow, Postgres

from omnitok import launch_sweep, runs, search, sync
from omnitok.cluster.ledger import LEDGER, read
from omnitok.tracking import TrackingError

SEED = 20
QUICKSTART = Path(__file__).parent.parent.parent / "sweeps" / "quickstart.yaml"
SHRUNK = ("seeds=[0,1]", "steps=16", "stages.joint.steps=12", "validate_every=8", "resources.slurm_partition=all",
          "resources.mem_gb=1", "resources.timeout_min=60")  # fmt: skip
OMNITOK = [sys.executable, "-u", "-m", "omnitok.cli"]


def text(seeds: str = "[0]", shares: str = "[0.0, 0.5]", **resources: object) -> str:
    """A fork: a shared first stage, two arms, a baseline."""
    said = {"timeout_min": 60, "mem_gb": 1, "slurm_partition": "all", "checkpoint_every_s": 0.5, **resources}
    lines = [
        "question: Does it survive?",
        "experiment: tiny.yaml",
        f"vary: {{stages.joint.schedule.image_share: {shares}}}",
        f"seeds: {seeds}",
        "baselines: [mean_colour]",
        "evaluate: [{name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}]",
        f"resources: {{{', '.join(f'{name}: {value}' for name, value in said.items())}}}",
    ]
    return "\n".join([*lines, ""])


def long(steps: int) -> str:
    """The tiny experiment with so many steps a stage."""
    grown = re.sub(r"steps: \d+", f"steps: {steps}", tiny.EXPERIMENT)
    return grown.replace("validate_every: 2", f"validate_every: {steps}")


def steps(root: Path) -> int:
    """How far all runs have come together."""
    lasts = [runs.last_record(path.parent) for path in root.glob(f"*/{runs.EXPERIMENT}")]
    return sum(last.step + 1 for last in lasts if last)


def trains(root: Path, least: int = 20) -> None:
    until(lambda: steps(root) >= least, 120, "it trains", pause=0.1)


def finish(sweep: Path, cluster: Cluster, seconds: float = 600) -> None:
    """Wait until all is done, and launch again, as a person would, whenever nothing is left in the queue."""
    end = time.monotonic() + seconds
    while not settled(sweep):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {cluster.ask('squeue', strict=False)}\n{_logs()}")
        if not cluster.ask("squeue", "--noheader", strict=False):
            launch_sweep(sweep, cluster="slurm")
        time.sleep(0.5)


def _logs() -> str:
    return "\n".join(
        f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(runs.root().glob("sweeps/*/jobs/*_log.*"))
    )


# ---- whole sweeps on Slurm


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


def kills(sweep: Path, cluster: Cluster, draw: random.Random, most: int) -> int:
    """So many processes of jobs are killed, unless the sweep is done before. It is launched again, as a person would,
    whenever nothing is left in the queue."""
    killed = 0
    while killed < most and not settled(sweep):
        time.sleep(draw.uniform(0.2, 3))
        killed += kill(cluster, draw)
        if not cluster.ask("squeue", "--noheader", strict=False):
            launch_sweep(sweep, cluster="slurm")
    return killed


def kill(cluster: Cluster, draw: random.Random) -> bool:
    """One of the processes of jobs; False where there is none."""
    tasks = sorted(cluster.tasks(), key=lambda task: task.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        if tasks:
            draw.choice(tasks).kill()
            return True
    return False


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


def test_a_ledger_that_lost_its_last_line_doubles_no_trial(
    cluster: Cluster, runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    """A launcher dies while it writes down what it submitted: that job is submitted again, and finds the other's work."""
    sweep = tiny.write(tmp_path, long(100), text())
    launch_sweep(sweep, cluster="slurm")
    [ledger] = runs_root.glob(f"sweeps/*/{LEDGER}")
    ledger.write_bytes(ledger.read_bytes()[:-40])
    launch_sweep(sweep, cluster="slurm")
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(100), text())


CLOCK = """
import datetime, os, time
off = {"node1": 3600, "node2": -3600, "node3": 86400 * 400, "node4": 0}.get(os.uname().nodename, -1800)
now, real = time.time, datetime.datetime
time.time = lambda: now() + off
class skewed(real):
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=off)
datetime.datetime = skewed
"""


def test_clocks_that_disagree_do_not_matter(
    cluster: Cluster,
    mirror: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Callable[..., dict[str, str]],
) -> None:
    """Each node's clock is off by an hour, or by more than a year; the file system has a clock of its own."""
    (tmp_path / "skew").mkdir()
    (tmp_path / "skew" / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "skew"), *_python_path()]))
    sweep = tiny.write(tmp_path, long(100), text(slurm_exclusive="true"))
    launch_sweep(sweep, cluster="slurm")
    finish(sweep, cluster)
    assert exactly_once(sweep, cluster=cluster) == undisturbed(long(100), text())
    begun = [
        attempt["started"]
        for path in runs.root().glob(f"*/{runs.EXPERIMENT}")
        for attempt in runs.attempts(path.parent)
    ]
    assert len({moment[:13] for moment in begun}) > 1, begun  # they do disagree


def _python_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []


# ---- services that are away


def test_a_mirror_that_is_away_holds_nobody_up_and_is_complete_afterwards(
    runs_root: Path, mlflow_server: Mlflow, tmp_path: Path
) -> None:
    """Gone while the sweep runs, killed while it is filled."""
    sweep = tiny.write(tmp_path, long(30), text(seeds="[0, 1]"))
    mlflow_server.stop()
    launch_sweep(sweep, cluster="local", workers=2)
    with pytest.raises(TrackingError, match="cannot mirror the runs into"):
        sync()
    mlflow_server.start()
    with subprocess.Popen([*OMNITOK, "sync"], stderr=subprocess.PIPE, text=True) as syncing:
        until(lambda: _mirrored(mlflow_server) > 2, 60, "some runs are there", pause=0.05)
        mlflow_server.crash()
        said = syncing.communicate(timeout=120)[1]
    assert syncing.returncode and "Traceback" not in said, said
    mlflow_server.start()
    exactly_once(sweep)


def _mirrored(server: Mlflow) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    found = client.get_experiment_by_name("omnitok")
    return len(client.search_runs([found.experiment_id])) if found else 0


SEARCH = """\
search:
  space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}}
  objective: val/psnr
  trials: 6
"""


def test_a_study_whose_database_is_away_for_a_while_is_complete_afterwards(
    mirror: str, postgres: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", database)
    sweep = tiny.write(tmp_path, long(60), text(shares="[0.25, 0.5]") + SEARCH)
    with subprocess.Popen(
        [*OMNITOK, "launch", str(sweep), "--workers", "2"], stdout=PIPE, stderr=PIPE, text=True
    ) as one:
        trains(runs.root(), 100)
        postgres.crash()
        time.sleep(3)
        postgres.start()
        said = one.communicate(timeout=400)
    assert one.returncode == 0, said
    exactly_once(sweep)
    for folder in runs.root().glob("sweeps/*/search/*"):
        told = [(one["number"], one["state"]) for one in search.trials(folder)]
        assert told == [(number, "complete") for number in range(6)], told
    assert len(list(runs.root().glob("sweeps/*/search/*/winner.json"))) == 2


# ---- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system of its own needs root: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_is_full_is_said_so_and_nothing_is_lost_once_there_is_room(
    small_disk: Path,
    empty_mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Callable[..., dict[str, str]],
) -> None:
    monkeypatch.setenv("OMNITOK_RUNS", str(small_disk / "runs"))
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mirror, tmp_path / 'mirror.db')}")
    experiment, sweep_text = long(100).replace("dim: 12", "dim: 96"), text()
    sweep = tiny.write(tmp_path, experiment, sweep_text)
    done = launch_sweep(sweep, cluster="local", workers=2)
    reasons = " ".join(state.reason for state in done.states)
    assert "disk: " in reasons and "No space left on device" in reasons, done.states
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    assert {state.status for state in launch_sweep(sweep, cluster="local", workers=2).states} == {"done"}
    assert exactly_once(sweep) == undisturbed(experiment, sweep_text)


def test_a_torn_last_line_in_every_file_that_grows_is_no_line(
    runs_root: Path, mirror: str, tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    sweep = tiny.write(tmp_path, long(300), text())
    with subprocess.Popen([*OMNITOK, "launch", str(sweep), "--workers", "2"], stdout=subprocess.DEVNULL) as launcher:
        trains(runs_root, 350)
        launcher.kill()
    at_rest(runs_root)
    torn = appended(runs_root)
    assert {path.name for path in torn} >= {runs.RECORDS}
    for path in torn:
        tear(path)
    launch_sweep(sweep, cluster="local", workers=2)
    sync()
    for path in appended(runs_root):
        tear(path)
    assert exactly_once(sweep) == undisturbed(long(300), text())
