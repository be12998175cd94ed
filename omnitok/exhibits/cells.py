"""Cells over seeds: what layouts are put together from."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import pandas as pd

from omnitok.exhibits.contract import Unfit
from omnitok.exhibits.numbers import by_spread, count, mean_and_sd
from omnitok.exhibits.table import ARROWS, UNSAID, Cell, Column, Mark, Notes, Row, labelled
from omnitok.results import Metric, Results
from omnitok.results.collect import ENDS
from omnitok.results.statistics import by_seed, summary, tied
from omnitok.spec import closest, near

Key = TypeVar("Key", bound=Hashable)
WORDS: Final = {"planned": "not started", "unevaluated": "not evaluated"}
Cost = Literal["parameters", "flops", "bits_per_token", "throughput", "memory", "hours"]


class Of(NamedTuple):
    """What a cost is called, its unit, the direction in which less is spent, and what one of its unit is in rows."""

    title: str
    unit: str
    better: str
    size: float
    note: str


COSTS: Final[Mapping[str, Of]] = {
    "parameters": Of("parameters", "", "neither", 1, ""),
    "flops": Of("GFLOPs", "", "lower", 1e9, "GFLOPs: of one clip of the largest shape that was trained on, there and back"),
    "bits_per_token": Of("bits", "a token", "neither", 1, ""),
    "throughput": Of("throughput", "samples/s", "higher", 1, "throughput: training samples a second in the last stage"),
    "memory": Of("memory", "GiB", "lower", 2**30, "memory: the peak in the last stage"),
    "hours": Of("hours", "", "lower", 1, "hours: of devices, over all stages and attempts of a trained trial; a shared stage counts for each arm, a search for none"),
}  # fmt: skip
SEEDS: Final = Column("n", "n")  # how many trials are done
METERED: Final = ("throughput", "memory", "hours")  # costs that were measured, so differ from seed to seed
TRAINED: Final = ("done", "unevaluated")  # trials that cost all that they will


class Measured(NamedTuple):
    """What a table of arms has: heads before the numbers, metrics, costs."""

    heads: tuple[Column, ...]
    metrics: tuple[Metric, ...]
    costs: tuple[Cost, ...] = ()


def chosen(results: Results, said: Sequence[str], choice: str = "metrics") -> tuple[Metric, ...]:
    """The metrics that are named as "photos/psnr" or, where one evaluation has it, as "psnr"; all where none is.

    Raises Unfit with what there is.
    """
    found = tuple(one_metric(results, name, choice) for name in said)
    once([metric.column for metric in found], choice)
    return found or results.metrics


def one_metric(results: Results, name: str, choice: str) -> Metric:
    """Raises Unfit where there is none of that name, or where several evaluations have it."""
    columns = [metric.column for metric in results.metrics]
    found = [metric for metric in results.metrics if name in (metric.column, metric.label)]
    if len(found) != 1:
        said = f"several evaluations have {name}" if found else f"nothing is measured that is called {name}"
        raise Unfit(choice, f"{said}{near(name, columns)}")
    return found[0]


def chosen_arms(results: Results, said: Sequence[str], choice: str = "arms") -> tuple[str, ...]:
    """The arms that are named and have trials, in that order; all where none is named. Raises Unfit."""
    known = [*results.arms, *results.awaited]
    for name in said:
        if name not in known:
            raise Unfit(choice, f"no arm is called {name}{near(name, known)}")
    once(said, choice)
    return tuple(name for name in said or results.arms if name in results.arms)


def chosen_evaluations(results: Results, said: Sequence[str], choice: str = "evaluations") -> tuple[str, ...]:
    """Raises Unfit."""
    for name in said:
        if name not in results.evaluations:
            raise Unfit(choice, f"no evaluation is called {name}{near(name, results.evaluations)}")
    once(said, choice)
    return tuple(said) or results.evaluations


def one_factor(results: Results, name: str, choice: str) -> str:
    """The path of a factor that is named by it or by its last part. Raises Unfit."""
    found = [path for path in results.factors if name == path or path.endswith(f".{name}")]
    if len(found) != 1:
        titles = [path.rpartition(".")[2] for path in results.factors]
        raise Unfit(choice, f"{name} is {'no' if not found else 'more than one'} factor of the sweep"
                    f"{closest(name, [*results.factors, *titles])} (known: {', '.join(results.factors) or 'none'})")  # fmt: skip
    return found[0]


def once(said: Sequence[str], choice: str) -> None:
    """Raises Unfit where a column, row or axis would stand there twice."""
    if twice := [name for i, name in enumerate(said) if name in said[:i]]:
        raise Unfit(choice, f"{twice[0]} is said twice")


def seeds_of(results: Results, arm: str, column: str) -> dict[int, float]:
    """{seed: number} of one arm."""
    return by_seed(results.trials("arm", arm), column)


def marked(results: Results, metric: Metric, arms: Sequence[str]) -> dict[str, Mark]:
    """Which of the arms are best, and which second, in one column; see ``ranked``."""
    return ranked({name: seeds_of(results, name, metric.column) for name in arms}, metric.better)


def ranked(values: Mapping[Key, Mapping[int, float]], better: str) -> dict[Key, Mark]:
    """Which are best, and which second, of those with two seeds or more each. ``values``: {whose: {seed: number}}.

    Best are all that are statistically tied with the best one (paired by seed), second all that are tied with the best of
    the others; and only where at least one arm is neither best, so that a mark always says something.
    """
    sign = {"higher": 1.0, "lower": -1.0}.get(better)
    known = {key: seeds for key, seeds in values.items() if seeds} if sign else {}
    marks: dict[Key, Mark] = {}
    rest = dict(known)
    for mark in ("best", "second"):
        level = _leaders(rest, sign or 1.0)
        if not level or (mark == "best" and len(level) == sum(len(seeds) > 1 for seeds in known.values())):
            return marks
        marks |= dict.fromkeys(level, mark)
        rest = {key: seeds for key, seeds in rest.items() if key not in level}
    return marks


def _leaders(values: Mapping[Key, Mapping[int, float]], sign: float) -> list[Key]:
    """The best of several and those tied with it; nobody where the best has one seed only."""
    means = {key: sign * summary(seeds.values()).mean for key, seeds in values.items()}
    several = [key for key in means if len(values[key]) > 1]
    best = [key for key in several if means[key] == max(means.values())]
    return [key for key in several if tied(values[best[0]], values[key])] if best else []


def factor_titles(results: Results) -> dict[str, str]:
    """{path: the last part of it, or all of it where two factors have one last part}."""
    lasts = [path.rpartition(".")[2] for path in results.factors]
    return {path: last if lasts.count(last) == 1 else path for path, last in zip(results.factors, lasts, strict=True)}


def heads_of(results: Results) -> tuple[Column, ...]:
    """A column a factor, and one for the arm's name where the labels do not say it."""
    factors = tuple(Column(title, path) for path, title in factor_titles(results).items())
    told = all(name == "+".join(map(str, labels.values())) for name, labels in results.arms.items())
    return factors if factors and told else (Column("arm", "arm"), *factors)


