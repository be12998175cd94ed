"""What a plan will take: hours by what like runs took, disk by what its stages hold. What nothing is known of is unknown."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.reviewing.ahead import Ahead, ahead
from omnitok.reviewing.footprint import Footprints
from omnitok.spec import Fault, Mark, SpecError, counted
from omnitok.sweep.adopt import lendable
from omnitok.sweep.plan import Plan, used
from omnitok.sweep.resources import given
from omnitok.sweep.stored import PLAN
from omnitok.training.stage import StageRun, from_json

FREE = (
    "steps",
    "curve",
    "bottleneck_curve",
    "clip_norm",
    "optimizer",
    "validate_every",
)  # a step takes no longer for them
_LENT: runs.Status = "done"
AS_LARGE = 1.25  # how far the parameters and FLOPs of another model may be off to count as alike


class Pace(NamedTuple):
    """Seconds a step of one stage, and the runs that it was read off. ``alike``: they are of the same stage but for its
    steps, curves and optimizer; else of another model as large. ``probed``: not read off runs at all, but measured in
    so many steps just now, on ``device``."""

    stage: str
    seconds: float
    of: tuple[str, ...]
    alike: bool
    probed: int = 0
    device: str = ""


class Estimate(NamedTuple):
    """``status``: how many stages are done, running, and so on. Steps and hours of training alone, on ``device`` at
    ``threads``: ``left`` of what is not done, of which ``unknown`` steps have no like run; bytes that are kept in the end,
    still to be written, and of the largest checkpoint. ``gpu_hours_left``: hours times the GPUs of each stage. ``untimed``:
    those of ``unknown`` that train, so that a budget cannot be held.
    ``searched``: steps of what is left that are of suggestions, all of which are an upper bound, also in hours and bytes."""

    status: dict[str, int]
    device: str
    threads: int
    hours_left: float
    steps_left: int
    unknown: int
    paces: tuple[Pace, ...]
    kept: int
    to_write: int
    checkpoint: int
    gpu_hours_left: float = 0.0
    searched: int = 0
    untimed: int = 0


class Timed(NamedTuple):
    """How each stage of a plan stands; what is trained, the steps that are left of it, and the pace of that of which one is
    known; by digest, and by name of what stands for all that a search of ``ahead`` may suggest."""

    device: str
    threads: int
    status: dict[str, runs.Status]
    runs: dict[str, StageRun]
    left: dict[str, int]
    paces: dict[str, Pace]
    ahead: list[Ahead]


class _Past(NamedTuple):
    """A run that was trained: what it did, how fast, on what."""

    name: str
    alike: str
    around: str
    cost: tuple[float, float] | None
    seconds: float
    machine: tuple[str, int]


def timed(plan: Plan, root: Path) -> Timed:
    """A plan by the runs under ``root``, on the machine that most of what is left has been timed on. What a launch would
    borrow of a pool counts as done."""
    searching = ahead(plan)
    sure = {**plan.runs, **{digest: run for one in searching for digest, run in one.shared.items()}}
    status = statuses(root, sure) | dict.fromkeys(lendable(root, list(sure.values())), _LENT)
    left = {digest: 0 if status[digest] == "done" else _steps(run) - _at(root / digest) for digest, run in sure.items()}
    left |= {name: one.times * _steps(run) for one in searching for name, run in one.alike.items()}
    every = {**sure, **{name: run for one in searching for name, run in one.alike.items()}}
    facts = {**{trial.stages[-1]: trial.facts for trial in plan.trials},
             **{list(one.alike)[-1]: one.searched.facts for one in searching if one.alike}}  # fmt: skip
    costs = _costs({(name,): (one.parameters, _flops(one.flops, one.largest)) for name, one in facts.items()})
    past = list(_past(root)) if any(left.values()) else []
    machines = dict.fromkeys(one.machine for one in past)
    known = {machine: _paces(every, costs, [one for one in past if one.machine == machine]) for machine in machines}
    (device, threads), paces = max(
        known.items(), key=lambda one: sum(left[digest] for digest in one[1]), default=(("", 0), {})
    )
    return Timed(device, threads, status, every, left, paces, searching)


def estimate(plan: Plan, found: Timed, prints: Footprints) -> Estimate:
    """What is left of a plan, at the paces that are known."""
    device, threads, status, every, left, paces, searching = found
    hours = {digest: left[digest] * pace.seconds / 3600 for digest, pace in paces.items()}
    for one in searching:
        hours |= one.hours({name: _steps(every[name]) * pace.seconds / 3600 for name, pace in paces.items()})
    gpus = gpus_of(plan, paces, device)
    held = {digest: prints.held(every[digest]) for digest in status}
    suggested = [(one, prints.held(run)) for one in searching for run in one.alike.values()]
    more = sum(one.times * max(each.kept, each.checkpoint * one.prunes) for one, each in suggested)
    open_ = [each for digest, each in held.items() if status[digest] != "done"]
    return Estimate(
        status={name: list(status.values()).count(name) for name in dict.fromkeys(status.values())},
        device=device, threads=threads,
        hours_left=math.fsum(hours.values()),
        steps_left=sum(left.values()),
        unknown=sum(count for digest, count in left.items() if digest not in paces),
        paces=tuple(dict.fromkeys(pace for digest, pace in paces.items() if left[digest])),
        kept=sum(each.kept for each in held.values()) + more,
        to_write=sum(each.kept for each in open_) + more,
        checkpoint=max((each.checkpoint for each in [*open_, *(each for _, each in suggested)]), default=0),
        gpu_hours_left=math.fsum(hours[digest] * gpus[digest] for digest in paces),
        untimed=sum(left[digest] for digest in left.keys() - paces.keys() if "steps" in every[digest].spec),
        searched=sum(one.suggestions * _steps(run) for one in searching for run in one.alike.values()),
    )  # fmt: skip


def statuses(root: Path, names: Iterable[str]) -> dict[str, runs.Status]:
    """How the runs of these names stand; of those without a folder no file is looked for."""
    there = {path.name for path in root.iterdir()} if root.is_dir() else set()
    return {name: runs.status(root / name) if name in there else "planned" for name in names}


def _steps(run: StageRun) -> int:
    return int(run.spec.get("steps", 1))


def gpus_of(plan: Plan, paces: Mapping[str, Pace], device: str) -> dict[str, int]:
    """How many GPUs each stage takes: as its resources say, else the one that it was timed on, if it was one; each stage of a
    search those of its last, which its workers are given."""
    resources = plan.asked.file.resources
    using = used(plan.trials, plan.runs)
    for searching in ahead(plan):
        last = searching.searched.used()[-1]
        using |= {digest: last for digest in [*searching.shared, *searching.alike] if digest not in using}
    found = {}
    for digest, one in using.items():
        said = given(resources, one)
        timed_on = (paces[digest].device or device) if digest in paces else ""
        usual = int(timed_on not in ("", "cpu"))
        found[digest] = int(said.get("gpus_per_node", usual)) * int(said.get("nodes", 1))
    return found


def refuse_over(found: Estimate, budget_hours: float | None, budget_gpu_hours: float | None, *, probed: bool) -> None:
    """Raises SpecError where what is left is estimated to take longer than a budget, or more hours of GPUs; and where nobody
    can say, as steps are of unknown time. ``probed``: whether some of them were timed, which then helps no more."""
    asked = [
        ("--budget-hours", budget_hours, found.hours_left, f"h of training on {found.device}"),
        ("--budget-gpu-hours", budget_gpu_hours, found.gpu_hours_left, "GPU hours of training"),
    ]
    more = f", and {counted(found.unknown, 'step')} more of which nothing is known" if found.unknown else ""
    remedy = "which no probe times" if probed else "say --probe first, which times some of each kind"
    open_ = f"cannot be held: {counted(found.untimed, 'step')} to go are of unknown time; {remedy}"
    faults = [
        Fault(
            Mark(f"{option} {most:g}"),
            "",
            f"what is left takes about {left:.3g} {unit}{more}" if left > most else open_,
        )
        for option, most, left, unit in asked
        if most is not None and (left > most or found.untimed)
    ]
    if faults:
        raise SpecError(faults)


def _at(folder: Path) -> int:
    """The steps that a run need not do again."""
    record = runs.last_record(folder) if (folder / runs.CHECKPOINT).exists() or runs.leased(folder) else None
    return record.step + 1 if record else 0


def _paces(
    every: Mapping[str, StageRun], costs: Mapping[str, tuple[float, float]], past: Sequence[_Past]
) -> dict[str, Pace]:
    """Of every stage that there are like runs of, by digest."""
    alike: dict[str, list[_Past]] = {}
    around: dict[str, list[_Past]] = {}
    for one in past:
        alike.setdefault(one.alike, []).append(one)
        around.setdefault(one.around, []).append(one)
    found = {}
    for digest, run in every.items():
        same, near = alike.get(key(run), []), []
        if not same and digest in costs:
            near = [one for one in around.get(key(run, "model"), ()) if _as_large(one.cost, costs[digest])]
        if some := same or near:
            names = tuple(sorted(one.name for one in some))
            found[digest] = Pace(run.name, statistics.median(one.seconds for one in some), names, bool(same))
    return found


def _past(root: Path) -> Iterable[_Past]:
    """Every run that has taken steps, once however many names it has."""
    costs = _stored_costs(root)
    for path in sorted(root.glob(f"*/{runs.EXPERIMENT}")):
        folder = path.parent
        tries = [one for one in runs.attempts(folder) if one.get("to_step", 0) > one.get("from_step", 0)]
        steps = sum(one["to_step"] - one["from_step"] for one in tries)
        if folder.is_symlink() or not steps or not (folder / runs.PROVENANCE).exists():
            continue
        said, ran = from_json(runs.read_json(path)), runs.read_json(folder / runs.PROVENANCE)
        seconds = sum(one["seconds"] for one in tries) / steps
        yield _Past(folder.name, key(said), key(said, "model"), costs.get(folder.name), seconds,
                    (ran["device"], ran["threads"]))  # fmt: skip


def key(run: StageRun, *without: str) -> str:
    """What a step's time depends on."""
    return json.dumps({k: v for k, v in run.spec.items() if k not in (*FREE, *without)}, sort_keys=True)


def _costs(trials: Mapping[tuple[str, ...], tuple[float | None, float]]) -> dict[str, tuple[float, float]]:
    """(parameters, FLOPs of its largest clip) of every last stage, where they are known."""
    return {stages[-1]: (parameters, flops) for stages, (parameters, flops) in trials.items() if parameters and flops}


def _flops(flops: Mapping[str, Any], largest: str) -> float:
    return float(sum(flops[largest])) if flops else 0.0


def _stored_costs(root: Path) -> dict[str, tuple[float, float]]:
    """What the plans of earlier launches say of their runs."""
    found: dict[str, tuple[float, float]] = {}
    for path in sorted(root.glob(f"sweeps/*/{PLAN}")):
        trials = runs.read_json(path)["trials"]
        known = {tuple(one["stages"]): (one["parameters"], float(sum(one["flops"][one["largest"]].values())))
                 for one in trials if one.get("flops")}  # fmt: skip
        found |= _costs(known)
    return found


def _as_large(one: tuple[float, float] | None, other: tuple[float, float]) -> bool:
    return one is not None and all(max(a / b, b / a) <= AS_LARGE for a, b in zip(one, other, strict=True))
