"""What every arm of a plan does over its whole run, as numbers to draw: asked of its own schedules and curves."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from omnitok.schedules import StepPlan
from omnitok.spec import Spec, decode, resolve
from omnitok.sweep.plan import Plan
from omnitok.training import TASKS
from omnitok.training.stage import StageRun

POINTS: Final = 160  # steps of a stage that are asked
WINDOW: Final = 64  # batches around a step in which images are counted
PANELS: Final = ("share of images", "a clip's frames", "pixels a side", "learning rate", "weight of a loss")
SHOWN: Final = ("schedule", "step", "curve", "optimizer", "losses", "adversary", "bottleneck_curve", "frozen", "steps", "resolution")  # fmt: skip

Lines = dict[str, list[float]]  # name -> a value at each of the steps that are asked


class Stretch(NamedTuple):
    """One stage: which steps are asked, and for each panel its lines. A task without a schedule has none."""

    stage: str
    steps: int
    at: list[int]
    panels: dict[str, Lines]
    frozen: list[str]


class Whole(NamedTuple):
    """A run from its first step to its last, and the arms that have it."""

    arms: list[str]
    stretches: list[Stretch]


def wholes(plan: Plan) -> list[Whole]:
    """Every distinct run of a plan's arms, in the order of the arms; baselines have none."""
    known: dict[str, Stretch] = {}
    found: dict[str, Whole] = {}
    for trial in {trial.name: trial for trial in plan.trials if trial.kind == "arm"}.values():
        stretches = [_stretch(plan.runs[digest], known) for digest in trial.stages]
        whole = found.setdefault(json.dumps(stretches), Whole([], stretches))
        whole.arms.append(trial.name)
    return list(found.values())


def _stretch(run: StageRun, known: dict[str, Stretch]) -> Stretch:
    key = json.dumps([run.name, run.task, {name: run.spec.get(name) for name in SHOWN}])
    if key not in known:
        known[key] = _asked(run.name, decode(TASKS, run.spec))
    return known[key]


def _asked(name: str, spec: Any) -> Stretch:
    steps = getattr(spec, "steps", 1)
    if not hasattr(spec, "schedule"):
        return Stretch(name, steps, [0], {}, [])
    count = min(steps, POINTS)
    at = [round(i * (steps - 1) / max(count - 1, 1)) for i in range(count)]
    rates = {"optimizer.lr": _scaled(spec.curve, _rate(spec.optimizer), steps, at)}
    if hasattr(spec.adversary, "optimizer"):
        rates["adversary.optimizer.lr"] = _scaled(spec.adversary.curve, _rate(spec.adversary.optimizer), steps, at)
    lines = [*_batches(spec, steps, at), rates, dict(_weights(spec, steps, at))]
    return Stretch(name, steps, at, dict(zip(PANELS, lines, strict=True)), list(spec.frozen))


def _batches(spec: Any, steps: int, at: Sequence[int]) -> tuple[Lines, Lines, Lines]:
    """The share of images around each step, frames and stride of the clips next to it, sides in pixels."""
    step = resolve(spec.step)()
    schedule: Callable[[int, int], StepPlan] = resolve(spec.schedule)
    total = steps * step.accumulate
    wide = min(total, max(8, min(WINDOW, total // 16 * 2)))  # even, so that what comes in turn is half of it
    images, frames, strides, least, most = [], [], [], [], []
    for one in at:
        middle = one * step.accumulate + step.accumulate // 2
        first = min(max(0, middle - wide // 2), total - wide)
        nearest = sorted(range(first, first + wide), key=lambda place: abs(place - middle))
        plans = [schedule(place, total) for place in nearest]
        clip = next((plan for plan in plans if plan.frames > 1), plans[0])
        images.append(sum(plan.frames == 1 for plan in plans) / wide)
        frames.append(float(clip.frames))
        strides.append(float(clip.stride))
        sides = [step.side(spec.resolution, scale) for scale in plans[0].scales]
        least.append(float(min(sides)))
        most.append(float(max(sides)))
    apart = {"stride": strides} if max(strides) > 1 else {}
    return {"": images}, {"frames": frames, **apart}, {"smallest": least, "largest": most}


def _weights(spec: Any, steps: int, at: Sequence[int]) -> Iterator[tuple[str, list[float]]]:
    """Each weight that is ever more than nothing, by the name of its loss or choice."""
    for made in (resolve(loss)() for loss in spec.losses):
        yield made.label, [getattr(made, "weight", 1.0) * made.curve(step, steps) for step in at]
    judge = spec.adversary
    for name in type(judge).model_fields:
        if name.endswith("_weight") and getattr(judge, name):
            begun = [step >= getattr(judge, "begin_at", 0) for step in at]
            weights = _scaled(judge.weight_curve, getattr(judge, name), steps, at)
            yield f"adversary.{name}", [weight * there for weight, there in zip(weights, begun, strict=True)]
    yield "bottleneck", _scaled(spec.bottleneck_curve, 1.0, steps, at)


def _scaled(curve: Spec, full: float, steps: int, at: Sequence[int]) -> list[float]:
    asked = resolve(curve)
    return [full * asked(step, steps) for step in at]


def _rate(optimizer: Spec) -> float:
    """Of an optimizer that has a learning rate; of another 1, so that the curve alone is drawn."""
    return float(getattr(optimizer, "lr", 1.0))
