"""What everything that is evaluated promises."""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Reconstruction(NamedTuple):
    """A clip come back through a bottleneck, and the codes that it took."""

    clip: Float[Tensor, "b c T H W"]
    codes: Int[Tensor, "b t h w q"]


class Reconstructor(nn.Module, ABC):
    """A clip in [-1, 1] -> its reconstruction, of the same shape."""

    codebook_sizes: tuple[int, ...] = ()
    multiple: int = 1  # what both sides of a frame must be a multiple of, in pixels
    frame_step: int = 1  # a clip has one frame more than a multiple of this

    bits_per_token: float = 0.0  # what is spent on a position of the latent grid; 0 where nothing is discrete

    @abstractmethod
    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction: ...

    def probe(self, frames: int, resolution: int) -> int:
        """Pass a square clip of no content through a model on the meta device. -> tokens a clip.

        Raises ValueError with both numbers where something does not fit."""
        clip = torch.empty(1, 3, frames, resolution, resolution, device="meta")
        back, codes = self.reconstruct(clip)
        if back.shape != clip.shape:
            raise ValueError(f"the model gives back {tuple(back.shape)} for {tuple(clip.shape)}")
        return math.prod(codes.shape[1:-1])


Inflation = Literal["average", "first"]


class Inflatable(nn.Module, ABC):
    """A module whose weights for clips can be made from its weights for images, when a stage of images hands over."""

    @abstractmethod
    def inflate(self, how: Inflation = "average") -> None:
        """Overwrite what only clips use by what images have taught: a kernel shared out over the frames of a patch, or
        put at the first of them. Either way a still clip then embeds as its picture, and its picture gives it back."""
