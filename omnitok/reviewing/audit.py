"""Whether the arms of a plan are compared fairly: what they have and see beside what is varied, and by how much it
differs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from omnitok.reviewing.footprint import Footprints
from omnitok.sweep.plan import Plan, Trial

SUGGESTED = "suggestions"  # of the search of an arm: who is tuned longer wins more easily
COLUMNS = ("parameters", "FLOPs", "steps", "images", "clips", "tokens seen", "bits a token")


class Unequal(NamedTuple):
    """One arm in what not all arms have alike: (value, how many times that of the first arm), None where unknown."""

    name: str
    cells: dict[str, tuple[float, float | None] | None]


class Audit(NamedTuple):
    """``equal``: what all arms have alike. ``unequal``: the arms in the rest. ``protocols``: sentences about what is not
    measured alike."""

    equal: tuple[str, ...]
    unequal: tuple[Unequal, ...]
    protocols: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.unequal[0].cells) if self.unequal else ()


def audit(
    plan: Plan, prints: Footprints, more: Mapping[str, Mapping[str, float | None]] = MappingProxyType({})
) -> Audit:
    """Of the arms, whose seeds are alike; baselines are not compared, but what measures them is.

    Of an arm whose search is not over only the number of its suggestions is known. ``more``: other columns, {what it is:
    {arm: how much}}."""
    arms = {trial.name: trial for trial in plan.trials if trial.kind == "arm"}
    found: dict[str, dict[str, float | None]] = {one.name: dict.fromkeys(COLUMNS) for one in plan.searches}
    found |= {name: _of(plan, trial, prints) for name, trial in arms.items()}
    if plan.searches:
        more = {SUGGESTED: {one.name: one.search.trials for one in plan.searches}, **more}
    found = {name: values | {what: of.get(name) for what, of in more.items()} for name, values in found.items()}
    columns = (*COLUMNS, *more)
    differing = [one for one in columns if len({values[one] for values in found.values()}) > 1]
    first = next(iter(found.values()), {})
    rows = [
        Unequal(name, {column: _cell(values[column], first[column]) for column in differing})
        for name, values in found.items()
    ]
    return Audit(
        tuple(
            one for one in columns if one not in differing and any(values[one] is not None for values in found.values())
        ),
        tuple(rows) if differing else (),
        tuple(_protocols(plan)),
    )


def _of(plan: Plan, trial: Trial, prints: Footprints) -> dict[str, float | None]:
    """A number a column; None where it is not known."""
    stages = [plan.runs[digest] for digest in trial.stages]
    seen = [found for run in stages if (found := prints.seen(run))]
    flops = trial.facts.flops.get(trial.facts.largest)
    values = (
        trial.facts.parameters,
        sum(flops) if flops else None,
        sum(int(run.spec.get("steps", 1)) for run in stages),
        sum(one.images for one in seen),
        sum(one.clips for one in seen),
        round(sum(one.tokens for one in seen)),
        trial.facts.bits_per_token or None,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _cell(value: float | None, first: float | None) -> tuple[float, float | None] | None:
    return None if value is None else (value, value / first if first else None)


def _protocols(plan: Plan) -> list[str]:
    """What some trial is not measured by, and numbers that carry one label and come by different protocols."""
    names = [measurement.name for measurement in plan.measurements]
    found = [
        f"{trial.name} is measured by {', '.join(trial.on) or 'nothing'} alone"
        for trial in {trial.name: trial for trial in plan.trials}.values()
        if trial.on is not None and set(trial.on) != set(names)
    ]
    return [*found, *_trained_on(plan), *_clipped(plan)]


def _trained_on(plan: Plan) -> list[str]:
    """Arms whose stages see other files than those of the first arm."""
    seen = {trial.name: {data for digest in trial.stages for data in plan.runs[digest].fingerprints.values()}
            for trial in plan.trials if trial.kind == "arm"}  # fmt: skip
    first = next(iter(seen), "")
    others = [name for name, prints in seen.items() if prints != seen[first]]
    return [f"not trained on the data of {first}: {', '.join(others)}"] if others else []


def _clipped(plan: Plan) -> list[str]:
    """FLOPs of arms whose largest clips differ are those of different clips."""
    largest: Mapping[str, str] = {trial.name: trial.facts.largest for trial in plan.trials if trial.kind == "arm"}
    if len(set(largest.values())) < 2:
        return []
    return [f"FLOPs are of each arm's largest clip, which differ: {', '.join(dict.fromkeys(largest.values()))}"]
