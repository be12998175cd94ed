"""What a task of a cluster runs: its stages one after another, then what is measured of them. Imports torch when it runs."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import submitit
from submitit.helpers import DelayedSubmission

from omnitok import runs
from omnitok.cluster.meeting import Meeting, Place
from omnitok.cluster.progress import check_progress
from omnitok.runs import Failure

LOOK_S: Final = 0.1
BUSY_S: Final = 600.0  # how long a folder that another attempt holds is waited for
HOLD_S: Final = 600.0  # how long a task that was told to end, and has saved, waits to be ended
LAST_S: Final = 2.0  # how long the first of several tasks listens for why it cannot go on
END_S: Final = 60  # how long a task may take to end that cannot go on; the rest of its group may hold it back for ever


class Failed(Exception):
    """Something that was to be trained or measured could not be: its own file says why."""


class Job:
    """Pieces, one after another, as submitit calls them; calling it again goes on where it was, or does nothing.

    ``pieces``: each a Piece as JSON. ``resources``: what the task itself reads: ``environment``, ``threads``,
    ``checkpoint_every_s`` and ``save_s`` (how long saving may take after a signal). ``place``: the folder of its
    submission, for what only this job leaves; "": it is no job of Slurm's, and alone.
    """

    def __init__(self, root: str, pieces: Sequence[dict[str, Any]], resources: dict[str, Any], place: str = "") -> None:
        self.root, self.pieces, self.resources, self.place = root, pieces, resources, place
        self.attempt: _Attempt | None = None

    def __call__(self) -> str:
        """Train and measure what is missing. -> the pieces' ids. Raises Failed after all is done that can be, and after
        ``error.txt`` has why; of several tasks of a job, the others come to an end with it."""
        os.environ.update(self.resources["environment"])
        for piece in self.pieces:
            print(f"{piece['label']}: {' '.join(piece['stages']) or piece['id']}", flush=True)
        self.attempt = attempt = _Attempt(self)
        with _terminating(attempt.ask):  # a preemption may say no more than this
            if attempt.meeting:
                attempt.meeting.meet()
            attempt.start()
            while not attempt.ended and not (attempt.meeting and attempt.meeting.lost):
                attempt.look()  # no lock is held here that a signal's handler could want
            until = time.monotonic() + HOLD_S
            while attempt.holds and time.monotonic() < until:
                attempt.look()  # it has saved: if it ended before it is ended it would have failed, not be requeued
            attempt.conclude()
        if attempt.error is not None:
            raise attempt.error
        return " ".join(piece["id"] for piece in self.pieces)

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit's handler of a signal, in the main thread: save, and come back as the same call.

        Where saving takes too long the checkpoint before it must do, and of an evaluation there is none.
        """
        attempt = self.attempt
        if attempt is not None:
            attempt.ask()
            until = time.monotonic() + self.resources["save_s"]
            while not attempt.ended and not attempt.measuring and time.monotonic() < until:
                time.sleep(LOOK_S)
            if attempt.meeting:
                attempt.meeting.tell(held=True)
        return DelayedSubmission(Job(self.root, self.pieces, self.resources, self.place))


