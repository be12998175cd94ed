"""What stands on an axis: a cost, a factor or a choice, as numbers or as labels in an order."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from omnitok.exhibits.cells import COSTS, METERED, cost_column, once, one_metric
from omnitok.exhibits.contract import Unfit
from omnitok.exhibits.figures import legible
from omnitok.exhibits.numbers import count
from omnitok.exhibits.table import ARROWS, UNSAID, Notes
from omnitok.results import Metric, Results
from omnitok.results.collect import ENDS
from omnitok.spec import closest, flow

DECADE: Final = 10.0  # numbers that span more are shown by their logarithm
LONGEST: Final = 40  # characters of a name in a figure; a longer one loses its middle
NO_AXIS: Final = frozenset({"sweep", "kind", "arm", "seed", "digest", "digests", "status", "reason", "tuned", "seconds",
                            "commit", "dirty", "device", "notes"})  # fmt: skip
GOALS: Final = {"maximize": "higher", "minimize": "lower"}


class Axis(NamedTuple):
    """``values``: a number or a label a row; ``labels``: in order, () where it has numbers; ``measured``: differs by seed."""

    path: str
    title: str
    values: pd.Series
    labels: tuple[str, ...] = ()
    better: str = "neither"
    measured: bool = False

    @property
    def log(self) -> bool:
        """Whether numbers are all positive and span more than a decade."""
        known = self.values.dropna() if not self.labels else ()
        return len(known) > 0 and min(known) > 0 and max(known) > DECADE * min(known)

    @property
    def varies(self) -> bool:
        return self.values.nunique(dropna=False) > 1


class Tried(NamedTuple):
    """What was tried and what came of it: a row an arm and seed, or a suggestion of a search.

    ``axes``: what was set; ``y``: a number a row, none of them NaN; ``arm``, ``seed``: whose it is (a suggestion has no
    seed); ``what``: arms or suggestions.
    """

    axes: tuple[Axis, ...]
    y: pd.Series
    title: str
    better: str
    arm: pd.Series
    seed: pd.Series | None
    what: str


def axis(results: Results, name: str, choice: str) -> Axis:
    """A cost, or a factor or choice by its path or its last part, of every row of an arm. Raises Unfit."""
    frame = results.rows[results.rows["kind"] == "arm"]
    if name in COSTS:
        column, of = cost_column(name, results, Notes()), COSTS[name]
        values = frame[name].astype(float) / of.size
        return Axis(name, _unit(column.title, column.unit), values, (), of.better, name in METERED)
    path = _path(results, name, choice)
    title = path.rpartition(".")[2] or path
    return labelled(path, title, frame[path], results.factors.get(path, ()))


def labelled(path: str, title: str, said: pd.Series, order: Sequence[str] = ()) -> Axis:
    """Labels in ``order``, what is not said before them; without an order numbers, where all that is said are such."""
    if not order and (found := numbers(said)) is not None:
        return Axis(path, title, found)
    words = pd.Series([UNSAID if _missing(v) else v if isinstance(v, str) else flow(v) for v in said], said.index)
    there = dict.fromkeys(words)
    first = [UNSAID] if UNSAID in there else []
    return Axis(path, title, words, tuple(dict.fromkeys([*first, *(one for one in order if one in there), *there])))


def numbers(said: pd.Series) -> pd.Series | None:
    """What is said as numbers, NaN where nothing is; a label such as 1e-3 is one. None where something is none."""
    found = [math.nan if _missing(value) else _number(value) for value in said]
    several = None not in found and not all(map(_missing, said))
    return pd.Series(found, said.index, dtype=float) if several else None


def quality(results: Results, name: str, choice: str) -> Metric | None:
    """The metric that is named; the first that has numbers and a better direction where none is. Raises Unfit."""
    if name:
        return one_metric(results, name, choice)
    known = [metric for metric in results.metrics if results.rows[metric.column].notna().any()]
    return next((metric for metric in known if metric.better != "neither"), next(iter(known), None))


def titled(metric: Metric) -> str:
    """The name of a metric on an axis, with its unit and its direction."""
    return f"{_unit(metric.column, metric.unit)} {ARROWS[metric.better]}".strip()


def tried(results: Results, metric: str, axes: Sequence[str], choice: str = "axes") -> Tried | None:
    """Every arm and seed by its factors, or by the ``axes`` that are named; of a search every complete suggestion by what
    was searched, where nothing else is named. None where nothing is measured. Raises Unfit."""
    found = _suggested(results, metric) if not axes else None
    if found is not None:
        return found
    of, frame = quality(results, metric, "metric"), results.rows[results.rows["kind"] == "arm"]
    if of is None:
        return None
    known = frame[frame[of.column].notna()]
    made = [axis(results, name, choice) for name in axes or results.factors]
    once([one.path for one in made], choice)
    kept = _told_apart([one._replace(values=one.values[known.index]) for one in made])
    y = known[of.column].astype(float)
    return Tried(kept, y, titled(of), of.better, known["arm"], known["seed"], "arms") if len(known) else None


def by_decades(side: Any, low: float, high: float) -> None:
    """A logarithmic axis of a panel with numbers that people read: 1, 2, 5 within few decades, else 1 and 10."""
    few = high < 100 * low
    side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=9))
    side.set_major_formatter(FuncFormatter(lambda value, _: count(round(value)) if value >= 1000 else f"{value:g}"))
    side.set_minor_formatter(NullFormatter())


def short(name: str, longest: int = LONGEST) -> str:
    """A name as a figure prints it."""
    half = (longest - 1) // 2
    return legible(name if len(name) <= longest else f"{name[:half]}…{name[-(longest - 1 - half) :]}")


def _suggested(results: Results, metric: str) -> Tried | None:
    said = results.searches
    if said is None or not len(said.trials):
        return None
    goals = {one["metric"]: one["goal"] for search in results.sweep.plan["searches"] for one in search["objectives"]}
    name = metric or next(iter(goals))
    column = f"objective {name}"
    if name not in goals or column not in said.trials:
        return None
    frame = said.trials[(said.trials["state"] == "complete") & said.trials[column].notna()]
    axes = [labelled(str(path), str(path).rpartition(".")[2], frame[f"value {path}"])
            for path in (c.removeprefix("value ") for c in frame.columns if c.startswith("value "))]  # fmt: skip
    better = GOALS[goals[name]]
    return Tried(_told_apart(axes), frame[column].astype(float), f"{name} {ARROWS[better]}", better, frame["arm"], None,
                 "suggestions") if len(frame) else None  # fmt: skip


def _told_apart(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Those of one title have their whole paths."""
    titles = [one.title for one in axes]
    return tuple(one if titles.count(one.title) == 1 else one._replace(title=one.path) for one in axes)


def _path(results: Results, name: str, choice: str) -> str:
    hidden = NO_AXIS | {f"{m.column}{end}" for m in results.metrics for end in ("", *(f" {side}" for side in ENDS))}
    known = [str(column) for column in results.rows.columns if column not in hidden and column not in COSTS]
    for some in (list(results.factors), known):
        found = [path for path in some if name == path] or [path for path in some if path.endswith(f".{name}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise Unfit(choice, f"{name} is more than one choice of the sweep: {', '.join(found)}")
    options = [*results.factors, *COSTS]
    close = closest(name, [*options, *known])
    raise Unfit(choice, f"{name} is no factor, cost or choice{close} (known: {', '.join(options)}, or a choice's path)")


def _unit(title: str, unit: str) -> str:
    return f"{title} ({unit})" if unit else title


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _number(value: Any) -> float | None:
    """None of what is no finite number."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
