"""What the command line prints of a plan's review, and of what a launch would do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from omnitok.cli.findings import size
from omnitok.cli.tables import STYLES, console, giga, table_of
from omnitok.spec import counted

MANY = 8  # kinds of stages whose pace is said, arrays and jobs that are listed
STANDS = ("done", "running", "queued", "failed", "missing")


def print_review(review: Any, budgets: Mapping[str, float | None]) -> None:
    """Below a plan: how it stands, hours, disk and jobs, then the arms in what they do not have alike."""
    out = console()
    _print_arms(out, review.difference.arms)
    for line in _lines(review, budgets):
        out.print(escape(line), soft_wrap=True)
    if review.room.short:
        out.print(f"[yellow]note:[/yellow] {escape(_short(review.room))}", soft_wrap=True)
    for sentence in review.unfit:
        out.print(f"[yellow]note:[/yellow] {escape(f'jobs would never run: {sentence}')}", soft_wrap=True)
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
    said, audit, arrays = review.estimate, review.audit, review.layout
    return {
        "estimate": {**said._asdict(), "paces": [pace._asdict() for pace in said.paces]},
        "audit": {**audit._asdict(), "unequal": [row._asdict() for row in audit.unequal]},
        "difference": difference_as_json(review.difference),
        "steps": review.steps._asdict(),
        "gpu_hours": review.gpu_hours and review.gpu_hours._asdict(),
        "room": review.room._asdict(),
        "layout": arrays and [_array_as_json(array) for array in arrays.arrays],
        "unfit": review.unfit,
    }


def _array_as_json(array: Any) -> dict[str, Any]:
    jobs = [[piece.label for piece in job] for job in array.jobs]
    return {"jobs": jobs, "after": array.after, "given": array.given}


def _print_arms(out: Any, arms: Mapping[str, Mapping[str, int]]) -> None:
    """Only what there is: before anything was launched all is missing, and the plan has said so."""
    seen = [word for word in STANDS if any(word in counts for counts in arms.values())]
    if set(seen) <= {"done", "missing"}:
        return
    table = table_of("arm", *seen, right=seen)
    for name, counts in arms.items():
        table.add_row(escape(name), *(f"[{STYLES.get(word, 'default')}]{counts.get(word, 0)}[/]" for word in seen))
    out.print(table)


def _lines(review: Any, budgets: Mapping[str, float | None]) -> Iterator[str]:
    found = review.estimate
    yield f"stages: {', '.join(f'{count} {status}' for status, count in found.status.items())}"
    yield from _time(found)
    for what, budget in budgets.items():
        if budget is not None:
            yield f"budget of {budget:g} {'h' if what == 'hours' else what}: is held"
    yield from _saved(review)
    each = f"; each running stage a checkpoint of up to {size(found.checkpoint)}" if found.checkpoint else ""
    yield f"disk: weights {size(found.kept)} in all, {size(found.to_write)} of them to be written{each}"
    if review.layout is not None:
        yield from _arrays(review.layout)


def _time(found: Any) -> Iterator[str]:
    known = found.steps_left - found.unknown
    if not found.steps_left:
        yield "time: nothing is left to train"
    elif not known:
        yield f"time: unknown; no run here is like any of the {counted(found.steps_left, 'step')} to go; --probe times some"
    else:
        kind = (
            f"CPU hours at {counted(found.threads, 'thread')}" if found.device == "cpu" else f"hours of {found.device}"
        )
        of = "" if not found.unknown else f" for {known:,} of {found.steps_left:,} steps; unknown for the others"
        gpus = f", {found.gpu_hours_left:.3g} GPU hours" if found.gpu_hours_left else ""
        yield f"time: about {found.hours_left:.3g} {kind}{gpus}{of} (training alone)"
    if found.searched:
        yield f"  {found.searched:,} of the steps are those of a search that prunes nothing: at most so many, as the arms are written"
    for pace in found.paces[:MANY]:
        yield f"  {pace.stage}: {pace.seconds:.3g} s a step, {_by(pace)}"
    if len(found.paces) > MANY:
        yield f"  and {len(found.paces) - MANY} more, which --json has"


def _by(pace: Any) -> str:
    """Where a pace is from."""
    if pace.probed:
        return f"measured in a probe of {counted(pace.probed, 'step')} on {pace.device}"
    more = f" and {len(pace.of) - 3} more" if len(pace.of) > 3 else ""
    return f"by {', '.join(pace.of[:3])}{more}{'' if pace.alike else ', of a model as large'}"


def _saved(review: Any) -> Iterator[str]:
    """What shared stages are worth, in GPU hours or else in steps."""
    what, unit = (review.gpu_hours, "GPU hours") if review.gpu_hours else (review.steps, "steps")
    if what.saved:
        said = (
            f"{what.once:,.4g} of {what.whole:,.4g} {unit}"
            if unit != "steps"
            else f"{what.once:,.0f} of {what.whole:,.0f} steps"
        )
        yield f"shared stages: {said} are trained, {100 * what.saved:.3g} % less than each trial whole"


def _arrays(found: Any) -> Iterator[str]:
    """How many arrays of how many tasks, and the first of them."""
    sizes = [len(array.jobs) for array in found.arrays]
    if not sizes and not found.left:
        yield "jobs: none to be submitted"
        return
    pieces = sum(len(job) for array in found.arrays for job in array.jobs)
    packed = f" of {counted(pieces, 'piece')} of work" if pieces != found.jobs else ""
    yield f"jobs: {counted(found.jobs, 'job')}{packed} in {counted(len(sizes), 'array')}"
    for number, array in enumerate(found.arrays[:MANY], 1):
        yield f"  #{number}: {counted(len(array.jobs), 'task')}, {_after(array.after)}: {_some(array.jobs)}"
    if len(sizes) > MANY:
        yield f"  and {len(sizes) - MANY} more, which --json has"
    if found.left:
        yield f"  {counted(len(found.left), 'piece')} for which the site has no room now: launch again when jobs have ended"


def _after(after: Sequence[str]) -> str:
    if not after:
        return "at once"
    return f"after {', '.join(one.partition(':')[2].replace('_', ' task ') for one in after)}"


def _some(jobs: Sequence[Sequence[Any]]) -> str:
    labels = [piece.label for job in jobs for piece in job]
    return f"{', '.join(labels[:3])}{f' and {len(labels) - 3} more' if len(labels) > 3 else ''}"


def _short(room: Any) -> str:
    nodes = "" if room.nodes is None else f" ({size(room.nodes)} as a node sees it)"
    return f"up to {size(room.wanted)} would be written at once, and {size(room.free)} are free{nodes}; see omnitok gc"


def _cell(column: str, cell: Any) -> str:
    if cell is None:
        return "n/a"
    value, ratio = cell
    said = f"{giga(value)} G" if column == "FLOPs" else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
    return said if ratio is None else f"{said}  x{ratio:.3g}"


# ---- the difference


def difference_as_json(found: Any) -> dict[str, Any]:
    """What a launch would do, as data."""
    lists = ("submit", "queued", "running", "failed", "unwanted")
    items = {name: [item._asdict() for item in getattr(found, name)] for name in lists}
    return {**items, "done": found.done, "total": found.total, "arms": found.arms}


def print_difference(found: Any) -> None:
    """A line a piece of work, then the sums."""
    out = console()
    died = {item.piece: item.why for item in found.failed}
    groups = [("+", "green", found.submit), ("=", "cyan", found.running), ("=", "cyan", found.queued)]
    for sign, style, items in [*groups, ("?", "yellow", found.unwanted)]:
        for item in items:
            why = f"  failed before: {died[item.piece]}" if sign == "+" and item.piece in died else f"  {_job(item)}"
            out.print(f"[{style}]{sign}[/] {escape(f'{item.label}{why}'.rstrip())}", soft_wrap=True)
    again = f" ({len(found.failed)} of them failed before)" if found.failed else ""
    parts = [f"to submit {len(found.submit)}{again}", f"queued {len(found.queued)}", f"running {len(found.running)}"]
    parts += [f"done {found.done} of {found.total} stages and evaluations"]
    out.print(", ".join(parts))
    if found.unwanted:
        said = f"{counted(len(found.unwanted), 'job')} of this sweep as it was, which it no longer asks for; a launch leaves them alone"
        out.print(f"[yellow]note:[/yellow] {said}", soft_wrap=True)
    if not found.submit:
        out.print("nothing to do")


def _job(item: Any) -> str:
    return f"job {item.job}{f': {item.why}' if item.why else ''}" if item.job else item.why
