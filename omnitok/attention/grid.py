"""Where tokens stand: a grid of frames, rows and columns, said as a small value."""

import functools
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

TIME, ROW, COLUMN = range(3)
Extent = tuple[
    int | None, int | None, int | None
]  # frames, rows, columns that one attention spans; None: as many as come
OVER_SPACE: Extent = (1, None, None)
OVER_TIME: Extent = (None, 1, 1)
OVER_BOTH: Extent = (None, None, None)


class Grid(NamedTuple):
    """frames x rows x columns tokens, the columns of a row one after another; ``first``: the number of the first frame."""

    frames: int = 1
    rows: int = 1
    columns: int = 1
    first: int = 0

    @property
    def firsts(self) -> tuple[int, int, int]:
        return self.first, 0, 0

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.frames, self.rows, self.columns

    def at(self, device: torch.device) -> Int[Tensor, "n 3"]:
        """(time, row, column) of each token."""
        return _at(self, device)


@functools.lru_cache(maxsize=64)
def _at(grid: Grid, device: torch.device) -> Int[Tensor, "n 3"]:
    with torch.inference_mode(False):  # what is made while measuring also serves training, here and below
        axes = [
            torch.arange(first, first + size, device=device)
            for first, size in zip(grid.firsts, grid.sizes, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)


def offsets(queries: Grid, keys: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The least offset of a query from a key on each axis, and the largest."""
    pairs = list(zip(queries.firsts, queries.sizes, keys.firsts, keys.sizes, strict=True))
    low = tuple(a - (b + size - 1) for a, _, b, size in pairs)
    high = tuple(a + size - 1 - b for a, size, b, _ in pairs)
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def numbers(
    queries: Grid, keys: Grid, low: tuple[int, int, int], high: tuple[int, int, int], device: torch.device
) -> Int[Tensor, "n m"]:
    """The offset of each query from each key as the number of an entry in a table of all from ``low`` to ``high``, the
    columns of a row one after another; what lies beyond counts as the last there is."""
    since = keys.first
    return _numbers(queries._replace(first=queries.first - since), keys._replace(first=0), low, high, device)


@functools.lru_cache(maxsize=16)
def _numbers(
    queries: Grid, keys: Grid, low: tuple[int, int, int], high: tuple[int, int, int], device: torch.device
) -> Int[Tensor, "n m"]:
    with torch.inference_mode(False):
        found = torch.zeros((), dtype=torch.long, device=device)
        for axis in (TIME, ROW, COLUMN):
            here, there = queries.at(device)[:, axis], keys.at(device)[:, axis]
            offset = (here[:, None] - there[None, :]).clamp(low[axis], high[axis]) - low[axis]
            found = found * (high[axis] - low[axis] + 1) + offset
        return found


@functools.lru_cache(maxsize=16)
def distances(queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "n m"]:
    """How many steps along the axes lie between."""
    with torch.inference_mode(False):
        return (queries.at(device)[:, None] - keys.at(device)[None, :]).abs().sum(-1).float()
