"""The task that trains a tokenizer to give back what it was given."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, final

import torch
from torch import Tensor

from omnitok.data import Dataset, DatasetPart
from omnitok.losses import LossPart
from omnitok.losses.pixels import AbsoluteError
from omnitok.metrics import psnr
from omnitok.model import ModelPart, Tokenizer
from omnitok.randomness import generator, initialise
from omnitok.runs import Record
from omnitok.schedules import CurvePart, SchedulePart, StepPlan
from omnitok.schedules.curves import cosine
from omnitok.schedules.mixing import image_only
from omnitok.spec import REQUIRED, Count, Positive
from omnitok.training.devices import device
from omnitok.training.optimizers import OptimizerPart, adamw
from omnitok.training.task import NonFinite, Task, look

VALIDATION_ITEMS = 4  # of each kind, so that looking costs little beside training
LOOKED_AT = 256  # steps of a schedule whose shapes are rehearsed


@final
class Reconstruct(Task):
    """Train a tokenizer on images and clips of one dataset.

    data: the dataset; there is no default.
    model: the tokenizer.
    losses: what the reconstruction is held to, summed; the bottleneck adds its own.
    schedule: what each step trains on.
    curve: the learning rate over the steps, as a part of the optimizer's.
    optimizer: how gradients become steps.
    steps: how many optimizer steps.
    batch: how many samples a step sees, over all devices together.
    resolution: side of the training crops in pixels.
    clip_norm: the largest norm of the gradient; what is longer is shortened.
    validate_every: steps between two looks at the validation split.
    """

    roles: ClassVar[tuple[str, ...]] = ("init",)
    codec_choice: ClassVar[str] = "model"
    unseen: ClassVar[tuple[str, ...]] = ("losses", "curve", "optimizer", "batch", "clip_norm", "validate_every")

    def __init__(
        self,
        seed: int,
        data_root: Path,
        *,
        data: Annotated[DatasetPart, REQUIRED],
        model: ModelPart = Tokenizer,
        losses: tuple[LossPart, ...] = (AbsoluteError,),
        schedule: SchedulePart = image_only,
        curve: CurvePart = cosine,
        optimizer: OptimizerPart = adamw,
        steps: Count = 1000,
        batch: Count = 16,
        resolution: Count = 64,
        clip_norm: Positive = 1.0,
        validate_every: Count = 100,
    ) -> None:
        super().__init__(seed, data_root)
        self.data, self.schedule, self.curve = data, schedule, curve
        self.steps, self.batch, self.resolution = steps, batch, resolution
        self.clip_norm, self.validate_every = clip_norm, validate_every
        self.losses = [loss() for loss in losses]
        self.codec: Tokenizer = model()
        initialise(self.codec, seed)
        self.optimizer = optimizer(self.codec.parameters())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def state(self) -> dict[str, Any]:
        return {"model": self.codec.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.codec.to(device())
        self.codec.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def train(self, start: int = 0) -> Iterator[Record]:
        data: Dataset = self.data(self.data_root, "train")
        held = self._held_out()
        self.codec.to(device())
        for step in range(start, self.steps):
            plan = self.schedule(step, self.steps)
            values = self._step(step, self._batch(data, step, plan))
            if (step + 1) % self.validate_every == 0 or step + 1 == self.steps:
                values |= self._validate(held)
            yield Record(step, values)

    def shapes(self) -> tuple[tuple[int, int], ...]:
        train = self.data(self.data_root, "train")
        for frames in self._frames():
            look(train, frames, self.resolution)
        return tuple((frames, self.resolution) for frames in self._frames())

    def _frames(self) -> list[int]:
        stride = max(1, self.steps // LOOKED_AT)
        steps = {*range(0, self.steps, stride), self.steps - 1}
        return sorted({self.schedule(step, self.steps).frames for step in steps})

    def _batch(self, data: Dataset, step: int, plan: StepPlan) -> Tensor:
        draws = (generator(self.seed, "sample", step, i) for i in range(self.batch))
        return torch.stack([data.sample(draw, plan.frames, self.resolution) for draw in draws]).to(device())

    def _step(self, step: int, clip: Tensor) -> dict[str, float]:
        scale = self.curve(step, self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * scale
        self.codec.train()
        reconstruction, quantized = self.codec(clip, generator(self.seed, "bottleneck", step))
        terms = {loss.label: loss(reconstruction, clip) for loss in self.losses} | {"bottleneck": quantized.loss}
        total = torch.stack(list(terms.values())).sum()
        values = {f"train/{name}": term.item() for name, term in terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFinite(f"{name} is {value} at step {step}")
        self.optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.codec.parameters(), self.clip_norm).item()
        if not math.isfinite(norm):
            raise NonFinite(f"the gradient's norm is {norm} at step {step}")
        self.optimizer.step()
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        rest = {"train/gradient_norm": norm, "train/lr": lr, "train/frames": float(clip.shape[2])}
        return {"train/loss": total.item(), **values, **rest}

    def _held_out(self) -> dict[str, Tensor]:
        """Fixed validation items of each kind that training meets, spread over the split."""
        data: Dataset = self.data(self.data_root, "val")
        held = {}
        for frames in self._frames():
            count = len(data.items(frames))
            chosen = range(0, count, max(1, math.ceil(count / VALIDATION_ITEMS)))
            clips = [data.item(i, frames, self.resolution) for i in chosen]
            if clips:
                held["val/psnr" if frames == 1 else "val/psnr_clips"] = torch.stack(clips).to(device())
        return held

    @torch.no_grad()
    def _validate(self, held: dict[str, Tensor]) -> dict[str, float]:
        self.codec.eval()
        return {name: psnr(clips, self.codec.reconstruct(clips).clip).mean().item() for name, clips in held.items()}
