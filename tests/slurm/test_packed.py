"""Several pieces in one job of a real Slurm, jobs that a silent controller or a kill hid, and jobs that come back often."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import Cluster
from daemons import until
from test_jobs import HERE, LONG, Resources, broken, done, piece, stages, steps

from omnitok import runs
from omnitok.cluster import ledger, queue, sbatch, submit
from omnitok.spec import SpecError

ASKED = {"timeout_min": 60, "mem_gb": 1, "slurm_partition": "all"}
PACKED = Resources(job={**ASKED, "pack": 3})


@pytest.fixture
def sweep(runs_root: Path) -> Path:
    folder = runs_root / "sweeps" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


def states(sweep: Path) -> set[str]:
    return {one.state for one in queue(sweep).values()}


def test_one_of_three_in_a_job_fails_alone_and_a_requeue_does_what_is_missing(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    long = stages(runs_root, LONG)
    bad, good = (stages(runs_root, seed=seed)[0] for seed in (1, 2))
    broken(runs_root, bad)
    found = dict(submit(runs_root, sweep, [piece(bad), piece(long[0]), piece(good)], PACKED))
    assert len(set(found.values())) == 1
    until(lambda: steps(runs_root / long[0]) > 20, 120, "the second trains")
    cluster.ask("scancel", "--signal=USR2", found[good])
    done(sweep, [long[0], good])
    until(lambda: states(sweep) == {"failed"}, 60, "the job has failed, as one piece did")
    assert not (runs_root / bad / runs.RESULT).exists()
    died = runs.failure(runs_root / bad)
    assert died is not None and "steps" in died.sentence
    begun = runs.attempts(runs_root / long[0])
    assert len(begun) == 2 and begun[1]["from_step"] == begun[0]["to_step"]
    again = submit(runs_root, sweep, [piece(bad), piece(long[0]), piece(good)], PACKED)
    assert [one.piece for one in again] == [bad]


def test_a_job_of_five_minutes_goes_on_though_each_preemption_counts_as_a_time_out(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    first, last = stages(runs_root, LONG)
    [submitted] = submit(runs_root, sweep, [piece(first, last)], Resources(job={**ASKED, "timeout_min": 5}))
    for time_ in range(4):  # submitit's own limit is 3
        seen = 40 * time_ + 10
        until(lambda seen=seen: steps(runs_root / first) > seen, 120, "it trains")  # type: ignore[misc]
        cluster.ask("scancel", "--signal=USR2", submitted.job)
    done(sweep, [first, last], 300)
    begun = runs.attempts(runs_root / first)
    assert len(begun) >= 4 and all(b["from_step"] == a["to_step"] for a, b in zip(begun, begun[1:], strict=False))
    assert len(ledger.read(sweep)) == 1


def test_what_a_frozen_controller_may_have_is_found_and_never_submitted_twice(
    cluster: Cluster, runs_root: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, others = stages(runs_root), jobs(cluster)
    monkeypatch.setattr(sbatch, "SBATCH_S", 3.0)
    asked = sbatch.ask

    def frozen(*words: str, seconds: float) -> str:
        cluster.freeze("slurmctld")
        return asked(*words, seconds=seconds)

    monkeypatch.setattr(sbatch, "ask", frozen)
    with pytest.raises(SpecError, match="whether it has tiny .* is not known: launch again"):
        submit(runs_root, sweep, [piece(*names)], Resources())
    monkeypatch.setattr(sbatch, "ask", asked)
    cluster.thaw("slurmctld")

    def answers() -> bool:
        return subprocess.run(["squeue"], capture_output=True, check=False).returncode == 0

    until(answers, 60, "the controller answers")
    if (
        jobs(cluster) == others
    ):  # nothing was in its ear: it is submitted again when it is sure that nothing comes of it
        path = sweep / ledger.LEDGER
        path.write_text(re.sub(r'"at": "[^"]*"', '"at": "2020-01-01T00:00:00+00:00"', path.read_text()))
    submit(runs_root, sweep, [piece(*names)], Resources())
    done(sweep, list(names))
    assert len(jobs(cluster) - others) == 1 and len(ledger.read(sweep)) == 1
    assert len(runs.attempts(runs_root / names[0])) == 1


def jobs(cluster: Cluster) -> set[str]:
    """All that the controller ever had of the sweep and of those of its name, by its memory of five minutes."""
    words = ("--noheader", "--states=all", "--name=omnitok-0123456789abcdef", "--format=%i")
    return set(cluster.ask("squeue", *words).split())


LAUNCHER = """
import os, signal, sys
from pathlib import Path
sys.path += sys.argv[3].split(":")
from test_jobs import Resources, piece
from omnitok.cluster import ledger, submit
ledger.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
submit(Path(sys.argv[1]), Path(sys.argv[2]), [piece(sys.argv[4]), piece(sys.argv[5])], Resources())
"""


def test_a_launcher_that_is_killed_after_sbatch_has_submitted_once(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    first, second = (stages(runs_root, LONG, seed=seed)[0] for seed in (0, 1))
    words = [sys.executable, "-c", LAUNCHER, str(runs_root), str(sweep), f"{HERE}:{HERE.parent}", first, second]
    killed = subprocess.run(words, env=os.environ, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert [entry.job for entry in ledger.read(sweep)] == ["", ""]
    assert submit(runs_root, sweep, [piece(first), piece(second)], Resources()) == []
    number = {entry.job.partition("_")[0] for entry in ledger.read(sweep)}
    assert len(number) == 1 and "" not in number  # found by its token
    done(sweep, [first, second])
    assert {len(runs.attempts(runs_root / name)) for name in (first, second)} == {1}


SUBMITTER = (
    LAUNCHER.replace("ledger.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n", "")
    .replace("submit(Path", "print(len(submit(Path")
    .replace("Resources())", "Resources())))")
)


def test_of_two_launchers_at_once_one_submits(cluster: Cluster, runs_root: Path, sweep: Path) -> None:
    first, second = (stages(runs_root, seed=seed)[0] for seed in (0, 1))
    words = [sys.executable, "-c", SUBMITTER, str(runs_root), str(sweep), f"{HERE}:{HERE.parent}", first, second]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(int(one.communicate(timeout=120)[0]) for one in both)
    assert said == [0, 2]
    done(sweep, [first, second])
    assert len(ledger.read(sweep)) == 2


def test_a_job_that_is_requeued_and_never_gets_on_ends_with_a_sentence(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    first, _ = stages(runs_root, LONG)
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=drain", "reason=test")
    [submitted] = submit(runs_root, sweep, [piece(first)], Resources())
    token = ledger.read(sweep)[0].token
    for _ in range(5):  # as five starts have left it that saw no step
        runs.append_line(sweep / "jobs" / token / f"{submitted.job}.starts.jsonl", {"reached": 0})
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=resume")
    until(lambda: states(sweep) == {"failed"}, 60, "it has failed")
    died = runs.failure(runs_root / first)
    assert died is not None and (died.kind, died.sentence[:36]) == ("time_out", "requeued 5 times without a new step:")
