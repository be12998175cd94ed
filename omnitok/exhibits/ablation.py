"""The table of a sweep: arms, then baselines; factors, metrics, costs, seeds."""

from collections.abc import Sequence

from omnitok.exhibits.cells import (
    Cost,
    chosen,
    chosen_arms,
    cost_cell,
    cost_column,
    heads_of,
    marked,
    metric_cell,
    metric_column,
    row_of,
    seeds_cell,
)
from omnitok.exhibits.contract import Pieces
from omnitok.exhibits.table import UNSAID, Block, Column, Notes, Row, Table, legend
from omnitok.results import Results


def ablation(
    results: Results,
    *,
    metrics: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    costs: tuple[Cost, ...] = ("parameters",),
    baselines: bool = True,
    caption: str = "",
) -> Pieces:
    """A row an arm: its labels, its metrics over seeds, what it costs; baselines in a block of their own.

    metrics: which, as photos/psnr, or psnr where one evaluation has it; all where none is said.
    arms: which, in this order; all where none is said.
    costs: which of parameters, flops, bits_per_token, throughput, memory, hours.
    baselines: whether these stand below.
    caption: in place of the sweep's name.
    """
    notes, heads, measured = Notes(), heads_of(results), chosen(results, metrics)
    names = chosen_arms(results, arms)
    columns = [metric_column(metric, notes) for metric in measured]
    columns += [cost_column(cost, results, notes) for cost in costs]
    marks = {metric.column: marked(results, metric, names) for metric in measured}
    blocks = []
    for kind, some in (("arm", names), ("baseline", results.baselines if baselines else ())):
        rows = []
        for name in some:
            trials = results.trials(kind, name)
            of = marks if kind == "arm" else {}
            cells = [metric_cell(trials, m, of.get(m.column, {}).get(name, ""), notes) for m in measured]
            cells += [cost_cell(trials, cost) for cost in costs]
            rows.append(row_of(results, kind, name, heads, [*cells, seeds_cell(trials, notes)]))  # type: ignore[arg-type]
        blocks += [Block("" if kind == "arm" else "Baselines", tuple(rows))] if rows else []
    said = f"{caption or results.name}: mean ± standard deviation over seeds.{legend(marks)}"
    if any(UNSAID in row.labels for block in blocks for row in block.rows):
        said += f" {UNSAID}: as the experiment says."
    seeds = Column("n", "n", notes=())
    return Pieces.of(
        Table("ablation", results.slug, said, heads, (*columns, seeds), _split(results, blocks), tuple(notes.texts))
    )


def _split(results: Results, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Arms that differ from the experiment in one factor each stand in a block a factor, the experiment itself before."""
    several = len(results.factors) > 1 and all(len(labels) <= 1 for labels in results.arms.values())
    if not several:
        return tuple(blocks)
    found: dict[str, list[Row]] = {}
    for row in (row for block in blocks for row in block.rows if row.kind == "arm"):
        found.setdefault(next(iter(results.arms[row.name]), ""), []).append(row)
    own = [Block(path.rpartition(".")[2], tuple(rows)) for path, rows in found.items()]
    return (*own, *(block for block in blocks if block.title))
