"""Distances between pixels."""

from typing import ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.losses.contract import Loss
from omnitok.schedules import CurvePart
from omnitok.schedules.curves import constant
from omnitok.spec import Weight


@final
class AbsoluteError(Loss):
    """Mean absolute error of pixels in [-1, 1] (the reconstruction loss of OmniTokenizer's code, arXiv:2406.09399).

    weight: how much it counts in the sum.
    curve: how large a part of its weight counts, over the steps; one that is delayed costs nothing before.
    """

    label: ClassVar[str] = "l1"

    def __init__(self, *, weight: Weight = 1.0, curve: CurvePart = constant) -> None:
        super().__init__()
        self.weight, self.curve = weight, curve

    def forward(
        self,
        reconstruction: Float[Tensor, "b c T H W"],
        original: Float[Tensor, "b c T H W"],
        draw: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        return self.weight * F.l1_loss(reconstruction, original.detach())


@final
class SquaredError(Loss):
    """Mean squared error of pixels in [-1, 1] (the reconstruction loss of OmniTokenizer's paper, arXiv:2406.09399).

    weight: how much it counts in the sum.
    curve: how large a part of its weight counts, over the steps; one that is delayed costs nothing before.
    """

    label: ClassVar[str] = "l2"

    def __init__(self, *, weight: Weight = 1.0, curve: CurvePart = constant) -> None:
        super().__init__()
        self.weight, self.curve = weight, curve

    def forward(
        self,
        reconstruction: Float[Tensor, "b c T H W"],
        original: Float[Tensor, "b c T H W"],
        draw: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        return self.weight * F.mse_loss(reconstruction, original.detach())
