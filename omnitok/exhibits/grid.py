"""A grid of two factors: one metric, the labels of one factor down, those of the other across."""

from collections.abc import Mapping, Sequence

import pandas as pd

from omnitok.exhibits.cells import chosen, chosen_arms, factor_titles, metric_cell, one_factor, one_metric, ranked
from omnitok.exhibits.contract import Pieces, Unfit
from omnitok.exhibits.numbers import mean_and_sd
from omnitok.exhibits.table import ARROWS, UNSAID, Block, Cell, Column, Mark, Notes, Row, Table, legend, over_seeds
from omnitok.results import Metric, Results
from omnitok.results.statistics import by_seed, summary
from omnitok.spec import near

Place = tuple[str, str]  # the label down, the label across
ABSENT = Cell("", hole=True, hover="there is no such arm")


def grid(
    results: Results,
    *,
    rows: str = "",
    columns: str = "",
    metric: str = "",
    over: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    caption: str = "",
) -> Pieces:
    """Every pair of labels of two factors with its mean and standard deviation over seeds of one metric; best and second of all.
    Nothing where nothing is measured.

    rows: the factor whose labels stand below each other; the first where none is said.
    columns: the factor whose labels stand side by side; the next where none is said.
    metric: which, as photos/psnr, or psnr where one evaluation has it; the first where none is said.
    over: other factors, over whose labels a mean is taken within each seed; one that varies and is not said is refused.
    arms: which; all where none is said.
    caption: in place of the sweep's name.
    """
    if len(results.factors) < 2:
        raise Unfit(
            "rows", f"a grid takes two factors, and the sweep has {len(results.factors)}{near('', results.factors)}"
        )
    if not results.metrics:
        return Pieces()
    down, across = _axes(results, rows, columns)
    measured = one_metric(results, metric, "metric") if metric else chosen(results, ())[0]
    places = _places(results, chosen_arms(results, arms), (down, across), over)
    trials = {place: pd.concat([results.trials("arm", name) for name in names]) for place, names in places.items()}
    seeds = {place: _seeds(some, measured, len(places[place])) for place, some in trials.items()}
    marks, notes = ranked(seeds, measured.better), Notes()
    protocol = notes.mark(f"{measured.label}: {measured.protocol}")
    cells = {place: _cell(some, seeds[place], measured, marks.get(place, ""), notes) for place, some in trials.items()}
    cells, said_n = _counted(cells, notes)
    labels = [_labels(results, path, [place[i] for place in places]) for i, path in enumerate((down, across))]
    titles = factor_titles(results)
    heads = tuple(
        Column(
            label,
            f"{measured.column} {across} {label}",
            titles[across],
            measured.unit,
            ARROWS[measured.better],
            protocol,
        )
        for label in labels[1]
    )
    lines = tuple(
        Row("arm", one, (one,), tuple(cells.get((one, other), ABSENT) for other in labels[1])) for one in labels[0]
    )
    said = f"{caption or results.name}: {measured.column}, {over_seeds(lines)}{said_n}."
    if over:
        said += f" Within a seed the mean over {', '.join(one_factor(results, name, 'over') for name in over)}."
    said += legend(lines)
    head = (Column(titles[down], down),)
    return Pieces.of(Table("grid", f"{results.slug}-grid", said, head, heads, (Block("", lines),), tuple(notes.texts)))


def _axes(results: Results, rows: str, columns: str) -> tuple[str, str]:
    """The paths of the two factors. Raises Unfit where they are one."""
    down = one_factor(results, rows, "rows") if rows else ""
    across = one_factor(results, columns, "columns") if columns else ""
    down = down or next(path for path in results.factors if path != across)
    across = across or next(path for path in results.factors if path != down)
    if down == across:
        raise Unfit(
            "columns",
            f"{across} is the factor of the rows already{near('', [p for p in results.factors if p != down])}",
        )
    return down, across


def _places(
    results: Results, names: Sequence[str], axes: tuple[str, str], over: Sequence[str]
) -> dict[Place, list[str]]:
    """{place: its arms}. Raises Unfit where what varies besides is not said, or said without need."""
    averaged = {one_factor(results, name, "over") for name in over}
    if fixed := [path for path in axes if path in averaged]:
        raise Unfit("over", f"{fixed[0]} has its labels in the grid; no mean is taken over it")
    for path in results.factors:
        varied = dict.fromkeys(results.arms[name].get(path, UNSAID) for name in names)
        if path not in {*axes, *averaged} and len(varied) > 1:
            raise Unfit(
                "over",
                f"{path} varies too ({', '.join(varied)}): say over: [{path}] for a mean over it, or name the arms",
            )
    places: dict[Place, list[str]] = {}
    for name in names:
        labels = results.arms[name]
        places.setdefault((labels.get(axes[0], UNSAID), labels.get(axes[1], UNSAID)), []).append(name)
    return places


def _labels(results: Results, path: str, used: Sequence[str]) -> list[str]:
    """In the order of the sweep; before them the experiment's own, where an arm leaves the factor as it is."""
    return [label for label in (UNSAID, *results.factors[path]) if label in used or not used and label != UNSAID]


def _seeds(trials: pd.DataFrame, metric: Metric, arms: int) -> dict[int, float]:
    """{seed: mean over the arms of a place}, of the seeds in which all of them have a number."""
    known = trials.dropna(subset=[metric.column])
    whole = known.groupby("seed")["arm"].transform("nunique") == arms
    return by_seed(known[whole], metric.column)


def _cell(trials: pd.DataFrame, seeds: Mapping[int, float], metric: Metric, mark: Mark, notes: Notes) -> Cell:
    names = list(dict.fromkeys(trials["arm"]))
    if len(names) == 1:
        return metric_cell(trials, metric, mark, notes)
    found = summary(seeds.values())
    if not found.n:
        if trials[metric.column].isna().all():
            return metric_cell(trials, metric, mark, notes)._replace(whose=None)
        why = f"no seed has a number of each of {', '.join(names)}"
        return Cell("—", hole=True, hover=why, notes=notes.mark(why))
    value, spread = mean_and_sd(found)
    sd = "" if found.sd is None else f", sd {found.sd:.6g}"
    hover = f"mean {found.mean:.8g}{sd}, n = {found.n}; over {', '.join(names)}"
    return Cell(value, spread, mark, False, found.mean, found, hover)


def _counted(cells: Mapping[Place, Cell], notes: Notes) -> tuple[dict[Place, Cell], str]:
    """How many seeds are behind the numbers: in words for the caption where all have as many, else a footnote each."""
    counts = {cell.found.n for cell in cells.values() if cell.found and cell.found.n}
    if len(counts) <= 1:
        return dict(cells), "".join(f", n = {n}" for n in counts)
    return {
        place: cell._replace(notes=cell.notes + notes.mark(f"n = {cell.found.n}"))
        if cell.found and cell.found.n
        else cell
        for place, cell in cells.items()
    }, ""
