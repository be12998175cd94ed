"""What lies in files under faults on a real cluster: ledgers and records that were torn, disks that are full, clocks that disagree."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from cluster import Cluster
from faulted import OMNITOK, finish, long, text, trains
from once import appended, at_rest, exactly_once, tear

from omnitok import launch_sweep, runs, sync
from omnitok.cluster.ledger import LEDGER


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
