"""What the trunk is made of: every block takes tokens [b t h w d] and gives tokens of the same width."""

from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention import Attention, AttentionPart
from omnitok.attention.full import FullAttention
from omnitok.model.peg import NoPeg, PegPart
from omnitok.spec import Count, Positive, Registry


class GatedFeedForward(nn.Module):
    """GEGLU (Shazeer 2020, arXiv:2002.05202): at multiplier 4 as many weights as a plain network of width 4 d."""

    def __init__(self, dim: int, multiplier: float) -> None:
        super().__init__()
        inner = int(multiplier * dim * 2 / 3)
        self.norm = nn.LayerNorm(dim)
        self.enter = nn.Linear(dim, 2 * inner, bias=False)
        self.leave = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        value, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        return self.leave(F.gelu(gate) * value)


class Block(nn.Module):
    """``Component(dim, *, ...)``. ``multiple``: what both sides of the grid that comes in must be a multiple of.
    ``shortens``: how many tokens over time, after the first, become one."""

    version: ClassVar[int] = 1
    multiple: int = 1
    shortens: int = 1


class Layer(nn.Module):
    """peg(x), then x + attention(x), then x + feed_forward(x)."""

    def __init__(self, dim: int, attention: AttentionPart, peg: PegPart, feed_forward: float) -> None:
        super().__init__()
        self.attention: Attention = attention(dim)
        self.peg = peg(dim, self.attention.mixes)
        self.feed_forward = GatedFeedForward(dim, feed_forward)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        x = self.peg(x)
        x = x + self.attention(x)
        return x + self.feed_forward(x)


@final
class Transformer(Block):
    """Layers of attention and gated feed-forward networks, one after another.

    attention: what is mixed, and how.
    peg: position from a convolution, added before each attention.
    depth: how many layers.
    feed_forward: width of the feed-forward networks as a multiple of dim, counted as GEGLU counts.
    """

    def __init__(
        self,
        dim: int,
        *,
        attention: AttentionPart = FullAttention,
        peg: PegPart = NoPeg,
        depth: Count = 1,
        feed_forward: Positive = 4.0,
    ) -> None:
        super().__init__()
        layers = [Layer(dim, attention, peg, feed_forward) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.multiple = layers[0].attention.multiple

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return self.layers(x)


@final
class Norm(Block):
    """A layer norm over the channels of each token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return self.norm(x)


@final
class PoolSpace(Block):
    """The mean of 2 x 2 tokens of a frame: spatial compression after the encoder instead of before it."""

    multiple = 2

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t i j d"]:
        return reduce(x, "b t (h i) (w j) d -> b t h w d", "mean", i=2, j=2)


@final
class PoolTime(Block):
    """The mean of pairs of tokens over time, the first left alone: temporal compression after the encoder."""

    shortens = 2

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b s h w d"]:
        if (x.shape[1] - 1) % 2:
            raise ValueError(f"{x.shape[1]} tokens over time cannot be pooled in pairs after the first")
        pairs = rearrange(x[:, 1:], "b (t two) h w d -> b t two h w d", two=2).mean(2)
        return torch.cat([x[:, :1], pairs], dim=1)


@final
class RepeatSpace(Block):
    """Each token 2 x 2 times: the way back from ``pool_space``."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t i j d"]:
        return repeat(x, "b t h w d -> b t (h i) (w j) d", i=2, j=2)


@final
class RepeatTime(Block):
    """Each token but the first twice over time: the way back from ``pool_time``."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b s h w d"]:
        return torch.cat([x[:, :1], x[:, 1:].repeat_interleave(2, dim=1)], dim=1)


BLOCKS: Registry[Block] = Registry(
    "block",
    usual="transformer",
    transformer=Transformer,
    norm=Norm,
    pool_space=PoolSpace,
    pool_time=PoolTime,
    repeat_space=RepeatSpace,
    repeat_time=RepeatTime,
)
BlockPart = Annotated[Callable[..., Block], BLOCKS]
