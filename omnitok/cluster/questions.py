"""Questions to Slurm: one call for all jobs, each with a deadline, and an answer for what nobody knows."""

import os
import pwd
import re
import shutil
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Final, NamedTuple

from omnitok.cluster.asking import Unanswered, ask, missing, refuse
from omnitok.cluster.ledger import LEDGER, Entry, newest
from omnitok.cluster.piece import Queued, State
from omnitok.cluster.tokens import found_again, job_name
from omnitok.spec import SpecError

UNKNOWN_S: Final = 120.0  # how long after its submission a job that nobody knows may still turn up; then it is lost
WAITS = ("PENDING", "REQUEUE", "SPECIAL_EXIT", "RESV_DEL_HOLD")
RUNS = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING")
ENDED_BY_OTHERS = ("CANCELLED", "DEADLINE", "REVOKED")  # "CANCELLED by 0"
KINDS: Final = {  # how a state of Slurm's begins, and what it tells of a job that ended badly
    "OUT_OF_ME": "out_of_memory", "TIMEOUT": "time_out", "PREEMPTED": "preempted", "NODE_FAIL": "node", "BOOT_FAIL": "node",
    "FAILED": "killed", **dict.fromkeys(ENDED_BY_OTHERS, "cancelled"),
}  # fmt: skip
HELD: Final = "launch failed requeued held"  # by Slurm itself, on a node where nothing starts; nobody releases it
ORPHANED: Final = "DependencyNeverSatisfied"  # about to be removed by Slurm
NO_LIMIT = 10**9


class Limits(NamedTuple):
    """``array``: tasks of one array. ``submitted``: jobs of this user, waiting and running; arrays count by their tasks."""

    array: int
    submitted: int


class Told(NamedTuple):
    """What Slurm says of a job: its state and name, a reason, and its nodes: node[1-2]."""

    state: str
    name: str
    reason: str
    nodes: str = ""


def queue(folder: Path) -> dict[str, Queued]:
    """How the newest job of each piece of a sweep stands; empty where nothing was submitted. Raises SpecError where
    neither the queue nor the accounting answers."""
    entries = _named(folder)
    stand = _stand([(folder, entry, own) for entry, own in entries])
    return {entry.piece: queued for (entry, _), queued in zip(entries, stand, strict=True)}


def elsewhere(folder: Path, folders: Set[str]) -> dict[str, set[str]]:
    """In which of these folders other sweeps' jobs work or will, and which jobs. Raises SpecError like ``queue``."""
    others = [path.parent for path in sorted(folder.parent.glob(f"*/{LEDGER}")) if path.parent != folder]
    entries = [(other, entry, own) for other in others for entry, own in _named(other)]
    entries = [each for each in entries if not folders.isdisjoint(each[1].stages)]
    found: dict[str, set[str]] = {}
    for (_, entry, _), queued in zip(entries, _stand(entries), strict=True):
        for one in folders & set(entry.stages) if queued.state in ("pending", "running") else ():
            found.setdefault(one, set()).add(entry.job)
    return found


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
            raise missing(command)
    try:
        said = dict(re.findall(r"^(\w+) *= *(.*?)\s*$", ask("scontrol", "show", "config"), re.MULTILINE))
    except Unanswered as error:
        refuse(error)
    numbers = {name: int(text) for name, text in said.items() if text.isdecimal()}
    array = max(1, numbers.get("MaxArraySize", 1))
    return Limits(array, min(numbers.get("MaxJobCount", NO_LIMIT), _of_accounts()))


