"""The distance between pictures as a network sees them."""

from collections.abc import Callable
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.losses.contract import Loss
from omnitok.networks import lpips, weights
from omnitok.processes import share, world
from omnitok.schedules import CurvePart
from omnitok.schedules.curves import constant
from omnitok.spec import Weight

Frames = Literal["one", "all"]


class _PerceptualLoss(Loss):
    """LPIPS of frames. The network is every loss's of this process and none of its modules: it is read at the first use,
    lies where the clips are, and is in no checkpoint."""

    label: ClassVar[str] = "lpips"
    gain: ClassVar[float]  # what pixels in [-1, 1] are multiplied by on their way into the network

    def __init__(self, network: lpips.Network, weight: float, frames: Frames, curve: Callable[..., float]) -> None:
        super().__init__()
        self.network, self.weight, self.frames, self.curve = network, weight, frames, curve

    def ready(self) -> None:
        """Raises WeightsError."""
        try:
            weights.locate(lpips.BACKBONES[self.network].weights)
        except weights.WeightsError as error:
            raise type(error)(f"losses need {error}") from None

    def forward(
        self,
        reconstruction: Float[Tensor, "b c T H W"],
        original: Float[Tensor, "b c T H W"],
        draw: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        made, real = self._pictures(reconstruction, original, draw)
        network = lpips.pretrained(self.network, made.device)
        return self.weight * network(self.gain * made, self.gain * real).mean()

    def _pictures(self, made: Tensor, real: Tensor, draw: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """[b c T H W] -> [n c H W]: the same frames of both."""
        if self.frames == "all":
            return made.transpose(1, 2).flatten(0, 1), real.transpose(1, 2).flatten(0, 1)
        samples, length = made.shape[0], made.shape[2]
        at = torch.zeros(samples, dtype=torch.long)
        if draw is not None:
            at = share(torch.randint(length, (samples * world(),), generator=draw))
        which = torch.arange(samples, device=made.device), slice(None), at.to(made.device)
        return made[which], real[which]


@final
class PerceptualDistance(_PerceptualLoss):
    """LPIPS with the published heads (arXiv:1801.03924): the distance of deep features, which sees blur that pixels
    forgive.

    network: whose features; vgg is what tokenizers are trained with, alex is cheaper and what is mostly reported.
    weight: how much it counts in the sum.
    frames: one: a random frame of each clip, as in OmniTokenizer (arXiv:2406.09399); all: every frame, at their cost.
    curve: how large a part of its weight counts, over the steps; one that is delayed costs nothing before.
    """

    gain: ClassVar[float] = 1.0

    def __init__(
        self,
        *,
        network: lpips.Network = "vgg",
        weight: Weight = 1.0,
        frames: Frames = "one",
        curve: CurvePart = constant,
    ) -> None:
        super().__init__(network, weight, frames, curve)


@final
class PublishedPerceptualDistance(_PerceptualLoss):
    """As published: LPIPS (arXiv:1801.03924) is given pixels in [-0.5, 0.5] where it expects [-1, 1], so that it sees
    pictures of half the contrast (arXiv:2406.09399, its code).

    network: whose features; vgg is what tokenizers are trained with, alex is cheaper and what is mostly reported.
    weight: how much it counts in the sum.
    frames: one: a random frame of each clip, as in OmniTokenizer (arXiv:2406.09399); all: every frame, at their cost.
    curve: how large a part of its weight counts, over the steps; one that is delayed costs nothing before.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("LPIPS fed the wrong range",)
    gain: ClassVar[float] = 0.5

    def __init__(
        self,
        *,
        network: lpips.Network = "vgg",
        weight: Weight = 1.0,
        frames: Frames = "one",
        curve: CurvePart = constant,
    ) -> None:
        super().__init__(network, weight, frames, curve)
