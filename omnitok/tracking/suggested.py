"""Which stage runs a sweep's searches suggested, read off their files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.runs.writing import lines

TRIALS: Final = "trials.jsonl"  # in the folder of an arm's search: a line a suggestion
STOPPED: Final = "stopped.json"  # in a run's folder: why it is not done, and will not be


class Suggestion(NamedTuple):
    """One suggestion of an arm's search, and what became of it."""

    arm: str
    number: int
    state: str


def suggestions(folder: Path, plan: Mapping[str, Any]) -> dict[str, list[Suggestion]]:
    """{digest of a stage run: the suggestions that it is a stage of}. ``folder``: of a stored sweep."""
    found: dict[str, list[Suggestion]] = {}
    for one in plan.get("searches", ()):
        for trial in lines(folder / one["folder"] / TRIALS):
            for digest in trial.get("runs") or ():
                suggestion = Suggestion(one["arm"], trial["number"], trial["state"])
                found.setdefault(digest, []).append(suggestion)
    return found


def stopped(folder: Path) -> dict[str, str]:
    """Why a run is not done and will not be, as tags; nothing where it may go on."""
    if not (folder / STOPPED).exists() or (folder / runs.RESULT).exists():
        return {}
    return {"stopped": str(runs.read_json(folder / STOPPED)["sentence"])}
