"""Every token of a frame sees every other."""

from typing import ClassVar, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.attention.grid import Grid
from omnitok.attention.places import NoPlaces, PlacesPart
from omnitok.spec import Count


@final
class FullAttention(Attention):
    """All tokens of one frame (Dosovitskiy et al. 2021, arXiv:2010.11929).

    heads: how many mixtures are made side by side; must divide the width.
    places: how tokens know where they are.
    """

    mixes: ClassVar[Mixes] = "space"

    def __init__(self, dim: int, *, heads: Count = 4, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        self.within = Heads(dim, heads, places)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        frames = rearrange(x, "b t h w d -> (b t) (h w) d")
        return rearrange(self.within(frames, Grid(1, h, w)), "(b t) (h w) d -> b t h w d", b=b, h=h)
