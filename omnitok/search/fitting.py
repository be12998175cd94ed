"""Whether a search and its arm go together, as far as it can be seen before the first trial. Loads torch."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from omnitok.search.arm import costs
from omnitok.search.asked import COSTS, Search
from omnitok.search.patching import applied
from omnitok.search.space import Parameter, Values, made
from omnitok.spec import Fault, Map, SpecError, mark_of, near, resolve
from omnitok.training.reconstruct import Reconstruct
from omnitok.training.stage import Stage, data_root, read_stages


def arm_faults(text: Map, search: Search, said: Map, path: str = "search") -> list[Fault]:
    """What of a search its arm refuses: paths that are nowhere, values that are not legal, metrics that nothing measures.
    ``text``: the arm's experiment; ``said``: the text of the search. Both ends of each range and every label are tried;
    shapes that do not fit are refused only where none of these can be built, for there are others."""
    faults: list[Fault] = []
    unfit: list[Fault] = []
    stages: list[Stage] = []
    for labels in _tried(made(search.space)):
        try:
            stages = read_stages(applied(text, search, said, labels))
        except SpecError as error:
            faults += error.faults
    if faults or not stages:
        return SpecError(faults).faults
    for labels in _tried(made(search.space)):
        try:
            costs(read_stages(applied(text, search, said, labels)))
            break
        except SpecError as error:
            unfit += error.faults
    else:
        return SpecError(unfit).faults
    return list(_unmeasured(stages[-1], search, said, path))


def pace(text: Map) -> tuple[int, int]:
    """(steps to the first look at the validation split, all steps) of the last stage. Raises SpecError."""
    said = read_stages(text)[-1].spec.model_dump()
    steps = int(said.get("steps", 1))
    return min(int(said.get("validate_every", steps)), steps), steps


def _tried(parameters: Mapping[str, Parameter]) -> Iterator[Values]:
    """Both ends of each range and each label once, the others at their first."""
    yield _with(parameters, {})
    for path, one in parameters.items():
        for value in one.ends()[1:]:
            yield _with(parameters, {**_conditions(parameters, path), path: value})


def _with(parameters: Mapping[str, Parameter], asked: Values) -> Values:
    """What is there where ``asked`` is so."""
    labels: Values = {}
    for path, one in parameters.items():
        if one.there(labels):
            labels[path] = asked.get(path, one.ends()[0])
    return labels


def _conditions(parameters: Mapping[str, Parameter], path: str) -> Values:
    """Labels under which a choice is there."""
    found: Values = {}
    for other, labels in parameters[path].when.items():
        found |= {**_conditions(parameters, other), other: labels[0]}
    return found


def _unmeasured(last: Stage, search: Search, said: Map, path: str) -> Iterator[Fault]:
    if (known := _measured(last)) is None:
        return
    asked: list[tuple[tuple[str | int, ...], Any]] = [
        (("objective", i), o.metric) for i, o in enumerate(search.objective)
    ]
    asked += [(("constraints", i), one.metric) for i, one in enumerate(search.constraints)]
    for place, metric in asked:
        if metric not in known:
            sentence = f"the stage {last.name!r} measures no {metric} of its validation items{near(metric, known)}"
            yield Fault(mark_of(said, place), f"{path}.{place[0]}", sentence)


def _measured(last: Stage) -> list[str] | None:
    """The metrics that a stage has records of; None where that is not known beforehand."""
    with torch.device("meta"):
        task = resolve(last.spec)(0, data_root())
    if not isinstance(task, Reconstruct):
        return None
    frames = task.places.frames()
    names = [name for name, some in [("val/psnr", 1 in frames), ("val/psnr_clips", max(frames) > 1)] if some]
    return [*names, *(f"{name}_ema" for name in names if task.averages), *COSTS]
