"""Every distinct model and shape once through the meta device: what does not fit is found before it is paid for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError

from omnitok.data import DataError
from omnitok.metrics import Identity
from omnitok.model import Reconstructor
from omnitok.model.cost import Cost, cost
from omnitok.networks.weights import WeightsMissing
from omnitok.spec import Fault, Spec, SpecError, packages, plain, resolve
from omnitok.sweep.file import Asked
from omnitok.training import TASKS, Evaluation, Facts, Flops, Task
from omnitok.training.evaluate import Seen, label_of, locate_networks, metric_specs
from omnitok.training.handover import take_judges, take_over, weights_of
from omnitok.training.recorded import Recorded
from omnitok.training.stage import Stage, data_root, mark_for


class Measurement(NamedTuple):
    """One ``evaluate:`` entry: the name that it has in reports, what it measures and on what; ``missing``: why, by label,
    metrics cannot be measured here."""

    name: str
    spec: Spec
    seen: Seen = Seen("", "", 0)
    missing: Mapping[str, str] = MappingProxyType({})

    @property
    def possible(self) -> tuple[Spec, ...]:
        """The metrics whose weights are here."""
        return tuple(one for one in metric_specs(self.spec) if label_of(one) not in self.missing)


@contextmanager
def theirs(stage: Stage) -> Iterator[None]:
    """What goes wrong inside, where components of other packages take part, is refused with their names.

    Raises ValueError for what would otherwise be a bug of ours."""
    try:
        yield
    except (ValueError, DataError, OSError, SafetensorError):
        raise
    except Exception as error:
        if not (others := packages(stage.spec)):
            raise
        first = repr(error).split("\\n")[0]
        raise ValueError(f"components of {', '.join(others)} are in it, and it fails: {first}") from error


Shapes = tuple[tuple[int, int], ...]  # (frames, resolution)


class Met(NamedTuple):
    """A stage as it is rehearsed: its task, what makes two models the same, what is trained on."""

    task: Task
    model: str
    shapes: Shapes


class Rehearsal:
    """Passes every shape through every model once, on the meta device; the same model and shape are passed once."""

    def __init__(self, measurements: list[Measurement], asked: Asked | None) -> None:
        self.measurements, self.asked = measurements, asked
        self.met: dict[str, Met] = {}
        self.codecs: dict[str, Reconstructor] = {}
        self.costs: dict[tuple[str, int, int], Cost] = {}
        self.probed: dict[tuple[str, int], tuple[int, int]] = {}  # (model, resolution) -> (frames, tokens)
        self.checked: set[str] = set()
        self.shapes: dict[int, tuple[int, int]] = {}  # of the measurements, by place
        self.known: dict[int, Measurement] = {}  # with what they see, by place
        self.counted: dict[tuple[int, int], None] = {}  # the shapes that stages were counted at
        self.trained_on: dict[str, Shapes] = {}  # by all that a stage says but its model

    def stages(self, stages: Sequence[Stage], on: Sequence[str] | None = None) -> Facts:
        """-> the facts of the last stage. ``on``: names of the evaluations that it is measured by; None: all.

        Raises SpecError with a fault for each stage that does not fit."""
        faults: list[Fault] = []
        met: dict[str, Met] = {}
        facts = None
        for stage in stages:
            try:
                with theirs(stage):
                    here = met[stage.name] = self.meet(stage)
                    if stage is stages[-1]:
                        facts = self._facts(here)
                    for shape in sorted(
                        here.shapes, reverse=True
                    ):  # the longest first: what it passes, a prefix passes
                        self._probe(here, *shape)
                    self._hand_over(stage, met)
            except (ValueError, DataError, RuntimeError, OSError, SafetensorError) as error:
                mark, path = mark_for(stage, error)
                faults.append(Fault(mark, f"stages.{stage.name}.{path}", str(error).strip().split("\n")[0]))
        if not faults:
            faults += self._measured(met[stages[-1].name], on)
        if faults or facts is None:
            raise SpecError(faults)
        return facts

    def _facts(self, met: Met) -> Facts:
        if isinstance(met.task.codec, Recorded):
            return Facts(None, {}, 0.0, {}, "")
        if met.task.by_codec:
            met = met._replace(shapes=self._taken(met) or met.shapes)
        else:
            self.counted |= dict.fromkeys(met.shapes)
        longest = {r: max(f for f, side in met.shapes if side == r) for _, r in met.shapes}
        costs = {f"{f}x{r}": self.cost(met, f, r) for r, f in longest.items()}
        flops = {shape: Flops(found.encode, found.decode) for shape, found in costs.items()}
        tokens = {f"{f}x{r}": self._probe(met, f, r) for f, r in met.shapes}
        frames, resolution = largest(met.shapes)
        shape = f"{frames}x{resolution}"
        return Facts(costs[shape].parameters, tokens, costs[shape].bits_per_token, flops, shape)

    def _taken(self, met: Met) -> Shapes:
        """What of the shapes that others are counted at a model takes, so that rows compare."""
        found = []
        for shape in self.counted:
            with suppress(ValueError, RuntimeError):
                self._probe(met, *shape)
                found.append(shape)
        return tuple(found)

    def meet(self, stage: Stage) -> Met:
        """A stage's task, built once for all stages that a rehearsal does not tell apart. Raises what a model that does
        not fit raises."""
        component, seen = _seen(stage)
        memo = json.dumps(seen, sort_keys=True)
        if memo not in self.met:
            model = json.dumps(seen.pop(component.codec_choice), sort_keys=True)
            with torch.device("meta"):
                task = self._around_one_codec(stage, model, component.codec_choice)
            around = memo if component.by_codec else json.dumps(seen, sort_keys=True)
            if around not in self.trained_on:
                self.trained_on[around] = task.shapes()
            self.met[memo] = Met(task, model, self.trained_on[around])
        return self.met[memo]

    def _hand_over(self, stage: Stage, met: Mapping[str, Met]) -> None:
        """Whether what the parent has fits, by name and shape."""
        init, handover, (task, model, _) = stage.lineage.init, stage.lineage.handover, met[stage.name]
        parent = f"{id(met[init].task.codec)}" if isinstance(init, str) and init in met else str(init)
        handed = f"{model} <- {parent} {handover}"
        if init is None or handed in self.checked or (isinstance(init, str) and init not in met):
            return
        known = met[init].task if isinstance(init, str) else None
        if handover.weights == "ema" and not (known and known.averages):
            raise ValueError(f"handover: weights=ema: {init if known else 'a file'} keeps no average; say raw")
        weights = known.weights() if known else weights_of(init.path(stage.said.marks["init"]))  # type: ignore[union-attr]
        take_over(task.codec, {name: value.to("meta") for name, value in weights.items()}, handover.parts)
        take_judges(task.judges(), known.judges().state_dict() if known else {}, handover.adversary)
        self.checked.add(handed)

    def _around_one_codec(self, stage: Stage, model: str, choice: str) -> Task:
        """The stage's task; tasks with the same model share one codec, as a rehearsal leaves nothing in it."""
        whole = resolve(stage.spec)
        if model not in self.codecs:
            self.codecs[model] = whole.keywords[choice]()
        task: Task = whole(0, data_root(), **{choice: lambda: self.codecs[model]})
        return task

    def cost(self, met: Met, frames: int, resolution: int) -> Cost:
        """What one clip of a shape costs, counted once for each model."""
        key = (met.model, frames, resolution)
        if key not in self.costs:
            found = self.costs[key] = cost(met.task.codec, frames, resolution)
            if frames > self.probed.get((met.model, resolution), (0, 0))[0]:
                self.probed[met.model, resolution] = frames, found.tokens
        return self.costs[key]

    def _probe(self, met: Met, frames: int, resolution: int) -> int:
        """Tokens of a clip. One that is a prefix of a clip that was passed is not passed again."""
        codec = met.task.codec
        longest, tokens = self.probed.get((met.model, resolution), (0, 0))
        steps, odd = divmod(frames - 1, codec.frame_step)
        if frames > longest or odd:
            tokens = codec.probe(frames, resolution)
            longest = frames
            self.probed[met.model, resolution] = longest, tokens
        return tokens * (1 + steps) // (1 + (longest - 1) // codec.frame_step)

    def _measured(self, met: Met, on: Sequence[str] | None) -> Iterator[Fault]:
        """Whether what is to be evaluated is there and fits the model."""
        for i, measurement in enumerate(self.measurements):
            if on is not None and measurement.name not in on:
                continue
            try:
                if plain(measurement.spec)["weights"] == "ema" and not met.task.averages:
                    raise ValueError("weights=ema: the last stage keeps no average; say average: ema there")
                if i not in self.shapes:
                    evaluation: Evaluation = resolve(measurement.spec)(data_root())
                    shape = evaluation.shape()
                    missing = self._missing(measurement.spec)
                    self.known[i] = measurement._replace(seen=evaluation.seen, missing=missing)
                    self.shapes[i] = shape
                self._probe(met, *self.shapes[i])
                _find_some(met.task.codec, measurement.spec)
                for metric in metric_specs(measurement.spec):
                    resolve(metric)(met.task.codec)  # raises where a tile does not fit the codec
            except (ValueError, DataError, RuntimeError) as error:
                assert self.asked is not None
                yield Fault(self.asked.said["evaluate"].marks[i], f"evaluate[{i}]", str(error))

    def _missing(self, spec: Spec) -> dict[str, str]:
        """Why metrics cannot be measured here, by label. Raises WeightsError where the sweep does not leave them out."""
        found = {}
        for metric in metric_specs(spec):
            try:
                locate_networks(resolve(metric)(Identity()))
            except WeightsMissing as error:
                if self.asked is None or self.asked.file.resources.missing_weights == "refuse":
                    raise
                found[label_of(metric)] = str(error)
        return found


def _find_some(codec: Reconstructor, spec: Spec) -> None:
    """Raises DataError where some of what is to be measured is not among what was made elsewhere."""
    if isinstance(codec, Recorded):
        for item in resolve(spec)(data_root()).some():
            codec.find(item)


def _seen(stage: Stage) -> tuple[Any, dict[str, Any]]:
    """The component of a stage, and all that a rehearsal sees of its choices."""
    said = plain(stage.spec)
    component: Any = TASKS.components[said["task"]]
    return component, {name: value for name, value in said.items() if name not in component.unseen}


def memo(stages: Sequence[Stage]) -> str:
    """What makes two arms the same to a rehearsal."""
    return json.dumps([_seen(stage)[1] for stage in stages], sort_keys=True)


def largest(shapes: Shapes) -> tuple[int, int]:
    """The shape with the most pixels."""
    return max(shapes, key=lambda shape: (shape[0] * shape[1] ** 2, shape))
