"""A table as data: what every format prints, digit by digit, with the runs behind each number."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from omnitok.results.collect import ENDS
from omnitok.results.statistics import Summary

ARROWS: Final = {"higher": "↑", "lower": "↓", "neither": ""}
UNSAID: Final = "—"  # in the place of a label: as the experiment says

Mark = Literal["", "best", "second"]
Kind = Literal["arm", "baseline", "published"]


class Column(NamedTuple):
    """A head: what it says, its whole name (a column of data files), the evaluation it stands under, unit, direction,
    footnotes."""

    title: str
    full: str
    group: str = ""
    unit: str = ""
    arrow: str = ""
    notes: tuple[int, ...] = ()


class Cell(NamedTuple):
    """A number as text with its spread, or a hole (``value`` is then what stands in it).

    ``number``: what it is sorted by; ``found``: over seeds; ``whose``: kind and name of the arm whose runs are behind it;
    ``ends``: of an interval, NaN where there is none.
    """

    value: str
    spread: str = ""
    mark: Mark = ""
    hole: bool = False
    number: float | None = None
    found: Summary | None = None
    hover: str = ""
    notes: tuple[int, ...] = ()
    whose: tuple[str, str] | None = None
    ends: tuple[float, float] | None = None


class Row(NamedTuple):
    """An arm (by its factors' labels), a baseline or what somebody published: a label a head, a cell a column."""

    kind: Kind
    name: str
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


class Block(NamedTuple):
    """Rows between two rules, under a title where they have one."""

    title: str
    rows: tuple[Row, ...]


class Table(NamedTuple):
    """``stem``: of its files; ``heads`` are the columns before the numbers, ``notes`` the footnotes in order."""

    stem: str
    slug: str
    caption: str
    heads: tuple[Column, ...]
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for block in self.blocks for row in block.rows)


class Notes:
    """Footnotes in the order in which they are first needed, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> tuple[int, ...]:
        """The mark of a note; none for ""."""
        if text and text not in self.texts:
            self.texts.append(text)
        return (self.texts.index(text),) if text else ()


def letter(note: int) -> str:
    """0 -> "a", 25 -> "z", 26 -> "aa": the mark of a footnote, which must not look like a number."""
    head, tail = divmod(note, 26)
    return (letter(head - 1) if head else "") + chr(ord("a") + tail)


def numbers(table: Table) -> pd.DataFrame:
    """The table at full precision: a row a row, for each column its number, or both ends of an interval; of a number over seeds
    its sd, n and mark too."""
    return pd.DataFrame([_line(table, block, row) for block in table.blocks for row in block.rows])


def _line(table: Table, block: Block, row: Row) -> dict[str, Any]:
    labels = dict(zip([head.full for head in table.heads], row.labels, strict=True)) if row.kind == "arm" else {}
    line: dict[str, Any] = {"block": block.title, "kind": row.kind, "arm": row.name}
    line |= {path: "" if label == UNSAID else label for path, label in labels.items() if path != "arm"}
    marks: dict[int, None] = {}
    for column, cell in zip(table.columns, row.cells, strict=True):
        if cell.ends is None:
            line[column.full] = cell.number
        else:
            line |= {f"{column.full} {side}": end for side, end in zip(ENDS, cell.ends, strict=True)}
        if cell.found is not None:
            sd = math.nan if cell.found.sd is None else cell.found.sd
            line |= {f"{column.full} sd": sd, f"{column.full} n": cell.found.n, f"{column.full} mark": cell.mark}
        marks |= dict.fromkeys(cell.notes)
    return line | {"notes": "; ".join(table.notes[note] for note in marks)}


def legend(rows: Iterable[Row]) -> str:
    """The sentence of a caption that says what bold and underlined mean; nothing where no cell is either."""
    said = {cell.mark for row in rows for cell in row.cells}
    text = " Bold: the best and all that a paired 95 % interval does not tell from it." if "best" in said else ""
    return text + (" Underlined: the best of the others, likewise." if "second" in said else "")


def over_seeds(rows: Iterable[Row]) -> str:
    """What a caption says of the numbers of a table: their spread, or why none has one."""
    some = list(rows)
    if any(cell.spread for row in some for cell in row.cells):
        return "mean ± standard deviation over seeds"
    counts = {cell.found.n for row in some if row.kind == "arm" for cell in row.cells if cell.found is not None}
    return "one seed each, so no spread" if counts - {0} else "no metric has a number of an arm"


def labelled(heads: Sequence[Column], name: str) -> tuple[str, ...]:
    """The labels of a row that is no arm: its name, and nothing in the other heads."""
    return (name, *[""] * (len(heads) - 1))
