"""What every attention promises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class Attention(nn.Module, ABC):
    """The residual stream -> what is to be added to it. ``Component(dim, *, ...)``; normalises for itself.

    An attention over space never looks into another frame; one over time never looks at another place, and a causal
    one never at a later frame, not by one bit. Samples are independent. Raises ValueError where ``heads`` does not
    divide ``dim``, or the grid does not fit. ``known_defects``: what a published component does wrong, on purpose.
    """

    version: ClassVar[int] = 2
    known_defects: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[Literal["space", "time"]]
    causal: bool = False
    multiple: int = 1  # what both sides of the latent grid must be a multiple of

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]: ...


class Heads(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) within sequences of n normalised tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide the width, which is dim={dim}")
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "s n d"], bias: Float[Tensor, "heads n n"] | None = None, causal: bool = False
    ) -> Float[Tensor, "s n d"]:
        qkv = self.qkv(self.norm(x))
        q, k, v = rearrange(qkv, "s n (three heads d) -> three s heads n d", three=3, heads=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)
        return self.out(rearrange(mixed, "s heads n d -> s n (heads d)"))
