"""A worker of one arm's search: it pulls suggestions until the target is met."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Worked(NamedTuple):
    """What one worker did. ``trials``: the numbers of those that it ended; ``stopped``: whether it was asked to stop."""

    trials: tuple[int, ...]
    stopped: bool


def work(folder: Path, stop: Callable[[], bool] = lambda: False) -> Worked:
    """Pull until the target of the search in ``folder`` (``runs/sweeps/<digest>/search/<arm>``) is met and nothing runs, or
    until ``stop`` says so: what was being trained then has its checkpoint, and whoever comes next goes on with it."""
    raise NotImplementedError
