"""Tokens see their own window of the frame only."""

import functools
from collections.abc import Callable
from typing import ClassVar, final

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.attention.grid import Grid
from omnitok.attention.places import PlacesPart, RelativeTable
from omnitok.spec import Count


def in_windows(
    work: Callable[[Tensor, int, int], Tensor], x: Float[Tensor, "b t h w d"], window: int, first: int = 0
) -> Float[Tensor, "b s h w d"]:
    """``work(part, rows, columns)`` of the parts of a grid that windows of rows x columns divide: those of window x window,
    and those at the border, which are smaller. ``first``: where the first whole window begins, on both axes."""
    down = []
    for strip, rows in _strips(x, 2, window, first):
        across = [work(part, rows, columns) for part, columns in _strips(strip, 3, window, first)]
        down.append(torch.cat(across, dim=3) if len(across) > 1 else across[0])
    return torch.cat(down, dim=2) if len(down) > 1 else down[0]


def _strips(x: Float[Tensor, "b t h w d"], axis: int, window: int, first: int) -> list[tuple[Tensor, int]]:
    """Along one axis: what lies before the whole windows, what they divide, and what is left. Each with its side."""
    size = x.shape[axis]
    before = min(first, size)
    left = (size - before) % window
    parts = [(0, before, before), (before, size - before - left, window), (size - left, left, left)]
    return [(x.narrow(axis, start, length), side) for start, length, side in parts if length]


class _Windows(Attention):
    version: ClassVar[int] = 3  # 2 drew the first values of its table under another name
    mixes: ClassVar[Mixes] = "space"

    def __init__(self, dim: int, heads: int, window: int, places: PlacesPart) -> None:
        super().__init__()
        self.window = window
        self.within = Heads(dim, heads, places, (1, window, window))

    def _cut(self, x: Float[Tensor, "b t h w d"], rows: int, columns: int) -> Float[Tensor, "b t h w d"]:
        """Attention within windows of rows x columns, which divide the grid."""
        windows = rearrange(x, "b t (h i) (w j) d -> (b t h w) (i j) d", i=rows, j=columns)
        mixed = self.within(windows, Grid(1, rows, columns))
        b, _, h, w, _ = x.shape
        pattern = "(b t h w) (i j) d -> b t (h i) (w j) d"
        return rearrange(mixed, pattern, b=b, h=h // rows, w=w // columns, i=rows)


@final
class WindowAttention(_Windows):
    """Non-overlapping windows, without a shift (Swin, arXiv:2103.14030).

    A grid of any size: the last windows of a row or column are smaller, which is what padding them and hiding the
    padding would come to.

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; larger sees farther and costs more.
    places: how tokens know where they are.
    """

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4, places: PlacesPart = RelativeTable) -> None:
        super().__init__(dim, heads, window, places)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return in_windows(self._cut, x, self.window)


@final
class ShiftedWindowAttention(_Windows):
    """Windows that begin half a window later, so that they join what plain windows part (Swin, arXiv:2103.14030). Those at
    the border are smaller, which is what rolling the grid and hiding what was not beside comes to.

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens, at least 2; larger sees farther and costs more.
    places: how tokens know where they are.
    """

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4, places: PlacesPart = RelativeTable) -> None:
        if window < 2:
            raise ValueError(f"window={window} cannot be shifted by a half of it; it must be at least 2")
        super().__init__(dim, heads, window, places)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return in_windows(self._cut, x, self.window, self.window // 2)


@final
class PublishedWindowAttention(_Windows):
    """As published: square grids that windows divide, and no others (arXiv:2406.09399, its code).

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; must divide the grid; larger sees farther and costs more.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("non-square inputs refused",)

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4) -> None:
        super().__init__(dim, heads, window, functools.partial(RelativeTable, reach=window))
        self.multiple = window

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        _, _, h, w, _ = x.shape
        if h % self.window or w % self.window:
            raise ValueError(f"window={self.window} must divide the latent grid, which is {h} x {w}")
        if h != w:
            raise ValueError(f"as published, the latent grid must be square, and it is {h} x {w}")
        return self._cut(x, self.window, self.window)
