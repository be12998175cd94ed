"""What a tokenizer has to beat: reconstructions that anybody could make without training."""

from typing import ClassVar, final

import torch
from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.spec import Count


class Baseline(Reconstructor):
    """A reconstructor with nothing to train but the mean colour [c] of the training set, given by ``fit``.

    ``fits``: whether it has that; what was made elsewhere is left as it is."""

    version: ClassVar[int] = 1
    fits: ClassVar[bool] = True
    colour: Float[Tensor, " c"]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("colour", torch.zeros(3))

    @property
    def codec(self) -> Reconstructor:
        """What is evaluated."""
        return self

    def fit(self, colour: Float[Tensor, " c"]) -> None:
        self.colour.copy_(colour)

    def take(self) -> None:
        """Load what was made elsewhere, for a baseline that does not fit."""


def _without_codes(clip: Tensor) -> Reconstruction:
    return Reconstruction(clip, torch.empty((*clip.shape[:1], 1, 1, 1, 0), dtype=torch.long))


@final
class MeanColour(Baseline):
    """Every pixel is the mean colour of the training set: what one learns without looking."""

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        return _without_codes(self.colour.view(1, -1, 1, 1, 1).expand(clip.shape))


@final
class PatchMean(Baseline):
    """Every patch of every frame is its own mean colour, kept exactly: three real numbers a patch.

    patch: side of a patch in pixels; must divide the frame; smaller keeps more.
    """

    def __init__(self, *, patch: Count = 8) -> None:
        super().__init__()
        self.patch = self.multiple = patch

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        p = self.patch
        if clip.shape[-2] % p or clip.shape[-1] % p:
            raise ValueError(f"patch={p} must divide the frame, which is {clip.shape[-2]} x {clip.shape[-1]}")
        means = reduce(clip, "b c t (h i) (w j) -> b c t h w", "mean", i=p, j=p)
        return _without_codes(repeat(means, "b c t h w -> b c t (h i) (w j)", i=p, j=p))