def metric_column(metric: Metric, notes: Notes) -> Column:
    """Its footnote is the metric's protocol."""
    marks = notes.mark(f"{metric.label}: {metric.protocol}")
    return Column(metric.label, metric.column, metric.evaluation, metric.unit, ARROWS[metric.better], marks)


def cost_column(cost: str, results: Results, notes: Notes) -> Column:
    said, title = COSTS[cost], COSTS[cost].title
    if cost == "hours":
        devices = set(results.rows["device"].dropna().str.partition(":")[0])
        title = "CPU hours" if devices == {"cpu"} else "hours" if "cpu" in devices or not devices else "GPU hours"
    return Column(title, cost, "", said.unit, ARROWS[said.better], notes.mark(said.note))


def row_of(
    results: Results, kind: Literal["arm", "baseline"], name: str, heads: Sequence[Column], cells: Sequence[Cell]
) -> Row:
    """A row of the sweep's own: of an arm with its labels, of a baseline with its name."""
    if kind == "baseline":
        return Row(kind, name, labelled(heads, name), tuple(cells))
    first = results.trials(kind, name).iloc[0]
    labels = tuple(name if head.full == "arm" else _label(first[head.full]) for head in heads)
    return Row(kind, name, labels, tuple(cells))


def own_columns(results: Results, of: Measured, notes: Notes) -> tuple[Column, ...]:
    """The columns of ``own_rows``. Raises Unfit for a cost that is said twice."""
    once(of.costs, "costs")
    columns = [metric_column(metric, notes) for metric in of.metrics]
    return (*columns, *(cost_column(cost, results, notes) for cost in of.costs), SEEDS)


def own_rows(
    results: Results, kind: Literal["arm", "baseline"], names: Sequence[str], of: Measured, notes: Notes
) -> tuple[Row, ...]:
    """A row an arm or baseline: its metrics (the best arms marked), what it costs, and how many seeds it has."""
    marks = {metric: marked(results, metric, names) if kind == "arm" else {} for metric in of.metrics}
    rows = []
    for name in names:
        trials = results.trials(kind, name)
        cells = [metric_cell(trials, metric, marks[metric].get(name, ""), notes) for metric in of.metrics]
        if kind == "baseline":
            cells = [_above(results, metric, cell, notes) for metric, cell in zip(of.metrics, cells, strict=True)]
        cells += [cost_cell(trials, cost) for cost in of.costs]
        rows.append(row_of(results, kind, name, of.heads, [*cells, seeds_cell(trials, notes)]))
    return tuple(rows)


