"""The task that trains a tokenizer to give back what it was given."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from omnitok.data import DatasetPart
from omnitok.losses import LossPart
from omnitok.losses.pixels import AbsoluteError
from omnitok.metrics import psnr
from omnitok.model import ModelPart, NonFinite, Tokenizer
from omnitok.model.block import Transformer
from omnitok.processes import average_gradients, rank, world
from omnitok.randomness import initialise
from omnitok.runs import Record
from omnitok.schedules import CurvePart, SchedulePart
from omnitok.schedules.curves import constant, cosine
from omnitok.schedules.mixing import image_only
from omnitok.spec import REQUIRED, Count, Positive
from omnitok.training.adversary import AdversaryPart, NoAdversary
from omnitok.training.average import AveragePart, NoAverage, lent
from omnitok.training.devices import compiler, device, recomputes
from omnitok.training.feed import Feed, Places, Size, held_key, held_out
from omnitok.training.loader import loading
from omnitok.training.optimizers import OptimizerPart, adamw
from omnitok.training.step import Batch, Learner, SharedForward, StepPart, Values
from omnitok.training.task import Task, look


@final
class Reconstruct(Task):
    """Train a tokenizer on images and clips of one dataset.

    data: the dataset; there is no default.
    model: the tokenizer.
    frozen: the parts that stay as they are, to the byte: no gradient step and no decay, no batch statistics, and a
        bottleneck that neither moves its codebook nor draws at random.
    losses: what the reconstruction is held to, summed; the bottleneck adds its own.
    bottleneck_curve: how large a part of the bottleneck's own loss counts, over the steps.
    adversary: who judges the reconstructions meanwhile.
    schedule: what each batch is.
    step: how batches become one optimizer step.
    curve: the learning rate over the steps, as a part of the optimizer's.
    optimizer: how gradients become steps.
    average: whether a second set of weights follows the trained ones.
    steps: how many optimizer steps.
    batch: how many samples a batch has, over all processes together.
    resolution: side of the training crops in pixels.
    clip_norm: the largest norm of the gradient; what is longer is shortened.
    validate_every: steps between two looks at the validation split.
    """

    roles: ClassVar[tuple[str, ...]] = ("init",)
    codec_choice: ClassVar[str] = "model"
    unseen: ClassVar[tuple[str, ...]] = ("optimizer", "average", "batch", "clip_norm", "validate_every")

    def __init__(
        self,
        seed: int,
        data_root: Path,
        *,
        data: Annotated[DatasetPart, REQUIRED],
        model: ModelPart = Tokenizer,
        frozen: tuple[Literal["encoder", "quantizer", "decoder"], ...] = (),
        losses: tuple[LossPart, ...] = (AbsoluteError,),
        bottleneck_curve: CurvePart = constant,
        adversary: AdversaryPart = NoAdversary,
        schedule: SchedulePart = image_only,
        step: StepPart = SharedForward,
        curve: CurvePart = cosine,
        optimizer: OptimizerPart = adamw,
        average: AveragePart = NoAverage,
        steps: Count = 1000,
        batch: Count = 16,
        resolution: Count = 64,
        clip_norm: Positive = 1.0,
        validate_every: Count = 100,
    ) -> None:
        super().__init__(seed, data_root)
        self.data, self.curve, self.frozen, self.bottleneck_curve = data, curve, frozen, bottleneck_curve
        self.steps, self.batch, self.resolution = steps, batch, resolution
        self.clip_norm, self.validate_every = clip_norm, validate_every
        self.losses = [loss() for loss in losses]
        labels = [loss.label for loss in self.losses]
        if twice := [label for i, label in enumerate(labels) if label in labels[:i]]:
            raise ValueError(f"losses: {twice[0]!r} stands twice")
        self.step = step()
        self.places = Places(schedule, steps, self.step.accumulate)
        self.codec: Tokenizer = model()
        initialise(self.codec, seed)
        self.optimizer = optimizer(self._learned())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.adversary, self.average = adversary(), average()
        self.averages = self.average.kept
        self.adversary.begin(seed)
        self._next = 0

    def state(self) -> dict[str, Any]:
        return {
            "model": self.codec.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state(),
            "average": dict(self.average.weights()),
        }

    def load(self, state: dict[str, Any]) -> None:
        self._place()
        self.codec.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.adversary.load(state["adversary"])
        self.average.begin(self.codec)
        self.average.load(state["average"])

    def weights(self, kind: str = "raw") -> dict[str, Tensor]:
        return dict(self.codec.state_dict() if kind == "raw" else self.average.weights())

    def watched(self) -> tuple[str, ...]:
        keys = dict.fromkeys(map(held_key, self.places.frames()))
        return (*keys, *(f"{key}_ema" for key in keys if self.averages))

    def judges(self) -> nn.Module:
        return self.adversary

    def train(self, start: int = 0) -> Iterator[Record]:
        if self.batch % world():
            raise ValueError(f"batch={self.batch} must be a multiple of the processes, which are {world()}")
        size = Size(self.batch, self.resolution)
        feed = Feed(self.data, self.data_root, self.seed, self.places, size, rank(), world())
        with loading(feed, start) as steps:
            held = held_out(self.data(self.data_root, "val"), self.places.frames(), self.resolution)
            self._place()
            if start == 0:
                self.average.begin(self.codec)
            learner = Learner(
                self.codec,
                self.losses,
                self.adversary,
                self._update_codec,
                self._update_adversary,
                self.steps,
                self.bottleneck_curve,
                bottleneck_moves="quantizer" not in self.frozen,
            )
            for step, batches in enumerate(steps, start):
                yield Record(step, self._step(learner, step, batches, held))

    def _step(self, learner: Learner, step: int, batches: list[Batch], held: dict[str, Tensor]) -> Values:
        self._next = step
        self._wake()
        values = self.step(learner, step, batches)
        self.average.update(self.codec)
        values = {f"train/{name}": value for name, value in values.items()}
        if (step + 1) % self.validate_every == 0 or step + 1 == self.steps:
            values |= self._validate(held)
        return values

    def shapes(self) -> tuple[tuple[int, int], ...]:
        for loss in self.losses:
            loss.ready()
        for curve in (self.curve, self.bottleneck_curve, *self.adversary.curves, *(loss.curve for loss in self.losses)):
            curve(0, self.steps)  # raises where its choices do not fit
        train = self.data(self.data_root, "train")
        kinds = self.places.kinds()
        for frames, stride in sorted({(kind.frames, kind.stride) for kind in kinds}):
            look(train, frames, self.resolution, stride)
        return tuple(sorted({(kind.frames, self.step.side(self.resolution, kind.scale)) for kind in kinds}))

    def _learned(self) -> list[nn.Parameter]:
        """Raises ValueError where a part stands twice or nothing is left."""
        if len(set(self.frozen)) < len(self.frozen):
            raise ValueError(
                f"frozen={list(self.frozen)}: of {len(self.frozen)} parts {len(set(self.frozen))} are different"
            )
        kept = {id(parameter) for part in self.frozen for parameter in self.codec.parameters_of(part)}
        every = list(self.codec.parameters())
        learned = [parameter for parameter in every if id(parameter) not in kept]
        if not learned:
            raise ValueError(f"frozen={list(self.frozen)}: of {len(every)} weights {len(learned)} are left to learn")
        return learned

    def _wake(self) -> None:
        """The model in training, but for what is frozen. A frozen bottleneck still passes gradients straight through."""
        self.codec.train()
        for part in self.frozen:
            for module in self.codec.modules_of(part):
                module.requires_grad_(False)
                if part != "quantizer":
                    module.eval()

    def _place(self) -> None:
        """Where tensors live and how they are computed: resources."""
        self.codec.to(device())
        self.adversary.to(device())
        for module in self.codec.modules():
            if isinstance(module, Transformer):
                module.recompute = recomputes()
        if compiler():
            self.codec.compile(backend=compiler())

    def _update_codec(self) -> Values:
        average_gradients(self.codec.parameters())
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), self.clip_norm).item()
        if not math.isfinite(norm):
            raise NonFinite(f"the gradient's norm is {norm} at step {self._next}")
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.curve(self._next, self.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"gradient_norm": norm, "lr": max(group["lr"] for group in self.optimizer.param_groups)}

    def _update_adversary(self) -> Values:
        found = self.adversary.update(self._next, self.steps)
        for name, value in found.items():
            if not math.isfinite(value):
                raise NonFinite(f"train/{name} is {value} at step {self._next}")
        return found

    @torch.no_grad()
    def _validate(self, held: dict[str, Tensor]) -> Values:
        self.codec.eval()
        found = self._fidelity(held)
        if self.averages:
            with lent(self.codec, self.average.weights()):
                found |= {f"{name}_ema": value for name, value in self._fidelity(held).items()}
        return found

    def _fidelity(self, held: dict[str, Tensor]) -> Values:
        return {name: psnr(clips, self.codec.reconstruct(clips).clip).mean().item() for name, clips in held.items()}
