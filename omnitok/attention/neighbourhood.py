"""Tokens see the tokens around them."""

from typing import ClassVar, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.attention.grid import Grid
from omnitok.attention.masks import Neighbourhood
from omnitok.attention.places import NoPlaces, PlacesPart
from omnitok.spec import Count


@final
class NeighbourhoodAttention(Attention):
    """The square of tokens around each token of a frame, shifted inward at a border (NAT, arXiv:2204.07143); where the
    grid is smaller, all of it.

    heads: how many mixtures are made side by side; must divide the width.
    side: of the square in tokens, an odd number; larger sees farther and costs more.
    places: how tokens know where they are.
    """

    mixes: ClassVar[Mixes] = "space"

    def __init__(self, dim: int, *, heads: Count = 4, side: Count = 7, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        if side % 2 == 0:
            raise ValueError(f"side={side} must be odd, so that a token is in the middle of its square")
        self.side = side
        self.within = Heads(dim, heads, places)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        frames = rearrange(x, "b t h w d -> (b t) (h w) d")
        seen = self.within(frames, Grid(1, h, w), Neighbourhood(h, w, self.side))
        return rearrange(seen, "(b t) (h w) d -> b t h w d", b=b, h=h)
