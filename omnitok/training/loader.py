"""The batches of a stage, made while the last step is computed: by worker processes, whose number changes no bit.

A worker is told once what the batches are a function of, and from then on writes its part of each, in order, into a pipe;
that nobody reads on is what holds it back. Nothing is locked, shared or forked, so whoever dies leaves nothing behind.
"""

import itertools
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from omnitok.data import DataError
from omnitok.data.resources import resource
from omnitok.training.devices import device
from omnitok.training.feed import Feed
from omnitok.training.packed import Packed, unpacked
from omnitok.training.step import Batch

WORKERS: Final = "OMNITOK_DATA_WORKERS"
AHEAD: Final = 2  # parts that a worker holds ready; the process that trains holds one step ready, and makes another
T = TypeVar("T")


class WorkerDied(RuntimeError):
    """A process that loads data is gone; the message says which and how."""


class Part(NamedTuple):
    """Which samples of a batch one worker makes."""

    worker: int
    samples: range


def data_workers() -> int:
    """OMNITOK_DATA_WORKERS: how many processes load the data of a training; 0, the default, is the training itself. Raises DataError
    where it is no number."""
    return resource(WORKERS, 0)


def parts(feed: Feed, step: int, place: int, workers: int) -> list[Part]:
    """Who makes what of a batch, in the order of the samples. Batches too small for all are dealt out in turn."""
    samples, turn = feed.samples(place), step * feed.places.accumulate + place
    edges = [len(samples) * i // workers for i in range(workers + 1)]
    slices = [samples[first:last] for first, last in itertools.pairwise(edges)]
    return [Part((i + turn) % workers, some) for i, some in enumerate(slices) if some]


@contextmanager
def loading(feed: Feed, start: int = 0) -> Iterator[Iterator[list[Batch]]]:
    """The batches of the steps from ``start`` on. Workers begin at once, and are gone when this ends, however it ends.

    A step raises the DataError of its own data, WorkerDied where a worker was killed, and RuntimeError with the traceback
    of what else went wrong in one."""
    workers, where = data_workers(), device()
    if not workers:
        yield _here(feed, start)
        return
    team: list[_Worker] = []
    cuda = (
        where.type == "cuda"
    )  # only there are bytes unpacked where they are used, which then is not the thread's work
    found = _received(feed, start, team, torch.cuda.current_device() if cuda else None)
    ahead: Generator[Any, None, None] = prefetched(found, 1) if cuda else prefetched(_on(where, found), 1)
    with ExitStack() as stack:
        stack.callback(ahead.close)  # last: its thread reads until the workers are gone
        for i in range(workers):
            team.append(_Worker(feed, start, i, workers))
            stack.callback(team[i].end)
        clips = _on(where, ahead) if cuda else ahead
        yield (feed.batches(step, some) for step, some in enumerate(clips, start))


def _here(feed: Feed, start: int) -> Iterator[list[Batch]]:
    data = feed.data()
    for step in range(start, feed.places.steps):
        plans = enumerate(feed.places.plans(step))
        clips = [feed.clips(data, step, plan, feed.samples(place)).to(device()) for place, plan in plans]
        yield feed.batches(step, clips)


def _on(where: torch.device, steps: Iterable[list[list[Packed]]]) -> Iterator[list[Tensor]]:
    for step in steps:
        yield [unpacked(some, where if where.type == "cuda" else torch.device("cpu")).to(where) for some in step]


def _received(feed: Feed, start: int, team: Sequence["_Worker"], cuda: int | None) -> Iterator[list[list[Packed]]]:
    """A step's batches in parts, in pinned memory where they go on to an accelerator."""
    if cuda is not None:
        torch.cuda.set_device(cuda)  # a new thread is at the first, whatever the process is at
    if len({worker.fingerprint() for worker in team}) > 1:
        raise DataError("the data was changed while training began; start it again")
    for step in range(start, feed.places.steps):
        places = range(feed.places.accumulate)
        yield [
            [team[part.worker].read(cuda is not None) for part in parts(feed, step, place, len(team))]
            for place in places
        ]


class _Worker:
    """One process that loads: ``python -m omnitok.training.worker``. It ends with its standard input."""

    def __init__(self, feed: Feed, start: int, index: int, workers: int) -> None:
        try:
            task = pickle.dumps((feed, start, index, workers))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{WORKERS}={workers}: what is loaded cannot be told to another process: {error}"
            ) from None
        self.name = f"worker {index} of {workers} that load the data"
        path = os.pathsep.join(folder for folder in sys.path if folder)
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.handle = subprocess.Popen(
            [sys.executable, "-m", "omnitok.training.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, **one, "PYTHONPATH": path},
        )  # fmt: skip
        assert self.handle.stdin is not None
        assert self.handle.stdout is not None
        self.input, self.output = self.handle.stdin, self.handle.stdout
        with suppress(BrokenPipeError):  # whoever reads from it will say how it died
            self.input.write(task)
            self.input.flush()

    def fingerprint(self) -> str:
        """Of the data that it found; it says so before its first part."""
        return str(self._said()["fingerprint"])

    def read(self, pinned: bool) -> Packed:
        """Its next part of a batch."""
        said = self._said()
        dtype = {"uint8": torch.uint8, "float32": torch.float32}[said["dtype"]]
        part = torch.empty(said["shape"], dtype=dtype, pin_memory=pinned)
        if self.output.readinto(part.numpy().reshape(-1).view(np.uint8)) != part.nbytes:  # type: ignore[attr-defined]
            raise self._died()
        return part

    def end(self) -> None:
        with suppress(BrokenPipeError):
            self.input.close()
        self.handle.kill()
        self.handle.wait()
        self.output.close()

    def _said(self) -> dict[str, Any]:
        line = self.output.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        said: dict[str, Any] = json.loads(line)
        if "data" in said:
            raise DataError(said["data"])
        if "failed" in said:
            raise RuntimeError(f"{self.name} failed: {said['failed']}\n{said['traceback']}")
        return said

    def _died(self) -> WorkerDied:
        code = self.handle.wait()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return WorkerDied(f"{self.name} died ({how}{'; out of memory?' if code == -signal.SIGKILL else ''})")


def prefetched(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made in a thread that is at most ``depth`` + 1 of them ahead.

    What the iterable raises is raised where its item would have come. The thread begins with the first item that is
    asked for, and ends with the last, or when the generator is closed; then the iterable is closed too, if it can be.
    """
    made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), name="prefetched", daemon=True)
    thread.start()
    try:
        while True:
            more, item = made.get()
            if not more:
                if item is not None:
                    raise item  # type: ignore[misc]
                return
            yield item  # type: ignore[misc]
            del item  # what is given away is not kept until the next is there
    finally:
        left.set()
        while thread.is_alive():  # it may wait for room
            _empty(made)
            thread.join(0.01)


def _make(
    items: Iterable[T], made: "queue.Queue[tuple[bool, T | BaseException | None]]", left: threading.Event
) -> None:
    ended: BaseException | None = None
    try:
        for item in items:
            made.put((True, item))
            if left.is_set():
                break
    except BaseException as error:  # noqa: BLE001  whatever it is, it belongs to whoever asks
        ended = error
    finally:
        if isinstance(items, Generator):
            items.close()
    made.put((False, ended))


def _empty(made: "queue.Queue[tuple[bool, T | BaseException | None]]") -> None:
    try:
        while True:
            made.get_nowait()
    except queue.Empty:
        return
