"""Live progress, read off the folders: a bar a piece of work on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from omnitok import runs
from omnitok.launching.work import Outcome, Work
from omnitok.runs import Failure, Record
from omnitok.search import standing
from omnitok.spec import counted
from omnitok.sweep.stored import ended, found_so_far, is_search

SHOWN = ("train/loss", "val/psnr", "val/psnr_clips")


class Silent:
    """Nobody watches."""

    def begin(self, works: Sequence[Work]) -> None:
        return None

    def look(self, active: Sequence[Work]) -> None:
        return None

    def ended(self, work: Work, outcome: Outcome) -> None:
        return None

    def close(self) -> None:
        return None


class Lines:
    """One line when a piece of work ends; for logs and pipes."""

    def __init__(self, root: Path) -> None:
        self.root, self.count, self.total = root, 0, 0

    def begin(self, works: Sequence[Work]) -> None:
        self.total += len(works)

    def look(self, active: Sequence[Work]) -> None:
        return None

    def ended(self, work: Work, outcome: Outcome) -> None:
        self.count += 1
        print(f"[{self.count}/{self.total}] {work.label}: {sentence(self.root, work, outcome)}", flush=True)

    def close(self) -> None:
        return None


class Bars:
    """A bar for each running piece of work and one for all steps, with metrics and time left."""

    def __init__(self, root: Path, console: Console) -> None:
        self.root, self.console = root, console
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}", style="dim"), TimeRemainingColumn(),
        )  # fmt: skip
        self.progress = Progress(*columns, console=console, transient=True)
        self.bars: dict[str, TaskID] = {}
        self.finished = 0
        self.all = TaskID(0)

    def begin(self, works: Sequence[Work]) -> None:
        if works:
            total = sum(max(work.steps, 1) for work in works)
            self.all = self.progress.add_task(
                "all", total=total, metrics=counted(len(works), "piece of work", "pieces of work")
            )
            self.progress.start()

    def look(self, active: Sequence[Work]) -> None:
        steps = 0
        for work in active:
            if work.label not in self.bars:
                self.bars[work.label] = self.progress.add_task(work.label, total=max(work.steps, 1), metrics="")
            done, said = _so_far(self.root, work)
            steps += done
            if done:
                self.progress.update(self.bars[work.label], completed=done, metrics=said)
        if self.progress.tasks:
            self.progress.update(self.all, completed=self.finished + steps)

    def ended(self, work: Work, outcome: Outcome) -> None:
        self.finished += max(work.steps, 1)
        if work.label in self.bars:
            self.progress.remove_task(self.bars.pop(work.label))
        said = sentence(self.root, work, outcome)
        self.console.print(f"{work.label}: {said}", markup=False, highlight=False)

    def close(self) -> None:
        self.progress.stop()


def _so_far(root: Path, work: Work) -> tuple[int, str]:
    """How much of a piece of work is done, and what it has come to."""
    if is_search(root / work.stage):
        stands = standing(root / work.stage)
        return ended(stands), found_so_far(stands)
    record = runs.last_record(root / work.stage) if not work.evaluation else None
    return (record.step + 1, shown(record)) if record else (0, "")


def view(root: Path) -> Bars | Lines:
    """Bars where somebody can see them."""
    console = Console()
    return Bars(root, console) if console.is_terminal else Lines(root)


def shown(record: Record) -> str:
    return "  ".join(f"{name} {record.values[name]:.4g}" for name in SHOWN if name in record.values)


def sentence(root: Path, work: Work, outcome: Outcome) -> str:
    """How a piece of work ended, in a few words."""
    if isinstance(outcome, Failure):
        return f"failed ({outcome.kind}): {outcome.sentence}"
    if work.evaluation:
        return outcome
    if is_search(root / work.stage):
        return f"{outcome}  {found_so_far(standing(root / work.stage))}"
    record, attempt = runs.last_record(root / work.stage), runs.last_attempt(root / work.stage)
    again = f"  (from the beginning: {attempt['restarted']})" if attempt.get("restarted") else ""
    return f"{outcome}  {shown(record) if record else ''}".rstrip() + again
