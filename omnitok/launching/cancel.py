"""Cancelling what of a sweep waits or runs on a cluster. Loads no torch."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import provenance, runs
from omnitok.cluster import Queued, keeper
from omnitok.cluster.asking import Unanswered, ask, refuse
from omnitok.cluster.ledger import alone, read
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.launching import verdicts
from omnitok.launching.named import by_name, called, named
from omnitok.launching.verdicts import Verdict
from omnitok.sweep.stored import PLAN, SEARCHES, locate

CONFIRM_S: Final = 120.0  # how long Slurm may take to end a job: it waits for it to save
LOOK_S: Final = 0.5
MANY: Final = 500  # jobs that one call names


class Going(NamedTuple):
    """A job that waits or runs, and the trials that it works for."""

    piece: str
    job: str
    state: str
    trials: tuple[str, ...]


class Cancelled(NamedTuple):
    """What there is to cancel; with ``done``, what was: ``left`` are the jobs that Slurm still has. ``kept``: jobs that other
    arms need too. ``keepers``: jobs that would have seen to what ends badly."""

    folder: Path
    jobs: list[Going]
    kept: list[Going]
    keepers: list[str]
    done: bool
    left: list[str]


def cancel_sweep(
    root: Path, reference: str, arms: Sequence[str] = (), sets: Sequence[str] = (), *, really: bool = False
) -> Cancelled:
    """Cancel the jobs of a launched sweep, or say which there are; of some ``arms``, by their names or the
    labels of their values, those that no other arm needs.

    Nothing of it is then submitted by itself until a person launches again. Raises SpecError where an arm is not there, or
    Slurm does not answer; Busy where a launcher is at it.
    """
    folder = locate(root, reference, sets)
    plan = runs.read_json(folder / PLAN)
    arms = named(reference, "arm", arms, _called(plan))
    try:
        if not really:
            return _found(folder, plan, arms)
        with alone(folder):  # whoever submits has done so, and whoever comes later is told
            found = _found(folder, plan, arms)
            at = provenance.now()
            if not arms:
                verdicts.stop(folder, f"cancelled on {at}")
            said = "cancelled by hand"
            verdicts.add(
                folder, [Verdict(one.piece, one.job, "cancelled", said, "", "over", {}, at) for one in found.jobs]
            )
            _scancel([*found.keepers, *(one.job for one in found.jobs)])
        return found._replace(done=True, left=_confirmed(folder, found))
    except Unanswered as error:
        refuse(error)


def _called(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    searched = ((one["arm"], one["labels"].values()) for one in plan.get("searches", ()))
    return by_name([*((trial["name"], trial["arm"].values()) for trial in plan["trials"]), *searched])


def meant(root: Path, reference: str, names: Iterable[str], sets: Sequence[str] = ()) -> list[str]:
    """Which arms the labels among these names mean, in a sentence each. Raises SpecError where no such sweep was launched."""
    known = _called(runs.read_json(locate(root, reference, sets) / PLAN))
    return [f"{name}: the arms {', '.join(known[name])}" for name in names if known.get(name, [name]) != [name]]


def _found(folder: Path, plan: Mapping[str, Any], arms: Sequence[str]) -> Cancelled:
    users: dict[str, dict[str, str]] = {}  # stage -> {trial: its arm}
    for trial in plan["trials"]:
        for stage in trial["stages"]:
            users.setdefault(stage, {})[called(trial)] = trial["name"]
    for one in plan.get("searches", ()):
        users[search_of(folder, one["arm"])] = {f"search {one['arm']}": one["arm"]}
    entries = {entry.piece: entry for entry in read(folder)}
    jobs: list[Going] = []
    kept: list[Going] = []
    for piece, job in queue(folder).items():
        if job.state not in ACTIVE or not job.job:
            continue
        mine = {name: arm for stage in entries[piece].stages for name, arm in users.get(stage, {}).items()}
        one = Going(piece, job.job, job.state, tuple(mine) or (piece,))
        if not arms or (mine and set(mine.values()) <= set(arms)):
            jobs.append(one)
        elif not set(mine.values()).isdisjoint(arms):
            kept.append(one)
    shared = {one.job for one in kept}  # a job of several pieces goes as a whole, or stays
    return Cancelled(
        folder, [one for one in jobs if one.job not in shared], kept, [] if arms else keeper.waiting(folder), False, []
    )


def search_of(folder: Path, arm: str) -> str:
    """The folder of an arm's search, below the runs' root."""
    return f"{folder.parent.name}/{folder.name}/{SEARCHES}/{arm}"


def _scancel(jobs: Sequence[str]) -> None:
    """One that has ended meanwhile is no fault."""
    for i in range(0, len(jobs), MANY):
        try:
            ask("scancel", *jobs[i : i + MANY])
        except Unanswered as error:
            if "Invalid job id" not in str(error) and "already completing or completed" not in str(error):
                raise


def _confirmed(folder: Path, found: Cancelled) -> list[str]:
    """The jobs that are still there after a while."""
    jobs, until = {one.job for one in found.jobs}, time.monotonic() + CONFIRM_S
    while True:
        there = [job.job for job in queue(folder).values() if _goes_on(job, jobs)]
        there += [job for job in keeper.waiting(folder) if job in found.keepers]
        if not there or time.monotonic() > until:
            return list(dict.fromkeys(there))
        time.sleep(LOOK_S)


def _goes_on(job: Queued, jobs: set[str]) -> bool:
    return job.job in jobs and job.state in ACTIVE
