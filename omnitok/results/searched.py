"""What was searched in each arm, and what won."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from omnitok.results.collect import Sweep
from omnitok.search import Standing, standing, trials, winner
from omnitok.spec import flow
from omnitok.sweep.stored import drawable, ended, searches

COUNTS: Final = ("trials", "pruned", "failed", "infeasible")
HEADS: Final = ("arm", "sampler", *COUNTS, "best", "what won")


class Searches(NamedTuple):
    """How the searches of a sweep went. ``arms``: a row an arm under ``HEADS``; ``space``: a row a choice, as ``drawable``
    gives it; ``trials``: a row a suggestion; ``tuned``: what was spent on each arm, in words."""

    goals: str
    sampler: str
    pruner: str
    seed: int
    arms: tuple[tuple[str, ...], ...]
    space: tuple[tuple[str, ...], ...]
    trials: pd.DataFrame
    tuned: Mapping[str, str]


def searched(sweep: Sweep) -> Searches | None:
    """None where the sweep searches nothing."""
    said = sweep.plan.get("searches", [])
    if not said:
        return None
    stands = {one["arm"]: standing(sweep.stored / one["folder"]) for one in said}
    won = {one["arm"]: winner(sweep.stored / one["folder"]) or {} for one in said}
    goals = ", ".join(f"{one['metric']} ({one['goal']})" for one in said[0]["objectives"])
    return Searches(
        goals, said[0]["sampler"], said[0]["pruner"], sweep.plan["seeds"][0],
        tuple(_row(one, stands[one["arm"]], won[one["arm"]]) for one in said), tuple(drawable(said)),
        pd.DataFrame(_suggestions(sweep, said)),
        {one["arm"]: f"{ended(stands[one['arm']])} of {stands[one['arm']].target} suggestions" for one in said},
    )  # fmt: skip


def open_searches(sweep: Sweep) -> list[tuple[str, str, str]]:
    """(arm, status, reason) of every arm that has no trials yet."""
    return [(state.trial["name"], state.status, state.reason) for state in searches(sweep.stored)]


def _row(said: Mapping[str, Any], stands: Standing, won: Mapping[str, Any]) -> tuple[str, ...]:
    count = ended(stands)
    tried = f"{count}" if count == stands.target else f"{count} of {stands.target}"
    best = ", ".join(f"{metric} {value:.5g}" for metric, value in stands.best.items())
    values = won.get("values") or {}
    words = ", ".join(f"{path} {_value(value)}" for path, value in values.items())
    why = "" if won.get("trial", 0) is not None else f"nothing: {won['reason']}"
    counts = (tried, *(str(getattr(stands, name)) for name in COUNTS[1:]))
    return (said["arm"], said["sampler"].partition(" ")[0], *counts, best or "—", words or why or "—")


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else flow(value)


def _suggestions(sweep: Sweep, said: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """A row a suggestion of each arm, in the order of their numbers."""
    for one in said:
        for trial in trials(sweep.stored / one["folder"]):
            values = {f"value {path}": label for path, label in (trial.get("labels") or {}).items()}
            found = {f"objective {metric}": value for metric, value in (trial.get("objectives") or {}).items()}
            runs = " ".join(trial.get("runs") or ())
            fixed = {"arm": one["arm"], "number": trial["number"], "state": trial["state"]}
            yield {**fixed, **values, **found, "runs": runs, "reason": trial.get("reason", "")}
