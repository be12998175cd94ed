"""What the command line prints of what looking back has found."""

from typing import Any

from rich.markup import escape

from omnitok.cli.tables import STYLES, console
from omnitok.spec import counted, flow


def size(count: float) -> str:
    """Bytes in a unit that leaves three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


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
        if one.told:
            out.print(f"  note: {escape(one.told)}", soft_wrap=True)
        if one.file.exists():
            out.print(f"  measured: {one.file}", soft_wrap=True)
    if cell.searched:
        out.print(f"won its search: {escape(flow(cell.searched))}", soft_wrap=True)
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