def above_arms(results: Results, metric: Metric, mean: float) -> bool:
    """Whether this is better than the mean of every arm, of a metric that has a better direction and an arm with a number."""
    sign = {"higher": 1.0, "lower": -1.0}.get(metric.better, 0.0)
    arms = [summary(results.trials("arm", name)[metric.column]) for name in results.arms]
    known = [sign * arm.mean for arm in arms if arm.n]
    return bool(sign and known) and sign * mean > max(known)


def _above(results: Results, metric: Metric, cell: Cell, notes: Notes) -> Cell:
    """A baseline's cell, with a footnote where it is better than every arm."""
    if cell.found is None or not cell.found.n or not above_arms(results, metric, cell.found.mean):
        return cell
    return cell._replace(notes=cell.notes + notes.mark("this baseline is better than the mean of every arm"))


def _label(said: Any) -> str:
    return UNSAID if pd.isna(said) else str(said)


def metric_cell(trials: pd.DataFrame, metric: Metric, mark: Mark, notes: Notes) -> Cell:
    """Of all trials of one arm, or of one baseline."""
    found, whose = summary(trials[metric.column]), (str(trials["kind"].iloc[0]), str(trials["arm"].iloc[0]))
    if found.n:
        value, spread = mean_and_sd(found)
        sd = "" if found.sd is None else f", sd {found.sd:.6g}"
        ends = _ends(trials, metric) if len(trials) == 1 else ""
        behind = ", ".join(trials.loc[trials[metric.column].notna(), "digest"])
        hover = f"mean {found.mean:.8g}{sd}{ends}, n = {found.n} of {len(trials)}; runs {behind}"
        return Cell(value, spread, mark, False, found.mean, found, hover, (), whose)
    done = (trials["status"] == "done").any()
    why = metric.missing or (_silent(trials, metric) if done else "")
    marks = notes.mark(f"n/a: {why}") if why else notes.mark(hole(trials))
    hover = why or hole(trials)
    return Cell("n/a" if why else "—", "", "", True, None, found, hover, marks, whose)


def _silent(trials: pd.DataFrame, metric: Metric) -> str:
    """What a metric says itself of why it has no number."""
    known, begins = (note for said in trials.get("notes", ()) for note in said), f"{metric.column}: "
    said = dict.fromkeys(note.removeprefix(begins) for note in known if note.startswith(begins))
    return "; ".join(said) or "does not apply"


def cost_cell(trials: pd.DataFrame, cost: str) -> Cell:
    """What an arm costs: of a measured cost the mean over the trials that are trained; others have spent a part of it."""
    spent = trials[trials["status"].isin(TRAINED)] if cost in METERED else trials
    found = summary(spent[cost].dropna().astype(float))
    whose = (str(trials["kind"].iloc[0]), str(trials["arm"].iloc[0]))
    if not found.n:
        return Cell("—", hole=True, hover="not measured" if cost in METERED else "not known", whose=whose)
    size = COSTS[cost].size
    if cost == "parameters":
        return Cell(count(round(found.mean)), number=found.mean, hover=f"{found.mean:.0f}", whose=whose)
    sd = None if found.sd is None else found.sd / size
    value = (
        f"{found.mean:g}" if cost == "bits_per_token" else by_spread(found.mean / size, sd if cost in METERED else None)
    )
    spread = f", sd {sd:.4g}" if sd and cost in METERED else ""
    return Cell(value, number=found.mean / size, hover=f"{found.mean / size:.6g}{spread}, n = {found.n}", whose=whose)


def seeds_cell(trials: pd.DataFrame, notes: Notes) -> Cell:
    """How many trials are done, of how many; its footnote says why others are not."""
    done = int((trials["status"] == "done").sum())
    text = f"{done}" if done == len(trials) else f"{done} of {len(trials)}"
    return Cell(text, number=done, notes=notes.mark(hole(trials)), hover=hole(trials))


def _ends(trials: pd.DataFrame, metric: Metric) -> str:
    """The interval over items of the one run that there is; nothing where the metric gives none."""
    columns = [f"{metric.column} {side}" for side in ENDS]
    if not set(columns) <= set(trials.columns) or trials[columns].isna().any(axis=None):
        return ""
    low, high = (float(trials[column].iloc[0]) for column in columns)
    return f", 95 % interval over items {low:.6g} to {high:.6g}"


def hole(trials: pd.DataFrame) -> str:
    """Why trials of one arm have no numbers, seeds with one reason together; "" where all are done."""
    reasons: dict[str, list[str]] = {}
    for seed, status, reason in zip(trials["seed"], trials["status"], trials["reason"], strict=True):
        if status != "done":
            word = WORDS.get(status, status)
            said = word if reason.startswith(word) or not reason else f"{word}: {reason}"
            reasons.setdefault(said, []).append("" if pd.isna(seed) else str(seed))
    return "; ".join(_seeds(seeds) + reason for reason, seeds in reasons.items())


def _seeds(seeds: Sequence[str]) -> str:
    known = [seed for seed in seeds if seed]
    return f"seed{'s' if len(known) > 1 else ''} {', '.join(known)} " if known else ""
