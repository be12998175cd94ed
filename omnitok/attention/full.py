"""Every token of a frame sees every other."""

from typing import ClassVar, Literal, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads
from omnitok.spec import Count


@final
class FullAttention(Attention):
    """All tokens of one frame (Dosovitskiy et al. 2021, arXiv:2010.11929).

    heads: how many mixtures are made side by side; must divide the width.
    """

    mixes: ClassVar[Literal["space", "time"]] = "space"

    def __init__(self, dim: int, *, heads: Count = 4) -> None:
        super().__init__()
        self.within = Heads(dim, heads)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, _, _ = x.shape
        frames = rearrange(x, "b t h w d -> (b t) (h w) d")
        return rearrange(self.within(frames), "(b t) (h w) d -> b t h w d", b=b, h=h)
