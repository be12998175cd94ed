"""Tables in the formats of papers and notebooks: Markdown, LaTeX with booktabs, CSV. Nothing unescaped."""

import re
import string
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from omnitok.exhibits.contract import Plain
from omnitok.exhibits.table import Cell, Column, Row, Table, letter, numbers

_LATEX: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "{''}", "`": "{`}", "'": "{'}",
    "[": "{[}", "]": "{]}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "“": "``", "”": "''",
    "—": r"\textemdash{}", "–": r"\textendash{}", "\n": " ", "\r": " ", "\t": " ",
}  # fmt: skip
_MARKDOWN: Final = {c: f"\\{c}" for c in r"\`*_[]#|~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ACCENTED: Final = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")


def latex_escaped(text: str) -> str:
    """Text that LaTeX prints as it stands; what a stock pdflatex has no glyph for is named by its code point."""
    printed = (_LATEX.get(c) or (c if c in _PLAIN else f"{{[}}U+{ord(c):04X}{{]}}") for c in text)
    return re.sub("-(?=-)", "-{}", "".join(printed))


_PLAIN: Final = frozenset(string.ascii_letters + string.digits + " .,:;!?()/=+*@-") | _ACCENTED


def markdown_escaped(text: str) -> str:
    """Text that Markdown shows as it stands, in a table's cell and at the beginning of a line too."""
    escaped = "".join(_MARKDOWN.get(c, c) for c in " ".join(text.split()))
    return re.sub(r"^(?=[-+=])|(?<=^\d)(?=[.)] )", r"\\", escaped)


def markdown(table: Table | Plain) -> str:
    """A GitHub table with its footnotes below."""
    return _markdown_plain(table) if isinstance(table, Plain) else _markdown(table)


def latex(table: Table | Plain) -> str:
    r"""A float for ``\input``: booktabs, escaped, with its caption, label and footnotes."""
    return _latex_plain(table) if isinstance(table, Plain) else _latex(table)


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


def _latex(table: Table) -> str:
    left, width = len(table.heads), len(table.heads) + len(table.columns)
    lines = [
        *_latex_float(table, "l" * left + "r" * (width - left)), *_latex_groups(table, left),
        _latex_line([*map(_latex_head, [*table.heads, *table.columns])]),
    ]  # fmt: skip
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_escaped(block.title)}}}}} \\")
        lines += [_latex_row(row, left) for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.notes:
        notes = [rf"\textsuperscript{{{letter(i)}}}\,{latex_escaped(note)}" for i, note in enumerate(table.notes)]
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\raggedright"]
        lines += [r"\\ ".join(notes), r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _markdown_plain(table: Plain) -> str:
    rule = ["--:" if i in table.numeric else "---" for i in range(len(table.heads))]
    lines = [[*map(markdown_escaped, table.heads)], rule, *([*map(markdown_escaped, row)] for row in table.rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{markdown_escaped(table.caption)}\n"


def _latex_plain(table: Plain) -> str:
    columns = "".join("r" if i in table.numeric else "l" for i in range(len(table.heads)))
    lines = [
        *_latex_float(table, columns), _latex_line([*map(latex_escaped, table.heads)]), r"\midrule",
        *(_latex_line([*map(latex_escaped, row)]) for row in table.rows),
        r"\bottomrule", r"\end{tabular}}",
    ]  # fmt: skip
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_float(table: Table | Plain, columns: str) -> list[str]:
    """Its beginning, up to the first rule."""
    return [
        "% needs \\usepackage{booktabs}; written by omnitok, change the sweep instead",
        r"\begin{table}[t]", r"\centering", rf"\caption{{{latex_escaped(table.caption)}}}",
        rf"\label{{tab:{table.slug}}}", r"\footnotesize\setlength{\tabcolsep}{3.5pt}",
        r"\makebox[\linewidth][c]{%  centred even where it is wider than the text",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
    ]  # fmt: skip


def csv(table: Table) -> str:
    """The table at full precision."""
    return str(numbers(table).to_csv(index=False, lineterminator="\n"))


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


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_groups(table: Table, left: int) -> list[str]:
    """The line above the heads that names the evaluations, and the rules under its names; nothing where none is named."""
    if not any(column.group for column in table.columns):
        return []
    cells, rules, at = [""] * left, [], left
    for name, size in groups(table):
        cells.append(rf"\multicolumn{{{size}}}{{c}}{{{latex_escaped(name)}}}")
        rules += [rf"\cmidrule(lr){{{at + 1}-{at + size}}}"] if name else []
        at += size
    return [_latex_line(cells), "".join(rules)]


def _latex_head(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    arrow = f" {column.arrow}" if column.arrow else ""
    return latex_escaped(f"{column.title}{unit}{arrow}") + _latex_notes(column.notes)


def _latex_notes(notes: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(letter, notes))}}}" if notes else ""


def _latex_row(row: Row, left: int) -> str:
    labels = [latex_escaped(label) for label in row.labels]
    if row.kind != "arm" and left > 1:
        labels = [rf"\multicolumn{{{left}}}{{l}}{{{labels[0]}}}"]
    return _latex_line([*labels, *[_latex_cell(cell) for cell in row.cells]])


def _latex_cell(cell: Cell) -> str:
    value = latex_escaped(cell.value)
    text = {"best": rf"\textbf{{{value}}}", "second": rf"\underline{{{value}}}", "": value}[cell.mark]
    spread = rf" {{\scriptsize $\pm$ {latex_escaped(cell.spread)}}}" if cell.spread else ""
    return text + spread + _latex_notes(cell.notes)
