"""Work that stands on other work, done by whoever has room: no piece waits for a batch, a death ends only what stood on
it, and a folder that another launcher holds is left alone for a while."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from omnitok.launching.trying import Trying
from omnitok.launching.work import Outcome, Work, do
from omnitok.runs import Failure, Record

BUSY_S = 0.5  # how long a folder that another launcher holds is left alone
LOOK_S = 0.25  # how often the view looks at the folders


class View(Protocol):
    """Whoever watches: told what there is and what ended; asked to look now and then."""

    def begin(self, works: Sequence[Work]) -> None: ...
    def look(self, active: Sequence[Work]) -> None: ...
    def ended(self, work: Work, outcome: Outcome) -> None: ...
    def close(self) -> None: ...


class Stoppable(Protocol):
    """What can be asked to save and stop."""

    def stop(self) -> None: ...


class Executor(Protocol):
    """Whatever does the work: this process, or a pool of others."""

    @property
    def free(self) -> int: ...
    @property
    def active(self) -> list[Work]: ...
    def submit(self, work: Work) -> None: ...
    def wait(self, timeout_s: float) -> list[tuple[Work, Outcome]]: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class Driven(NamedTuple):
    """How much was done now: stages trained, evaluations measured; whether somebody stopped it."""

    trained: int
    measured: int
    interrupted: bool


class Queue:
    """What is left to do. A piece can be taken when every stage that it stands on is done."""

    def __init__(self, wanted: Sequence[Work], trying: Trying | None = None) -> None:
        self.waiting = list(wanted)
        self.trying = trying
        self.open = {work.stage for work in wanted if not work.evaluation}
        self.dead: set[str] = set()
        self.not_before: dict[Any, float] = {}
        self.trained = self.measured = 0

    def take(self, room: int) -> list[Work]:
        """At most ``room`` pieces, in order; what stands on a dead stage is dropped, for its trial is blocked."""
        taken: list[Work] = []
        for work in list(self.waiting):
            if any(parent in self.dead for parent in work.after):
                self.waiting.remove(work)
                if not work.evaluation:
                    self.dead.add(work.stage)
            elif len(taken) < room and self._ready(work):
                self.waiting.remove(work)
                taken.append(work)
        return taken

    def ended(self, work: Work, outcome: Outcome) -> bool:
        """Take note; a piece that another launcher is doing comes back later, to see how that ended. -> whether it is tried
        again."""
        if outcome == "busy":
            self.not_before[_key(work)] = time.monotonic() + BUSY_S
            self.waiting.append(work)
        elif outcome == "stopped":  # somebody stopped its process; whether the launcher stops too is not said here
            self.waiting.append(work)
        elif isinstance(outcome, Failure) and self.trying and self.trying.again(work, outcome):
            self.waiting.append(work)
            return True
        elif isinstance(outcome, Failure):
            if self.trying and self.trying.stopped:
                self.waiting.clear()
            self.dead |= set() if work.evaluation else {work.stage}
        elif outcome == "done" and work.evaluation:
            self.measured += 1
        elif outcome == "done":
            self.trained += 1
            self.open.discard(work.stage)
        return False

    def _ready(self, work: Work) -> bool:
        return not self.open & set(work.after) and time.monotonic() >= self.not_before.get(_key(work), 0.0)


def drive(wanted: Sequence[Work], executor: Executor, view: View, trying: Trying | None = None) -> Driven:
    """Do all work whose parents are done, until nothing is left that can be. ``trying``: says what is tried again that
    failed; None: nothing is."""
    queue = Queue(wanted, trying)
    view.begin(wanted)
    try:
        with stoppable(executor) as stopping:
            while (queue.waiting and not stopping()) or executor.active:
                for work in queue.take(0 if stopping() else executor.free):
                    executor.submit(work)
                view.look(executor.active)
                for work, outcome in executor.wait(LOOK_S):
                    if queue.ended(work, outcome):
                        continue
                    if outcome != "busy" and (outcome != "stopped" or stopping()):
                        view.ended(work, outcome)
            return Driven(queue.trained, queue.measured, stopping())
    finally:
        executor.close()
        view.close()


class InProcess:
    """Everything here and now, one piece after another; the view looks after each record."""

    def __init__(self, root: Path, threads: int, every_s: float, view: View) -> None:
        self.root, self.every_s, self.view = root, every_s, view
        self.ended: list[tuple[Work, Outcome]] = []
        self.asked = False
        self.looked = 0.0
        torch.set_num_threads(threads)

    @property
    def free(self) -> int:
        return 0 if self.ended or self.asked else 1

    @property
    def active(self) -> list[Work]:
        return [work for work, _ in self.ended]

    def submit(self, work: Work) -> None:
        outcome = do(work, self.root, self.every_s, lambda: self.asked, lambda record: self._look(work, record))
        self.ended.append((work, outcome))

    def wait(self, timeout_s: float) -> list[tuple[Work, Outcome]]:
        if not self.ended:
            time.sleep(timeout_s / 5)
        ended, self.ended = self.ended, []
        return ended

    def stop(self) -> None:
        self.asked = True

    def close(self) -> None:
        return None

    def _look(self, work: Work, record: Record) -> None:
        if time.monotonic() - self.looked > LOOK_S:
            self.looked = time.monotonic()
            self.view.look([work])


def _key(work: Work) -> Any:
    return work.stage, str(work.evaluation)


@contextmanager
def stoppable(executor: Stoppable) -> Iterator[Callable[[], bool]]:
    """ctrl-C and SIGTERM: save and stop after the step. A second ctrl-C stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        executor.stop()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
