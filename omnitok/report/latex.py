r"""Tables for ``\input``: booktabs and nothing else, escaped, cut into floats that fit a page."""

import math
import re
import string
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from omnitok.exhibits.contract import Plain
from omnitok.exhibits.table import Cell, Column, Row, Table, letter

_LATEX: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "{''}", "`": "{`}", "'": "{'}",
    "[": "{[}", "]": "{]}", "*": "{*}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "“": "``", "”": "''", "✓": r"$\surd$",
    "—": r"\textemdash{}", "–": r"\textendash{}", "…": r"\ldots{}", "\n": " ", "\r": " ", "\t": " ",
}  # fmt: skip
_ACCENTED: Final = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")
_KNOWN: Final = frozenset(string.ascii_letters + string.digits + " .,:;!?()/=+@-") | _ACCENTED

POINTS: Final = 4.4  # that a character takes in footnote size
GAP: Final = 7.0  # points between two columns
WIDE: Final = 600.0  # points that a float's columns take at most; where the text is narrower they are made smaller
TALL: Final = 46  # lines of a float
NARROW: Final = 32  # characters of a label; what is longer is broken into lines
HEAD: Final = 12  # characters of a line of a head, likewise
WORD: Final = 16  # characters of a word that is never broken
NOTE: Final = 76  # characters of a line of a footnote
FLUSH: Final = 8  # floats after which those that wait are printed, as LaTeX holds only so many


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands; what a stock pdflatex has no glyph for is named by its code point."""
    return re.sub("-(?=-)", "-{}", "".join(map(_printed, text)))


def breakable(text: str) -> str:
    """``escaped``, and a word that is longer than ``WORD`` may be broken after its signs and after every 12 letters."""
    return " ".join(_loose(word) if len(word) > WORD else escaped(word) for word in text.split())


def latex(table: Table | Plain) -> str:
    r"""For ``\input``, with caption, label and footnotes: a float, or several where it is too long or too wide for one."""
    sheet = _plain(table) if isinstance(table, Plain) else _sheet(table)
    bodies = [_tabular(sheet, some, lines) for some in _panels(sheet) for lines in _pages(sheet.lines)]
    last = sum(line.height for line in list(_pages(sheet.lines))[-1])
    for i, notes in enumerate(_pages(sheet.notes, last)):
        if i == 0:
            bodies[-1] += _minipage(notes)
        elif notes:
            bodies.append(_minipage(notes))
    return "\n".join(
        ["% needs \\usepackage{booktabs}; written by omnitok, change the sweep instead", *_floats(sheet, bodies)]
    )


def _printed(c: str) -> str:
    return _LATEX.get(c) or (c if c in _KNOWN else f"{{[}}U+{ord(c):04X}{{]}}")


def _loose(word: str) -> str:
    found, run = [], 0
    for c in word:
        run = run + 1 if c.isalnum() else 0
        found.append(_printed(c) + (r"\hspace{0pt}" if run % 12 == 0 else ""))
    return "".join(found)


class _Head(NamedTuple):
    """A column: its head, "l" or "r", the evaluation it stands under, its width in points."""

    text: str
    align: str
    group: str
    width: float


class _Line(NamedTuple):
    """A row of a table: labels, or one that spans their columns, and cells; a block's title; or a footnote."""

    labels: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    title: str = ""
    height: int = 1
    rule: bool = False


class _Sheet(NamedTuple):
    """What tables of numbers and of words have in common. Every float repeats the labels."""

    caption: str
    slug: str
    labels: tuple[_Head, ...]
    columns: tuple[_Head, ...]
    lines: tuple[_Line, ...]
    notes: tuple[_Line, ...]


def _sheet(table: Table) -> _Sheet:
    left = len(table.heads)
    labels = [_column(head, "l", [row.labels[i] for row in table.rows if row.kind == "arm"])
              for i, head in enumerate(table.heads)]  # fmt: skip
    columns = [_column(column, "r", [_text(row.cells[i]) for row in table.rows])
               for i, column in enumerate(table.columns)]  # fmt: skip
    lines = []
    for block in table.blocks:
        if block.title:
            lines.append(_Line(title=block.title, rule=True))
        lines += [_row(row, left, rule=i == 0 and not block.title) for i, row in enumerate(block.rows)]
    notes = [_Line(title=rf"\textsuperscript{{{letter(i)}}}\,{breakable(note)}", height=1 + len(note) // NOTE)
             for i, note in enumerate(table.notes)]  # fmt: skip
    return _Sheet(table.caption, table.slug, tuple(labels), tuple(columns), tuple(lines), tuple(notes))


def _plain(table: Plain) -> _Sheet:
    heads = [_column(Column(head, head), "r" if i in table.numeric else "l", [row[i] for row in table.rows])
             for i, head in enumerate(table.heads)]  # fmt: skip
    lines = [_Line((_broken(row[0]),), tuple(map(_broken, row[1:])), height=max(map(_lines, row)), rule=i == 0)
             for i, row in enumerate(table.rows)]  # fmt: skip
    return _Sheet(table.caption, table.slug, tuple(heads[:1]), tuple(heads[1:]), tuple(lines), ())


def _column(column: Column, align: str, texts: Sequence[str]) -> _Head:
    unit = f" ({column.unit})" if column.unit else ""
    arrow = f" {column.arrow}" if column.arrow else ""
    stacked = _stacked(f"{column.title}{unit}{arrow}")
    text = r" \\ ".join(map(escaped, stacked)) + _marks(column.notes)
    if len(stacked) > 1:
        text = rf"\begin{{tabular}}[b]{{@{{}}{align}@{{}}}}{text}\end{{tabular}}"
    longest = max([*map(len, stacked), *(min(len(one), NARROW) for one in texts)])
    return _Head(text, align, column.group, longest * POINTS + GAP)


def _stacked(head: str) -> list[str]:
    """Its lines: as much as ``HEAD`` characters a line, broken after blanks, bars, dots and underscores."""
    lines = [""]
    for part in re.findall(r"[^ _/.\-]{1,24}[_/.\-]?|[_/.\-]| ", head):
        if len(lines[-1].strip()) + len(part) > HEAD and lines[-1].strip():
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def _row(row: Row, left: int, rule: bool) -> _Line:
    labels = tuple(map(_broken, row.labels))
    if row.kind != "arm" and left > 1:
        labels = (rf"\multicolumn{{{left}}}{{l}}{{{labels[0]}}}",)
    return _Line(labels, tuple(map(_cell, row.cells)), height=max(map(_lines, row.labels)), rule=rule)


def _broken(text: str) -> str:
    """A label that is too long for its column, in as many lines as it takes."""
    if len(text) <= NARROW:
        return escaped(text)
    return rf"\parbox[t]{{{NARROW * POINTS:.0f}pt}}{{\raggedright\strut {breakable(text)}\strut}}"


def _lines(text: str) -> int:
    return 1 if len(text) <= NARROW else 1 + len(text) // (NARROW - 6)


def _text(cell: Cell) -> str:
    return f"{cell.value} ± {cell.spread}" if cell.spread else cell.value


def _cell(cell: Cell) -> str:
    value = escaped(cell.value)
    text = {"best": rf"\textbf{{{value}}}", "second": rf"\underline{{{value}}}", "": value}[cell.mark]
    spread = rf" {{\scriptsize $\pm$ {escaped(cell.spread)}}}" if cell.spread else ""
    return text + spread + _marks(cell.notes)


def _marks(notes: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(letter, notes))}}}" if notes else ""


