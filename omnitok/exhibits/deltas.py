"""Every arm against one: differences paired by seed, what is known of them, and which are significant."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from omnitok.exhibits.cells import chosen, chosen_arms, heads_of, metric_cell, row_of, seeds_of
from omnitok.exhibits.contract import Pieces
from omnitok.exhibits.numbers import as_range, fixed, mean_and_sd
from omnitok.exhibits.table import ARROWS, UNSAID, Block, Cell, Column, Notes, Table, over_seeds
from omnitok.results import Metric, Results
from omnitok.results.statistics import Interval, Summary, bootstrap, differences, holm, least, sign_flip, summary

LEVEL: Final = 0.05
NOTHING: Final = (float("nan"), float("nan"))
COLUMNS: Final = (
    Column("mean", "mean"), Column("difference", "difference"), Column("95 % interval", "interval"), Column("g", "hedges_g"),
    Column("p", "p_holm"), Column("n", "n"),
)  # fmt: skip
INTERVALS: Final = {
    "t": "Student's t intervals, which take differences over seeds to be normal",
    "bootstrap": "bias-corrected and accelerated bootstrap intervals (Efron 1987)",
}
TESTS: Final = {
    "t": "two-sided paired t tests, which take differences over seeds to be normal",
    "sign_flip": "two-sided sign-flip tests (Fisher 1935), which take differences over seeds to be symmetric",
}


FEW: Final = (
    "no bootstrap interval: one within the range of {n} pairs holds the mean of a symmetric distribution in {share:.4g} % of "
    "draws at most, so 95 % take six pairs"
)


class Delta(NamedTuple):
    """One arm against the base in one metric. ``found``: of the differences; ``p``: corrected for all of a table."""

    found: Summary
    interval: Interval | None
    raw: float | None
    p: float | None = None


def deltas(
    results: Results,
    *,
    base: str = "",
    metrics: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    interval: Literal["t", "bootstrap"] = "t",
    test: Literal["t", "sign_flip"] = "t",
    caption: str = "",
) -> Pieces:
    """A block a metric, a row an arm: its mean, its difference from the base with interval, effect size, and corrected p value.
    Nothing where the base or every arm has no trials yet, or nothing is measured.

    base: the arm that others are held against; where none is said, the experiment itself, else the first arm.
    metrics: which, as photos/psnr, or psnr where one evaluation has it; all where none is said.
    arms: which, in this order; all where none is said.
    interval: t or bootstrap, of the mean difference.
    test: t or sign_flip, of a mean difference of 0.
    caption: in place of the sweep's name.
    """
    against = next(iter(chosen_arms(results, (base,), "base")), None) if base else results.base
    if against is None or not results.metrics:
        return Pieces()
    names = [name for name in chosen_arms(results, arms) if name != against]
    found = {(metric.column, name): _delta(results, metric, (name, against), interval, test)
             for metric in chosen(results, metrics) for name in names}  # fmt: skip
    tested = {key: delta.raw for key, delta in found.items() if delta.raw is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    notes, heads, blocks = Notes(), heads_of(results), []
    for metric in chosen(results, metrics):
        trials = results.trials("arm", against)
        own = metric_cell(trials, metric, "", notes)
        own = own._replace(notes=own.notes + notes.mark(f"{metric.column}: {metric.protocol}"))
        blank = Cell("", hole=True, hover="the base")
        none = blank._replace(found=summary(()))
        cells = (own, none, blank._replace(ends=NOTHING), blank, blank, blank._replace(number=0))
        rows = [row_of(results, "arm", against, heads, cells)]
        for name in names:
            delta = found[metric.column, name]._replace(p=corrected.get((metric.column, name)))
            mean = metric_cell(results.trials("arm", name), metric, "", notes)
            whole = (mean, *_cells(delta, ("arm", name), notes))
            rows.append(row_of(results, "arm", name, heads, whole))
        blocks.append(Block(_title(metric), tuple(rows)))
    spread = over_seeds(row for block in blocks for row in block.rows)
    said = _said(caption or results.name, f"{against}, {spread}", INTERVALS[interval], TESTS[test], len(tested))
    said += _powerless([delta for delta in found.values() if delta.raw is not None], test)
    if any(UNSAID in row.labels for block in blocks for row in block.rows):
        said += f" {UNSAID} in place of a label: as the experiment says."
    return Pieces.of(Table("deltas", f"{results.slug}-deltas", said, heads, COLUMNS, tuple(blocks), tuple(notes.texts)))


def _delta(results: Results, metric: Metric, both: tuple[str, str], interval: str, test: str) -> Delta:
    seeds = [seeds_of(results, name, metric.column) for name in both]
    values = differences(*seeds)
    found = summary(values)
    ends = found.interval() if interval == "t" else bootstrap(values)
    return Delta(found, ends, None if found.n < 2 else found.p if test == "t" else sign_flip(values))


def _title(metric: Metric) -> str:
    """ "photos/psnr in dB ↑"."""
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{metric.column}{unit} {ARROWS[metric.better]}".strip()


def _said(title: str, against: str, intervals: str, tests: str, count: int) -> str:
    return (
        f"{title}: every arm against {against}; differences are paired by seed, n is the "
        f"number of pairs. Intervals: {intervals}. g: Hedges' g of paired differences, their mean over their standard deviation, "
        f"corrected for few pairs (Hedges 1981). p: of {tests}, with Holm's correction (1979) for the {count} of this table; *: "
        f"below {LEVEL}. All of this is over seeds of training, not over items."
    )


def _powerless(compared: Sequence[Delta], test: str) -> str:
    """The sentence that says that no test here could find anything; nothing where one could."""
    lowest = min((least(delta.found.n) for delta in compared), default=0.0) * len(compared)
    if test == "t" or lowest < LEVEL:
        return ""
    n = max(delta.found.n for delta in compared)
    return (
        f" Nothing here can be significant: of {n} pairs no sign-flip test has a p below {least(n):.4g}, which the correction "
        f"for {len(compared)} makes {min(1.0, lowest):.4g}."
    )


def _cells(delta: Delta, whose: tuple[str, str], notes: Notes) -> list[Cell]:
    """Difference, interval, effect size, p value, number of pairs."""
    found, n = delta.found, delta.found.n
    pairs = Cell(f"{n}", number=n, whose=whose)
    if not n:
        hole = Cell("—", hole=True, hover="no seed has both numbers", whose=whose)
        return [hole._replace(found=found), hole._replace(ends=NOTHING), hole, hole, pairs]
    value, spread = mean_and_sd(found)
    sd = "" if found.sd is None else f", sd {found.sd:.6g}"
    hover = f"difference {found.mean:.8g}{sd}, n = {n} pairs"
    difference = Cell(_signed(value, found.mean), spread, "", False, found.mean, found, hover, whose=whose)
    return [difference, _interval(delta, whose, notes), _effect(found, whose), _p(delta, whose), pairs]


def _signed(text: str, value: float) -> str:
    return f"+{text}" if value > 0 and float(text) else text


def _interval(delta: Delta, whose: tuple[str, str], notes: Notes) -> Cell:
    n, ends = delta.found.n, delta.interval
    if ends is not None:
        hover = f"{ends.low:.8g} to {ends.high:.8g}, n = {n} pairs"
        return Cell(as_range(ends), hover=hover, whose=whose, ends=(ends.low, ends.high))
    why = "of one pair nothing follows" if n == 1 else FEW.format(n=n, share=100 * (1 - least(n)))
    return Cell("—", hole=True, hover=why, notes=() if n == 1 else notes.mark(why), whose=whose, ends=NOTHING)


def _effect(found: Summary, whose: tuple[str, str]) -> Cell:
    if found.effect is None:
        why = (
            "of fewer than three pairs there is no unbiased effect size" if found.n < 3 else "all differences are equal"
        )
        return Cell("—", hole=True, hover=why, whose=whose)
    hover = f"{found.effect:.6g}, n = {found.n} pairs"
    return Cell(_signed(fixed(found.effect, 2), found.effect), number=found.effect, hover=hover, whose=whose)


def _p(delta: Delta, whose: tuple[str, str]) -> Cell:
    if delta.raw is None or delta.p is None:
        return Cell("—", hole=True, hover="of one pair nothing follows", whose=whose)
    text = "< 0.001" if delta.p < 0.001 else f"{delta.p:.3f}"
    hover = f"{delta.p:.6g}; {delta.raw:.6g} before the correction"
    return Cell(f"{text}*" if delta.p < LEVEL else text, number=delta.p, hover=hover, whose=whose)
