"""Watching a sweep's jobs to the end: what ends badly meanwhile is tried again, as a keeper would."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from omnitok import runs
from omnitok.cluster import Queued
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.launching.drive import Driven, View
from omnitok.launching.enqueue import Jobs
from omnitok.launching.settled import Wanted
from omnitok.launching.work import Outcome, Work
from omnitok.runs import Failure
from omnitok.spec import SpecError

LOOK_S = 0.5  # how often a watcher looks at the folders
ASK_S = 5.0  # how often it asks for the queue
SILENCE_S = 600.0  # for how long the queue may say nothing


def watch(root: Path, folder: Path, jobs: Jobs, view: View, again: Callable[[], Jobs]) -> Driven:
    """Until nothing is left that could still be done; ctrl-C leaves the jobs alone.

    ``again``: judges what ended badly and submits what may be. Raises SpecError where the queue says nothing for ten
    minutes."""
    watched, trained, measured = _Watched(root, folder, jobs, again), 0, 0
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

    def __init__(self, root: Path, folder: Path, jobs: Jobs, again: Callable[[], Jobs]) -> None:
        self.root, self.folder, self.again = root, folder, again
        self.open = list(jobs.open)
        self.left = jobs.left
        self.queue: dict[str, Queued] = {}
        self.answered = time.monotonic()
        self.asked = 0.0
        self.gone: dict[str, int] = {}  # piece -> how many answers in a row had no job of it
        self.over: dict[str, Failure] = {}
        self.lost: set[str] = set()  # pieces of which nothing comes, for no fault of theirs

    def ended(self) -> Iterator[tuple[Wanted, Outcome]]:
        """What has ended since, and how. What waited for what failed is dropped: its trial is blocked."""
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
        if name in self.over:
            stage, error = one.error.split("/", 1)
            died = runs.failure(self.root / stage, error)
            if died is not None and died.job == self.over[name].job:
                return died
            said = self.over.pop(name)
            self.lost.add(name)  # the rest of the piece is blocked by what is told now
            return said
        return "stopped" if name in self.lost else None

    def _ask(self) -> None:
        """For the queue, now and then; and have judged what it knows no more."""
        now = time.monotonic()
        if now - self.asked < ASK_S:
            return
        self.asked = now
        try:
            self.queue = queue(self.folder)
            active = {name for name, job in self.queue.items() if job.state in ACTIVE}
            names = {name for name, _ in self.open} - self.over.keys() - self.lost
            self.gone = {name: self.gone.get(name, 0) + 1 for name in names - active}
            # what another machine wrote may not be seen here at the first look
            if any(count > 1 for count in self.gone.values()) or (self.left and self.gone):
                self._judge(self.again())
        except SpecError:  # a controller may be away for a while
            if now - self.answered > SILENCE_S:
                raise
            return
        except runs.Busy:  # a keeper is at it
            return
        self.answered = now

    def _judge(self, jobs: Jobs) -> None:
        self.left = jobs.left
        self.over |= {name: failure for name, failure in jobs.over.items() if name in self.gone}
        names = {name for name, _ in self.open}
        self.open += [(name, one) for name, one in jobs.open if name not in names and name not in self.over]
        there = {piece.id for piece in jobs.pieces}
        settled = {name for name in self.gone if name not in there | self.over.keys()}
        self.lost |= settled & jobs.blocked if not jobs.stopped else settled
