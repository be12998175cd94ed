"""The table of a sweep: arms, then baselines; factors, metrics, costs, seeds."""

from collections.abc import Sequence

from omnitok.exhibits.cells import Cost, Measured, chosen, chosen_arms, heads_of, one_factor, own_columns, own_rows
from omnitok.exhibits.contract import Pieces
from omnitok.exhibits.table import UNSAID, Block, Notes, Row, Table, legend, over_seeds
from omnitok.results import Results


def ablation(
    results: Results,
    *,
    metrics: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    costs: tuple[Cost, ...] = ("parameters",),
    baselines: bool = True,
    by: str = "",
    caption: str = "",
) -> Pieces:
    """A row an arm: its labels, its metrics over seeds, what it costs; baselines in a block of their own.

    metrics: which, as photos/psnr, or psnr where one evaluation has it; all where none is said.
    arms: which, in this order; all where none is said.
    costs: which of parameters, flops, bits_per_token, throughput, memory, hours.
    baselines: whether these stand below.
    by: a factor, each label of which has a block of its own.
    caption: in place of the sweep's name.
    """
    notes, of = Notes(), Measured(heads_of(results), chosen(results, metrics), costs)
    columns = own_columns(results, of, notes)
    rows = own_rows(results, "arm", chosen_arms(results, arms), of, notes)
    blocks = blocks_by(results, rows, one_factor(results, by, "by") if by else "")
    if baselines and results.baselines:
        blocks.append(Block("Baselines", own_rows(results, "baseline", results.baselines, of, notes)))
    said = f"{caption or results.name}: {over_seeds(rows)}.{legend(rows)}"
    if any(UNSAID in row.labels for row in rows):
        said += f" {UNSAID}: as the experiment says."
    return Pieces.of(Table("ablation", results.slug, said, of.heads, columns, tuple(blocks), tuple(notes.texts)))


def blocks_by(results: Results, rows: Sequence[Row], by: str = "") -> list[Block]:
    """The arms with one label of the factor ``by`` in a block; where none is said, arms that differ from the experiment in one
    factor each in a block a factor, and else all in one. What has no label of it stands before, without a title."""
    alone = len(results.factors) > 1 and all(len(labels) <= 1 for labels in results.arms.values())
    found: dict[str, list[Row]] = {"": []}
    for row in rows:
        labels = results.arms[row.name]
        place = labels.get(by, "") if by else next(iter(labels), "") if alone else ""
        found.setdefault(place, []).append(row)
    return [Block(place if by else place.rpartition(".")[2], tuple(some)) for place, some in found.items() if some]
