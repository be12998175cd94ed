"""What the command line prints: tables for people, wide enough for a pipe."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from omnitok import runs
from omnitok.spec import counted, flow

STYLES = {
    "done": "green",
    "failed": "red",
    "blocked": "yellow",
    "running": "cyan",
    "interrupted": "yellow",
    "cancelled": "yellow",
}

MANY = 30  # classes, files and the like that are listed one by one
LONG = 200  # trials that are
FEW = 8  # effects that are named beside one


def console() -> Console:
    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = 160
    return made


def table_of(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_plan(plan: dict[str, Any], question: str) -> None:
    """Arms with their cost and state, then the stages that they share, then notices."""
    out, root, match = console(), runs.root(), plan["match"]
    out.print(f"[bold]{escape(question)}[/bold]\n")
    solved = (match["solve"], "off") if match else ()
    numbers = ("stages", "parameters", "GFLOPs", "tokens", "bits a token", *solved, "done")
    table = table_of("arm", "seeds", *numbers, right=numbers)
    arms: dict[str, list[dict[str, Any]]] = {}
    for trial in plan["trials"]:
        arms.setdefault(trial["name"], []).append(trial)
    finished = {digest for digest in plan["stages"] if (root / digest / runs.RESULT).exists()}
    for name, trials in list(arms.items())[:LONG]:
        seeds = ", ".join(str(trial["seed"]) for trial in trials if trial["seed"] is not None) or "-"
        stages = [stage for trial in trials for stage in trial["stages"]]
        done = sum(stage in finished for stage in stages)
        costs = _costs(trials[0], bool(match))
        table.add_row(escape(name), seeds, str(len(stages)), *costs, f"{done} of {len(stages)}")
    searching = [one for one in plan.get("searches", ()) if one["arm"] not in arms]
    for one in searching[: max(0, LONG - len(arms))]:  # as it is written, before anything has won
        table.add_row(escape(one["arm"]), "-", "-", *_costs(one, bool(match)), "after the search")
    out.print(table)
    if (count := len(arms) + len(searching)) > LONG:
        out.print(f"... and {counted(count - LONG, 'arm')} more; --json lists all")
    if match:
        out.print(f"\n{escape(_matched(plan))}")
    asked = [stage for trial in plan["trials"] for stage in trial["stages"]]
    steps = sum(stage["steps"] for digest, stage in plan["stages"].items() if digest not in finished)
    shared = len(asked) - len(plan["stages"])
    out.print(f"\n{counted(len(plan['trials']), 'trial')}, {counted(len(plan['stages']), 'stage')} to train once "
              f"({shared} shared), {len(finished)} of them done; {counted(steps, 'step')} to go")  # fmt: skip
    for one in plan["evaluations"]:
        labels = ", ".join(metric["label"] for metric in one["metrics"])
        out.print(f"evaluation {escape(one['name'])}: {labels} on {escape(one['key'])}")
    for notice in plan["notices"]:
        out.print(f"[yellow]note:[/yellow] {escape(notice)}")


def print_aliases(aliases: Sequence[dict[str, Any]] | None) -> None:
    """What a fraction does not tell apart, a line an effect. ``aliases``: as a plan has them, None where it is no fraction."""
    out = console()
    if aliases is None:
        return
    if not aliases:
        out.print("\nno main effect and no interaction of two factors is aliased with another of them")
        return
    mains = any(len(one["effect"]) == 1 for one in aliases)
    clear = "main effects are clear of interactions of two factors, which are aliased with each other"
    out.print(f"\n{'main effects are aliased with interactions of two factors' if mains else clear}:")
    rows: dict[str, tuple[list[str], list[str]]] = {}
    for one in aliases:
        rows.setdefault(" x ".join(one["effect"]), ([], []))[one["share"] < 1].append(" x ".join(one["with"]))
    table = table_of("effect", "aliased with", "in part with")
    for effect, names in list(rows.items())[:LONG]:
        table.add_row(escape(effect), *(escape(_some(some)) for some in names))
    out.print(table)
    if len(rows) > LONG:
        out.print(f"... and {counted(len(rows) - LONG, 'effect')} more; --json lists all")


def _some(names: Sequence[str]) -> str:
    more = len(names) - FEW
    return f"{', '.join(names[:FEW])}{f' and {more} more; --json lists all' if more > 0 else ''}" or "-"


def _costs(trial: dict[str, Any], matched: bool) -> list[str]:
    """The cells of what one arm costs, FLOPs of a clip of its largest shape, and of what was solved in it."""
    largest = trial["largest"]
    flops = sum(trial["flops"][largest].values()) if trial["flops"] else 0
    cells = [
        "n/a" if trial["parameters"] is None else f"{trial['parameters']:,}",
        f"{largest}:{giga(flops)}" if flops else "-",
        " ".join(f"{shape}:{count}" for shape, count in trial["tokens"].items()) or "n/a",
        f"{trial['bits_per_token']:.4g}" if trial["bits_per_token"] else "-",
    ]
    if matched and "solved" in trial:
        off = trial["solved"]["off"]
        cells += [escape(flow(trial["solved"]["value"])), f"{100 * off:+.2g} %" if abs(off) > 1e-9 else "0"]
    return cells + ["", ""] * (matched and "solved" not in trial)


def _matched(plan: dict[str, Any]) -> str:
    """What the arms have in common, and how."""
    match = plan["match"]
    shapes = dict.fromkeys(trial["solved"]["shape"] for trial in plan["trials"] if "solved" in trial)
    words = {"flops": f"FLOPs of a clip of {', '.join(shapes)}, there and back", "params": "parameters"}
    of = "as the experiment has" if match["to"] == "base" else "as was said"
    step = "" if match["by"] == "bits" else f" in steps of {match['multiple_of']}"
    return (
        f"matched by {words.get(match['by'], 'bits a token')}: {match['target']:,.0f}, {of}, to {100 * match['within']:g} %; "
        f"solved: {match['solve']}{step}"
    )


def print_states(states: Sequence[Any], only_open: bool = False, everything: bool = False) -> None:
    """A line a trial, then how many of each status. Of many trials only some that are not done, first what needs somebody,
    unless ``everything`` is to be listed."""
    out = console()
    listed = [state for state in states if not (only_open and state.status == "done")]
    left = 0
    if len(listed) > LONG and not everything:
        found = sorted((state for state in states if state.status != "done"), key=_urgency)
        listed, left = found[:LONG], max(0, len(found) - LONG)
    table = table_of("trial", "seed", "status", "why")
    for state in listed:
        style = STYLES.get(state.status, "default")
        seed = "-" if state.trial["seed"] is None else str(state.trial["seed"])
        table.add_row(escape(state.trial["name"]), seed, f"[{style}]{state.status}[/]", escape(state.reason))
    if table.row_count:
        out.print(table)
    if left:
        out.print(f"... and {left:,} more that are not done; omnitok status --all lists every trial")
    out.print(counts_of(states))


def counts_of(states: Iterable[Any]) -> str:
    """3 done, 1 failed."""
    return ", ".join(f"{count:,} {status}" for status, count in Counter(state.status for state in states).items())


def _urgency(state: Any) -> int:
    """First what failed, then what goes on, then what waits."""
    order = ("failed", "blocked", "cancelled", "interrupted", "running", "searching", "queued")
    return order.index(state.status) if state.status in order else len(order)


def print_checked(checked: Any) -> None:
    """What a folder holds, and the line that an experiment says about it."""
    out, manifest = console(), checked.manifest
    if len(manifest.classes) <= MANY:
        table = table_of("split", "kind", "class", "files", right=("files",))
        for (split, kind, label), count in manifest.counts.items():
            table.add_row(split, kind, escape(label or "-"), f"{count:,}")
    else:
        table = table_of("split", "kind", "classes", "files", right=("classes", "files"))
        counts = manifest.counts
        for split, kind in dict.fromkeys((split, kind) for split, kind, _ in counts):
            found = [count for (s, k, _), count in counts.items() if (s, k) == (split, kind)]
            table.add_row(split, kind, str(len(found)), f"{sum(found):,}")
    out.print(table)
    for broken in manifest.broken[:MANY]:
        out.print(f"[yellow]broken, left out:[/yellow] {escape(broken.path)}: {escape(broken.reason)}")
    if len(manifest.broken) > MANY:
        out.print(f"and {len(manifest.broken) - MANY:,} more, which the manifest lists")
    if checked.ignored:
        more = f" and {len(checked.ignored) - MANY:,} more" if len(checked.ignored) > MANY else ""
        out.print(f"ignored: {escape(', '.join(checked.ignored[:MANY]))}{more}")
    name, root = _below_data(checked.folder)
    if root is not None:
        setting = shlex.join(["export", f"OMNITOK_DATA={root}"])
        said = f"the folder is not below {_data_root()}, where datasets are looked for; before training: {setting}"
        out.print(f"[yellow]note:[/yellow] {escape(said)}", soft_wrap=True)
    said = f"data: {{type: folder, name: {flow(name)}, fingerprint: {flow(checked.fingerprint)}}}"
    out.print(f"fingerprint {checked.fingerprint}; an experiment says it so:\n  {escape(said)}", soft_wrap=True)


def _data_root() -> Path:
    return Path(os.environ.get("OMNITOK_DATA") or "data")


def _below_data(folder: Path) -> tuple[str, Path | None]:
    """(how an experiment names a folder, what OMNITOK_DATA has to be for that where it is something else)."""
    folder, root = folder.resolve(), _data_root().resolve()
    if folder != root and folder.is_relative_to(root):
        return folder.relative_to(root).as_posix(), None
    return folder.name, folder.parent


def giga(flops: float) -> str:
    """Three digits, in units of 10^9."""
    return f"{flops / 1e9:,.0f}" if flops >= 1e12 else f"{flops / 1e9:.3g}"


def print_weights(listed: Sequence[Any]) -> None:
    """A line a file, and below it what it is and under which terms."""
    out = console()
    table = table_of("weights", "MB", "where", right=("MB",))
    for one in listed:
        missing = f"[yellow]missing[/]; omnitok weights fetch {one.name}"
        where = (
            f"[red]unusable:[/] {escape(one.fault)}" if one.fault else escape(str(one.found)) if one.found else missing
        )
        table.add_row(f"[bold]{one.name}[/bold]", f"{one.file.size / 1e6:.1f}", where)
        table.add_row("", "", escape(f"{one.file.origin}; {one.file.licence}; from {one.file.requirement}"))
    out.print(table)


def print_results(found: Sequence[Any], details: bool) -> None:
    """A line a number with its interval, below it what belongs to it, then the protocols."""
    out = console()
    table = table_of("metric", "value", "95 % interval", "items", right=("value", "items"))
    for one in found:
        value = "n/a" if one["value"] is None else f"{one['value']:.5g} {one['unit']}".rstrip()
        ends = "[{:.5g}, {:.5g}]".format(*one["interval"]) if one["interval"] else ""
        table.add_row(escape(f"{one['key']}{_apart(one, found)}"), value, escape(ends), str(one["n"]))
        for name, more in one["details"].items() if details else ():
            table.add_row(f"  {escape(name)}", f"{more:.5g}", "", "")
    out.print(table)
    for one in found:
        note = one.get("note", "")  # results of before have none
        if one["value"] is None:
            out.print(escape(f"{one['key']}: n/a: {note or 'does not apply'}"), soft_wrap=True)
        elif details and not one["details"]:
            out.print(escape(f"{one['key']}: no details{f': {note}' if note else ''}"), soft_wrap=True)
    for one in found:
        out.print(f"[dim]{escape(one['protocol'])}[/dim]", soft_wrap=True)


def _apart(one: Any, found: Sequence[Any]) -> str:
    """The choices by which a result differs from others of its metric on the same items."""
    place = one["key"].rpartition("/")[0]
    alike = [other["metric"] for other in found
             if other["label"] == one["label"] and other["key"].rpartition("/")[0] == place]  # fmt: skip
    odd = {name: value for name, value in one["metric"].items() if any(value != other[name] for other in alike)}
    return f" {flow(odd)}" if odd else ""


def print_findings(findings: Sequence[Any]) -> None:
    out = console()
    table = table_of("", "what", "seen")
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.fine else "[red]NO[/]", finding.what, escape(finding.seen))
    out.print(table)
