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

RECENT = "less than an hour ago, so that Slurm may not know its jobs yet"
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
    return files, list(_kept(root, stored, used, logs))


def _kept(root: Path, stored: list[Path], used: set[str], logs: bool) -> Iterator[str]:
    """What stays, and why."""
    stays = [code for code in used if (root / CODE / code).is_dir()]
    young = [folder for folder in stored if _young(folder)]
    new = {entry.code for folder in young for entry, _ in ledger.newest(folder)} & set(stays)
    if new:
        yield f"{counted(len(new), 'copy', 'copies')} of frozen code, submitted {RECENT}"
    if old := len(stays) - len(new):
        yield f"{counted(old, 'copy', 'copies')} of frozen code, which jobs that have not ended run from"
    if logs and (count := sum(_done(folder) and any(map(Path.is_dir, _places(folder))) for folder in young)):
        yield f"the logs of {counted(count, 'finished sweep')}, submitted {RECENT}"


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
    try:
        active = _young(folder) or any(one.state in ACTIVE for one in queue(folder).values())
    except SpecError:
        active = not _done(folder)
    return {entry.code for entry, _ in newest} if active else set()


def _young(folder: Path) -> bool:
    ledger_of = folder / ledger.LEDGER
    return ledger_of.exists() and time.time() - ledger_of.stat().st_mtime < STALE_S


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
    for path in _places(folder):
        if path.is_dir():
            yield Freed(path, size_of(path), "logs of a finished sweep")


def _places(folder: Path) -> tuple[Path, ...]:
    return folder / LOGS, folder / WORKERS


def _done(folder: Path) -> bool:
    return all(state.status == "done" for state in [*states(folder), *searches(folder)])
