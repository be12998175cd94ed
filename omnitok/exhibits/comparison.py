"""The main comparison: ours beside what others published, each published number marked and sourced."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

from omnitok.exhibits.cells import Cost, Measured, chosen, chosen_arms, heads_of, own_columns, own_rows
from omnitok.exhibits.contract import Pieces, Unfit
from omnitok.exhibits.numbers import fixed
from omnitok.exhibits.table import ARROWS, UNSAID, Block, Cell, Column, Notes, Row, Table, labelled, legend, over_seeds
from omnitok.results import Results
from omnitok.results.cited import CitedRow, CitedTable
from omnitok.spec import REQUIRED, near


def comparison(
    results: Results,
    *,
    published: Annotated[str, REQUIRED],
    table: str = "",
    columns: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    costs: tuple[Cost, ...] = ("parameters",),
    baselines: bool = True,
    caption: str = "",
) -> Pieces:
    """Arms and baselines with their metrics and, in columns of their own, what was published of them; other published rows below.

    published: the file of published numbers, from the folder of the report file.
    table: which of its tables; may be left out where it has one.
    columns: which of the table's columns; all where none is said.
    metrics: which of ours, as photos/psnr, or psnr where one evaluation has it; all where none is said.
    arms: which, in this order; all where none is said.
    costs: which of parameters, flops, bits_per_token, throughput, memory, hours.
    baselines: whether these stand between.
    caption: in place of the sweep's name.
    """
    paper, cited = _cited(results, published, table, columns)
    notes, of = Notes(), Measured(heads_of(results), chosen(results, metrics), costs)
    ours, theirs = own_columns(results, of, notes), _columns(paper, cited, notes)
    at, known = len(of.metrics), _corresponding(results, cited)
    rows = own_rows(results, "arm", chosen_arms(results, arms), of, notes)
    blocks = [Block("", _beside(rows, known, cited, at, notes))]
    if baselines:
        rows = own_rows(results, "baseline", results.baselines, of, notes)
        blocks.append(Block("Baselines", _beside(rows, known, cited, at, notes)))
    shown = [known[row.name] for block in blocks for row in block.rows if row.name in known]
    others = [_other(row, cited, of, notes) for row in cited.rows if row not in shown]
    blocks.append(Block(f"As published: {paper}, {cited.source}", tuple(others)))
    said = (
        f"{caption or results.name}: {over_seeds(row for block in blocks for row in block.rows)}, beside what is published in {paper}, {cited.source}: "
        f"of the row that corresponds to an arm, and of other rows below. Published numbers are by the protocols of their footnotes; "
        f"nothing of them was measured here."
        f"{legend(row for block in blocks for row in block.rows)}"
    )
    if any(UNSAID in row.labels for row in blocks[0].rows):
        said += f" {UNSAID} in place of a label: as the experiment says."
    kept = tuple(block for block in blocks if block.rows)
    all_columns = (*ours[:at], *theirs, *ours[at:])
    made = Table("comparison", f"{results.slug}-comparison", said, of.heads, all_columns, kept, tuple(notes.texts))
    return Pieces.of(made)


def _cited(results: Results, file: str, name: str, columns: Sequence[str]) -> tuple[str, CitedTable]:
    """The paper and its table, with the columns that are named and the rows that have a number in one. Raises Unfit."""
    try:
        paper = results.cited(file)
    except LookupError as error:
        raise Unfit("published", str(error.args[0])) from None
    if not name and len(paper.tables) > 1:
        raise Unfit("table", f"{file} has several tables; say which{near('', paper.tables)}")
    key = name or next(iter(paper.tables))
    if key not in paper.tables:
        raise Unfit("table", f"{file} has no table {key!r}{near(key, paper.tables)}")
    found = paper.tables[key]
    for column in columns:
        if column not in found.columns:
            raise Unfit("columns", f"{key} has no column {column!r}{near(column, found.columns)}")
    kept = {column: found.columns[column] for column in columns or found.columns}
    return paper.source, CitedTable(
        found.source, kept, tuple(row for row in found.rows if not kept.keys().isdisjoint(row.values))
    )


def _columns(paper: str, cited: CitedTable, notes: Notes) -> list[Column]:
    """Under the source, and each with the protocol that it was published by."""
    return [
        Column(column.title, f"published {key}", f"as published, {cited.source}", column.unit, ARROWS[column.better],
               notes.mark(f"{column.title}: as published, {paper}, {cited.source}: {column.protocol}"))
        for key, column in cited.columns.items()
    ]  # fmt: skip


def _corresponding(results: Results, cited: CitedTable) -> dict[str, CitedRow]:
    """{arm or baseline: the published row that names it, else the first that names one of its labels}."""
    named = {row.ours: row for row in cited.rows if row.ours}
    ours = {name: (name, *labels.values()) for name, labels in results.arms.items()}
    ours |= {name: (name,) for name in results.baselines if name not in ours}
    first = {name: next((word for word in words if word in named), "") for name, words in ours.items()}
    return {name: named[word] for name, word in first.items() if word}


def _beside(
    rows: Sequence[Row], known: Mapping[str, CitedRow], cited: CitedTable, at: int, notes: Notes
) -> tuple[Row, ...]:
    """Rows of ours with what was published of each between the metrics and the costs; where the name of ours does not say of
    what, a footnote does."""
    found = []
    for row in rows:
        theirs = known.get(row.name)
        cells = _numbers(theirs, cited)
        if theirs and theirs.title not in row.name:
            marks = notes.mark(f"{row.name}: as published of {theirs.title}")
            cells = [cell if cell.hole else cell._replace(notes=marks) for cell in cells]
        found.append(row._replace(cells=(*row.cells[:at], *cells, *row.cells[at:])))
    return tuple(found)


def _other(row: CitedRow, cited: CitedTable, of: Measured, notes: Notes) -> Row:
    """A published row that stands beside none of ours."""
    blank = Cell("", hole=True, hover="as published, not run here")
    why = f"{row.title}: corresponds to {row.ours}, which is not among the rows here" if row.ours else ""
    seeds = Cell(UNSAID, hole=True, hover="as published", notes=notes.mark(why))
    cells = [blank] * len(of.metrics) + _numbers(row, cited) + [blank] * len(of.costs)
    return Row("published", row.title, labelled(of.heads, row.title), (*cells, seeds))


def _numbers(row: CitedRow | None, cited: CitedTable) -> list[Cell]:
    """What was published of a row: a whole number as it is said, another to as many decimals as its column has (a file's 107.80
    is 107.8); nothing where it has none."""
    cells = []
    for key in cited.columns:
        if row is None or key not in row.values:
            cells.append(Cell("", hole=True, hover="nothing published corresponds" if row is None else "not published"))
            continue
        value, said = row.values[key], [other.values[key] for other in cited.rows if key in other.values]
        places = 0 if isinstance(value, int) else max(map(_decimals, said))
        cells.append(Cell(fixed(value, places), number=value, hover=f"{row.title}, as published"))
    return cells


def _decimals(value: float) -> int:
    """As many as it is said with, but for zeros at the end."""
    return 0 if isinstance(value, int) else len(f"{Decimal(repr(value)):f}".partition(".")[2])
