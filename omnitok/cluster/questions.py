"""Questions to Slurm: one call for all jobs, each with a deadline, and an answer for what nobody knows."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from omnitok.cluster.ledger import LEDGER, Entry, newest
from omnitok.cluster.piece import Queued, State
from omnitok.spec import Fault, Mark, SpecError

DEADLINE_S: Final = 30.0  # for one command
UNKNOWN_S: Final = 120.0  # how long after its submission a job that nobody knows may still turn up; then it is lost
WAITS = ("PENDING", "REQUEUE", "SPECIAL_EXIT", "RESV_DEL_HOLD")
RUNS = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING")
ENDED_BY_OTHERS = ("CANCELLED", "DEADLINE", "REVOKED")  # "CANCELLED by 0"
NO_LIMIT = 10**9


class Unanswered(Exception):
    """A command of Slurm failed, or said nothing in time."""


class Limits(NamedTuple):
    """``array``: tasks of one array. ``submitted``: jobs of this user, waiting and running; arrays count by their tasks."""

    array: int
    submitted: int


class Told(NamedTuple):
    """What Slurm says of a job: its state and name, and a reason."""

    state: str
    name: str
    reason: str


def queue(folder: Path) -> dict[str, Queued]:
    """How the newest job of each piece of a sweep stands; empty where nothing was submitted. Raises SpecError where
    neither the queue nor the accounting answers."""
    entries = newest(folder)
    stand = _stand([(folder, entry, own) for entry, own in entries])
    return {entry.piece: queued for (entry, _), queued in zip(entries, stand, strict=True)}


def elsewhere(folder: Path, folders: Set[str]) -> dict[str, set[str]]:
    """In which of these folders other sweeps' jobs work or will, and which jobs. Raises SpecError like ``queue``."""
    others = [path.parent for path in sorted(folder.parent.glob(f"*/{LEDGER}")) if path.parent != folder]
    entries = [(other, entry, own) for other in others for entry, own in newest(other)]
    entries = [each for each in entries if not folders.isdisjoint(each[1].stages)]
    found: dict[str, set[str]] = {}
    for (_, entry, _), queued in zip(entries, _stand(entries), strict=True):
        for one in folders & set(entry.stages) if queued.state in ("pending", "running") else ():
            found.setdefault(one, set()).add(entry.job)
    return found


def job_name(folder: Path) -> str:
    """What all jobs of a sweep are called: its digest is in it."""
    return f"omnitok-{folder.name}"


def state_of(said: str) -> State:
    """One of few words for a state of Slurm's."""
    if said.startswith(WAITS):
        return "pending"
    if said.startswith(RUNS):
        return "running"
    if said.startswith(ENDED_BY_OTHERS):
        return "cancelled"
    return "done" if said.startswith("COMPLETED") else "failed"


def limits() -> Limits:
    """What one user may submit at once. Raises SpecError where a command is missing or the controller does not answer."""
    for command in ("sbatch", "srun"):
        if shutil.which(command) is None:
            raise _missing(command)
    try:
        said = dict(re.findall(r"^(\w+) *= *(.*?)\s*$", ask("scontrol", "show", "config"), re.MULTILINE))
    except Unanswered as error:
        _refuse(error)
    words = ("--noheader", "--parsable2", "format=MaxSubmitJobs", f"user={_user()}")
    with contextlib.suppress(Unanswered, SpecError):  # without accounting nobody has such a limit
        said["MaxSubmitJobs"] = min(ask("sacctmgr", "show", "associations", *words).split(), key=int, default="")
    numbers = {name: int(text) for name, text in said.items() if text.isdecimal()}
    array = max(1, numbers.get("MaxArraySize", 1))
    return Limits(array, min(numbers.get("MaxJobCount", NO_LIMIT), numbers.get("MaxSubmitJobs", NO_LIMIT)))


