"""Blocks of a trunk: every block takes tokens [b t h w d] and gives tokens of the same width."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import ClassVar, final

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from omnitok.attention import Attention, AttentionPart, Past
from omnitok.attention.full import FullAttention
from omnitok.model.contract import BEGUN
from omnitok.model.gated import geglu
from omnitok.model.peg import NoPeg, PegPart
from omnitok.spec import Count, Positive

APART = {"space": (0, 1), "time": (0, 2, 3), "both": (0,)}  # the axes along which what it mixes leaves places alone


def later(work: Callable[[Tensor], Tensor], x: Tensor, axis: int = 1) -> Tensor:
    """``work`` of frames that are not the first, where it treats the first apart and each of the rest for itself."""
    made = work(torch.cat([x.narrow(axis, 0, 1), x], dim=axis))
    return made.narrow(axis, 1, made.shape[axis] - 1)


class GatedFeedForward(nn.Module):
    """GEGLU (Shazeer 2020, arXiv:2002.05202): at multiplier 4 as many weights as a plain network of width 4 d."""

    def __init__(self, dim: int, multiplier: float) -> None:
        super().__init__()
        inner = int(multiplier * dim * 2 / 3)
        self.norm = nn.LayerNorm(dim)
        self.enter = nn.Linear(dim, 2 * inner, bias=False)
        self.leave = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return in_pieces(self._within, x, tuple(range(x.ndim - 1)))

    def _within(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return geglu(self.norm(x), self.enter.weight, self.leave.weight)


PIECE = 1024  # tokens that pass at once where no gradient is wanted: what is between then stays in a CPU's cache
PIECE_ELSEWHERE = 2**17  # where there is no such cache; a GPU takes 2 to 6 times as long at 1024 (measured)


def in_pieces(work: Callable[[Tensor], Tensor], x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """``work(x)``, where work treats the places along ``axes`` each for itself: a piece at a time where nobody wants a
    gradient, so that memory does not grow with the clip."""
    most = PIECE if x.is_cpu else PIECE_ELSEWHERE
    if torch.is_grad_enabled() or x.is_meta or x.numel() // x.shape[-1] <= most:
        return work(x)
    made: Tensor | None = None
    for place in _cuts(x.shape, axes, most):
        done = work(x[place])
        made = x.new_empty(x.shape, dtype=done.dtype) if made is None else made
        made[place] = done
    assert made is not None
    return made


def _cuts(shape: torch.Size, axes: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Slices along ``axes``, the first cut first, of at most so many tokens where one place has no more."""
    place = [slice(None)] * len(shape)
    tokens = math.prod(shape[:-1])
    for axis in axes:
        tokens //= shape[axis]
        if tokens <= most or axis == axes[-1]:
            break
    outer = axes[: axes.index(axis)]
    step = max(1, most // max(tokens, 1))
    for indices in itertools.product(*(range(shape[a]) for a in outer)):
        for a, index in zip(outer, indices, strict=True):
            place[a] = slice(index, index + 1)
        for start in range(0, shape[axis], step):
            place[axis] = slice(start, start + step)
            yield tuple(place)


class Block(nn.Module):
    """``Component(dim, *, ...)``. ``multiple``: what both sides of the grid that comes in must be a multiple of.
    ``shortens``: how many tokens over time, after the first, become one. ``shrinks``, ``grows``: how many times smaller,
    larger the sides of the grid that goes out are."""

    version: ClassVar[int] = 1
    multiple: int = 1
    shortens: int = 1
    shrinks: int = 1
    grows: int = 1

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b s i j d"], Past]:
        """The same for the frames that come after those that ``past`` is of; () is the beginning.

        Raises ValueError where the block would have to see what comes later."""
        return self(x), ()


def extended(parts: nn.ModuleList, x: Tensor, past: Past) -> tuple[Tensor, Past]:
    """``extend`` of blocks or layers, one after another."""
    found = []
    for part, known in zip(parts, past or [()] * len(parts), strict=True):
        assert isinstance(part, Block | Layer)
        x, now = part.extend(x, known)
        found.append(now)
    return x, tuple(found)


def _added(x: Tensor, made: Tensor) -> Tensor:
    """x + made; where no gradient is wanted, in the place of what was made."""
    if torch.is_grad_enabled() or made.dtype != x.dtype or not made.is_contiguous():
        return x + made
    return made.add_(x)


class Layer(nn.Module):
    """peg(x), then x + attention(x), then x + feed_forward(x)."""

    def __init__(self, dim: int, attention: AttentionPart, peg: PegPart, feed_forward: float) -> None:
        super().__init__()
        self.attention: Attention = attention(dim)
        self.peg = peg(dim, self.attention.mixes)
        self.feed_forward = GatedFeedForward(dim, feed_forward)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        x = self.peg(x)
        return self._rest(x, in_pieces(self.attention, x, APART[self.attention.mixes]))

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        at_peg, at_attention = past or ((), ())
        x, at_peg = self.peg.extend(x, at_peg)
        if self.attention.mixes == "space":
            return self._rest(x, in_pieces(self.attention, x, APART["space"])), (at_peg, ())
        added, at_attention = self.attention.extend(x, at_attention)
        return self._rest(x, added), (at_peg, at_attention)

    def _rest(self, x: Float[Tensor, "b t h w d"], mixed: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        x = _added(x, mixed)
        return _added(x, self.feed_forward(x))


@final
class Transformer(Block):
    """Layers of attention and gated feed-forward networks, one after another. ``recompute``, a resource, has what is
    inside a layer computed anew when gradients are, instead of being kept.

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
        self.layers = nn.ModuleList(layers)
        self.multiple = layers[0].attention.multiple
        self.recompute = False

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.recompute and torch.is_grad_enabled() else layer(x)
        return x

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        return extended(self.layers, x, past)


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

    multiple = shrinks = 2

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t i j d"]:
        if x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(f"a latent grid of {x.shape[2]} x {x.shape[3]} cannot be pooled in squares of 2 x 2")
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

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b s h w d"], Past]:
        return later(self, x) if past else self(x), BEGUN


@final
class RepeatSpace(Block):
    """Each token 2 x 2 times: the way back from ``pool_space``."""

    grows = 2

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

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b s h w d"], Past]:
        return later(self, x) if past else self(x), BEGUN
