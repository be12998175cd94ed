"""From one number of a table back to what it was measured from: runs, seeds, commits, choices, files."""

import difflib
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.inspection.logs import lineage
from omnitok.spec import Fault, Mark, SpecError, near
from omnitok.sweep.stored import PLAN, SWEEP, locate, searches, states


class Behind(NamedTuple):
    """One seed of a cell. ``value``: None where it is not measured yet, or where the metric does not apply (``note`` says
    which). ``stages``: the folders of its run, first to last; ``file``: the evaluation's; ``ran``: its provenance;
    ``told``: what is to be known of a trial that is done, such as whose it is and in what it deviates."""

    seed: int | None
    status: str
    value: float | None
    interval: tuple[float, float] | None
    note: str
    stages: tuple[Path, ...]
    file: Path
    ran: dict[str, Any]
    told: str


class Cell(NamedTuple):
    """A number of a table: its mean over seeds, what is behind it, and how its arm differs from ``base``, by the name of a
    stage and the dotted path of a choice: (as there, as here). ``searched``: {path: value} of what won the arm's search."""

    sweep: str
    arm: str
    metric: str
    unit: str
    protocol: str
    mean: float | None
    seeds: tuple[Behind, ...]
    base: str
    changed: dict[str, tuple[Any, Any]]
    searched: dict[str, Any]


def explain_cell(root: Path, sweep: str, arm: str, metric: str) -> Cell:
    """``metric``: its column, "photos/psnr", or its label where one evaluation alone has it. Raises SpecError with the
    nearest names."""
    folder = locate(root, sweep)
    plan = runs.read_json(folder / PLAN)
    names = list(dict.fromkeys(trial["name"] for trial in plan["trials"]))
    if found := [state for state in searches(folder) if state.trial["name"] == arm]:
        why = f"has no trials yet: {found[0].status}, {found[0].reason}"
        raise SpecError([Fault(Mark(arm), "", why)])
    if arm not in names:
        raise SpecError([Fault(Mark(arm), "", f"no such arm{near(arm, names)}")])
    evaluation, said = _column(plan, metric)
    mine = [state for state in states(folder) if state.trial["name"] == arm]
    seeds = tuple(_behind(root, plan, state, evaluation, said["label"]) for state in mine)
    values = [one.value for one in seeds if one.value is not None]
    base = next((name for name in names if name == "base"), names[0])
    first = next(trial for trial in plan["trials"] if trial["name"] == base)
    return Cell(
        sweep=runs.read_json(folder / SWEEP)["name"],
        arm=arm,
        metric=f"{evaluation}/{said['label']}",
        unit=said["unit"],
        protocol=said["protocol"],
        mean=statistics.fmean(values) if values else None,
        seeds=seeds,
        base=base,
        changed=_changed(root, first["stages"], mine[0].trial["stages"]),
        searched=mine[0].trial.get("searched", {}),
    )


def _column(plan: Mapping[str, Any], metric: str) -> tuple[str, dict[str, Any]]:
    """(the evaluation's name, the metric as the plan has it)."""
    columns = {f"{one['name']}/{m['label']}": (one["name"], m) for one in plan["evaluations"] for m in one["metrics"]}
    fitting = [name for name in columns if metric in (name, columns[name][1]["label"])]
    if len(fitting) == 1:
        return columns[fitting[0]]
    if fitting:
        said = f"is in more than one evaluation; say {' or '.join(fitting)}"
    else:  # a label that is misspelled is far from any whole name
        label = metric.rpartition("/")[2]
        close = difflib.get_close_matches(label, [m["label"] for _, m in columns.values()], n=1)
        named = difflib.get_close_matches(metric, columns, n=1) or [
            name for name, (_, m) in columns.items() if m["label"] in close
        ]
        meant = f"; did you mean {' or '.join(map(repr, named))}?" if named else ""
        said = f"no such metric{meant} (known: {', '.join(columns)})"
    raise SpecError([Fault(Mark(metric), "", said)])


def _behind(root: Path, plan: Mapping[str, Any], state: Any, evaluation: str, label: str) -> Behind:
    last = root / state.trial["stages"][-1]
    digest = plan["evaluation_digests"].get(last.name, {}).get(evaluation, {}).get(label)
    file = last / runs.EVALUATIONS / f"{digest}.json"
    found = runs.read_json(file) if digest and file.exists() else None
    ran = runs.read_json(last / runs.PROVENANCE) if (last / runs.PROVENANCE).exists() else {}
    stages = tuple(lineage(last)) if (last / runs.EXPERIMENT).exists() else (last,)
    value, ends, note = None, None, "" if digest else "not measured of this arm"
    if found is not None:
        value = found["value"] if found["value"] is None or math.isfinite(found["value"]) else None
        ends = tuple(found["interval"]) if found.get("interval") else None
        note = found.get("note") or ("does not apply" if found["value"] is None else "")
    elif digest:
        note = f"not measured yet: {state.reason or state.status}"
    told = state.reason if state.status == "done" else ""
    return Behind(state.trial["seed"], state.status, value, ends, note, stages, file, ran, told)


NOTHING: Final = "(nothing)"  # what is there of a choice that one side does not have


def _changed(root: Path, there: Sequence[str], here: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """What differs between two runs, stage by stage; what differs alike in several stages stands once, with their names."""
    sides = [_specs(root, there), _specs(root, here)]
    stages: dict[str, tuple[list[str], Any, Any]] = {}
    for stage in dict.fromkeys([*sides[0], *sides[1]]):
        for path, one, other in _differences(sides[0].get(stage, NOTHING), sides[1].get(stage, NOTHING), ""):
            stages.setdefault(json.dumps([path, one, other]), ([], one, other))[0].append(stage)
    return {f"{', '.join(names)}: {json.loads(key)[0]}".rstrip(": "): (one, other)
            for key, (names, one, other) in stages.items()}  # fmt: skip


def _specs(root: Path, stages: Sequence[str]) -> dict[str, Any]:
    """Every choice of each stage that has a folder, by its name."""
    said = [
        runs.read_json(root / name / runs.EXPERIMENT) for name in stages if (root / name / runs.EXPERIMENT).exists()
    ]
    return {one["stage"]: one["spec"] for one in said}


def _differences(there: Any, here: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The innermost choices that differ, and a component as a whole where another one stands in its place."""
    if isinstance(there, Mapping) and isinstance(here, Mapping) and there.get("type") == here.get("type"):
        for name in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(name, NOTHING), here.get(name, NOTHING), f"{path}.{name}".lstrip("."))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for i, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{path}[{i}]")
    elif there != here:
        yield path, there, here
