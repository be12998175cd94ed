"""What a step sees: batches of the training split, a function of (seed, step, sample), and a few held-out items."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.data import Dataset, Split
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


class Feed(NamedTuple):
    """All that the batches of a stage are a function of, so that whoever has it makes the same ones: ``rank`` of ``world``
    is the process that trains on them."""

    make: Callable[[Path, Split], Dataset]
    root: Path
    seed: int
    places: Places
    size: Size
    rank: int = 0
    world: int = 1

    def data(self) -> Dataset:
        return self.make(self.root, "train")

    def samples(self, place: int) -> range:
        """The global indices of this process's samples of one batch of a step."""
        own = self.size.batch // self.world
        first = place * self.size.batch + self.rank * own
        return range(first, first + own)

    def clips(self, data: Dataset, step: int, plan: StepPlan, samples: Sequence[int]) -> Float[Tensor, "b c T H W"]:
        """Some samples of a batch, on the CPU."""
        asked = (plan.frames, self.size.resolution, plan.stride)
        return torch.stack([data.sample(generator(self.seed, "sample", step, i), *asked) for i in samples])

    def batches(self, step: int, clips: Sequence[Tensor]) -> list[Batch]:
        """The clips of a step with what else its batches have."""
        plans = self.places.plans(step)
        return [
            Batch(clip, plan.scales, _draws(self.seed, step, place), plan.stride)
            for place, (plan, clip) in enumerate(zip(plans, clips, strict=True))
        ]


def _draws(seed: int, step: int, place: int) -> Callable[[str], torch.Generator]:
    """Streams for the purposes of one batch, the same in every process."""
    indices = (step, place) if place else (step,)
    return lambda purpose: generator(seed, purpose, *indices)


def held_out(data: Dataset, frames: list[int], resolution: int) -> dict[str, Tensor]:
    """Fixed validation items of each kind that training meets, spread over the split."""
    held = {}
    for count in frames:
        items = data.count(count)
        chosen = range(0, items, max(1, math.ceil(items / VALIDATION_ITEMS)))
        clips = [data.item(i, count, resolution) for i in chosen]
        if clips:
            held[held_key(count)] = torch.stack(clips).to(device())
    return held


def held_key(frames: int) -> str:
    """What the fidelity of held-out items of so many frames is called in records."""
    return "val/psnr" if frames == 1 else "val/psnr_clips"