def _of_accounts() -> int:
    """The most jobs that this user's accounts let one have, and the quality of service that their jobs get by default."""
    shown, own = ("--noheader", "--parsable2"), f"user={_user()}"
    try:
        accounts = ask("sacctmgr", "show", "associations", *shown, "format=DefaultQOS,MaxSubmitJobs", own)
        services = ask("sacctmgr", "show", "qos", *shown, "format=Name,MaxSubmitJobsPerUser")
    except (Unanswered, SpecError):  # without accounting nobody has such a limit
        return NO_LIMIT
    mine = [line.partition("|") for line in accounts.splitlines()]
    usual = {service or "normal" for service, _, _ in mine} or {"normal"}  # what Slurm gives where nothing is said
    every = [*mine, *(one for one in (line.partition("|") for line in services.splitlines()) if one[0] in usual)]
    return min((int(most) for _, _, most in every if most.isdecimal()), default=NO_LIMIT)


def submitted() -> int:
    """How many jobs of this user wait or run. Raises SpecError where the controller does not answer."""
    try:
        return len(ask("squeue", "--noheader", "--array", "--format=%i", f"--user={_user()}").split())
    except Unanswered as error:
        refuse(error)


def _named(folder: Path) -> list[tuple[Entry, bool]]:
    """The last submission of each piece, whether its id is its own, and its id also where only Slurm knows it."""
    entries = newest(folder)
    if all(entry.job for entry, _ in entries):
        return entries
    try:
        found = found_again(folder, [entry for entry, _ in entries])
    except Unanswered as error:
        refuse(error)
    return [(entry, own or not before.job) for entry, (before, own) in zip(found, entries, strict=True)]


def _stand(entries: Sequence[tuple[Path, Entry, bool]]) -> list[Queued]:
    """How jobs stand, each of a sweep's folder, and whether its id is still its own."""
    jobs = {entry.job for _, entry, _ in entries if entry.job}
    told = _told(jobs) if jobs else {}
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
        words = ("--noheader", "--array", "--states=all", "--format=%i|%T|%j|%r|%N", f"--jobs={every}")
        told = _read(ask("squeue", *words))
    except Unanswered as error:
        if "Invalid job id" not in str(error):  # the only job of the question is forgotten: an answer
            silent = error
    if jobs <= told.keys():
        return told
    try:
        what = "--format=JobID,State,JobName,Reason,NodeList"
        past = _read(ask("sacct", "--noheader", "--allocations", "--parsable2", what, f"--jobs={every}"))
    except Unanswered as error:
        if silent:
            refuse(silent, error)
        past = {}
    ended = {job: said for job, said in past.items() if silent or state_of(said.state) not in ("pending", "running")}
    # an array that was cancelled as a whole, while it waited, is one line: "12"
    tasks = {job: told[whole] for job in jobs if (whole := job.partition("_")[0]) in told}
    return tasks | ended | told


def _read(text: str) -> dict[str, Told]:
    """{a job's id: what is said of it} from lines id|state|name|reason|nodes, of which an id may be a range:
    12_[3-5,7%2]."""
    found = {}
    for line in text.splitlines():
        job, state, name, reason, nodes = (line.split("|", 4) + ["", "", "", ""])[:5]
        for one in _ids(job):
            found[one] = Told(
                state, name, "" if reason == "None" else reason, nodes if nodes != "None assigned" else ""
            )
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
        return _known(job, said)
    if age_s < UNKNOWN_S:
        return Queued(job, "unknown", "Slurm does not know it yet")
    return Queued(job, "lost", "Slurm does not know it", "lost")


def _known(job: str, said: Told) -> Queued:
    """What is not going to run counts as ended: Slurm holds it for good, or is about to remove it."""
    state = state_of(said.state)
    if state == "pending" and said.reason == HELD:
        return Queued(job, "failed", HELD, "node", said.nodes)
    # a person's scancel says by whom
    orphaned = state == "cancelled" and said.reason.startswith("Dependency") and " by " not in said.state
    if orphaned or (state == "pending" and said.reason == ORPHANED):
        return Queued(job, "cancelled", ORPHANED, "cancelled")
    kind = next((kind for begin, kind in KINDS.items() if said.state.startswith(begin)), "")
    return Queued(job, state, said.reason if state == "pending" else said.state, kind, said.nodes)


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
