"""Finite scalar quantization: round each channel to a few levels."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, final

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from omnitok.quantizers.contract import Quantized, straight_through
from omnitok.quantizers.nested import Nested

MOST = 2**31 - 1  # codes of one codebook
Levels = Annotated[int, Field(ge=2, le=256)]


@final
class FiniteScalarQuantizer(Nested):
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

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """Channels of 4, 8 and 16 levels, whose product is exact; the paper's (7, 5, 5, 5, 5) and their like are not. First
        as many of 8 as leave a whole number of 4, which is nearest to the paper's width; then the fewer channels first.
        """
        if not 2 <= bits < 31:
            return ()
        found = [
            (16,) * wide + (8,) * usual + (4,) * (rest // 2)
            for wide in range(bits // 4 + 1)
            for usual in range((bits - 4 * wide) // 3 + 1)
            if (rest := bits - 4 * wide - 3 * usual) % 2 == 0
        ]
        found.sort(key=lambda levels: (16 in levels or levels.count(4) > 2, len(levels), levels))
        return tuple({"levels": list(levels)} for levels in found)

    @property
    def ratio(self) -> Float[Tensor, " z"]:
        return 1 / self.counts

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        bounded = self._bounded(x)
        whole = bounded.detach().round()
        half = self.counts // 2
        return Quantized(straight_through(bounded, whole) / half, self._codes(whole, half), x.new_zeros(()))

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        half = self.counts // 2
        digits = (codes // self.strides) % self.counts.long()
        return (digits - half) / half

    def begin(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        """To the edges of the outer levels' cells, so that no part of any remainder's range is out of reach."""
        edge = self.counts / (self.counts // 2) / 2
        return (x / edge).tanh() * edge

    def remainder(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        half = self.counts // 2
        whole = (x.detach() - self._centre).mul_(half).round_().clamp_(-half, self.counts - 1 - half)
        return Quantized(straight_through(x, whole / half + self._centre), self._codes(whole, half), x.new_zeros(()))

    def restored(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        return self.decode(codes) + self._centre

    @property
    def _centre(self) -> Float[Tensor, " z"]:
        """How far an even number of levels lies below zero on average: a remainder's are put around it."""
        return (self.counts % 2 == 0) / self.counts

    def _codes(self, whole: Float[Tensor, "b t h w z"], half: Float[Tensor, " z"]) -> Int[Tensor, "b t h w q"]:
        return (whole.long() * self.strides).sum(-1, keepdim=True) + (half.long() * self.strides).sum()

    def _bounded(self, x: Tensor) -> Tensor:
        """Into the open interval whose roundings are the levels; an even count is shifted by a half (their eq. 2)."""
        half = (self.counts - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.counts % 2 == 0, 0.5, 0.0)
        return (x + (offset / half).atanh()).tanh() * half - offset
