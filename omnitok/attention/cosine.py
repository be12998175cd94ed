"""Attention on l2-normalised queries and keys, as OmniTokenizer has it in its plain blocks (arXiv:2406.09399)."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention.backends import mixed
from omnitok.attention.contract import Attention, Mixes, Past
from omnitok.attention.frames import OverFrames
from omnitok.attention.grid import OVER_SPACE, OVER_TIME, Extent, Grid
from omnitok.attention.places import NoPlaces, Places, PlacesPart
from omnitok.spec import Count

SCALE = 8.0  # of the cosine, constant; the learned gains of queries and keys do the rest


class CosineHeads(nn.Module):
    """softmax(8 q k + bias) v within sequences of n tokens; q and k have unit length times a learned gain a feature.

    ``from_residual``: keys and values come from the residual stream as it is, not normalised, as published.
    """

    def __init__(
        self, dim: int, heads: int, dim_head: int, places: PlacesPart, *, extent: Extent, from_residual: bool
    ) -> None:
        super().__init__()
        self.heads, self.from_residual = heads, from_residual
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, dim, bias=False)
        self.gains = Gains(dim_head)
        self.places: Places = places(dim, heads, extent)

    def forward(self, x: Float[Tensor, "s n d"], at: Grid) -> Float[Tensor, "s n d"]:
        """The tokens of a sequence stand ``at`` a grid."""
        q, k, v = self.split(x, at)
        return self.joined(mixed(q, k, v, self.places.bias(at, at, q.device), scale=SCALE))

    def split(
        self, x: Float[Tensor, "s n d"], at: Grid
    ) -> tuple[Float[Tensor, "s heads n e"], Float[Tensor, "s heads n e"], Float[Tensor, "s heads n e"]]:
        """Queries, keys and values, turned."""
        normalised = self.norm(x)
        source = x if self.from_residual else normalised
        k, v = rearrange(self.to_kv(source), "s n (two heads e) -> two s heads n e", two=2, heads=self.heads)
        q = rearrange(self.to_q(normalised), "s n (heads e) -> s heads n e", heads=self.heads)
        q, k = self.gains(self.places.turn(q, at), self.places.turn(k, at))
        return q, k, v

    def joined(self, x: Float[Tensor, "s heads n e"]) -> Float[Tensor, "s n d"]:
        return self.out(rearrange(x, "s heads n e -> s n (heads e)"))


class Gains(nn.Module):
    """Unit length, then a learned gain for each feature of a head, shared by the heads."""

    def __init__(self, dim_head: int) -> None:
        super().__init__()
        self.q, self.k = nn.Parameter(torch.empty(dim_head)), nn.Parameter(torch.empty(dim_head))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.q)
        nn.init.ones_(self.k)

    def forward(
        self, q: Float[Tensor, "s heads n e"], k: Float[Tensor, "s heads n e"]
    ) -> tuple[Float[Tensor, "s heads n e"], Float[Tensor, "s heads n e"]]:
        return (F.normalize(q, dim=-1) * self.q).to(q.dtype), (F.normalize(k, dim=-1) * self.k).to(k.dtype)


class _Spatial(Attention):
    mixes: ClassVar[Mixes] = "space"
    within: CosineHeads

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        frames = rearrange(x, "b t h w d -> (b t) (h w) d")
        return rearrange(self.within(frames, Grid(1, h, w)), "(b t) (h w) d -> b t h w d", b=b, h=h)


class _Temporal(OverFrames):
    mixes: ClassVar[Mixes] = "time"
    within: CosineHeads

    def _extend(self, x: Float[Tensor, "b t h w d"], past: Past | None) -> tuple[Float[Tensor, "b t h w d"], Past]:
        b, t, h, _, _ = x.shape
        at = self._grid(past, t)
        sequences = rearrange(
            x, "b t h w d -> (b h w) t d"
        ).contiguous()  # else a product copies its weights a sequence
        seen, past = self._over_frames(self.within.split(sequences, at), at, past, self.within.places, SCALE)
        return rearrange(self.within.joined(seen), "(b h w) t d -> b t h w d", b=b, h=h), past


@final
class CosineAttention(_Spatial):
    """All tokens of one frame, by the cosine of queries and keys.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    """

    def __init__(self, dim: int, *, heads: Count = 8, dim_head: Count = 64, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        self.within = CosineHeads(dim, heads, dim_head, places, extent=OVER_SPACE, from_residual=False)


@final
class PublishedCosineAttention(_Spatial):
    """As published: keys and values from the residual stream as it is; square grids only.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    """

    known_defects: ClassVar[tuple[str, ...]] = (
        "keys and values from the un-normalised residual",
        "non-square inputs refused",
    )

    def __init__(self, dim: int, *, heads: Count = 8, dim_head: Count = 64, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        self.within = CosineHeads(dim, heads, dim_head, places, extent=OVER_SPACE, from_residual=True)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        if x.shape[2] != x.shape[3]:
            raise ValueError(f"as published, the latent grid must be square, and it is {x.shape[2]} x {x.shape[3]}")
        return super().forward(x)


@final
class TemporalCosineAttention(_Temporal):
    """Every place of the frame over time, by the cosine of queries and keys.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    causal: whether a frame sees only itself and what came before.
    context: how many latent frames a causal frame looks at, itself included; null is all, and then memory grows with a
        clip.
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: Count = 8,
        dim_head: Count = 64,
        places: PlacesPart = NoPlaces,
        causal: bool = True,
        context: Count | None = None,
    ) -> None:
        super().__init__()
        if context is not None and not causal:
            raise ValueError(f"context={context} is of a causal attention, and causal is false")
        self.causal, self.context = causal, context
        self.within = CosineHeads(dim, heads, dim_head, places, extent=OVER_TIME, from_residual=False)


@final
class PublishedTemporalCosineAttention(_Temporal):
    """As published: keys and values from the residual stream as it is.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    causal: whether a frame sees only itself and what came before.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("keys and values from the un-normalised residual",)

    def __init__(
        self,
        dim: int,
        *,
        heads: Count = 8,
        dim_head: Count = 64,
        places: PlacesPart = NoPlaces,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.within = CosineHeads(dim, heads, dim_head, places, extent=OVER_TIME, from_residual=True)
