"""Attention on l2-normalised queries and keys, as OmniTokenizer has it in its plain blocks (arXiv:2406.09399)."""

from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention.contract import Attention
from omnitok.attention.places import NoPlaces, Places, PlacesPart
from omnitok.spec import Count

SCALE = 8.0  # of the cosine, constant; the learned gains of queries and keys do the rest


class CosineHeads(nn.Module):
    """softmax(8 q k + bias) v within sequences of n tokens; q and k have unit length times a learned gain a feature.

    ``from_residual``: keys and values come from the residual stream as it is, not normalised, as published.
    """

    def __init__(self, dim: int, heads: int, dim_head: int, places: PlacesPart, from_residual: bool) -> None:
        super().__init__()
        self.heads, self.from_residual = heads, from_residual
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, dim, bias=False)
        self.gains = Gains(dim_head)
        self.places: Places = places(dim, heads)

    def forward(
        self, x: Float[Tensor, "s n d"], rows: int, columns: int, causal: bool = False
    ) -> Float[Tensor, "s n d"]:
        normalised = self.norm(x)
        source = x if self.from_residual else normalised
        k, v = rearrange(self.to_kv(source), "s n (two heads d) -> two s heads n d", two=2, heads=self.heads)
        q = rearrange(self.to_q(normalised), "s n (heads d) -> s heads n d", heads=self.heads)
        q, k = self.gains(self.places.turn(q, rows, columns), self.places.turn(k, rows, columns))
        bias = self.places.bias(rows, columns)
        if bias is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=SCALE)
        else:
            future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
            bias = bias.to(q).masked_fill(future, float("-inf")) if causal else bias.to(q)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=SCALE)
        return self.out(rearrange(mixed, "s heads n d -> s n (heads d)"))


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
        self, q: Float[Tensor, "s heads n d"], k: Float[Tensor, "s heads n d"]
    ) -> tuple[Float[Tensor, "s heads n d"], Float[Tensor, "s heads n d"]]:
        return F.normalize(q, dim=-1) * self.q, F.normalize(k, dim=-1) * self.k


class _Spatial(Attention):
    mixes: ClassVar[Literal["space", "time"]] = "space"
    within: CosineHeads

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, _, h, w, _ = x.shape
        frames = rearrange(x, "b t h w d -> (b t) (h w) d")
        return rearrange(self.within(frames, h, w), "(b t) (h w) d -> b t h w d", b=b, h=h)


class _Temporal(Attention):
    mixes: ClassVar[Literal["space", "time"]] = "time"
    within: CosineHeads

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        b, t, h, _, _ = x.shape
        places = rearrange(x, "b t h w d -> (b h w) t d")
        return rearrange(self.within(places, 1, t, self.causal), "(b h w) t d -> b t h w d", b=b, h=h)


@final
class CosineAttention(_Spatial):
    """All tokens of one frame, by the cosine of queries and keys.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    """

    def __init__(self, dim: int, *, heads: Count = 8, dim_head: Count = 64, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        self.within = CosineHeads(dim, heads, dim_head, places, from_residual=False)


@final
class PublishedCosineAttention(_Spatial):
    """As published: keys and values from the residual stream as it is.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("keys and values from the un-normalised residual",)

    def __init__(self, dim: int, *, heads: Count = 8, dim_head: Count = 64, places: PlacesPart = NoPlaces) -> None:
        super().__init__()
        self.within = CosineHeads(dim, heads, dim_head, places, from_residual=True)


@final
class TemporalCosineAttention(_Temporal):
    """Every place of the frame over time, by the cosine of queries and keys.

    heads: how many mixtures are made side by side.
    dim_head: width of each.
    places: how tokens know where they are.
    causal: whether a frame sees only itself and what came before.
    """

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
        self.within = CosineHeads(dim, heads, dim_head, places, from_residual=False)


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
        self.within = CosineHeads(dim, heads, dim_head, places, from_residual=True)
