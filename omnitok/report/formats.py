"""Tables in the formats of papers and notebooks: Markdown, LaTeX with booktabs, CSV. Nothing unescaped."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import pandas as pd

from omnitok.exhibits.contract import Plain
from omnitok.exhibits.table import Cell, Column, Table, letter, numbers
from omnitok.report.latex import escaped as latex_escaped
from omnitok.report.latex import latex

__all__ = ["csv", "groups", "inert", "latex", "latex_escaped", "markdown", "markdown_escaped"]

_MARKDOWN: Final = {c: f"\\{c}" for c in r"\`*_[]#|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_FORMULA: Final = "=+-@\t\r"  # what a formula begins with
_NUMBER: Final = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?")


def markdown_escaped(text: str) -> str:
    """Text that Markdown shows as it stands, in a table's cell and at the beginning of a line too."""
    escaped = "".join(_MARKDOWN.get(c, c) for c in " ".join(text.split()))
    return re.sub(r"^(\d{0,9})(?=[.)](?: |$))(?<=\d)|^(?=[-+=])", r"\1\\", escaped)


def markdown(table: Table | Plain) -> str:
    """A GitHub table with its footnotes below."""
    return _markdown_plain(table) if isinstance(table, Plain) else _markdown(table)


def _markdown(table: Table) -> str:
    heads = [_head(column) + _sup(column.notes) for column in (*table.heads, *table.columns)]
    lines = [heads, ["---"] * len(table.heads) + ["--:"] * len(table.columns)]
    for block in table.blocks:
        if block.title:
            lines.append([f"*{markdown_escaped(block.title)}*", *[""] * (len(heads) - 1)])
        for row in block.rows:
            labels = [markdown_escaped(label) for label in row.labels]
            lines.append([*labels, *[_markdown_cell(cell) for cell in row.cells]])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = [f"{_sup((i,))} {markdown_escaped(note)}" for i, note in enumerate(table.notes)]
    return f"{text}\n{markdown_escaped(table.caption)}\n" + "".join(f"\n{note}  " for note in notes) + "\n"


def _markdown_plain(table: Plain) -> str:
    rule = ["--:" if i in table.numeric else "---" for i in range(len(table.heads))]
    lines = [[*map(markdown_escaped, table.heads)], rule, *([*map(markdown_escaped, row)] for row in table.rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{markdown_escaped(table.caption)}\n"


def csv(table: Table) -> str:
    """The table at full precision."""
    return inert(numbers(table))


def inert(frame: pd.DataFrame) -> str:
    """A frame as CSV in which no text is a formula to a spreadsheet: before what would be one stands an apostrophe."""
    return str(frame.map(_inert).rename(columns=_inert).to_csv(index=False, lineterminator="\n"))


def _inert(cell: Any) -> Any:
    formula = isinstance(cell, str) and cell[:1] in _FORMULA and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if formula and cell else cell


def groups(table: Table) -> list[tuple[str, int]]:
    """The evaluations above the heads: (name, how many columns stand under it)."""
    return [(name, len(list(some))) for name, some in groupby(table.columns, key=lambda column: column.group)]


def _head(column: Column) -> str:
    name = f"{column.group} {column.title}" if column.group else column.title
    unit = f" ({markdown_escaped(column.unit)})" if column.unit else ""
    return f"{markdown_escaped(name)}{unit}{' ' + column.arrow if column.arrow else ''}"


def _sup(notes: Sequence[int]) -> str:
    return f"<sup>{','.join(map(letter, notes))}</sup>" if notes else ""


def _markdown_cell(cell: Cell) -> str:
    around = {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}[cell.mark]
    value = cell.value.join(around)
    return value + (f" ± {cell.spread}" if cell.spread else "") + _sup(cell.notes)
