"""Quantizers of fixed values, used again on what they left over."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.quantizers.contract import Quantized, Quantizer


class Nested(Quantizer):
    """A quantizer whose values do not move: what is left over of an input within its reach is smaller than that reach by
    a known ``ratio``, so a residual quantizer enlarges it by as much and quantizes it again."""

    @property
    @abstractmethod
    def ratio(self) -> Float[Tensor, " z"]:
        """What is left over, as a part of what was given; of each channel."""

    def begin(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        """What the first remainder is taken of: ``x`` where latents live."""
        return x

    def remainder(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        """As ``forward``, of what ``begin`` gave or of an enlarged remainder."""
        return self(x, draw)

    def restored(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        """The latents that ``remainder`` gave for these codes."""
        return self.decode(codes)
