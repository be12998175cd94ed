"""Every distinct model and shape once through the meta device: what does not fit is found before it is paid for."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError

from omnitok.data import DataError
from omnitok.model import Reconstructor
from omnitok.spec import Fault, Spec, SpecError, plain, resolve
from omnitok.sweep.file import Asked
from omnitok.training import TASKS, Facts, Task
from omnitok.training.handover import take_judges, take_over, weights_of
from omnitok.training.stage import Stage, data_root, mark_for


class Measurement(NamedTuple):
    """One ``evaluate:`` entry: the name that it has in reports, and what it measures."""

    name: str
    spec: Spec


class Rehearsal:
    """Passes every shape through every model once, on the meta device; the same model and shape are passed once."""

    def __init__(self, measurements: list[Measurement], asked: Asked | None) -> None:
        self.measurements, self.asked = measurements, asked
        self.tasks: dict[str, tuple[Task, tuple[tuple[int, int], ...]]] = {}
        self.codecs: dict[str, tuple[Reconstructor, int]] = {}  # with the number of parameters
        self.probed: dict[tuple[str, int], tuple[int, int]] = {}  # (model, resolution) -> (frames, tokens)
        self.checked: set[str] = set()
        self.shapes: dict[int, tuple[int, int]] = {}  # of the measurements, by place

    def stages(self, stages: Sequence[Stage]) -> Facts:
        """-> the facts of the last stage. Raises SpecError with a fault for each stage that does not fit."""
        faults: list[Fault] = []
        tasks: dict[str, Task] = {}
        facts = None
        for stage in stages:
            try:
                facts = self._one(stage, tasks)
            except (ValueError, DataError, RuntimeError, OSError, SafetensorError) as error:
                mark, path = mark_for(stage, error)
                faults.append(Fault(mark, f"stages.{stage.name}.{path}", str(error).strip().split("\n")[0]))
        if not faults:
            faults += self._measured(tasks[stages[-1].name], _model_memo(plain(stages[-1].spec)))
        if faults or facts is None:
            raise SpecError(faults)
        return facts

    def _one(self, stage: Stage, tasks: dict[str, Task]) -> Facts:
        said = plain(stage.spec)
        component = TASKS.components[said["task"]]
        unseen: tuple[str, ...] = component.unseen  # type: ignore[attr-defined]
        memo = json.dumps({k: v for k, v in said.items() if k not in unseen}, sort_keys=True)
        model = _model_memo(said)
        if memo not in self.tasks:
            with torch.device("meta"):
                made = self._around_one_codec(stage, model, component.codec_choice)  # type: ignore[attr-defined]
            self.tasks[memo] = (made, made.shapes())
        task, shapes = self.tasks[memo]
        tasks[stage.name] = task
        for frames, resolution in sorted(shapes, reverse=True):  # the longest first: what it passes, a prefix passes
            self._probe(task.codec, model, frames, resolution)
        tokens = {f"{f}x{r}": self._probe(task.codec, model, f, r) for f, r in shapes}
        self._hand_over(stage, task, model, tasks)
        return Facts(self.codecs[model][1], tokens, task.codec.bits_per_token)

    def _hand_over(self, stage: Stage, task: Task, model: str, tasks: dict[str, Task]) -> None:
        """Whether what the parent has fits, by name and shape."""
        init, handover = stage.lineage.init, stage.lineage.handover
        parent = f"{id(tasks[init].codec)}" if isinstance(init, str) and init in tasks else str(init)
        handed = f"{model} <- {parent} {handover}"
        if init is None or handed in self.checked or (isinstance(init, str) and init not in tasks):
            return
        known = tasks[init] if isinstance(init, str) else None
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
            codec = whole.keywords[choice]()
            self.codecs[model] = codec, sum(p.numel() for p in codec.parameters())
        task: Task = whole(0, data_root(), **{choice: lambda: self.codecs[model][0]})
        return task

    def _probe(self, codec: Reconstructor, memo: str, frames: int, resolution: int) -> int:
        """Tokens of a clip. One that is a prefix of a clip that was passed is not passed again."""
        longest, tokens = self.probed.get((memo, resolution), (0, 0))
        steps, odd = divmod(frames - 1, codec.frame_step)
        if frames > longest or odd:
            tokens = codec.probe(frames, resolution)
            longest = frames
            self.probed[memo, resolution] = longest, tokens
        return tokens * (1 + steps) // (1 + (longest - 1) // codec.frame_step)

    def _measured(self, task: Task, memo: str) -> Iterator[Fault]:
        """Whether what is to be evaluated is there and fits the model."""
        for i, measurement in enumerate(self.measurements):
            try:
                if plain(measurement.spec)["weights"] == "ema" and not task.averages:
                    raise ValueError("weights=ema: the last stage keeps no average; say average: ema there")
                if i not in self.shapes:
                    self.shapes[i] = resolve(measurement.spec)(data_root()).shape()
                self._probe(task.codec, memo, *self.shapes[i])
            except (ValueError, DataError, RuntimeError) as error:
                assert self.asked is not None
                yield Fault(self.asked.said["evaluate"].marks[i], f"evaluate[{i}]", str(error))


def _model_memo(said: dict[str, Any]) -> str:
    """What makes two stages' codecs the same."""
    task = TASKS.components[said["task"]]
    return json.dumps(said[task.codec_choice], sort_keys=True)  # type: ignore[attr-defined]