@contextmanager
def _terminating(ask: Callable[[], None]) -> Iterator[None]:
    """SIGTERM asks, for a while; in another thread than the main one nobody can be asked so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: ask())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Attempt(threading.Thread):
    """The work, beside the main thread, which must be free to handle signals and to hear of the other tasks."""

    def __init__(self, job: Job) -> None:
        super().__init__(name="work", daemon=True)
        self.root, self.pieces, self.resources = Path(job.root), job.pieces, job.resources
        self.asked = self.measuring = self.ended = self.stopped = False
        self.error: BaseException | None = None
        self.held: runs.Held | None = None  # the attempt at the stage that is trained
        self.failed: list[Failure] = []
        self.place, self.meeting = job.place, None
        if job.place:
            here = submitit.JobEnvironment()
            self.start_of = Path(job.place) / f"{here.job_id}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
            if here.num_tasks > 1:
                file = self.start_of.with_name(f"{self.start_of.name}.meet.json")
                self.meeting = Meeting(Place(here.global_rank, here.num_tasks, here.local_rank, file))

    @property
    def first(self) -> bool:
        """Whether this is the task that writes."""
        return self.meeting is None or self.meeting.place.rank == 0

    @property
    def holds(self) -> bool:
        """Whether this task waits to be ended, as it or the first of all was told to."""
        return self.stopped or bool(self.meeting and self.meeting.lost and (self.asked or self.meeting.held))

    def ask(self) -> None:
        """To stop after the step."""
        self.asked = True

    def look(self) -> None:
        """For a moment."""
        if self.meeting:
            self.meeting.look(LOOK_S)
        else:
            time.sleep(LOOK_S)

    def conclude(self) -> None:
        """Of several tasks: say to the others how this one ended, hear from them, and write down why."""
        meeting = self.meeting
        if meeting and self.ended and self.error is None and not meeting.lost:
            meeting.tell(bye=True)
        elif meeting:
            self._end_with(meeting)

    def _end_with(self, meeting: Meeting) -> None:
        """They cannot go on together: each ends, also where torch would wait for the others."""
        reason = self._why(meeting)
        if reason and self.held and not meeting.over and (self.first or meeting.silent) and not self.asked:
            self._write_down(self.held, reason)
        if self.first:
            meeting.tell(over=True)
        if not isinstance(self.error, runs.Busy):
            self.error = Failed(f"{reason.kind}: {reason.sentence}" if reason else "another process ended it")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(END_S)

    def _write_down(self, held: runs.Held, reason: Failure) -> None:
        """In the name of the attempt that these tasks are, whose lease the first of them may still hold, have died with,
        or have left with less to say. If somebody took it over there is nothing to say."""
        try:
            runs.fail_held(held, reason)
        except runs.Fenced:
            if self.first and not isinstance(self.error, runs.Busy):
                runs.fail(held.folder, reason)

    def _why(self, meeting: Meeting) -> Failure | None:
        """What this one died of, unless another was first."""
        own = _failure(self.error) if self.error is not None else None
        if not self.first and own:
            meeting.tell(failed=list(own))
        until = time.monotonic() + (LAST_S if self.first else 5 * LAST_S)
        while time.monotonic() < until and not (self.ended and (meeting.silent or meeting.over)):
            meeting.look(LOOK_S)
        return meeting.reason(own)

    def run(self) -> None:
        # what this thread starts inherits its mask: a signal to all processes of the task must not kill the loader's
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            self._work()
        except BaseException as error:  # it is raised where the task ends
            self.error = error
            self.stopped = type(error).__name__ == "Stopped"
        finally:
            self.ended = True

    def _work(self) -> None:
        import torch

        torch.set_num_threads(self.resources["threads"])
        if self.place and self.first:
            check_progress(self.start_of, self.root, self.pieces)
        trained: list[dict[str, Any]] = []
        busy: list[runs.Busy] = []
        with self.meeting.group() if self.meeting else nullcontext():
            for piece in self.pieces:
                try:
                    if self._attempted(partial(self._train, piece)):
                        trained.append(piece)
                except runs.Busy as error:
                    busy.append(error)
        for piece in trained if self.first else ():
            self._measure(piece)
        if self.failed:
            raise Failed("; ".join(f"{failure.kind}: {failure.sentence}" for failure in self.failed))
        if busy:
            raise busy[0]

    def _attempted(self, work: Callable[[], object]) -> bool:
        """Whether it was done. Alone a task goes on after a failure; of several tasks the others cannot."""
        from omnitok import trial

        if self.meeting:
            work()
            return True
        failure = trial.attempt(work)
        if failure:
            print(failure.traceback, file=sys.stderr, flush=True)
            self.failed.append(failure)
        return failure is None

    def _train(self, piece: dict[str, Any]) -> None:
        from omnitok import trial

        if piece["search"]:
            self._search(self.root / piece["search"], piece["id"])
        for stage in piece["stages"]:
            begin = partial(setattr, self, "held")
            every_s = self.resources["checkpoint_every_s"]
            lead = partial(trial.run, checkpoint_every_s=every_s, stop=lambda: self.asked, on_begin=begin)
            work = lead if self.first else partial(trial.follow, on_begin=begin)
            self._patiently(partial(work, self.root / stage), piece["id"])
            self.held = None

    def _search(self, folder: Path, name: str) -> None:
        """As one worker of it, until its target is met."""
        from omnitok import trial
        from omnitok.search.worker import work

        work(folder, stop=lambda: self.asked)
        if self.asked:
            raise trial.Stopped(name)

    def _measure(self, piece: dict[str, Any]) -> None:
        from omnitok import trial
        from omnitok.spec import decode
        from omnitok.training import EVALUATIONS

        self.measuring = True
        for stage, said in piece["evaluations"]:
            measure = partial(trial.evaluate_run, self.root / stage, decode(EVALUATIONS, said))
            if failure := trial.attempt(partial(self._patiently, measure, piece["id"])):
                self.failed.append(failure)

    def _patiently(self, work: Callable[[], object], name: str) -> None:
        """Do it, or wait for another attempt at the same folder to end, such as one on a node that hangs."""
        from omnitok import trial

        until = time.monotonic() + BUSY_S
        while True:
            if self.asked and self.first:  # else the first says so
                raise trial.Stopped(name)
            try:
                work()
                return
            except runs.Busy as busy:
                if time.monotonic() > until:
                    raise runs.Busy(f"{busy}, and has for {BUSY_S / 60:.0f} minutes") from None
            time.sleep(LOOK_S)


def _failure(error: BaseException) -> Failure:
    from omnitok import trial

    return trial.classify(error)
