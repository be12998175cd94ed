"""Attention without a softmax: its cost grows with the number of tokens, not with that of pairs."""

from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Attention, Heads, Mixes
from omnitok.spec import Count

LEAST = 1e-6  # of a sum of weights, so that a query that nothing answers gets nothing


@final
class LinearAttention(Attention):
    """Weights f(q) f(k) over their sum, for all tokens of one frame (EfficientViT, arXiv:2205.14756, as DC-AE uses it).

    heads: how many mixtures are made side by side; must divide the width.
    feature: f; relu, or elu, which is elu + 1 (arXiv:2006.16236) and never 0.
    """

    mixes: ClassVar[Mixes] = "space"

    def __init__(self, dim: int, *, heads: Count = 4, feature: Literal["relu", "elu"] = "relu") -> None:
        super().__init__()
        self.feature = feature
        self.within = Heads(dim, heads)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, _, _ = x.shape
        q, k, v = self.within.split(rearrange(x, "b t h w d -> (b t) (h w) d"))
        with torch.autocast(x.device.type if not x.is_meta else "cpu", enabled=False):  # sums over a frame, in float32
            precise = torch.promote_types(q.dtype, torch.float32)
            found = weighed(self._positive(q.to(precise)), self._positive(k.to(precise)), v.to(precise))
        return rearrange(self.within.joined(found.to(q.dtype)), "(b t) (h w) d -> b t h w d", b=b, h=h)

    def _positive(self, x: Float[Tensor, "s heads n e"]) -> Float[Tensor, "s heads n e"]:
        return F.relu(x) if self.feature == "relu" else F.elu(x) + 1


def weighed(
    q: Float[Tensor, "s heads n e"], k: Float[Tensor, "s heads m e"], v: Float[Tensor, "s heads m e"]
) -> Float[Tensor, "s heads n e"]:
    """The mean of v with weights q k, none of which is negative."""
    return q @ (k.mT @ v) / (q @ k.sum(2, keepdim=True).mT).clamp_min(LEAST)
