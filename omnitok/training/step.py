"""How a batch becomes gradients: which forward passes are made, who learns from which, at which precision."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, ClassVar, Literal, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.losses import Loss
from omnitok.model import NonFinite, Tokenizer
from omnitok.processes import mean_values
from omnitok.schedules.curves import constant
from omnitok.spec import Count, Registry
from omnitok.training.adversary import Adversary, Draw, Pair, Terms
from omnitok.training.resize import published_resize, resized

Precision = Literal["float32", "bfloat16"]
Values = dict[str, float]


class Learner(NamedTuple):
    """Everything that a step trains, and how each side takes its step with the gradients that it has.

    ``steps``: of the whole stage. ``bottleneck_curve``: what part of the bottleneck's own loss counts.
    ``bottleneck_moves``: whether the bottleneck may update a codebook, and draw at random.
    """

    codec: Tokenizer
    losses: Sequence[Loss]
    adversary: Adversary
    update_codec: Callable[[], Values]
    update_adversary: Callable[[], Values]
    steps: int = 1
    bottleneck_curve: Callable[..., float] = constant
    bottleneck_moves: bool = True


class Batch(NamedTuple):
    """One batch of a step: the clip as loaded, what its size may be multiplied by, where its random numbers come from, how
    many frames of the video its frames are apart."""

    clip: Float[Tensor, "b c T H W"]
    scales: tuple[float, ...]
    draw: Draw
    stride: int = 1


class Step(ABC):
    """``Component(*, ...)``: one optimizer step of both sides from ``accumulate`` batches. Calling it leaves every weight
    updated and every gradient cleared, and gives what was measured.

    Raises NonFinite, naming the term and the step.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    precision: Precision
    accumulate: int

    @abstractmethod
    def side(self, resolution: int, scale: float) -> int:
        """The side in pixels of a picture of ``resolution`` at a scale."""

    @abstractmethod
    def __call__(self, learner: Learner, step: int, batches: Sequence[Batch]) -> Values: ...

    def _scale(self, batch: Batch) -> float:
        return batch.scales[int(torch.randint(len(batch.scales), (), generator=batch.draw("scale")).item())]

    def _reconstructed(self, learner: Learner, step: int, clip: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """The reconstruction in full precision and the bottleneck's own loss."""
        own = draw("bottleneck") if learner.bottleneck_moves else None
        with self._within(clip):
            reconstruction, quantized = learner.codec(learner.codec.reduced(clip), own)
        return reconstruction.float(), learner.bottleneck_curve(step, learner.steps) * quantized.loss.float()

    def _within(self, clip: Tensor) -> AbstractContextManager[None]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(clip.device.type, torch.bfloat16)

    def _pixel_terms(self, learner: Learner, step: int, clip: Tensor, reconstruction: Tensor, draw: Draw) -> Terms:
        found = {}
        for loss in learner.losses:
            if part := loss.curve(step, learner.steps):
                found[loss.label] = part * loss(reconstruction, clip, draw(f"loss/{loss.label}"))
        return found

    def _judged(self, learner: Learner, step: int, pairs: dict[str, Pair], draw: Draw) -> Terms:
        part = learner.adversary.weight_curve(step, learner.steps)
        terms = learner.adversary.generator_terms(pairs, draw) if part else {}
        return {name: part * term for name, term in terms.items()}


@final
class SharedForward(Step):
    """One forward pass for both sides: the codebook is updated once, the original is judged once, and what the tokenizer
    learns leaves no gradient in the discriminators.

    precision: of the large products; codebook, losses, logits and the last projection are always in float32.
    accumulate: how many batches, one after another in the schedule, one step is the mean of, each with statistics of its own.
    """

    def __init__(self, *, precision: Precision = "float32", accumulate: Count = 1) -> None:
        self.precision, self.accumulate = precision, accumulate

    def side(self, resolution: int, scale: float) -> int:
        return round(resolution * scale)

    def __call__(self, learner: Learner, step: int, batches: Sequence[Batch]) -> Values:
        seen = []
        for batch in batches:
            side = self.side(batch.clip.shape[-1], self._scale(batch))
            clip = resized(batch.clip, side, side)
            reconstruction, bottleneck = self._reconstructed(learner, step, clip, batch.draw)
            with self._within(clip):
                pairs = learner.adversary.look(step, clip, reconstruction, batch.draw)
                with frozen(learner.adversary):
                    judged = self._judged(learner, step, pairs, batch.draw)
            terms = self._pixel_terms(learner, step, clip, reconstruction, batch.draw)
            terms |= {"bottleneck": bottleneck} | judged
            values = checked(terms, step)
            backward(terms, len(batches))
            with self._within(clip):
                other = learner.adversary.discriminator_terms(pairs, batch.draw)
            values |= {"loss": sum(values.values())} | checked(other, step)
            backward(other, len(batches))
            seen.append(values | sizes(clip, batch.stride))
        return means(seen) | learner.update_codec() | learner.update_adversary()


@final
class PublishedTwoPasses(Step):
    """As published: the whole forward pass is made anew for the discriminators, after the tokenizer's step where one is
    due, at another size and with another update of the codebook; and their gradient has in it what the tokenizer's
    backward pass left there (arXiv:2406.09399, its code).

    precision: of the large products; codebook, losses, logits and the last projection are always in float32.
    accumulate: how many batches, one after another in the schedule, one step is the mean of, each with statistics of its own.
    """

    known_defects: ClassVar[tuple[str, ...]] = (
        "two forward passes a step",
        "the discriminator steps on gradients that the generator left behind",
    )

    def __init__(self, *, precision: Precision = "float32", accumulate: Count = 1) -> None:
        self.precision, self.accumulate = precision, accumulate

    def side(self, resolution: int, scale: float) -> int:
        return int(resolution * scale)

    def __call__(self, learner: Learner, step: int, batches: Sequence[Batch]) -> Values:
        seen: list[Values] = []
        updated: Values = {}
        for place, batch in enumerate(batches, 1):
            values = self._tokenizers_turn(learner, step, batch, len(batches))
            if place == len(batches):
                updated = learner.update_codec()
            seen.append(values | self._discriminators_turn(learner, step, batch, len(batches)))
        return means(seen) | updated | learner.update_adversary()

    def _tokenizers_turn(self, learner: Learner, step: int, batch: Batch, batches: int) -> Values:
        clip = published_resize(batch.clip, self._scale(batch))
        reconstruction, bottleneck = self._reconstructed(learner, step, clip, batch.draw)
        with self._within(clip):
            pairs = learner.adversary.look(step, clip, reconstruction, batch.draw)
            judged = self._judged(learner, step, pairs, batch.draw)
        terms = self._pixel_terms(learner, step, clip, reconstruction, batch.draw)
        terms |= {"bottleneck": bottleneck} | judged
        values = checked(terms, step)
        backward(terms, batches)
        return values | {"loss": sum(values.values())} | sizes(clip, batch.stride)

    def _discriminators_turn(self, learner: Learner, step: int, batch: Batch, batches: int) -> Values:
        again = batch._replace(draw=lambda purpose: batch.draw(f"{purpose}/second"))
        clip = published_resize(again.clip, self._scale(again))
        reconstruction, _ = self._reconstructed(learner, step, clip, again.draw)
        with self._within(clip):
            pairs = learner.adversary.look(step, clip, reconstruction, again.draw)
            terms = learner.adversary.discriminator_terms(pairs, again.draw)
        values = checked(terms, step)
        backward(terms, batches)
        return values


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter of ``module`` is learned from what is computed inside."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def checked(terms: Terms, step: int) -> Values:
    """The terms as numbers, their means over the processes, so that all of them go on or none does. Raises NonFinite."""
    values = mean_values({name: term.item() for name, term in terms.items()})
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFinite(f"train/{name} is {value} at step {step}")
    return values


def backward(terms: Terms, batches: int) -> None:
    """Add to the gradients. Terms that nothing is learned from have none to add."""
    if any(term.requires_grad for term in terms.values()):
        (torch.stack(list(terms.values())).sum() / batches).backward()


def sizes(clip: Tensor, stride: int) -> Values:
    found = {"resolution": float(clip.shape[-1]), "frames": float(clip.shape[2])}
    return found if stride == 1 else found | {"stride": float(stride)}


def means(seen: Sequence[Values]) -> Values:
    """Of each value over the batches that have it."""
    names = dict.fromkeys(name for values in seen for name in values)
    found = {name: [values[name] for values in seen if name in values] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


STEPS: Registry[Step] = Registry(
    "step",
    group="omnitok.steps",
    contract=Step,
    shared=SharedForward,
    two_passes_published=PublishedTwoPasses,
)
StepPart = Annotated[Callable[..., Step], STEPS]
