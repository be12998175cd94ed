"""What the command line prints of a plan's review, and of what looking back has found."""

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from omnitok.cli.tables import STYLES, console, giga, table_of
from omnitok.spec import counted, flow

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


def print_logs(found: Any) -> None:
    """Stage by stage: attempts, records, deaths; then the logs of jobs."""
    out = console()
    for stage in found.stages:
        style = STYLES.get(stage.status, "default")
        out.print(f"[bold]{escape(stage.stage)}[/bold] [{style}]{stage.status}[/]  {stage.folder}", soft_wrap=True)
        for one in stage.attempts:
            out.print(escape(_attempt(one)), soft_wrap=True)
        for record in stage.records:
            values = "  ".join(f"{name} {value:.5g}" for name, value in record.values.items())
            out.print(f"  step {record.step}: {escape(values)}", soft_wrap=True)
        for died in stage.failures:
            out.print(f"  [red]{died.kind}:[/red] {escape(died.sentence)}", soft_wrap=True)
            out.print(escape(died.traceback.rstrip()), soft_wrap=True)
    for path, text in found.jobs.items():
        out.print(f"[bold]{escape(str(path))}[/bold]\n{escape(text)}", soft_wrap=True)


def _attempt(one: dict[str, Any]) -> str:
    again = f", from the beginning: {one['restarted']}" if one.get("restarted") else ""
    return f"  {one['started']}: steps {one['from_step']} to {one['to_step']} in {one['seconds']:.3g} s, {one['ended']}{again}"


def print_cell(cell: Any) -> None:
    """A number, then each of its runs, then how its arm differs."""
    out = console()
    mean = "no value yet" if cell.mean is None else f"{cell.mean:.6g} {cell.unit}".rstrip()
    count = counted(sum(one.value is not None for one in cell.seeds), "run")
    out.print(f"[bold]{escape(cell.arm)}, {escape(cell.metric)}[/bold]: {mean}, the mean of {count}", soft_wrap=True)
    out.print(escape(cell.protocol), soft_wrap=True)
    for one in cell.seeds:
        ends = " [{:.6g}, {:.6g}]".format(*one.interval) if one.interval else ""
        value = "-" if one.value is None else f"{one.value:.6g}{ends}"
        seed = "-" if one.seed is None else one.seed
        out.print(escape(f"seed {seed}: {value}{f'  ({one.note})' if one.note else ''}"), soft_wrap=True)
        out.print(f"  runs: {' -> '.join(str(stage) for stage in one.stages)}", soft_wrap=True)
        if one.ran:
            out.print(f"  code: {escape(_code(one.ran))}", soft_wrap=True)
        if one.file.exists():
            out.print(f"  measured: {one.file}", soft_wrap=True)
    if cell.arm == cell.base:
        out.print("the arm that the others are held against")
        return
    out.print(f"beside {escape(cell.base)}:" if cell.changed else f"no choice differs from {escape(cell.base)}")
    for path, (there, here) in cell.changed.items():
        out.print(f"  {escape(path)}: {escape(flow(there))} -> {escape(flow(here))}", soft_wrap=True)


def _code(ran: dict[str, Any]) -> str:
    """Which code and machine a run had."""
    commit = ran.get("commit") or "no commit"
    changes = " with changes, in code.diff" if ran.get("dirty") else ""
    return f"{commit}{changes}, sources {ran.get('code')}, {ran.get('device')}, {ran.get('created')}"


def print_garbage(found: Any, freed: bool) -> None:
    """A line a file, then what goes and what stays."""
    out = console()
    for one in found.files:
        out.print(f"{escape(str(one.path))}  {size(one.size)}  {one.reason}", soft_wrap=True)
    verb = "freed" if freed else "could be freed; --yes frees them"
    out.print(f"{counted(len(found.files), 'file')}, {size(found.size)} {verb if found.files else 'to be freed'}")
    parents = f"; {counted(len(found.parents), 'run')} that others stand on which are not done" if found.parents else ""
    kept = f"stay: weights {size(found.weights)}, checkpoints of unfinished runs {size(found.checkpoints)}{parents}"
    out.print(kept, soft_wrap=True)
    for said in found.kept:
        out.print(f"stays: {escape(said)}", soft_wrap=True)
    if found.busy:
        out.print(f"left alone, somebody works there: {', '.join(found.busy)}", soft_wrap=True)


def print_replayed(found: Any) -> None:
    """The verdict, then what was not as then."""
    out = console()
    out.print(escape(_verdict(found)), soft_wrap=True)
    for name, (then, now) in found.differs.items():
        out.print(f"  not as then: {escape(name)}: {escape(flow(then))} -> {escape(flow(now))}", soft_wrap=True)
    if not found.differs:
        out.print("  code, versions, machine, threads and data are those of then")


def _verdict(found: Any) -> str:
    """What a replay came to, in a sentence."""
    weights = {True: "; all weights are equal to the bit", False: "; the weights are not equal to the bit", None: ""}
    held = f"{found.steps} of {found.total} steps held against the records"
    if found.verdict == "bitwise equal":
        return f"bitwise equal: {held}{weights[found.weights]}"
    off = ""
    if found.worst:
        name, then, now = found.worst
        off = f" ({name}: {then!r} -> {now!r})"
    if found.verdict == "diverges":
        before = f", not to the bit from step {found.first}" if found.first != found.diverged else ""
        return f"diverges at step {found.diverged}{off}{before}: {held}{weights[found.weights]}"
    since = f", not to the bit from step {found.first}{off}" if found.first is not None else ""
    return f"within tolerance{since}: {held}{weights[found.weights]}"
