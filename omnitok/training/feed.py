"""What a step sees: batches of the training split, a function of (seed, step, sample), and a few held-out items."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from omnitok.data import Dataset
from omnitok.processes import rank, world
from omnitok.randomness import generator
from omnitok.schedules import StepPlan, every_kind
from omnitok.training.devices import device
from omnitok.training.step import Batch

VALIDATION_ITEMS = 4  # of each kind, so that looking costs little beside training


class Kind(NamedTuple):
    """What shape a batch has, and what it asks of the data."""

    frames: int
    scale: float
    stride: int


class Places(NamedTuple):
    """A schedule with more than one batch a step: its places are the batches."""

    schedule: Callable[[int, int], StepPlan]
    steps: int
    accumulate: int

    def plans(self, step: int) -> list[StepPlan]:
        total = self.steps * self.accumulate
        return [self.schedule(step * self.accumulate + i, total) for i in range(self.accumulate)]

    def kinds(self) -> set[Kind]:
        """Everything that training will meet."""
        plans = every_kind(self.schedule, self.steps * self.accumulate)
        return {Kind(plan.frames, scale, plan.stride) for plan in plans for scale in plan.scales}

    def frames(self) -> list[int]:
        return sorted({kind.frames for kind in self.kinds()})


class Size(NamedTuple):
    """Samples of a batch over all processes, and pixels of a side."""

    batch: int
    resolution: int


def batches(data: Dataset, seed: int, step: int, plans: list[StepPlan], size: Size) -> list[Batch]:
    """This process's share of the batches of a step."""
    found = []
    own = size.batch // world()
    for place, plan in enumerate(plans):
        samples = range(place * size.batch + rank() * own, place * size.batch + (rank() + 1) * own)
        asked = (plan.frames, size.resolution, plan.stride)
        clips = [data.sample(generator(seed, "sample", step, i), *asked) for i in samples]
        draws = _draws(seed, step, place)
        found.append(Batch(torch.stack(clips).to(device()), plan.scales, draws, plan.stride))
    return found


def _draws(seed: int, step: int, place: int) -> Callable[[str], torch.Generator]:
    """Streams for the purposes of one batch, the same in every process."""
    indices = (step, place) if place else (step,)
    return lambda purpose: generator(seed, purpose, *indices)


def held_out(data: Dataset, frames: list[int], resolution: int) -> dict[str, Tensor]:
    """Fixed validation items of each kind that training meets, spread over the split."""
    held = {}
    for count in frames:
        items = len(data.items(count))
        chosen = range(0, items, max(1, math.ceil(items / VALIDATION_ITEMS)))
        clips = [data.item(i, count, resolution) for i in chosen]
        if clips:
            held["val/psnr" if count == 1 else "val/psnr_clips"] = torch.stack(clips).to(device())
    return held
