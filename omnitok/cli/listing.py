"""What ``omnitok components`` prints."""

import itertools
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from omnitok.cli.tables import console, giga, table_of
from omnitok.spec import flow

NUMBERS = {"bits": "bits a token", "parameters": "parameters", "flops": "GFLOPs"}


def print_components(entries: Sequence[Any], whole: bool) -> None:
    """One slot with every choice and what its components cost, or all slots with a line a component."""
    from omnitok.catalogue import MEASURED

    out = console()
    for slot in dict.fromkeys(entry.slot for entry in entries):
        mine = [entry for entry in entries if entry.slot == slot]
        numbers = [name for name in NUMBERS if whole and any(getattr(entry, name) is not None for entry in mine)]
        heads = [NUMBERS[name] for name in numbers]
        table = table_of(slot, "default" if whole else "choices", *heads, "what", right=heads)
        for entry in mine:
            if entry.fault:
                table.add_row(f"[red]{escape(entry.name)}[/red]", "", *[""] * len(heads), escape(entry.fault))
                continue
            named = "" if whole else ", ".join(choice.name for choice in entry.choices)
            cells = [_number(name, getattr(entry, name)) for name in numbers]
            table.add_row(f"[bold]{entry.name}[/bold]", named, *cells, escape(_said(entry, whole)))
            for choice in entry.choices if whole else ():
                blank = [""] * len(heads)
                table.add_row(f"  {choice.name}", escape(choice.default), *blank, escape(choice.line))
        out.print(table)
        if numbers and slot in MEASURED:
            out.print(
                f"\nparameters and GFLOPs: {MEASURED[slot]}, at the defaults; a multiplication and an addition are 2"
            )
        out.print()


def print_settings(entries: Sequence[Any], bits: int) -> None:
    """The settings of each quantizer that spend so many bits a token, to be pasted, and why the others have none."""
    out = console()
    table = table_of(
        "quantizer", "bits a token", "channels", "codebooks", "to be pasted", right=("bits a token", "channels")
    )
    for entry in entries:
        for i, one in enumerate(entry.settings):
            name = f"[bold]{entry.name}[/bold]" if i == 0 else ""
            said = flow({"type": entry.name, **one.choices})
            table.add_row(name, f"{one.bits:.6g}", str(one.channels), _sizes(one.codebook_sizes), escape(said))
        if not entry.settings:
            table.add_row(entry.name, "-", "", "", escape(_why(entry, bits)))
    out.print(table)
    out.print("\nThe first of each is its usual one, which match: {by: bits, ...} in a sweep takes.")


def _sizes(sizes: Sequence[int]) -> str:
    """As a sum, in which equal ones that follow each other are counted."""
    runs = [(len(list(same)), size) for size, same in itertools.groupby(sizes)]
    return " + ".join(f"{count} x {size:,}" if count > 1 else f"{size:,}" for count, size in runs)


def _said(entry: Any, whole: bool) -> str:
    bits = f" {entry.bits:.4g} bits a token at its defaults." if entry.bits and not whole else ""
    papers = f" [{', '.join(entry.papers)}]" if entry.papers and not entry.promise.count("arXiv") else ""
    return f"{entry.promise}{bits}{papers}" + (f" (of {entry.origin})" if entry.origin else "")


def _why(entry: Any, bits: int) -> str:
    return entry.fault or (f"none at {bits} bits" if entry.bits else "continuous, so its latents have no codes")


def _number(name: str, value: float | None) -> str:
    if not value:
        return "-"
    return giga(value) if name == "flops" else f"{value:,}" if name == "parameters" else f"{value:.4g}"
