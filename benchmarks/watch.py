"""A clock inside the training loop: how long the task worked, and how long whoever drives it took between two steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

from omnitok.runs import Record
from omnitok.training.reconstruct import Reconstruct


class Watch(NamedTuple):
    """Seconds. ``inside``: each step's, and the loop's end. ``between``: from each record to the call for the next."""

    inside: list[float]
    between: list[float]


@contextmanager
def watched() -> Iterator[Watch]:
    """Clock every ``Reconstruct.train`` of this process."""
    seen, train = Watch([], []), Reconstruct.train

    def clocked(task: Reconstruct, start: int = 0) -> Iterator[Record]:
        steps = train(task, start)
        while True:
            begun = time.perf_counter()
            record = next(steps, None)
            left = time.perf_counter()
            seen.inside.append(left - begun)
            if record is None:
                return
            yield record
            seen.between.append(time.perf_counter() - left)

    with mock.patch.object(Reconstruct, "train", clocked):
        yield seen
