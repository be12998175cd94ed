"""One piece of work, and doing it in this process. What crosses to another process is this piece as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omnitok import runs, trial
from omnitok.runs import Failure, Record
from omnitok.spec import decode
from omnitok.training import EVALUATIONS


class Work(NamedTuple):
    """Train a stage (``evaluation`` empty) or measure one evaluation of it. ``after``: stages that must be done."""

    stage: str
    label: str
    steps: int
    after: tuple[str, ...]
    evaluation: dict[str, Any]


Outcome = Failure | Literal["done", "busy", "stopped"]


def do(
    work: Work, root: Path, every_s: float, stop: Callable[[], bool], on_record: Callable[[Record], None]
) -> Outcome:
    """Do it; a death is an outcome, not an exception."""
    folder = root / work.stage

    def piece() -> None:
        if work.evaluation:
            trial.evaluate_run(folder, decode(EVALUATIONS, work.evaluation))
        else:
            trial.run(folder, checkpoint_every_s=every_s, stop=stop, on_record=on_record)

    try:
        return trial.attempt(piece) or "done"
    except runs.Busy:
        return "busy"
    except trial.Stopped:
        return "stopped"
