"""One metric, broken down: a column a dataset, or a column a class of one dataset's items."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from omnitok.exhibits.cells import Measured, chosen, chosen_arms, heads_of, one_metric, own_columns, own_rows, ranked
from omnitok.exhibits.contract import Pieces, Unfit
from omnitok.exhibits.numbers import mean_and_sd
from omnitok.exhibits.table import UNSAID, Block, Cell, Column, Mark, Notes, Row, Table, legend, over_seeds
from omnitok.results import Metric, Results
from omnitok.results.statistics import summary
from omnitok.spec import counted, near

MOST: Final = 24  # classes side by side
NO_SEED: Final = -1  # of a baseline
Whose = tuple[str, str]  # kind and name
Means = Mapping[str, Mapping[Whose, Mapping[int, float]]]  # class -> whose -> seed -> mean over the items of the class


def breakdown(
    results: Results,
    *,
    by: Literal["evaluation", "class"] = "evaluation",
    metric: str = "",
    classes: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    baselines: bool = True,
    caption: str = "",
) -> Pieces:
    """A row an arm, and of one metric a column an evaluation that has it, or a column a class and one for all items. Of a class: the
    mean over its items within each seed, then mean and standard deviation over seeds. Nothing where nothing is measured.

    by: evaluation or class.
    metric: a label such as psnr; by class photos/psnr, where several evaluations have it; the first where none is said.
    classes: which; all where none is said.
    arms: which, in this order; all where none is said.
    baselines: whether these stand below.
    caption: in place of the sweep's name.
    """
    if classes and by != "class":
        raise Unfit("classes", "these are columns by: class only")
    if not results.metrics:
        return Pieces()
    names, notes = chosen_arms(results, arms), Notes()
    first = chosen(results, ())[0]
    if by == "class":
        measured: tuple[Metric, ...] = (one_metric(results, metric, "metric") if metric else first,)
    else:
        measured = _everywhere(results, metric or first.label)
    of = Measured(heads_of(results), measured)
    columns = own_columns(results, of, notes)
    rows = own_rows(results, "arm", names, of, notes)
    others = own_rows(results, "baseline", results.baselines, of, notes) if baselines else ()
    said = f"{caption or results.name}: {measured[0].label}, {over_seeds(rows)}"
    if by == "class":
        means = _means(results, measured[0], classes)
        columns = (*_heads(measured[0], means, columns[0]), columns[0]._replace(title="all"), *columns[1:])
        rows, others = (_with_classes(some, means, measured[0]) for some in (rows, others))
        said += (
            ", of a class that of the mean over its items within a seed" if means else "; no class of an item is known"
        )
    else:
        columns = tuple(one._replace(title=one.group or one.title, group=one.group and one.title) for one in columns)
    said += f".{legend(rows)}"
    if any(UNSAID in row.labels for row in rows):
        said += f" {UNSAID}: as the experiment says."
    blocks = tuple(block for block in (Block("", rows), Block("Baselines", others)) if block.rows)
    return Pieces.of(
        Table("breakdown", f"{results.slug}-breakdown", said, of.heads, columns, blocks, tuple(notes.texts))
    )


def _everywhere(results: Results, label: str) -> tuple[Metric, ...]:
    """A metric of each evaluation that has it. Raises Unfit."""
    found = tuple(metric for metric in results.metrics if label in (metric.label, metric.column))
    if not found:
        known = dict.fromkeys(metric.label for metric in results.metrics)
        raise Unfit("metric", f"nothing is measured that is called {label}{near(label, known)}")
    return found


def _means(results: Results, metric: Metric, classes: Sequence[str]) -> Means:
    """In the order of the classes that are said, else of their names. Raises Unfit for one that no item has, and for too many."""
    every = results.items
    every = every[every["evaluation"] == metric.evaluation].dropna(subset=["class"])
    items = every[every["metric"] == metric.label]
    means: dict[str, dict[Whose, dict[int, float]]] = {}
    kept = items.assign(seed=items["seed"].fillna(NO_SEED).astype(int), **{"class": items["class"].astype(str)})
    found = kept.groupby(["kind", "arm", "seed", "class"], sort=True, as_index=False)["value"].mean()
    for kind, arm, seed, label, value in found.itertuples(index=False):
        means.setdefault(str(label), {}).setdefault((str(kind), str(arm)), {})[seed] = float(value)
    _known(results, metric, classes, sorted(every["class"].astype(str).unique()))
    if len(classes or means) > MOST:
        raise Unfit(
            "classes",
            f"{counted(len(classes or means), 'column')} are too many; say at most {MOST}{near('', sorted(means))}",
        )
    return {label: means.get(label, {}) for label in classes or sorted(means)}


def _known(results: Results, metric: Metric, classes: Sequence[str], known: Sequence[str]) -> None:
    """Raises Unfit for a class that no item has; of an evaluation that no run has yet nobody knows them."""
    columns = [one.column for one in results.metrics if one.evaluation == metric.evaluation]
    if not results.rows[columns].notna().any(axis=None):
        return
    for label in classes:
        if label not in known:
            raise Unfit("classes", f"no item of {metric.evaluation} is of class {label!r}{near(label, known)}")


def _heads(metric: Metric, means: Means, whole: Column) -> list[Column]:
    """A column a class, under the evaluation and with the footnotes of the metric itself."""
    return [whole._replace(title=label, full=f"{metric.column} class {label}") for label in means]


def _with_classes(rows: Sequence[Row], means: Means, metric: Metric) -> tuple[Row, ...]:
    """The first number of a row is that of all items; before it stand those of the classes, the best arms of each marked."""
    names = [row.name for row in rows if row.kind == "arm"]
    marks = {label: ranked({name: seeds.get(("arm", name), {}) for name in names}, metric.better)
             for label, seeds in means.items()}  # fmt: skip
    found = []
    for row in rows:
        cells = [_cell(seeds.get((row.kind, row.name), {}), marks[label].get(row.name, ""), row.cells[0])
                 for label, seeds in means.items()]  # fmt: skip
        found.append(row._replace(cells=(*cells, *row.cells)))
    return tuple(found)


def _cell(seeds: Mapping[int, float], mark: Mark, whole: Cell) -> Cell:
    """``whole``: of all items, which says why there is nothing where it has nothing either."""
    if not seeds:
        return (
            whole if whole.hole else Cell("—", hole=True, hover="no item of this class has a number", whose=whole.whose)
        )
    found = summary(seeds.values())
    value, spread = mean_and_sd(found)
    sd = "" if found.sd is None else f", sd {found.sd:.6g}"
    hover = f"mean {found.mean:.8g}{sd}, n = {found.n}"
    return Cell(value, spread, mark, False, found.mean, found, hover, (), whole.whose)
