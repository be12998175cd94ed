"""What every quantizer promises."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Quantized(NamedTuple):
    """What came through the bottleneck: latents for the decoder, the codes that name them, a scalar loss."""

    latents: Float[Tensor, "b t h w z"]
    codes: Int[Tensor, "b t h w q"]  # q codes a position; q = 0 where nothing is discrete
    loss: Float[Tensor, ""]


class Quantizer(nn.Module, ABC):
    """Encoder output -> latents that a decoder can be given, and the codes that name them. ``Component(*, ...)``.

    It says how wide it wants its input (``in_channels``) and how wide its latents are (``channels``, z); the
    projections to and from the trunk's width are its parent's. In eval mode ``decode(codes) == latents`` wherever
    there are codes. In training each forward updates a codebook at most once, from the batch of all processes together.
    ``known_defects``: what a published component does wrong, on purpose.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    in_channels: int
    channels: int
    codebook_sizes: tuple[int, ...]  # how many values each of the q codes may have
    rates: tuple[float, ...] = ()  # how many of each code there are a position; () is one of each

    @property
    def bits_per_token(self) -> float:
        """What is spent on a position of the latent grid: the sum of log2 of the codes' sizes, each by its rate."""
        rates = self.rates or (1.0,) * len(self.codebook_sizes)
        return sum((rate * math.log2(size) for size, rate in zip(self.codebook_sizes, rates, strict=True)), 0.0)

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """Choices that spend ``bits`` a token, as a file would say them, the usual one first; () where none do."""
        return ()

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t h w i"], draw: torch.Generator | None = None) -> Quantized:
        """``draw``: where random numbers come from, the same in every process; without one nothing is random (a mean,
        no restarts)."""

    @abstractmethod
    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        """Codes -> latents. Raises ValueError where there are no codebooks."""


def precise(x: Tensor) -> AbstractContextManager[object]:
    """Numbers as wide as the parameters' also under autocast: half of their digits would choose other codes."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def straight_through(x: Tensor, chosen: Tensor) -> Tensor:
    """``chosen`` forwards, the gradient of ``x`` backwards (Bengio et al. 2013, arXiv:1308.3432)."""
    return x + (chosen - x).detach()
