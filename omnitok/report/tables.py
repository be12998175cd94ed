"""The ablation table as data: what every format prints, digit by digit, with the runs behind each number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from omnitok.report.collect import ENDS, Metric, Sweep
from omnitok.report.numbers import count, mean_and_sd
from omnitok.report.statistics import Summary, by_seed, summary, tied

ARROWS: Final = {"higher": "↑", "lower": "↓", "neither": ""}
UNSAID: Final = "—"  # in the place of a label: as the experiment says
WORDS: Final = {"planned": "not started", "unevaluated": "not evaluated"}


class Column(NamedTuple):
    """A head: what it says, what it means in full, the evaluation it stands under, unit, direction, footnotes."""

    title: str
    full: str
    group: str
    unit: str
    arrow: str
    notes: tuple[int, ...]


class Cell(NamedTuple):
    """A number over seeds as text, or a hole (``value`` is then what stands in it)."""

    value: str
    spread: str
    bold: bool
    hole: bool
    found: Summary
    planned: int
    hover: str
    notes: tuple[int, ...]


class Row(NamedTuple):
    """An arm (by its factors' labels) or a baseline, with ``n`` of ``planned`` trials done."""

    kind: str
    name: str
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    parameters: int | None
    n: int
    planned: int
    notes: tuple[int, ...]

    @property
    def seeds(self) -> str:
        return f"{self.n}" if self.n == self.planned else f"{self.n} of {self.planned}"

    @property
    def size(self) -> str:
        return count(self.parameters)


class Table(NamedTuple):
    """Arms, then baselines; ``heads`` are the columns before the numbers, ``notes`` the footnotes in order."""

    name: str
    slug: str
    caption: str
    heads: tuple[Column, ...]
    metrics: tuple[Column, ...]
    arms: tuple[Row, ...]
    baselines: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.arms + self.baselines


class _Notes:
    """Footnotes in the order in which they are first needed, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> tuple[int, ...]:
        if text and text not in self.texts:
            self.texts.append(text)
        return (self.texts.index(text),) if text else ()


def letter(note: int) -> str:
    """0 -> "a", 25 -> "z", 26 -> "aa": the mark of a footnote, which must not look like a number."""
    head, tail = divmod(note, 26)
    return (letter(head - 1) if head else "") + chr(ord("a") + tail)


def ablation(sweep: Sweep, frame: pd.DataFrame) -> Table:
    """Rows are arms and, in a block of their own, baselines; columns factors, metrics, parameters and n.

    Bold are all arms that are statistically tied with the best one (paired by seed), and only where at least one arm
    is not, so that bold always says something; one seed is never bold.
    """
    notes = _Notes()
    heads = _heads(sweep)
    columns = tuple(_column(metric, notes) for metric in sweep.metrics)
    trials = {(str(kind), str(name)): group for (kind, name), group in frame.groupby(["kind", "arm"], sort=False)}
    bold = {metric.column: best(metric, _arms(sweep, trials, metric.column)) for metric in sweep.metrics}
    blocks = {
        kind: tuple(_row(trials[kind, name], bold, notes, heads, sweep.metrics) for name in sweep.names(kind))
        for kind in ("arm", "baseline")
    }
    caption = f"{sweep.said['name']}: mean ± standard deviation over seeds."
    if any(bold.values()):
        caption += " Bold: the best arm and all that a paired 95 % interval does not tell from it."
    if any(UNSAID in row.labels for row in blocks["arm"]):
        caption += f" {UNSAID}: as the experiment says."
    return Table(
        sweep.said["name"], sweep.slug, caption, heads, columns, blocks["arm"], blocks["baseline"], tuple(notes.texts)
    )


def best(metric: Metric, arms: Mapping[str, Mapping[int, float]]) -> set[str]:
    """The arms that may be bold: those tied with the best one, if not all are, over two seeds or more each."""
    sign = {"higher": 1.0, "lower": -1.0}.get(metric.better)
    means = {name: sign * summary(seeds.values()).mean for name, seeds in arms.items() if seeds} if sign else {}
    if not means:
        return set()
    first = max(means, key=lambda name: means[name])
    several = [name for name in means if len(arms[name]) > 1]
    if first not in several:
        return set()
    level = {name for name in several if tied(arms[first], arms[name])}
    return level if len(level) < len(several) else set()


def _arms(sweep: Sweep, trials: Mapping[tuple[str, str], pd.DataFrame], column: str) -> dict[str, dict[int, float]]:
    return {name: by_seed(trials["arm", name], column) for name in sweep.names("arm")}


def _heads(sweep: Sweep) -> tuple[Column, ...]:
    """A column a factor, and one for the arm's name where the labels do not say it."""
    lasts = [path.rpartition(".")[2] for path in sweep.factors]
    titles = {path: last if lasts.count(last) == 1 else path for path, last in zip(sweep.factors, lasts, strict=True)}
    factors = tuple(Column(title, path, "", "", "", ()) for path, title in titles.items())
    arms = [trial for trial in sweep.plan["trials"] if trial["kind"] == "arm"]
    told = all(trial["name"] == "+".join(map(str, trial["arm"].values())) for trial in arms)
    return factors if factors and told else (Column("arm", "arm", "", "", "", ()), *factors)


def _column(metric: Metric, notes: _Notes) -> Column:
    marks = notes.mark(f"{metric.label}: {metric.protocol}")
    return Column(metric.label, f"{metric.column} ({metric.key})", metric.evaluation, metric.unit,
                  ARROWS[metric.better], marks)  # fmt: skip


def _row(
    trials: pd.DataFrame,
    bold: Mapping[str, set[str]],
    notes: _Notes,
    heads: Sequence[Column],
    metrics: Sequence[Metric],
) -> Row:
    """All trials of one arm, or of one baseline."""
    kind, name = str(trials["kind"].iloc[0]), str(trials["arm"].iloc[0])
    done = int((trials["status"] == "done").sum())
    marks = notes.mark(hole(trials))
    cells = [_cell(trials, m, kind == "arm" and name in bold[m.column], marks, notes) for m in metrics]
    known = trials["parameters"].dropna()
    labels = tuple(name if head.full == "arm" else _label(trials[head.full].iloc[0]) for head in heads)
    labels = labels if kind == "arm" else (name, *[""] * (len(heads) - 1))
    parameters = int(known.iloc[0]) if len(known) else None
    return Row(kind, name, labels, tuple(cells), parameters, done, len(trials), marks)


def _label(said: Any) -> str:
    return UNSAID if pd.isna(said) else str(said)


def _cell(trials: pd.DataFrame, metric: Metric, bold: bool, marks: tuple[int, ...], notes: _Notes) -> Cell:
    found = summary(trials[metric.column])
    behind = ", ".join(trials.loc[trials[metric.column].notna(), "digest"])
    if found.n:
        value, spread = mean_and_sd(found)
        sd = "" if found.sd is None else f", sd {found.sd:.6g}"
        ends = _ends(trials, metric) if len(trials) == 1 else ""
        hover = f"mean {found.mean:.8g}{sd}{ends}, n = {found.n} of {len(trials)}; runs {behind}"
        return Cell(value, spread, bold, False, found, len(trials), hover, ())
    if metric.missing:
        return Cell("n/a", "", False, True, found, len(trials), metric.missing, notes.mark(f"n/a: {metric.missing}"))
    if (trials["status"] == "done").any():
        return Cell("n/a", "", False, True, found, len(trials), "does not apply", notes.mark("n/a: does not apply"))
    reason = hole(trials)
    return Cell("—", "", False, True, found, len(trials), reason, marks)


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


def numbers(table: Table) -> pd.DataFrame:
    """The table at full precision: a row an arm or baseline, for each metric its mean, sd, n and whether it is bold."""
    found = []
    for row in table.rows:
        said = dict(zip([head.full for head in table.heads], row.labels, strict=True)) if row.kind == "arm" else {}
        line: dict[str, Any] = {"kind": row.kind, "arm": row.name} | {
            path: "" if label == UNSAID else label for path, label in said.items() if path != "arm"
        }
        for column, cell in zip(table.metrics, row.cells, strict=True):
            name = f"{column.group}/{column.title}"
            sd = math.nan if cell.found.sd is None else cell.found.sd
            line |= {name: cell.found.mean, f"{name} sd": sd, f"{name} n": cell.found.n, f"{name} bold": cell.bold}
        notes = "; ".join(table.notes[note] for note in row.notes)
        found.append(line | {"parameters": row.parameters, "n": row.n, "planned": row.planned, "hole": notes})
    return pd.DataFrame(found)
