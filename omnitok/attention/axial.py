"""Tokens see their row or their column of the frame."""

from typing import ClassVar, Literal, final

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.backends import mixed
from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.attention.grid import Grid
from omnitok.attention.places import NoPlaces, PlacesPart
from omnitok.spec import Count

Axis = Literal["rows", "columns", "both"]


@final
class AxialAttention(Attention):
    """Along rows or columns of a frame (axial transformers, arXiv:1912.12180).

    heads: how many mixtures are made side by side; must divide the width.
    axis: rows lets a token see its own row, columns its own column, both its row by the first half of the heads and its
        column by the other (CSWin, arXiv:2107.00652).
    places: how tokens know where they are.
    """

    mixes: ClassVar[Mixes] = "space"

    def __init__(self, dim: int, *, heads: Count = 4, axis: Axis = "both", places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        if axis == "both" and heads % 2:
            raise ValueError(f"axis=both gives half of the heads to rows and half to columns, and heads={heads} is odd")
        self.along_rows = {"rows": heads, "columns": 0, "both": heads // 2}[axis]
        self.within = Heads(dim, heads, places)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        parts = self.within.split(rearrange(x, "b t h w d -> (b t) (h w) d"))
        parts = rearrange(parts, "three s heads (h w) e -> three s heads h w e", h=h)
        some, rest = parts[:, :, : self.along_rows], parts[:, :, self.along_rows :]
        made = []
        if some.shape[2]:
            mine = slice(0, self.along_rows)
            found = self._mixed(rearrange(some, "three s heads h w e -> three (s h) heads w e"), Grid(columns=w), mine)
            made.append(rearrange(found, "(s h) heads w e -> s heads (h w) e", h=h))
        if rest.shape[2]:
            mine = slice(self.along_rows, None)
            found = self._mixed(rearrange(rest, "three s heads h w e -> three (s w) heads h e"), Grid(rows=h), mine)
            made.append(rearrange(found, "(s w) heads h e -> s heads (h w) e", w=w))
        return rearrange(self.within.joined(torch.cat(made, dim=1)), "(b t) (h w) d -> b t h w d", b=b, h=h)

    def _mixed(self, parts: Float[Tensor, "3 s heads n e"], at: Grid, mine: slice) -> Float[Tensor, "s heads n e"]:
        """By some of the heads, of which the biases are."""
        q, k, v = parts
        places = self.within.places
        bias = places.bias(at, at, q.device)
        return mixed(places.turn(q, at), places.turn(k, at), v, None if bias is None else bias[mine])