def submitted() -> int:
    """How many jobs of this user wait or run. Raises SpecError where the controller does not answer."""
    try:
        return len(ask("squeue", "--noheader", "--array", "--format=%i", f"--user={_user()}").split())
    except Unanswered as error:
        _refuse(error)


def ask(*words: str, seconds: float = DEADLINE_S) -> str:
    """What a command prints. Raises SpecError where there is no such command, Unanswered where it fails or hangs."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError:
        raise _missing(words[0]) from None
    with process:
        try:
            out, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it started, which holds the pipes
            raise Unanswered(f"{words[0]} said nothing in {seconds:g} seconds") from None
    if process.returncode:
        why = (error.strip().splitlines() or [f"exit code {process.returncode}"])[0]
        raise Unanswered(f"{words[0]}: {why}")
    return out


def _stand(entries: Sequence[tuple[Path, Entry, bool]]) -> list[Queued]:
    """How jobs stand, each of a sweep's folder, and whether its id is still its own."""
    told = _told({entry.job for _, entry, _ in entries}) if entries else {}
    found = []
    for folder, entry, own in entries:
        said = told.get(entry.job) if own else None
        known = said if said is not None and said.name == job_name(folder) else None  # else the number is another's now
        found.append(_queued(entry.job, known, entry.age_s))
    return found


def _told(jobs: set[str]) -> dict[str, Told]:
    """What is known of these jobs. The queue is asked first and wins: what it does not have does not wait or run,
    whatever the accounting still believes."""
    every = ",".join(sorted({job.partition("_")[0] for job in jobs}))
    told: dict[str, Told] = {}
    silent: Unanswered | None = None
    try:
        words = ("--noheader", "--array", "--states=all", "--format=%i|%T|%j|%r", f"--jobs={every}")
        told = _read(ask("squeue", *words))
    except Unanswered as error:
        if "Invalid job id" not in str(error):  # the only job of the question is forgotten: an answer
            silent = error
    if jobs <= told.keys():
        return told
    try:
        words = ("--noheader", "--allocations", "--parsable2", "--format=JobID,State,JobName,Reason", f"--jobs={every}")
        past = _read(ask("sacct", *words))
    except Unanswered as error:
        if silent:
            _refuse(silent, error)
        past = {}
    ended = {job: said for job, said in past.items() if silent or state_of(said.state) not in ("pending", "running")}
    # an array that was cancelled as a whole, while it waited, is one line: "12"
    tasks = {job: told[whole] for job in jobs if (whole := job.partition("_")[0]) in told}
    return tasks | ended | told


def _read(text: str) -> dict[str, Told]:
    """{a job's id: what is said of it} from lines id|state|name|reason, of which an id may be a range: 12_[3-5,7%2]."""
    found = {}
    for line in text.splitlines():
        job, state, name, reason = (line.split("|", 3) + ["", "", ""])[:4]
        for one in _ids(job):
            found[one] = Told(state, name, "" if reason == "None" else reason)
    return found


def _ids(job: str) -> Iterator[str]:
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(%\d+)?\]", job)
    if match is None:
        yield job
        return
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        yield from (f"{match[1]}_{index}" for index in range(int(first), int(last or first) + 1))


def _queued(job: str, said: Told | None, age_s: float) -> Queued:
    if said is not None:
        state = state_of(said.state)
        words = said.reason if state == "pending" else said.state
        return Queued(job, state, words)
    if age_s < UNKNOWN_S:
        return Queued(job, "unknown", "Slurm does not know it yet")
    return Queued(job, "lost", "Slurm does not know it")


def _refuse(*errors: Unanswered) -> NoReturn:
    said = f"Slurm does not answer ({'; '.join(map(str, errors))})"
    raise SpecError([Fault(Mark("--cluster slurm"), "", said)]) from None


def _missing(command: str) -> SpecError:
    said = f"there is no {command} on this machine; launch where Slurm's commands are, or with --cluster local"
    return SpecError([Fault(Mark("--cluster slurm"), "", said)])


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
