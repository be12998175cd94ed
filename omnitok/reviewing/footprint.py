"""What a stage will hold on disk and see of its data, asked of its own parts on the meta device. Nothing is computed."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnitok.model import Reconstructor
from omnitok.model.cost import cost
from omnitok.schedules import StepPlan
from omnitok.spec import Spec, decode, resolve
from omnitok.training import TASKS, Task
from omnitok.training.stage import StageRun, spec_of

HELD = ("task", "model", "adversary", "average", "frozen")  # the choices that bytes depend on, beside the optimizer

SEEN = ("model", "schedule", "step", "steps", "batch", "resolution")  # and those that samples and tokens depend on


class Held(NamedTuple):
    """Bytes of a stage: what it leaves (weights, their average, the adversary), and its checkpoint while it runs, which has
    these and at most so much of what the optimizers keep: less where a judge of clips never sees one."""

    weights: int
    averaged: int
    adversary: int
    checkpoint: int

    @property
    def kept(self) -> int:
        return self.weights + self.averaged + self.adversary


class Seen(NamedTuple):
    """What a stage sees: samples that are images and clips, and tokens of both; of drawn sizes as many as are expected."""

    images: int
    clips: int
    tokens: float


class Footprints:
    """Of many stages, each distinct model built once."""

    def __init__(self) -> None:
        self.held_by: dict[str, Held] = {}
        self.seen_by: dict[str, Seen | None] = {}
        self.codecs: dict[str, Reconstructor] = {}
        self.tokens: dict[tuple[str, int, int], int] = {}
        self.costs: dict[tuple[str, int, int], int] = {}

    def held(self, run: StageRun) -> Held:
        """Bytes of a stage; nothing of what another made, which has no weights here."""
        optimizer = {
            k: v for k, v in run.spec.get("optimizer", {}).items() if not isinstance(v, float)
        }  # rates hold nothing
        said = {name: run.spec.get(name) for name in HELD}
        memo = json.dumps([said, optimizer] if "model" in run.spec else run.spec)
        if memo not in self.held_by:
            self.held_by[memo] = _held(run) if "model" in run.spec else Held(0, 0, 0, 0)
        return self.held_by[memo]

    def seen(self, run: StageRun) -> Seen | None:
        """None of a stage that has no schedule, such as a baseline."""
        memo = json.dumps({name: run.spec.get(name) for name in SEEN})
        if memo not in self.seen_by:
            self.seen_by[memo] = self._seen(run) if {"model", "schedule"} <= run.spec.keys() else None
        return self.seen_by[memo]

    def _seen(self, run: StageRun) -> Seen:
        spec: Any = decode(TASKS, run.spec)
        step = resolve(spec.step)()
        images = clips = 0
        tokens = 0.0
        for plan, count in _batches(spec, spec.steps * step.accumulate):
            samples = count * spec.batch
            images, clips = images + samples * (plan.frames == 1), clips + samples * (plan.frames > 1)
            sides = [step.side(spec.resolution, scale) for scale in plan.scales]
            tokens += samples * sum(self._tokens(spec.model, plan.frames, side) for side in sides) / len(sides)
        return Seen(images, clips, tokens)

    def flops(self, run: StageRun) -> float:
        """Floating-point operations of a stage's training by its tokenizer alone, its way back counted as twice its way
        there: without judges and losses. 0 of a stage that trains nothing."""
        if not {"model", "schedule"} <= run.spec.keys():
            return 0.0
        spec: Any = decode(TASKS, run.spec)
        step = resolve(spec.step)()
        total = 0.0
        for plan, count in _batches(spec, spec.steps * step.accumulate):
            sides = [step.side(spec.resolution, scale) for scale in plan.scales]
            each = [self._cost(spec.model, plan.frames, side) for side in sides]
            total += 3 * count * spec.batch * sum(each) / len(each)
        return total

    def _cost(self, model: Spec, frames: int, side: int) -> int:
        self._tokens(model, frames, side)
        memo = model.model_dump_json()
        if (memo, frames, side) not in self.costs:
            self.costs[memo, frames, side] = cost(self.codecs[memo], frames, side).flops
        return self.costs[memo, frames, side]

    def _tokens(self, model: Spec, frames: int, side: int) -> int:
        memo = model.model_dump_json()
        if memo not in self.codecs:
            with torch.device("meta"):
                self.codecs[memo] = resolve(model)()
        if (memo, frames, side) not in self.tokens:
            self.tokens[memo, frames, side] = self.codecs[memo].probe(frames, side)
        return self.tokens[memo, frames, side]


def _batches(spec: Any, total: int) -> Iterator[tuple[StepPlan, int]]:
    """Each kind of batch and how many there are of it: counted where the schedule can be, else asked at every one."""
    schedule: Callable[[int, int], StepPlan] = resolve(spec.schedule)
    course = getattr(getattr(schedule, "func", schedule), "course", None)
    if course is None:
        counts: dict[StepPlan, int] = {}
        for place in range(total):
            plan = schedule(place, total)
            counts[plan] = counts.get(plan, 0) + 1
        yield from counts.items()
        return
    whole = course(total, **getattr(schedule, "keywords", {}))
    if images := whole.images(total):
        yield StepPlan(1, whole.scales), images
    ends = [*(first for first, _ in whole.phases), total][1:]
    for (first, clips), end in zip(whole.phases, ends, strict=True):
        if count := end - first - (whole.images(end) - whole.images(first)):
            yield clips, count


def _held(run: StageRun) -> Held:
    with torch.device("meta"):
        task: Task = resolve(spec_of(run))(0, Path())
    for optimizer in _optimizers(task):  # a step on no numbers, which makes what an optimizer keeps
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            parameter.grad = torch.empty_like(parameter)
        optimizer.step()
    if average := getattr(task, "average", None):
        average.begin(task.codec)
    averaged = _bytes(task.weights("ema")) if task.averages else 0
    return Held(_bytes(task.weights()), averaged, _bytes(task.judges().state_dict()), _bytes(task.state()))


def _optimizers(task: Task) -> list[torch.optim.Optimizer]:
    """Those of the tokenizer and of who judges it."""
    found = [getattr(part, "optimizer", None) for part in (task, getattr(task, "adversary", None))]
    return [one for one in found if isinstance(one, torch.optim.Optimizer)]


def _bytes(state: Any) -> int:
    """Of every tensor inside, however deep."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    inner = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return sum(map(_bytes, inner))
