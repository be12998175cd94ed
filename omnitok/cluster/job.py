"""What a task of a cluster runs: its stages one after another, then what is measured of them. Imports torch when it runs."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from submitit.helpers import DelayedSubmission

from omnitok import runs

LOOK_S: Final = 0.1
BUSY_S: Final = 600.0  # how long a folder that another attempt holds is waited for
HOLD_S: Final = 600.0  # how long a task that was told to end, and has saved, waits to be ended


class Failed(Exception):
    """Something that was to be measured could not be: its own file says why."""


class Job:
    """One piece, as submitit calls it; calling it again goes on where it was, or does nothing.

    ``piece``: a Piece as JSON. Of its resources the task itself reads ``environment``, ``threads``,
    ``checkpoint_every_s`` and ``save_s`` (how long saving may take after a signal).
    """

    def __init__(self, root: str, piece: dict[str, Any]) -> None:
        self.root, self.piece = root, piece
        self.attempt: _Attempt | None = None

    def __call__(self) -> str:
        """Train and measure what is missing. -> the piece's id. Raises what training raises, after ``error.txt`` has it."""
        resources = self.piece["resources"]
        os.environ.update(resources["environment"])
        print(f"{self.piece['label']}: {' '.join(self.piece['stages']) or self.piece['id']}", flush=True)
        self.attempt = attempt = _Attempt(Path(self.root), self.piece)
        with _terminating(attempt.ask):  # a preemption may say no more than this
            attempt.start()
            while not attempt.ended:  # no lock is held here that a signal's handler could want
                time.sleep(LOOK_S)
            until = time.monotonic() + HOLD_S
            while not attempt.finished and time.monotonic() < until:
                time.sleep(LOOK_S)  # it has saved: if it ended before it is ended it would have failed, not be requeued
        if attempt.error is not None:
            raise attempt.error
        return str(self.piece["id"])

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit's handler of a signal, in the main thread: save, and come back as the same call.

        Where saving takes too long the checkpoint before it must do, and of an evaluation there is none.
        """
        attempt = self.attempt
        if attempt is not None:
            attempt.ask()
            until = time.monotonic() + self.piece["resources"]["save_s"]
            while not attempt.ended and not attempt.measuring and time.monotonic() < until:
                time.sleep(LOOK_S)
        return DelayedSubmission(Job(self.root, self.piece))


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
    """The work, beside the main thread, which must be free to handle signals."""

    def __init__(self, root: Path, piece: dict[str, Any]) -> None:
        super().__init__(name="work", daemon=True)
        self.root, self.piece = root, piece
        self.asked = self.measuring = self.ended = self.finished = False
        self.error: BaseException | None = None

    def ask(self) -> None:
        """To stop after the step."""
        self.asked = True

    def run(self) -> None:
        # what this thread starts inherits its mask: a signal to all processes of the task must not kill the loader's
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            self._work()
            self.finished = True
        except BaseException as error:  # it is raised where the task ends
            self.error = error
            self.finished = type(error).__name__ != "Stopped"
        finally:
            self.ended = True

    def _work(self) -> None:
        import torch

        from omnitok import trial
        from omnitok.spec import decode
        from omnitok.training import EVALUATIONS

        resources = self.piece["resources"]
        torch.set_num_threads(resources["threads"])
        if search := self.piece.get("search"):
            self._search(self.root / search)
            return
        for stage in self.piece["stages"]:
            every_s = resources["checkpoint_every_s"]
            train = partial(trial.run, self.root / stage, checkpoint_every_s=every_s, stop=lambda: self.asked)
            self._patiently(train)
        self.measuring = True
        failed: list[runs.Failure] = []
        for stage, said in self.piece["evaluations"]:
            measure = partial(trial.evaluate_run, self.root / stage, decode(EVALUATIONS, said))
            if failure := trial.attempt(partial(self._patiently, measure)):
                failed.append(failure)
        if failed:
            raise Failed("; ".join(f"{failure.kind}: {failure.sentence}" for failure in failed))

    def _search(self, folder: Path) -> None:
        """As one worker of it, until its target is met."""
        from omnitok import trial
        from omnitok.search.worker import work

        work(folder, stop=lambda: self.asked)
        if self.asked:
            raise trial.Stopped(self.piece["id"])

    def _patiently(self, work: Callable[[], object]) -> None:
        """Do it, or wait for another attempt at the same folder to end, such as one on a node that hangs."""
        from omnitok import trial

        until = time.monotonic() + BUSY_S
        while True:
            if self.asked:
                raise trial.Stopped(self.piece["id"])
            try:
                work()
                return
            except runs.Busy as busy:
                if time.monotonic() > until:
                    raise runs.Busy(f"{busy}, and has for {BUSY_S / 60:.0f} minutes") from None
            time.sleep(LOOK_S)
