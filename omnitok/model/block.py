"""One layer of the trunk: an attention, then a feed-forward network, each on the normalised residual stream."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention import Attention


class GatedFeedForward(nn.Module):
    """GEGLU (Shazeer 2020, arXiv:2002.05202): at multiplier 4 as many weights as a plain network of width 4 d."""

    def __init__(self, dim: int, multiplier: float) -> None:
        super().__init__()
        inner = int(multiplier * dim * 2 / 3)
        self.enter = nn.Linear(dim, 2 * inner, bias=False)
        self.leave = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        value, gate = self.enter(x).chunk(2, dim=-1)
        return self.leave(F.gelu(gate) * value)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)) (pre-norm, arXiv:2002.04745)."""

    def __init__(self, dim: int, attention: Attention, multiplier: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = GatedFeedForward(dim, multiplier)
        self.before_attention = nn.LayerNorm(dim)
        self.before_feed_forward = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        x = x + self.attention(self.before_attention(x))
        return x + self.feed_forward(self.before_feed_forward(x))
