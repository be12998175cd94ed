"""Whether a job that is requeued again and again gets on: it goes on for ever if it does, and ends if it does not."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from omnitok import runs
from omnitok.runs import Failure
from omnitok.runs.writing import lines

IDLE: Final = 5  # how many starts in a row may find nothing new


class Stuck(Exception):
    """A job is requeued and requeued, and gets nowhere."""


def check_progress(start: Path, root: Path, pieces: Sequence[dict[str, Any]]) -> None:
    """Note how far the pieces are. ``start``: a path of this start of the job, ending in its number. Raises Stuck, after
    the ``error.txt`` of the stage that it is at says so; a search has no such file."""
    path = start.with_suffix(".starts.jsonl")
    runs.append_line(path, {"reached": sum(reached(root, piece) for piece in pieces)})
    seen = [said["reached"] for said in lines(path)]
    if idle(seen) < IDLE:
        return
    said = f"requeued {IDLE} times without a new step: a job is too short for it (timeout_min), or is ended too often"
    stages = [root / stage for piece in pieces for stage in piece["stages"]]
    for stage in [stage for stage in stages if not (stage / runs.RESULT).exists()][:1]:
        runs.fail(stage, Failure.here("time_out", said))
    raise Stuck(said)


def reached(root: Path, piece: dict[str, Any]) -> int:
    """A number that grows with each step, each finished stage and each measurement; of a search with each step from which
    one of its workers begins or goes on with a suggestion for the first time."""
    found = _searched(root / piece["search"]) if piece["search"] else 0
    for stage in dict.fromkeys([*piece["stages"], *(stage for stage, _ in piece["evaluations"])]):
        last = runs.last_record(root / stage)
        found += (last.step + 1 if last else 0) + (root / stage / runs.RESULT).exists()
        found += sum(1 for _ in (root / stage / runs.EVALUATIONS).glob("*.json"))
    return found


def _searched(folder: Path) -> int:
    begun = [runs.attempts(trial) for trial in folder.glob("trials/*")]
    return sum(len({str(one["progress"]) for one in each if "begun" in one}) for each in begun)


def idle(seen: Iterable[int]) -> int:
    """How many starts at the end came no further than all before them."""
    best, count = -1, 0
    for one in seen:
        best, count = (one, 0) if one > best else (best, count + 1)
    return count
