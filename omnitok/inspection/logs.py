"""What the stages of one run wrote while they ran."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.cluster import ledger
from omnitok.cluster.sbatch import LOGS
from omnitok.runs import Failure, Record
from omnitok.sweep.stored import find_run

LAST = 40  # lines of a job's log that are shown


class Log(NamedTuple):
    """One stage: how it stands, its last records, every attempt, why it or its evaluations died."""

    folder: Path
    stage: str
    status: str
    records: tuple[Record, ...]
    attempts: tuple[dict[str, Any], ...]
    failures: tuple[Failure, ...]


class Logs(NamedTuple):
    """The stages of a run, first to last, and the end of every log of a job or worker that had to do with it."""

    stages: tuple[Log, ...]
    jobs: dict[Path, str]


def read_logs(root: Path, reference: str, lines: int = 10) -> Logs:
    """Of a run by its digest or SWEEP/ARM/SEED, with those that it stands on. Raises SpecError where there is none."""
    chain = list(lineage(find_run(root, reference)))
    return Logs(tuple(_log(folder, lines) for folder in chain), _jobs(root, {folder.name for folder in chain}))


def lineage(folder: Path) -> Iterator[Path]:
    """The folders of the stages that a run stands on, first to last, itself included."""
    said = runs.read_json(folder / runs.EXPERIMENT)
    for parent in said["parents"].values():
        if (folder.parent / parent / runs.EXPERIMENT).exists():
            yield from lineage(folder.parent / parent)
    yield folder.resolve()


def _log(folder: Path, lines: int) -> Log:
    deaths = [runs.failure(folder), *(runs.failure(folder, f"{runs.EVALUATIONS}/{path.name}")
                                     for path in sorted((folder / runs.EVALUATIONS).glob("*.error.txt")))]  # fmt: skip
    return Log(
        folder,
        runs.read_json(folder / runs.EXPERIMENT)["stage"],
        runs.status(folder),
        tuple(deque(runs.records(folder), maxlen=lines)),
        tuple(runs.attempts(folder)),
        tuple(one for one in deaths if one is not None),
    )


def _jobs(root: Path, stages: set[str]) -> dict[Path, str]:
    """The ends of the logs of Slurm's jobs that were to train one of the stages, the newest job last; and of processes
    of a pool that died with one, which share their logs."""
    found: dict[Path, str] = {}
    for sweep in sorted(path.parent for path in root.glob(f"sweeps/*/{ledger.LEDGER}")):
        for entry in ledger.read(sweep):
            if stages & set(entry.stages):
                found |= {path: _end(path) for path in sorted((sweep / LOGS).glob(f"{entry.job}_*log.*"))}
    for stage in stages:
        died = runs.failure(root / stage)
        if died and died.kind in {"killed", "out_of_memory"}:
            named = [path for path in root.glob("sweeps/*/logs/worker-*.log") if str(path.parent) in died.traceback]
            found |= {path: _end(path) for path in sorted(named)}
    return {path: text for path, text in found.items() if text}


def _end(path: Path) -> str:
    with path.open(errors="replace") as file:
        return "".join(deque(file, maxlen=LAST)).rstrip()
