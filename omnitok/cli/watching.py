"""``status --watch``: a launched sweep as it goes on, redrawn on a terminal, a line whenever something changed elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from omnitok.cli.tables import MANY, STYLES, console, counts_of, table_of
from omnitok.spec import counted

BAR = 24  # cells
IDLE = 2  # looks in a row that find nothing going on: between two pieces of work there is a moment of that
ORDER = ("done", "running", "queued", "unevaluated", "interrupted", "planned", "cancelled", "blocked", "failed")


def watched(looks: Iterator[Any], every_s: float, sleep: Callable[[float], None] = time.sleep) -> Any:
    """Show one glance after another until nothing goes on. -> the last one."""
    out, idle = console(), 0
    show = _Screen(out) if out.is_terminal else _Lines()
    try:
        for glance in looks:
            show.show(glance)
            idle = 0 if glance.busy else idle + 1
            if idle == IDLE or all(state.status == "done" for state in glance.states):
                return glance
            sleep(every_s)
    finally:
        show.close()
    raise ValueError("there was nothing to look at")


class _Screen:
    def __init__(self, out: Console) -> None:
        self.live = Live(console=out, auto_refresh=False)
        self.live.start()

    def show(self, glance: Any) -> None:
        self.live.update(drawn(glance), refresh=True)

    def close(self) -> None:
        self.live.stop()


class _Lines:
    def __init__(self) -> None:
        self.last = ""

    def show(self, glance: Any) -> None:
        said = in_a_line(glance)
        if said != self.last:
            print(f"{time.strftime('%H:%M:%S')}  {said}", flush=True)
        self.last = said

    def close(self) -> None:
        return None


def in_a_line(glance: Any) -> str:
    """What there is to say of a glance in one line."""
    runs = [f"{one.label} {one.step}/{one.total}{_pace(one)}" for one in glance.running[:MANY]]
    more = [f"{len(glance.running) - MANY} more"] if len(glance.running) > MANY else []
    return "; ".join([counts_of(glance.states), *([", ".join(runs + more)] if runs else []), hours(glance.hours)])


def drawn(glance: Any) -> Group:
    """A glance as it stands on a terminal: arms, what trains, jobs, hours."""
    parts = [f"[bold]{escape(glance.sweep)}[/bold]  {counts_of(glance.states)}", _arms(glance)]
    if glance.running:
        parts += ["", _running(glance.running)]
    if glance.jobs:
        parts += ["", _jobs(glance.jobs)]
    return Group(*parts, "", hours(glance.hours))


def _arms(glance: Any) -> Any:
    """A line an arm; of many arms those that are not done."""
    arms = glance.arms
    open_ = {name: found for name, found in arms.items() if set(found) != {"done"}}
    listed = list((arms if len(arms) <= MANY else open_).items())
    said = {state.trial["name"]: state.reason for state in glance.states if state.status == "searching"}
    table = table_of("arm", "", "done", "", right=("done",))
    for name, found in listed[:MANY]:
        rest = ", ".join(f"{count} {status}" for status, count in found.items() if status != "done")
        table.add_row(escape(name), bar(found), f"{found['done']}/{found.total()}", escape(said.get(name) or rest))
    if len(listed) > MANY:
        table.add_row(f"... and {len(listed) - MANY:,} more", "", "", "")
    return table


def bar(found: Counter[str]) -> Text:
    """How many of an arm's trials stand how, in colours, as wide as their share."""
    text, drawn_, count = Text(), 0, 0
    for status in sorted(found, key=lambda one: ORDER.index(one) if one in ORDER else len(ORDER)):
        count += found[status]
        upto = round(BAR * count / found.total())
        text.append(("━" if status != "planned" else "─") * (upto - drawn_), style=STYLES.get(status, "dim"))
        drawn_ = upto
    return text


def _running(running: Any) -> Any:
    table = table_of("trains", "step", "", "left", right=("step",))
    for one in running[:MANY]:
        left = "" if one.left_s is None else duration(one.left_s)
        table.add_row(escape(one.label), f"{one.step}/{one.total}", _pace(one).strip(" ()"), left)
    if len(running) > MANY:
        table.add_row(f"... and {len(running) - MANY:,} more", "", "", "")
    return table


def _jobs(jobs: Any) -> Any:
    table = table_of("job", "state", "", "why")
    for name, job in list(jobs.items())[:MANY]:
        style = STYLES.get(job.state, "default")
        table.add_row(job.job, f"[{style}]{job.state}[/]", escape(name), escape(job.reason))
    if len(jobs) > MANY:
        table.add_row(f"... and {len(jobs) - MANY:,} more", "", "", "")
    return table


def _pace(one: Any) -> str:
    """Of a stage that trains, with how long it has left."""
    return "" if one.pace is None else f" ({one.pace:.3g}/s)"


def hours(found: Any) -> str:
    """What was used, and what is still to come as far as it is known."""
    left = f", about {found.left:.2g} h to come" if found.left else ""
    unknown = f", and {counted(found.unknown, 'step')} of which nothing is known yet" if found.unknown else ""
    return f"{found.used:.2g} h of training used{left}{unknown}"


def duration(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    whole, minutes = divmod(minutes, 60)
    return f"{whole}:{minutes:02}:{rest:02}" if whole else f"{minutes}:{rest:02}"
