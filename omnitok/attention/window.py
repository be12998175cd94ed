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
        self.table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        down = row.flatten()[:, None] - row.flatten()[None, :] + window - 1
        right = column.flatten()[:, None] - column.flatten()[None, :] + window - 1
        self.register_buffer("offsets", down * (2 * window - 1) + right, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self) -> Float[Tensor, "heads n n"]:
        return rearrange(self.table[self.offsets], "i j heads -> heads i j")


@final
class WindowAttention(Attention):
    """Non-overlapping windows with a relative position bias, without a shift (Swin, arXiv:2103.14030).

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; must divide both sides of the latent grid; larger sees farther and costs more.
    """

    mixes: ClassVar[Literal["space", "time"]] = "space"

    def __init__(self, dim: int, *, heads: Count = 4, window: Count = 4) -> None:
        super().__init__()
        self.window = self.multiple = window
        self.within = Heads(dim, heads)
        self.bias = RelativeBias(heads, window)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        if h % self.window or w % self.window:
            raise ValueError(f"window={self.window} must divide the latent grid, which is {h} x {w}")
        windows = rearrange(x, "b t (h i) (w j) d -> (b t h w) (i j) d", i=self.window, j=self.window)
        mixed = self.within(windows, self.bias())
        return rearrange(
            mixed, "(b t h w) (i j) d -> b t (h i) (w j) d", b=b, h=h // self.window, w=w // self.window, i=self.window
        )
