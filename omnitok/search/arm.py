"""One arm with what was drawn in it: whether it can be built, what it costs, and its training. Loads torch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError

from omnitok import runs, trial
from omnitok.data import DataError
from omnitok.model.cost import cost
from omnitok.search.asked import COSTS, Search
from omnitok.search.patching import applied
from omnitok.search.prepare import Prepared
from omnitok.search.space import Values
from omnitok.search.told import Outcome, Told
from omnitok.spec import Fault, Map, SpecError, near, resolve
from omnitok.training import Task
from omnitok.training.stage import Stage, StageRun, data_root, mark_for, read_stages, seeded, unseeded

OWN: Final = ("nan", "bug", "out_of_memory")  # failures that come of what was suggested; others are of where it ran
LOOK_S: Final = 0.5
FITS: Final = "can be built"  # the constraint that every suggestion keeps to, or is not trained
STOPPED: Final = "stopped.json"  # in a run's folder: why it is not done, and will not be


class Arm:
    """One arm's search as something to train. ``root``: where runs live."""

    def __init__(self, root: Path, prepared: Prepared) -> None:
        self.root, self.prepared, self.search = root, prepared, prepared.search

    def train(self, labels: Values, told: Told) -> Outcome:
        """Raises what is not the suggestion's fault: SpecError where data is missing, OSError, DataError."""
        try:
            text = applied(self.prepared.text, self.search, self.prepared.said, labels)
            stages = read_stages(text)
        except SpecError as error:
            return _unfit(error)
        bound = bind(stages, self.prepared.seed)
        try:
            known = costs(stages)
        except SpecError as error:
            return _unfit(error)
        broken = _broken(self.search, known)
        if over := [name for name, amount in broken.items() if amount > 0]:
            said = "; ".join(f"{name}, and it has {known[name.split(' ')[0]]:g}" for name in over)
            return Outcome("infeasible", known, broken, said)
        told.began(tuple(run.digest for run in bound))
        return self._trained(bound, known, told)

    def _trained(self, bound: Sequence[StageRun], known: Mapping[str, float], told: Told) -> Outcome:
        watched = _Watched(self.search, told, int(bound[-1].spec.get("steps", 1)))
        result: dict[str, float] = {}
        for run in bound:
            folder = trial.create(self.root, run)
            last = run is bound[-1]
            try:
                if last:
                    watched.replay(folder)
                result = self._run(folder, watched if last else None, told)
            except trial.Stopped:
                return self._pruned(folder, watched, told) if last and watched.pruned_at else Outcome("stopped")
            except (runs.Busy, KeyboardInterrupt):
                raise
            except Exception as error:  # the boundary: what comes of the suggestion is its end, all else the worker's
                failure = trial.classify(error)
                if failure.kind not in OWN:
                    raise
                return Outcome("failed", dict(known), {}, f"{failure.kind}: {failure.sentence}")
        return _measured(self.search, {**known, **result})

    def _run(self, folder: Path, watched: "_Watched | None", told: Told) -> dict[str, float]:
        """Train one stage, or wait for whoever does. Raises Stopped, and whatever training raises."""
        pruned = watched.pruned if watched else _never
        stop = _either(told.stop, pruned)
        if pruned() and not (folder / runs.RESULT).exists():
            raise trial.Stopped(folder.name)
        while True:
            try:
                return trial.run(folder, stop=stop, on_record=watched.record if watched else _ignored, on_begin=_begun)
            except runs.Fenced:
                raise
            except runs.Busy:
                if stop():
                    raise trial.Stopped(folder.name) from None
            time.sleep(LOOK_S)

    def _pruned(self, folder: Path, watched: "_Watched", told: Told) -> Outcome:
        where = {"study": self.prepared.study, "number": told.number, "step": watched.pruned_at}
        said = f"was pruned after {watched.pruned_at} steps"
        with suppress(runs.Busy), runs.lease(folder) as held:  # else somebody goes on with the run for himself
            held.write_json(folder / STOPPED, {"reason": "pruned", "sentence": said, **where})
        return Outcome("pruned", {}, {}, said)


