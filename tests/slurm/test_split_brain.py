"""A node that freezes, and one that is gone, in the middle of a training: another goes on, and a late one changes nothing."""

import contextlib
import shutil
import signal
import time
from pathlib import Path

import psutil
from cluster import Cluster
from daemons import until
from test_jobs import LONG, Resources, done, piece, stages, steps, sweep, weights  # noqa: F401 - a fixture

from omnitok import runs, trial
from omnitok.cluster import submit

OFTEN = Resources(checkpoint_every_s=0.5)


def begun(cluster: Cluster, root: Path, folder: Path, text: str = LONG) -> tuple[list[str], str, str]:
    """A training on its way, with a checkpoint behind it. -> its stages, its job, the node that it is on."""
    names = list(stages(root, text))
    [submitted] = submit(root, folder, [piece(*names)], OFTEN)
    until(lambda: (root / names[0] / runs.CHECKPOINT).exists() and steps(root / names[0]) > 20, 60, "it trains")
    return names, submitted.job, cluster.place(submitted.job)


def attempt(folder: Path) -> list[str]:
    place = folder / "attempts"
    return [one.name for one in place.iterdir()] if place.exists() else []


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_as_alone(root: Path, names: list[str], elsewhere: Path) -> None:
    """Each stage once, with the bits of an undisturbed one, no record twice, and no trace of an attempt."""
    for name in names:
        alone = elsewhere / name
        alone.mkdir(parents=True)
        shutil.copy(root / name / runs.EXPERIMENT, alone)
        trial.run(alone)
        assert weights(alone) == weights(root / name)
        assert (alone / runs.RECORDS).read_bytes() == (root / name / runs.RECORDS).read_bytes()
        assert (alone / runs.RESULT).read_bytes() == (root / name / runs.RESULT).read_bytes()
        assert runs.last_attempt(root / name)["ended"] == "done"
        assert not (root / name / runs.ERROR).exists() and not (root / name / "attempts").exists()
        assert not list((root / name).glob(".*"))


def send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def test_a_frozen_nodes_job_goes_on_elsewhere_and_what_the_thawed_copy_does_is_never_seen(
    cluster: Cluster,
    runs_root: Path,
    sweep: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    names, job, node = begun(cluster, runs_root, sweep)
    first = runs_root / names[0]
    frozen = cluster.daemons.family(node)[2:]  # Slurm's daemon, its steps, their tasks
    tasks = cluster.tasks(node)
    [token] = attempt(first)
    cluster.freeze(node)
    send(frozen, signal.SIGSTOP)
    since, stood = time.monotonic(), steps(first)
    assert stood < 499 and runs.leased(first)
    until(lambda: attempt(first) not in ([], [token]), 150, "another attempt has begun", pause=0.2)
    until(lambda: not attempt(first) or steps(first) > stood or (first / runs.RESULT).exists(), 60, "it goes on")
    print(f"goes on elsewhere {time.monotonic() - since:.0f} s after its node froze")
    done(sweep, names, 120)
    there = [files(runs_root / name) for name in names]
    send(tasks, signal.SIGCONT)  # the job's processes before Slurm's, which would kill them
    until(lambda: not any(map(awake, tasks)), 60, "the late copy has ended")
    assert [files(runs_root / name) for name in names] == there
    send(frozen, signal.SIGCONT)
    until(lambda: set(cluster.states().values()) == {"idle"}, 60, "all is over")
    assert [files(runs_root / name) for name in names] == there
    assert runs.attempts(first)[-1]["from_step"] > 0
    same_as_alone(runs_root, names, tmp_path / "alone")


def awake(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_training_whose_node_is_gone_goes_on_elsewhere_to_the_same_bits(
    cluster: Cluster,
    runs_root: Path,
    sweep: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    names, job, node = begun(cluster, runs_root, sweep)
    since = time.monotonic()
    cluster.crash(node)
    assert not runs.leased(runs_root / names[0])  # the kernel knows at once
    until(lambda: runs.leased(runs_root / names[0]), 120, "another attempt has begun", pause=0.2)
    print(f"goes on elsewhere {time.monotonic() - since:.0f} s after its node was gone")
    done(sweep, names, 120)
    assert runs.attempts(runs_root / names[0])[-1]["from_step"] > 0
    assert cluster.attempts(job)[0] == "NODE_FAIL" or len(cluster.attempts(job)) > 1
    same_as_alone(runs_root, names, tmp_path / "alone")
