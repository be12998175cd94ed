"""What is missing of a sweep as jobs of a cluster: submitted and left alone, or watched to the end."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.cluster import Piece, Queued, Submitted
from omnitok.cluster.freeze import Moving
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.cluster.submit import submit
from omnitok.runs import Failure
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.drive import Driven, View
from omnitok.sweep.pieces import pieces
from omnitok.sweep.plan import used
from omnitok.sweep.resources import given
from omnitok.sweep.settled import Settled, Wanted, trial_name, wanted
from omnitok.sweep.work import Outcome, Work

LOOK_S = 0.5  # how often a watcher looks at the folders
ASK_S = 5.0  # how often it asks for the queue
SILENCE_S = 600.0  # for how long the queue may say nothing


class Jobs(NamedTuple):
    """What was submitted now, how many pieces were queued or running already, and how many the site has no room for.

    ``pieces``: those that a cluster now has; ``open``: what is missing of them, each with the id of its piece."""

    submitted: list[Submitted]
    queued: int
    left: int
    pieces: list[Piece]
    open: list[tuple[str, Wanted]]


def enqueue(root: Path, folder: Path, settled: Settled) -> Jobs:
    """Submit what is missing and not queued. ``folder``: of the stored sweep. Raises SpecError where the cluster does not
    answer or refuses."""
    resources = settled.planned.asked.file.resources
    missing, found = lacking(root, settled)
    home = {(stage, ""): piece.id for piece in found for stage in piece.stages}
    home |= {(stage, str(said)): piece.id for piece in found for stage, said in piece.evaluations}
    try:
        submitted = submit(root, folder, found, resources) if found else []
    except Moving as error:
        raise SpecError([Fault(Mark("--cluster slurm"), "", str(error))]) from None
    mine = {one.piece for one in submitted}
    queued = _active(queue(folder)) - mine if len(submitted) < len(found) else set()
    there = [piece for piece in found if piece.id in mine | queued]
    tracked = [(home[_key(one.work)], one) for one in missing if home[_key(one.work)] in mine | queued]
    return Jobs(submitted, len(there) - len(submitted), len(found) - len(there), there, tracked)


def lacking(root: Path, settled: Settled) -> tuple[list[Wanted], list[Piece]]:
    """What is not done of a plan, and the same as pieces for a cluster, parents first."""
    planned, names, _ = settled
    resources = planned.asked.file.resources
    each = {names[digest]: given(resources, one) for digest, one in used(planned.trials, planned.runs).items()}
    paths = {trial_name(one): [names[digest] for digest in one.stages] for one in planned.trials}
    missing = [one for one in wanted(settled) if not one.done(root)]
    return missing, pieces(paths, [one.work for one in missing], each)


def _active(jobs: Mapping[str, Queued]) -> set[str]:
    return {piece for piece, job in jobs.items() if job.state in ACTIVE}


def _key(work: Work) -> tuple[str, str]:
    return work.stage, str(work.evaluation) if work.evaluation else ""


def watch(root: Path, folder: Path, jobs: Jobs, view: View) -> Driven:
    """Until no job is left that could do what is missing; ctrl-C leaves the jobs alone. Raises SpecError where the queue
    says nothing for ten minutes."""
    watched, trained, measured = _Watched(root, folder, jobs), 0, 0
    view.begin([one.work for _, one in jobs.open])
    try:
        while watched.open:
            for one, outcome in watched.ended():
                view.ended(one.work, outcome)
                trained += outcome == "done" and not one.work.evaluation
                measured += outcome == "done" and bool(one.work.evaluation)
            view.look(watched.running())
            time.sleep(LOOK_S if watched.open else 0)
    except KeyboardInterrupt:
        return Driven(trained, measured, interrupted=True)
    finally:
        view.close()
    return Driven(trained, measured, interrupted=False)


class _Watched:
    """What is still to come of the work that is on a cluster, by its folders first and then by the queue."""

    def __init__(self, root: Path, folder: Path, jobs: Jobs) -> None:
        self.root, self.folder, self.open = root, folder, list(jobs.open)
        self.after = {piece.id: piece.after for piece in jobs.pieces}
        self.queue: dict[str, Queued] = {}
        self.answered = time.monotonic()
        self.asked = 0.0
        self.gone: dict[str, int] = {}  # piece -> how many answers in a row had no job of it
        self.dead: set[str] = set()

    def ended(self) -> Iterator[tuple[Wanted, Outcome]]:
        """What has ended since, and how. What waited for what died is dropped: its trial is blocked."""
        self._ask()
        left = []
        for name, one in self.open:
            outcome = self._outcome(name, one)
            if outcome is None:
                left.append((name, one))
            elif outcome != "stopped":
                yield one, outcome
        self.open = left

    def running(self) -> list[Work]:
        """The stage that each running job is at."""
        first: dict[str, Work] = {}
        for name, one in self.open:
            if not one.work.evaluation and name in self.queue and self.queue[name].state == "running":
                first.setdefault(name, one.work)
        return list(first.values())

    def _outcome(self, name: str, one: Wanted) -> Outcome | None:
        """None: it may still come. "stopped": nothing comes of it, and that is not its own fault."""
        if one.done(self.root):
            return "done"
        if not self.gone.get(name):
            return None
        stage, error = one.error.split("/", 1)
        died = runs.failure(self.root / stage, error)
        if died is None and self.gone[name] < 2:  # what another machine wrote is not yet seen here
            return None
        blocked = name in self.dead or any(parent in self.dead for parent in self.after[name])
        self.dead.add(name)
        if died or blocked:
            return died or "stopped"
        job = self.queue[name]
        return Failure("job", f"job {job.job} is {job.state}: {job.reason}", "")

    def _ask(self) -> None:
        """For the queue, now and then."""
        now = time.monotonic()
        if now - self.asked < ASK_S:
            return
        self.asked = now
        try:
            self.queue = queue(self.folder)
        except SpecError:  # a controller may be away for a while
            if now - self.answered > SILENCE_S:
                raise
            return
        self.answered = now
        active = _active(self.queue)
        self.gone = {name: self.gone.get(name, 0) + 1 for name in self.after if name not in active}
