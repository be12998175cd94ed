"""A frame as a row of latent tokens that no place owns (TiTok, arXiv:2406.07550): all frames alike, each for itself."""

import math
from functools import partial
from typing import final

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention.full import FullAttention
from omnitok.model.block import Block, Transformer
from omnitok.spec import Count, Positive

Grid = tuple[Count, Count]
GRID = (16, 16)  # 256 x 256 pixels in patches of 16, as in the paper


class _Learned(nn.Module):
    """So many tokens of their own."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.empty(tokens, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.values, std=self.values.shape[1] ** -0.5)

    def beside(self, like: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t 1 n d"]:
        """The same in every frame; no ``forward``, as its hooks cannot take what has neither gradient nor history."""
        return self.values.to(like.dtype).expand(*like.shape[:2], 1, -1, -1)


class _Frames(Block):
    """Layers of full attention among the tokens of a frame and those that are learned; ``places`` is added to the
    former."""

    def __init__(self, dim: int, places: int, learned: int, trunk: partial[Transformer]) -> None:
        super().__init__()
        self.places, self.learned = _Learned(places, dim), _Learned(learned, dim)
        self.layers = trunk(dim)

    def _filled(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t 1 n d"]:
        """The learned tokens after the layers."""
        given = rearrange(x, "b t h w d -> b t 1 (h w) d")
        mixed: Tensor = self.layers(torch.cat([given + self.places.beside(x), self.learned.beside(x)], dim=3))
        return mixed[:, :, :, given.shape[3] :]


def _trunk(heads: int, depth: int, feed_forward: float) -> partial[Transformer]:
    return partial(Transformer, attention=partial(FullAttention, heads=heads), depth=depth, feed_forward=feed_forward)


@final
class LatentQueries(_Frames):
    """For the encoder: learned queries go through layers of full attention together with the tokens of a frame, and only
    they go on, as a grid of one row (TiTok, arXiv:2406.07550).

    grid: rows and columns of the tokens that come, each with a position of its own; no other grid is taken.
    queries: tokens that go on; larger keeps more.
    heads: of the attention; must divide the width.
    depth: how many layers; larger costs more.
    feed_forward: width of the feed-forward networks as a multiple of dim, counted as GEGLU counts.
    """

    def __init__(
        self,
        dim: int,
        *,
        grid: Grid = GRID,
        queries: Count = 32,
        heads: Count = 4,
        depth: Count = 1,
        feed_forward: Positive = 4.0,
    ) -> None:
        super().__init__(dim, math.prod(grid), queries, _trunk(heads, depth, feed_forward))
        self.grid = grid
        self.multiple = self.shrinks = math.gcd(*grid)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t 1 k d"]:
        if tuple(x.shape[2:4]) != tuple(self.grid):
            raise ValueError(f"grid={list(self.grid)} must be that of the tokens, which is {x.shape[2]} x {x.shape[3]}")
        return self._filled(x)


@final
class FromQueries(_Frames):
    """For the decoder: tokens that are learned, one a place, go through layers of full attention together with those
    that ``latent_queries`` made, and only they go on (TiTok, arXiv:2406.07550).

    grid: rows and columns of the tokens that go on.
    queries: tokens that come, each with a position of its own; no other number is taken.
    heads: of the attention; must divide the width.
    depth: how many layers; larger costs more.
    feed_forward: width of the feed-forward networks as a multiple of dim, counted as GEGLU counts.
    """

    def __init__(
        self,
        dim: int,
        *,
        grid: Grid = GRID,
        queries: Count = 32,
        heads: Count = 4,
        depth: Count = 1,
        feed_forward: Positive = 4.0,
    ) -> None:
        super().__init__(dim, queries, math.prod(grid), _trunk(heads, depth, feed_forward))
        self.grid, self.queries = grid, queries
        self.grows = math.gcd(*grid)

    def forward(self, x: Float[Tensor, "b t 1 k d"]) -> Float[Tensor, "b t h w d"]:
        if tuple(x.shape[2:4]) != (1, self.queries):
            raise ValueError(
                f"queries={self.queries} must be the tokens in one row, and they are {x.shape[2]} x {x.shape[3]}"
            )
        return rearrange(self._filled(x), "b t 1 (h w) d -> b t h w d", h=self.grid[0])
