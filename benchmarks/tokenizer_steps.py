"""Training steps of tokenizers of the paper's size: the published one, and ours with the same terms."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.measure import seconds
from benchmarks.published import LPIPS, PatchDiscriminator, PublishedStep, PublishedTokenizer
from omnitok.discriminators import DISCRIMINATORS
from omnitok.losses import Loss
from omnitok.losses.pixels import AbsoluteError
from omnitok.model import Tokenizer
from omnitok.networks.lpips import Lpips
from omnitok.randomness import generator
from omnitok.training.adversary import ADVERSARIES, one_frame
from omnitok.training.optimizers import adam
from omnitok.training.step import STEPS, Batch, Learner, Precision

LR = 5e-5


class _Perceptual(Loss):
    """LPIPS of one frame, by random weights: they cost the same."""

    label: ClassVar[str] = "lpips"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Lpips("vgg")

    def forward(self, reconstruction: Tensor, original: Tensor, draw: torch.Generator | None = None) -> Tensor:
        assert draw is not None
        real, made = one_frame(original, reconstruction, draw)
        return 4.0 * self.network(made[:, :, 0], real[:, :, 0]).mean()


def steps(
    theirs: PublishedTokenizer, mine: Mapping[str, Tokenizer], clip: Tensor, repeats: int, width: int
) -> dict[str, list[float]]:
    """Seconds of the published step and of ours with each of the tokenizers, all in turn. An image is judged by the
    discriminator of images, a clip by that of videos, in both."""
    calls = learning(theirs, mine, clip, width)
    for call in calls.values():
        call()
    taken = [{name: seconds(call) for name, call in calls.items()} for _ in range(repeats)]
    return {name: [one[name] for one in taken] for name in calls}


def learning(
    theirs: PublishedTokenizer,
    mine: Mapping[str, Tokenizer],
    clip: Tensor,
    width: int,
    precision: Precision = "float32",
) -> dict[str, Callable[[], object]]:
    """The same steps as calls, where the clip is. ``precision``: of our large products, and of all theirs under autocast."""
    torch.manual_seed(0)
    judge = PatchDiscriminator(2 if clip.shape[2] == 1 else 3, width, noise=True).to(clip.device)
    published = PublishedStep(theirs, judge, LPIPS().to(clip.device), lr=LR)

    def autocast() -> object:
        with torch.autocast(clip.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return published(clip / 2)

    calls: dict[str, Callable[[], object]] = {"published": autocast}
    return calls | {name: _ours(tokenizer, clip, width, precision) for name, tokenizer in mine.items()}


def _ours(tokenizer: Tokenizer, clip: Tensor, width: int, precision: Precision) -> Callable[[], object]:
    kinds = ("image", "video")
    judges = {kind: partial(DISCRIMINATORS.components[f"patch_{kind}"], channels=width) for kind in kinds}
    weights = {"image_weight": 0.01 if clip.shape[2] == 1 else 0.0, "video_weight": 0.01}
    adversary = ADVERSARIES.components["patch_gan"](**judges, **weights, optimizer=partial(adam, lr=0.1 * LR))
    adversary = adversary.to(clip.device)
    adversary.begin(0)
    optimizer = adam(tokenizer.parameters(), lr=LR)

    def update() -> dict[str, float]:
        nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return {}

    losses: list[Any] = [AbsoluteError(weight=2.0), _Perceptual().to(clip.device)]
    learner = Learner(tokenizer.train(), losses, adversary, update, lambda: adversary.update(0, 1))
    step = STEPS.components["shared"](precision=precision)
    batch = Batch(clip, (1.0,), lambda purpose: generator(0, purpose))
    return lambda: step(learner, 0, [batch])
