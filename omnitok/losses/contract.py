"""What every loss promises."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.schedules.curves import constant


class Loss(nn.Module, ABC):
    """(reconstruction, original) -> a finite scalar, weighted. ``Component(*, ...)``; zero at identity.

    ``curve``: (step, total) -> the part of its weight that counts then; a step asks for it and leaves out what is nothing.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str]  # its name in records: "train/<label>"
    curve: Callable[..., float] = staticmethod(constant)

    def ready(self) -> None:
        """Raises where something that it needs is not installed; looks at files alone."""

    @abstractmethod
    def forward(
        self,
        reconstruction: Float[Tensor, "b c T H W"],
        original: Float[Tensor, "b c T H W"],
        draw: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """``draw``: where random choices come from, such as which frame is looked at; without one nothing is random."""
