"""What is said of a sweep and its runs without running anything: the review of a plan."""

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from omnitok.cli.tables import console, giga, table_of
from omnitok.spec import counted

MANY = 8  # kinds of stages whose pace is said


def print_review(review: Any, budget_hours: float | None) -> None:
    """Below a plan: hours and disk, then the arms in what they do not have alike."""
    out = console()
    for line in _lines(review.estimate, budget_hours):
        out.print(escape(line), soft_wrap=True)
    audit = review.audit
    if audit.unequal:
        out.print("\n[bold]not alike in all arms[/bold] (x: times the first)")
        table = table_of("arm", *audit.columns, right=audit.columns)
        for row in audit.unequal:
            table.add_row(escape(row.name), *(_cell(column, cell) for column, cell in row.cells.items()))
        out.print(table)
    if audit.equal:
        out.print(f"alike in all arms: {', '.join(audit.equal)}", soft_wrap=True)
    for sentence in audit.protocols:
        out.print(f"[yellow]note:[/yellow] {escape(sentence)}", soft_wrap=True)


def review_as_json(review: Any) -> dict[str, Any]:
    """The same as data."""
    said, audit = review.estimate, review.audit
    return {
        "estimate": {**said._asdict(), "paces": [pace._asdict() for pace in said.paces]},
        "audit": {**audit._asdict(), "unequal": [row._asdict() for row in audit.unequal]},
    }


def _lines(found: Any, budget_hours: float | None) -> Iterator[str]:
    yield f"stages: {', '.join(f'{count} {status}' for status, count in found.status.items())}"
    known = found.steps_left - found.unknown
    if not found.steps_left:
        yield "time: nothing is left to train"
    elif not known:
        yield f"time: unknown; no run here is like any of the {counted(found.steps_left, 'step')} to go"
    else:
        kind = (
            f"CPU hours at {counted(found.threads, 'thread')}" if found.device == "cpu" else f"hours of {found.device}"
        )
        of = "" if not found.unknown else f" for {known:,} of {found.steps_left:,} steps; unknown for the others"
        yield f"time: about {found.hours_left:.3g} {kind}{of} (training alone)"
    for pace in found.paces[:MANY]:
        runs = f"{', '.join(pace.of[:3])}{f' and {len(pace.of) - 3} more' if len(pace.of) > 3 else ''}"
        yield f"  {pace.stage}: {pace.seconds:.3g} s a step, by {runs}{'' if pace.alike else ', of a model as large'}"
    if len(found.paces) > MANY:
        yield f"  and {len(found.paces) - MANY} more, which --json has"
    if budget_hours is not None:
        held = (
            "is held" if not found.unknown else f"cannot be held for {counted(found.unknown, 'step')} of unknown time"
        )
        yield f"budget of {budget_hours:g} h: {held}"
    each = f"; each running stage a checkpoint of up to {size(found.checkpoint)}" if found.checkpoint else ""
    yield f"disk: weights {size(found.kept)} in all, {size(found.to_write)} of them to be written{each}"


def size(count: float) -> str:
    """Bytes in a unit that leaves three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _cell(column: str, cell: Any) -> str:
    if cell is None:
        return "n/a"
    value, ratio = cell
    said = f"{giga(value)} G" if column == "FLOPs" else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
    return said if ratio is None else f"{said}  x{ratio:.3g}"
