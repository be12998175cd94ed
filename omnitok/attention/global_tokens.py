"""Windows, and a few learned tokens that every token of a frame sees and that see every token."""

from typing import ClassVar, final

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention.backends import mixed
from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.attention.grid import Grid
from omnitok.attention.places import PlacesPart, RelativeTable
from omnitok.attention.window import in_windows
from omnitok.spec import Count


@final
class GlobalTokensAttention(Attention):
    """Windows with global tokens (ETC, arXiv:2004.08483; Longformer, arXiv:2004.05150): first these look at their frame,
    then each token of the frame sees its window and what they have become. They stand at the first place of every window
    and have no bias.

    heads: how many mixtures are made side by side; must divide the width.
    window: side of a window in tokens; larger sees farther and costs more.
    tokens: how many there are; more carry more from one end of a frame to the other.
    places: how tokens know where they are within a window.
    """

    mixes: ClassVar[Mixes] = "space"

    def __init__(
        self,
        dim: int,
        *,
        heads: Count = 4,
        window: Count = 4,
        tokens: Count = 4,
        places: PlacesPart = RelativeTable,
    ) -> None:
        super().__init__()
        self.window = window
        self.within = Heads(dim, heads, places, (1, window, window))
        self.tokens = nn.Parameter(torch.empty(tokens, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.tokens, std=0.02)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        parts = self.within.split(rearrange(x, "b t h w d -> (b t) (h w) d"))
        known = self.within.split(self._informed(parts))[1:]

        def within(part: Tensor, rows: int, columns: int) -> Tensor:
            return self._cut(part, known, rows, columns)

        heads = self.within.heads
        grids = rearrange(parts, "three s heads (h w) e -> s three h w (heads e)", h=h)
        seen = rearrange(
            in_windows(within, grids, self.window), "s one h w (heads e) -> s (one heads) (h w) e", heads=heads
        )
        return rearrange(self.within.joined(seen), "(b t) (h w) d -> b t h w d", b=b, h=h)

    def _informed(self, parts: Float[Tensor, "3 s heads n e"]) -> Float[Tensor, "s g d"]:
        """The tokens after they have seen each other and a frame."""
        _, k, v = parts
        mine = self.within.split(self.tokens[None]).expand(-1, k.shape[0], -1, -1, -1)
        q, known, told = mine
        found = mixed(q, torch.cat([known, k], dim=2), torch.cat([told, v], dim=2))
        return self.tokens + self.within.joined(found)

    def _cut(
        self, grids: Float[Tensor, "s 3 h w d"], known: Float[Tensor, "2 s heads g e"], rows: int, columns: int
    ) -> Float[Tensor, "s 1 h w d"]:
        """Within windows of rows x columns, which divide the grid."""
        s, _, h, w, _ = grids.shape
        down, across, at, places = h // rows, w // columns, Grid(1, rows, columns), self.within.places
        pattern = "s three (h i) (w j) (heads e) -> three (s h w) heads (i j) e"
        q, k, v = rearrange(grids, pattern, i=rows, j=columns, heads=self.within.heads)
        more_k, more_v = repeat(known, "two s heads g e -> two (s h w) heads g e", h=down, w=across)
        bias = places.bias(at, at, q.device)
        if bias is not None:
            bias = nn.functional.pad(bias, (more_k.shape[2], 0))
        keys, values = torch.cat([more_k, places.turn(k, at)], dim=2), torch.cat([more_v, v], dim=2)
        seen = mixed(places.turn(q, at), keys, values, bias)
        return rearrange(seen, "(s h w) heads (i j) e -> s 1 (h i) (w j) (heads e)", s=s, h=down, i=rows)
