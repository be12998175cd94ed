"""What sweeps leave beside their runs: frozen code, logs of jobs, what a search stopped early."""

import time
from collections.abc import Iterator
from pathlib import Path

from omnitok import runs, search
from omnitok.cluster import ledger, queue
from omnitok.cluster.freeze import CODE
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.sbatch import LOGS
from omnitok.inspection.freed import STALE_S, Freed, delete, size_of
from omnitok.spec import SpecError, counted
from omnitok.sweep.stored import PLAN, searches, states

WORKERS = "logs"  # below a sweep's folder: what the processes of a pool said


def of_sweeps(root: Path, logs: bool, free: bool) -> tuple[list[Freed], list[str]]:
    """What may go of frozen code, and with ``logs`` of the logs of finished sweeps; and what has to stay, in sentences.

    No launcher can submit meanwhile, as it may be about to use a copy of the code that nobody uses yet."""
    place = root / "sweeps"
    if not place.is_dir():
        return [], []
    try:
        with ledger.alone(place):
            stored = sorted(path.parent for path in place.glob(f"*/{PLAN}"))
            used = {code for folder in stored for code in _codes(folder)}
            files = [*_frozen(root / CODE, used), *(one for folder in stored if logs for one in _logs(folder))]
            if free:
                delete(files)
    except runs.Busy as busy:
        return [], [f"frozen code and logs stay: {busy}"]
    stays = sum((root / CODE / code).is_dir() for code in used)
    said = f"{counted(stays, 'copy', 'copies')} of frozen code, which jobs that have not ended run from"
    return files, [said] if stays else []


def pruned(root: Path) -> set[str]:
    """The runs of suggestions that a search stopped early, unless a sweep has them in its plan."""
    planned = {stage for path in root.glob(f"sweeps/*/{PLAN}") for stage in runs.read_json(path)["stages"]}
    told = [one for folder in root.glob("sweeps/*/search/*") if folder.is_dir() for one in search.trials(folder)]
    went_on = {run for one in told if one["state"] != "pruned" for run in one["runs"]}
    return {run for one in told if one["state"] == "pruned" for run in one["runs"]} - planned - went_on


def _codes(folder: Path) -> set[str]:
    """The frozen code of a sweep's jobs, unless all of them have ended. A submission of the last hour counts as one that
    has not, and so does one of an unfinished sweep where Slurm does not answer."""
    newest = ledger.newest(folder)
    if not newest:
        return set()
    young = time.time() - (folder / ledger.LEDGER).stat().st_mtime < STALE_S
    try:
        active = young or any(one.state in ACTIVE for one in queue(folder).values())
    except SpecError:
        active = not _done(folder)
    return {entry.code for entry, _ in newest} if active else set()


def _frozen(code: Path, used: set[str]) -> Iterator[Freed]:
    for path in sorted(code.glob("*")):
        if path.name.startswith("."):
            if time.time() - path.stat().st_mtime > STALE_S:
                yield Freed(path, size_of(path), "half a copy of the code, left by a kill")
        elif path.name not in used:
            yield Freed(path, size_of(path), "frozen code that no job runs from any more")


def _logs(folder: Path) -> Iterator[Freed]:
    if not _done(folder) or _codes(folder):
        return
    for path in (folder / LOGS, folder / WORKERS):
        if path.is_dir():
            yield Freed(path, size_of(path), "logs of a finished sweep")


def _done(folder: Path) -> bool:
    return all(state.status == "done" for state in [*states(folder), *searches(folder)])