class _Watched:
    """The records of a last stage, of which the objective is reported as it is measured."""

    def __init__(self, search: Search, told: Told, steps: int) -> None:
        self.metric, self.told, self.steps = search.objective[0].metric, told, steps
        self.alone = len(search.objective) == 1 and self.metric not in COSTS
        self.pruned_at = told.pruned_at

    def pruned(self) -> bool:
        return self.pruned_at > 0

    def record(self, record: runs.Record) -> None:
        done = record.step + 1
        asked = self.alone and self.metric in record.values and not self.pruned_at and done < self.steps
        if asked and self.told.report(done, record.values[self.metric]):
            self.pruned_at = done

    def replay(self, folder: Path) -> None:
        """Report what an attempt before this one has measured, unless the run came to its end."""
        if not (folder / runs.RESULT).exists():
            for record in runs.records(folder):
                self.record(record)


def _begun(held: runs.Held) -> None:
    """Whoever goes on with a run that was ended early has other reasons."""
    held.remove(held.folder / STOPPED)


def _never() -> bool:
    return False


def _ignored(record: runs.Record) -> None:
    pass


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def bind(stages: Sequence[Stage], seed: int) -> list[StageRun]:
    """The runs of whole stages, first to last. Raises SpecError where their data is missing."""
    digests: dict[str, str] = {}
    bound = []
    for stage in stages:
        run = seeded(unseeded(stage))(seed, digests)
        digests[run.name] = run.digest
        bound.append(run)
    return bound


def pace(text: Map) -> tuple[int, int]:
    """(steps to the first look at the validation split, all steps) of the last stage. Raises SpecError."""
    said = read_stages(text)[-1].spec.model_dump()
    steps = int(said.get("steps", 1))
    return min(int(said.get("validate_every", steps)), steps), steps


def costs(stages: Sequence[Stage]) -> dict[str, float]:
    """What the model of the last stage costs, of the largest shape that it is trained on, after every stage was passed
    through once without numbers. Raises SpecError where something does not fit."""
    faults: list[Fault] = []
    found: dict[str, float] = {}
    for stage in stages:
        try:
            with torch.device("meta"):
                task: Task = resolve(stage.spec)(0, data_root())
            shapes = task.shapes()
            for frames, resolution in sorted(shapes, reverse=True):
                task.codec.probe(frames, resolution)
            if stage is stages[-1]:
                model = cost(task.codec, *max(shapes, key=lambda shape: (shape[0] * shape[1] ** 2, shape)))
                bits = float(model.bits_per_token)
                found = {"parameters": float(model.parameters), "flops": float(model.flops), "bits_per_token": bits}
        except (ValueError, DataError, RuntimeError, SafetensorError) as error:
            mark, path = mark_for(stage, error)
            faults.append(Fault(mark, f"stages.{stage.name}.{path}", str(error).strip().split("\n")[0]))
    if faults:
        raise SpecError(faults)
    return found


def _broken(search: Search, values: Mapping[str, float]) -> dict[str, float]:
    """{constraint: how far it is broken} of what is known."""
    known = [one for one in search.constraints if one.metric in values]
    return {one.name: one.broken_by(values[one.metric]) for one in known}


def _measured(search: Search, values: Mapping[str, float]) -> Outcome:
    """What a whole training came to."""
    asked = [*(one.metric for one in search.objective), *(one.metric for one in search.constraints)]
    if missing := [metric for metric in asked if metric not in values]:
        known = sorted(name for name in values if name.startswith("val/"))
        return Outcome("failed", {}, {}, f"bug: the last stage measures no {missing[0]}{near(missing[0], known)}")
    found = {metric: float(values[metric]) for metric in asked}
    if wrong := [metric for metric, value in found.items() if not math.isfinite(value)]:
        return Outcome("failed", {}, {}, f"nan: {wrong[0]} is {found[wrong[0]]}")
    return Outcome("complete", found, _broken(search, found))


def _unfit(error: SpecError) -> Outcome:
    return Outcome(
        "infeasible", {}, {FITS: 1.0}, f"cannot be built: {error.faults[0].path}: {error.faults[0].sentence}"
    )
