"""Every place of the frame sees its own past."""

from typing import ClassVar, Literal, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads, Past, causal_mask, extended, mixed
from omnitok.spec import Count


@final
class TemporalAttention(Attention):
    """Causal attention over time, one sequence a place (OmniTokenizer, arXiv:2406.09399, without its leak).

    heads: how many mixtures are made side by side; must divide the width.
    context: how many latent frames a frame looks at, itself included; null is all, and then memory grows with a clip.
    """

    mixes: ClassVar[Literal["space", "time"]] = "time"
    causal = True

    def __init__(self, dim: int, *, heads: Count = 4, context: Count | None = None) -> None:
        super().__init__()
        self.context = context
        self.within = Heads(dim, heads)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return self._extend(x, None)[0]

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        return self._extend(x, past)

    def _extend(self, x: Float[Tensor, "b t h w d"], past: Past | None) -> tuple[Float[Tensor, "b t h w d"], Past]:
        b, _, h, _, _ = x.shape
        q, k, v = self.within.split(rearrange(x, "b t h w d -> (b h w) t d"))
        k, v, past = extended(past, k, v, self.context)
        seen = self.within.joined(mixed(q, k, v, causal_mask(q.shape[2], k.shape[2], self.context, q)))
        return rearrange(seen, "(b h w) t d -> b t h w d", b=b, h=h), past
