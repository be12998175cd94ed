"""What every discriminator promises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Judged(NamedTuple):
    """How real each patch looks, and what the layers on the way there saw, first to last."""

    logits: Float[Tensor, "..."]
    features: tuple[Tensor, ...]


class Discriminator(nn.Module, ABC):
    """A clip in [-1, 1] -> logits, larger where it looks real. ``Component(*, ...)``.

    ``sees``: one that sees images judges every frame for itself; one that sees videos judges the clip as a whole.
    Statistics over the batch are over the batch of all processes together.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    sees: ClassVar[Literal["image", "video"]]

    @abstractmethod
    def forward(self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None) -> Judged:
        """``draw``: where random numbers come from; without one nothing is random."""
