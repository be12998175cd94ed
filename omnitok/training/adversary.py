"""Who judges reconstructions while they are learned: discriminators, what they ask of the tokenizer, how they learn."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from omnitok.discriminators import DiscriminatorPart, Judged, PatchImage, PatchVideo
from omnitok.losses.adversarial import feature_matching, generator_loss, hinge_discriminator, vanilla_discriminator
from omnitok.processes import average_gradients, mean_values, share, world
from omnitok.randomness import initialise
from omnitok.schedules import CurvePart
from omnitok.schedules.curves import constant, cosine
from omnitok.spec import Positive, Registry, Weight
from omnitok.training.optimizers import OptimizerPart, adam

Clip = Float[Tensor, "b c T H W"]
Draw = Callable[[str], torch.Generator]
Terms = dict[str, Tensor]
DIVERGENCES = {"hinge": hinge_discriminator, "vanilla": vanilla_discriminator}


class Pair(NamedTuple):
    """What one discriminator looks at: the same frames of both, what it made of the original, with a graph."""

    original: Clip
    reconstruction: Clip
    judged: Judged


class Adversary(nn.Module, ABC):
    """``Component(*, ...)``: first ``begin`` with a seed. Its terms are weighted scalars by label; of those for the generator
    a step takes the part that ``weight_curve`` (step, total) says.

    ``look`` judges the original once for both sides. After the backward pass of ``generator_terms`` no discriminator
    has a gradient from it, if ``freeze`` was entered; ``update`` takes one step with what there is and clears it.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    weight_curve: Callable[..., float] = staticmethod(constant)

    @property
    def curves(self) -> tuple[Callable[..., float], ...]:
        """All that it has, to be asked before anything runs."""
        return (self.weight_curve,)

    def begin(self, seed: int) -> None:
        """Draw the first weights and make the optimizer."""

    @abstractmethod
    def look(self, step: int, original: Clip, reconstruction: Clip, draw: Draw) -> dict[str, Pair]: ...

    @abstractmethod
    def generator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms: ...

    @abstractmethod
    def discriminator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms: ...

    @abstractmethod
    def update(self, step: int, total: int) -> dict[str, float]:
        """-> what there is to record: norms of gradients by name."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None: ...


@final
class NoAdversary(Adversary):
    """Nobody judges."""

    def __init__(self) -> None:
        super().__init__()

    def look(self, step: int, original: Clip, reconstruction: Clip, draw: Draw) -> dict[str, Pair]:
        return {}

    def generator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms:
        return {}

    def discriminator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms:
        return {}

    def update(self, step: int, total: int) -> dict[str, float]:
        return {}


Step = Annotated[int, Field(ge=0)]
Frames = Literal["one", "all"]
Divergence = Literal["hinge", "vanilla"]
ADAM = partial(adam, lr=1e-4)
SKIP_BELOW = 0.001  # in the authors' scripts: discriminators whose loss is smaller take no step


class PatchGan(Adversary):
    """A discriminator of images and one of videos, which judge patches and whose features are matched, from the first
    step or later (arXiv:2012.09841, arXiv:2204.03638; weights as in arXiv:2406.09399's code).

    image: the discriminator of pictures, and of single frames of clips.
    video: the discriminator of clips.
    image_weight: how much the first counts for the tokenizer; 0 leaves it out.
    video_weight: how much the second counts for the tokenizer; 0 leaves it out.
    feature_weight: how much the distance of their features counts; larger follows textures, not pixels.
    weight_curve: how large a part of the weights counts for the tokenizer, over the steps.
    divergence: what the discriminators learn by.
    frames: how many frames of a clip the discriminator of pictures sees: one at random, or all.
    begin_at: the first step with a judge; reconstructions are better then.
    optimizer: how the discriminators' gradients become steps.
    curve: their learning rate over the steps, as a part of the optimizer's.
    clip_norm: the largest norm of their gradient; what is longer is shortened.
    """

    def __init__(
        self,
        *,
        image: DiscriminatorPart = PatchImage,
        video: DiscriminatorPart = PatchVideo,
        image_weight: Weight = 0.01,
        video_weight: Weight = 0.01,
        feature_weight: Weight = 4.0,
        weight_curve: CurvePart = constant,
        divergence: Divergence = "hinge",
        frames: Frames = "one",
        begin_at: Step = 0,
        optimizer: OptimizerPart = ADAM,
        curve: CurvePart = cosine,
        clip_norm: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleDict({"image": image(), "video": video()})
        for name, made in self.discriminators.items():
            if made.sees != name:
                raise ValueError(f"{name}={type(made).__name__} judges a {made.sees}, not a {name}")
        self.weights, self.feature_weight = {"image": image_weight, "video": video_weight}, feature_weight
        self.divergence, self.every_frame = DIVERGENCES[divergence], frames == "all"
        self.begin_at, self.curve, self.clip_norm = begin_at, curve, clip_norm
        self.weight_curve = weight_curve
        self._optimizer = optimizer

    @property
    def curves(self) -> tuple[Callable[..., float], ...]:
        return self.weight_curve, self.curve

    def begin(self, seed: int) -> None:
        initialise(self.discriminators, seed)
        self.optimizer = self._optimizer(self.discriminators.parameters())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def look(self, step: int, original: Clip, reconstruction: Clip, draw: Draw) -> dict[str, Pair]:
        if step < self.begin_at:
            return {}
        found = {}
        for name, discriminator in self.discriminators.items():
            if not self.weights[name] or (name == "video" and original.shape[2] == 1):
                continue
            sides = (original, reconstruction)
            if name == "image" and not self.every_frame:
                sides = one_frame(original, reconstruction, draw("frame"))
            found[name] = Pair(*sides, discriminator(sides[0], draw(f"noise/{name}/original")))
        return found

    def generator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms:
        terms = {}
        for name, pair in pairs.items():
            judged = self.discriminators[name](pair.reconstruction, draw(f"noise/{name}/generator"))
            terms[f"gan_{name}"] = self.weights[name] * generator_loss(judged.logits)
            if self.feature_weight:
                matched = feature_matching(pair.judged.features, judged.features)
                terms[f"features_{name}"] = self.feature_weight * matched
        return terms

    def discriminator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms:
        terms = {}
        for name, pair in pairs.items():
            judged = self.discriminators[name](pair.reconstruction.detach(), draw(f"noise/{name}/discriminator"))
            terms[f"discriminator_{name}"] = self.divergence(pair.judged.logits, judged.logits)
        return terms

    def update(self, step: int, total: int) -> dict[str, float]:
        values = {}
        if step >= self.begin_at:
            average_gradients(self.discriminators.parameters())
            norm = nn.utils.clip_grad_norm_(self.discriminators.parameters(), self.clip_norm)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * self.curve(step, total)
            self.optimizer.step()
            values["discriminator_gradient_norm"] = norm.item()
        self.optimizer.zero_grad()
        return values

    def state(self) -> dict[str, Any]:
        return {"model": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.discriminators.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


@final
class PublishedPatchGan(PatchGan):
    """As published: the tokenizer's weights scale the discriminators' loss too, and both discriminators take no step
    where their loss on the last batch of a step is small (arXiv:2406.09399, its code). In its later stages that batch is of
    images, which have no weight there: the discriminators stay as they are.

    image: the discriminator of pictures, and of single frames of clips.
    video: the discriminator of clips.
    image_weight: how much the first counts, for both sides; 0 leaves it out.
    video_weight: how much the second counts, for both sides; 0 leaves it out.
    feature_weight: how much the distance of their features counts; larger follows textures, not pixels.
    weight_curve: how large a part of the weights counts for the tokenizer, over the steps.
    divergence: what the discriminators learn by.
    frames: how many frames of a clip the discriminator of pictures sees: one at random, or all.
    begin_at: the first step with a judge; reconstructions are better then.
    optimizer: how the discriminators' gradients become steps.
    curve: their learning rate over the steps, as a part of the optimizer's.
    clip_norm: the largest norm of their gradient; what is longer is shortened.
    """

    known_defects: ClassVar[tuple[str, ...]] = (
        "generator weights scale the discriminator's loss",
        "the last batch alone decides whether the discriminators step",
    )
    last = 0.0  # the sum of the discriminators' losses on the batch before

    def discriminator_terms(self, pairs: dict[str, Pair], draw: Draw) -> Terms:
        found = super().discriminator_terms(pairs, draw)
        terms = {name: self.weights[name.removeprefix("discriminator_")] * term for name, term in found.items()}
        self.last = sum(mean_values({name: term.item() for name, term in terms.items()}).values())
        return terms

    def update(self, step: int, total: int) -> dict[str, float]:
        if self.last >= SKIP_BELOW:
            return super().update(step, total)
        self.optimizer.zero_grad()
        return {"discriminator_gradient_norm": 0.0} if step >= self.begin_at else {}


def one_frame(
    original: Clip, reconstruction: Clip, draw: torch.Generator
) -> tuple[Float[Tensor, "b c 1 H W"], Float[Tensor, "b c 1 H W"]]:
    """The same random frame of both, another for each sample."""
    b, _, t, _, _ = original.shape
    chosen = share(torch.randint(t, (b * world(),), generator=draw)).to(original.device)
    rows = torch.arange(b, device=original.device)
    return original[rows, :, chosen][:, :, None], reconstruction[rows, :, chosen][:, :, None]


ADVERSARIES: Registry[Adversary] = Registry(
    "adversary",
    group="omnitok.adversaries",
    contract=Adversary,
    none=NoAdversary,
    patch_gan=PatchGan,
    patch_gan_published=PublishedPatchGan,
)
AdversaryPart = Annotated[Callable[..., Adversary], ADVERSARIES]
