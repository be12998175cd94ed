"""Every place of the frame sees its own past."""

from typing import ClassVar, Literal, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads
from omnitok.spec import Count


@final
class TemporalAttention(Attention):
    """Causal attention over time, one sequence a place (OmniTokenizer, arXiv:2406.09399, without its leak).

    heads: how many mixtures are made side by side; must divide the width.
    """

    mixes: ClassVar[Literal["space", "time"]] = "time"
    causal = True

    def __init__(self, dim: int, *, heads: Count = 4) -> None:
        super().__init__()
        self.within = Heads(dim, heads)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, _, _ = x.shape
        places = rearrange(x, "b t h w d -> (b h w) t d")
        return rearrange(self.within(places, causal=True), "(b h w) t d -> b t h w d", b=b, h=h)
