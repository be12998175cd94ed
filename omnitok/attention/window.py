"""Tokens see their own window of the frame only."""

from typing import ClassVar, Literal, final

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.attention.contract import Attention, Heads
from omnitok.spec import Count


class RelativeBias(nn.Module):
    """A learned bias for each head and each offset between two places of a window (arXiv:2103.14030)."""

    offsets: Int[Tensor, "n n"]

    def __init__(self, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        down = row.flatten()[:, None] - row.flatten()[None, :] + window - 1
        right = column.flatten()[:, None] - column.flatten()[None, :] + window - 1
        self.register_buffer("offsets", down * (2 * window - 1) + right, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, rows: int, columns: int) -> Float[Tensor, "heads n n"]:
        """Of the first rows and columns of a window."""
        offsets = self.offsets.view([self.window] * 4)[:rows, :columns, :rows, :columns]
        return rearrange(self.table[offsets], "i j k l heads -> heads (i j) (k l)")


class _Windows(Attention):
    mixes: ClassVar[Literal["space", "time"]] = "space"

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.within = Heads(dim, heads)
        self.bias = RelativeBias(heads, window)

    def _cut(self, x: Float[Tensor, "b t h w d"], rows: int, columns: int) -> Float[Tensor, "b t h w d"]:
        """Attention within windows of rows x columns, which divide the grid."""
        windows = rearrange(x, "b t (h i) (w j) d -> (b t h w) (i j) d", i=rows, j=columns)
        mixed = self.within(windows, self.bias(rows, columns))
        b, _, h, w, _ = x.shape
        pattern = "(b t h w) (i j) d -> b t (h i) (w j) d"
        return rearrange(mixed, pattern, b=b, h=h // rows, w=w // columns, i=rows)


@final
class WindowAttention(_Windows):
    """Non-overlapping windows with a relative position bias, without a shift (Swin, arXiv:2103.14030).

    A grid of any size: the last windows of a row or column are smaller, which is what padding them and hiding the
    padding would come to.

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; larger sees farther and costs more.
    """

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4) -> None:
        super().__init__(dim, heads, window)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        down = []
        for strip, rows in self._strips(x, 2):
            down.append(torch.cat([self._cut(part, rows, columns) for part, columns in self._strips(strip, 3)], dim=3))
        return torch.cat(down, dim=2) if len(down) > 1 else down[0]

    def _strips(self, x: Float[Tensor, "b t h w d"], axis: int) -> list[tuple[Tensor, int]]:
        """Along one axis: the part that windows divide, and what is left. Each with its windows' side."""
        left = x.shape[axis] % self.window
        whole = x.shape[axis] - left
        parts = [(x.narrow(axis, 0, whole), self.window), (x.narrow(axis, whole, left), left)]
        return [(part, side) for part, side in parts if part.shape[axis]]


@final
class PublishedWindowAttention(_Windows):
    """As published: square grids that windows divide, and no others (arXiv:2406.09399, its code).

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; must divide the grid; larger sees farther and costs more.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("non-square inputs refused",)

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4) -> None:
        super().__init__(dim, heads, window)
        self.multiple = window

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        _, _, h, w, _ = x.shape
        if h % self.window or w % self.window:
            raise ValueError(f"window={self.window} must divide the latent grid, which is {h} x {w}")
        if h != w:
            raise ValueError(f"as published, the latent grid must be square, and it is {h} x {w}")
        return self._cut(x, self.window, self.window)
