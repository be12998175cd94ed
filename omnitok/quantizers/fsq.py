"""Finite scalar quantization: round each channel to a few levels."""

import math
from typing import Annotated, final

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from omnitok.quantizers.contract import Quantized, Quantizer, straight_through

MOST = 2**31 - 1  # codes of one codebook
Levels = Annotated[int, Field(ge=2, le=256)]


@final
class FiniteScalarQuantizer(Quantizer):
    """Each channel is bounded by tanh and rounded; nothing is learned or lost (Mentzer et al. 2023, arXiv:2309.15505).

    levels: how many values each channel may take; the codebook's size is their product.
    """

    counts: Float[Tensor, " z"]
    strides: Int[Tensor, " z"]

    def __init__(self, *, levels: tuple[Levels, ...] = (8, 5, 5, 5)) -> None:
        super().__init__()
        if not levels:
            raise ValueError("levels=() must name at least one channel")
        if math.prod(levels) > MOST:
            raise ValueError(f"levels={levels} name {math.prod(levels)} codes; there may be {MOST}")
        self.in_channels = self.channels = len(levels)
        self.codebook_sizes = (math.prod(levels),)
        self.register_buffer("counts", torch.tensor(levels, dtype=torch.float32), persistent=False)
        self.register_buffer("strides", torch.tensor([1, *levels[:-1]]).cumprod(0), persistent=False)

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        bounded = self._bounded(x)
        whole = bounded.round()
        codes = ((whole + self.counts // 2).long() * self.strides).sum(-1, keepdim=True)
        return Quantized(straight_through(bounded, whole) / (self.counts // 2), codes, x.new_zeros(()))

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        half = self.counts // 2
        digits = (codes // self.strides) % self.counts.long()
        return (digits - half) / half

    def _bounded(self, x: Tensor) -> Tensor:
        """Into the open interval whose roundings are the levels; an even count is shifted by a half (their eq. 2)."""
        half = (self.counts - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.counts % 2 == 0, 0.5, 0.0)
        return (x + (offset / half).atanh()).tanh() * half - offset
