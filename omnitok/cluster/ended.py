"""What the log of a job that ended badly tells of why, where neither its run nor Slurm does."""

import re
from pathlib import Path
from typing import Final

from omnitok.runs import KINDS, Failure

LOGS: Final = "jobs"  # below a sweep's folder
TAIL: Final = 20_000  # bytes of a log's end that are read: a requeued job appends to its log
MEMORY: Final = re.compile(r"exceeded (?:job |step )?memory limit|oom[-_ ]kill|out of memory", re.IGNORECASE)
TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)+([\w.]+)(?:: (.*))?")
CLASSES: Final = {  # the class of an exception, without its modules, where it tells more than that something is wrong
    "ImportError": "import", "ModuleNotFoundError": "import", "MemoryError": "out_of_memory", "OutOfMemoryError": "out_of_memory",
    "DataError": "data", "NonFinite": "nan", "Busy": "killed", "OSError": "disk", "FileNotFoundError": "disk", "PermissionError": "disk",
    "Stuck": "time_out", "Unmet": "node",
    "CalledProcessError": "preempted",  # of submitit, which could not requeue what was told to end
}  # fmt: skip


def told_by_log(folder: Path, job: str) -> Failure | None:
    """Why, by the last lines of all tasks of a job; None where they say nothing of it.

    folder: the sweep's. A kill for memory that Slurm itself does not call so is found by its words, a death before a run
    could write its own file by the last traceback.
    """
    text = "".join(map(_tail, sorted((folder / LOGS).glob(f"{job}_*_log.err"))))
    starved = next((line.strip() for line in text.splitlines() if MEMORY.search(line) and " File " not in line), "")
    if starved:
        return Failure("out_of_memory", starved, "", job)
    found = list(TRACEBACK.finditer(text))
    if not found:
        return None
    name, said = found[-1][1].rpartition(".")[2], found[-1][2] or ""
    own, _, sentence = said.partition(": ")
    if name == "Failed" and own in KINDS:  # a task's own word, where no disk would keep it
        return Failure(own, sentence, found[-1][0] + "\n", job)
    return Failure(CLASSES.get(name, "bug"), f"{name}: {said}".removesuffix(": "), found[-1][0] + "\n", job)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        return file.read().decode(errors="replace") + "\n"
