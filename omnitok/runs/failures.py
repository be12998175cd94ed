"""``error.txt``: why a run, or one of its evaluations, died."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from omnitok.runs.holding import Busy, Held
from omnitok.runs.leases import lease
from omnitok.runs.names import ERROR, EVALUATIONS

KINDS: Final = (
    "out_of_memory", "nan", "time_out", "preempted", "node", "import", "data", "disk", "killed", "lost", "cancelled", "bug",
)  # fmt: skip


class Failure(NamedTuple):
    """Why a run died: a class that a policy can act on, one sentence, the traceback, and, on a cluster, the job and the
    node that it died in."""

    kind: str  # one of KINDS
    sentence: str
    traceback: str
    job: str = ""  # "12", or "12_3" of an array
    node: str = ""

    @classmethod
    def here(cls, kind: str, sentence: str, traceback: str = "") -> "Failure":
        """One in this process, with its job and node where it is of a cluster's."""
        said = os.environ.get
        job, task = said("SLURM_ARRAY_JOB_ID") or said("SLURM_JOB_ID", ""), said("SLURM_ARRAY_TASK_ID")
        node = said("SLURMD_NODENAME", "") if job else ""
        return cls(kind, sentence, traceback, f"{job}_{task}" if task else job, node)


def fail(folder: Path, failure: Failure, name: str = ERROR) -> None:
    """Write down why the last attempt died, for who holds the folder no longer. Where another attempt is at it that is
    of no interest any more."""
    with suppress(Busy), lease(folder) as held:
        fail_held(held, failure, name)


def fail_held(held: Held, failure: Failure, name: str = ERROR) -> None:
    """Write down why this attempt dies. Raises Fenced."""
    where = f"in job {failure.job} on {failure.node}\n" if failure.job else ""
    said = f"{failure.kind}: {failure.sentence}\n{where}\n{failure.traceback}"
    held.write(held.folder / name, said.encode())


def evaluation_error(key: str) -> str:
    """Where the death of an evaluation is written: beside its results, one file an evaluation."""
    return f"{EVALUATIONS}/{key}.error.txt"


def failure(folder: Path, name: str = ERROR) -> Failure | None:
    """What ``error.txt`` says, if the last attempt died."""
    path = folder / name
    if not path.exists():
        return None
    head, _, rest = path.read_text(errors="replace").partition("\n\n")
    first, _, where = head.partition("\n")
    kind, _, sentence = first.partition(": ")
    job, _, node = where.removeprefix("in job ").partition(" on ")
    return Failure(kind, sentence, rest.lstrip("\n"), job, node)