def _panels(sheet: _Sheet) -> list[tuple[int, ...]]:
    """Which columns stand side by side: all, or where they are too wide about as much in each of several floats."""
    left, whole = (sum(head.width for head in heads) for heads in (sheet.labels, sheet.columns))
    count = max(1, math.ceil(whole / max(WIDE - left, WIDE / 3)))
    panels: list[list[int]] = [[] for _ in range(count)]
    width = 0.0
    for i, column in enumerate(sheet.columns):
        panels[int(count * (width + column.width / 2) / whole)].append(i)
        width += column.width
    return [tuple(some) for some in panels if some] or [()]


def _pages(lines: Sequence[_Line], used: int = 0) -> Iterator[list[_Line]]:
    """Lines in portions that are no longer than a float. ``used``: what the first one has already."""
    page, height = list[_Line](), used
    for line in lines:
        if (page or height) and height + line.height > TALL:
            yield page
            page, height = [], 0
        page.append(line)
        height += line.height
    yield page


def _floats(sheet: _Sheet, bodies: Sequence[list[str]]) -> Iterator[str]:
    for i, body in enumerate(bodies):
        yield from [] if i % FLUSH or not i else [r"\clearpage"]
        yield from (r"\begin{table}[!htbp]", r"\centering\setlength{\belowcaptionskip}{4pt}")
        if i == 0:
            yield from (rf"\caption{{{breakable(sheet.caption)}}}", rf"\label{{tab:{sheet.slug}}}")
        else:
            yield from (r"\addtocounter{table}{-1}", r"\caption{(continued)}")
        yield from (r"\footnotesize\setlength{\tabcolsep}{3.5pt}", *body, r"\end{table}", "")


def _tabular(sheet: _Sheet, some: Sequence[int], lines: Sequence[_Line]) -> list[str]:
    """A tabular in a box, which is made smaller where it is wider than the text and graphicx is there."""
    heads = [*sheet.labels, *(sheet.columns[i] for i in some)]
    found = [r"\setbox0\hbox{%", rf"\begin{{tabular}}{{{''.join(head.align for head in heads)}}}", r"\toprule"]
    found += [*_groups(heads, len(sheet.labels)), _line([head.text for head in heads])]
    for i, line in enumerate(lines):
        found += [r"\midrule"] if line.rule or i == 0 else []
        cells = [line.cells[j] for j in some] if line.cells else []
        title = rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{escaped(line.title)}}}}}"
        found.append(_line([title] if line.title else [*line.labels, *cells]))
    return [*found, r"\bottomrule", r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\ifdefined\resizebox\resizebox{\linewidth}{!}{\copy0}%",
            r"\else\makebox[\linewidth][c]{\copy0}\fi\else\makebox[\linewidth][c]{\copy0}\fi"]  # fmt: skip


def _groups(heads: Sequence[_Head], left: int) -> list[str]:
    """The line above the heads that names the evaluations, and the rules under its names; nothing where none is named."""
    if not any(head.group for head in heads):
        return []
    cells, rules, at = [""] * left, [], left
    for name, some in groupby(heads[left:], key=lambda head: head.group):
        size = len(list(some))
        cells.append(rf"\multicolumn{{{size}}}{{c}}{{{escaped(name)}}}")
        rules += [rf"\cmidrule(lr){{{at + 1}-{at + size}}}"] if name else []
        at += size
    return [_line(cells), "".join(rules)]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _minipage(notes: Sequence[_Line]) -> list[str]:
    if not notes:
        return []
    said = r"\\ ".join(note.title for note in notes)
    return [r"\par\smallskip", r"\begin{minipage}{\linewidth}\raggedright", said, r"\end{minipage}"]
