"""The measurements as a table: on the terminal, and in the README beside this file."""

import datetime
import os
import platform
from collections.abc import Sequence

import torch
from rich.markup import escape
from rich.table import Table

from benchmarks.measure import Row
from omnitok import provenance

HEADER = ("what", "target", "measured: median [min, max]", "n", "ratio", "met")
MET = {True: "yes", False: "no", None: ""}


def cells(row: Row) -> tuple[str, ...]:
    """A row as words, in the order of the header."""
    target = "" if row.below is None else f"< {row.below:g} {row.unit}"
    measured = f"{_number(row.median)} [{_number(min(row.samples))}, {_number(max(row.samples))}] {row.unit}"
    return row.what, target, measured, str(len(row.samples)), row.ratio, MET[row.met]


def table(rows: Sequence[Row]) -> Table:
    made = Table(*HEADER, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*map(escape, cells(row)), style="red" if row.met is False else "")
    return made


def machine() -> str:
    """What it was measured on, in a sentence."""
    load = os.getloadavg()[0]
    gpu = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    return (
        f"{gpu}{provenance.processor()}, {os.cpu_count()} cores, one thread a process; Python {platform.python_version()}, "
        f"torch {torch.__version__}; {datetime.date.today().isoformat()}; load {load:.1f} at the start."
    )


def readme(rows: Sequence[Row], on: str, names: Sequence[str] = ()) -> str:
    """The whole README, or the page of what was named."""
    how = f"python -m benchmarks {' '.join(names)}" if names else "make bench"
    lines = ["# Measured", "", f"`{how}` measures this anew, all in one run, and rewrites this file.", "", on, ""]
    lines += [_line(HEADER), "|---|---|---|--:|---|---|", *(_line(cells(row)) for row in rows), ""]
    lines += ["Targets are for the median. What a ratio is held against was measured in the same run.", ""]
    lines += ["## How", "", *(f"- **{row.what}**: {row.how}." for row in rows), ""]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(word.replace('|', chr(92) + '|') for word in words)} |"
