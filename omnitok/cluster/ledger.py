"""``jobs.jsonl``: what was submitted of a sweep. Only ever appended to.

A submission is two lines: before it, what is about to be submitted, under a token that its jobs carry in their comment;
after it, their ids, or that Slurm refused. Where the second is missing a kill or a silent controller came between, and
the jobs, if there are any, are found by the token.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs

LEDGER: Final = "jobs.jsonl"
LAUNCHING: Final = "launching"  # the folder whose lease a launcher holds
PATIENCE_S = 90.0  # how long another launcher may be at it; one that died elsewhere is known to be dead by then


class Entry(NamedTuple):
    """A submission of a piece: when, the stages it works on, its job ("12_3" of an array; "": not known yet), the how-manieth
    it is, the frozen code, what it was given; the token of its submission, the how-manieth job of that it is, and of how
    many."""

    at: str
    piece: str
    stages: list[str]
    job: str
    attempt: int
    code: str
    resources: dict[str, Any]
    token: str = ""
    task: int = 0
    size: int = 1

    @property
    def age_s(self) -> float:
        """Seconds since."""
        return time.time() - datetime.fromisoformat(self.at).timestamp()


def intend(folder: Path, entries: Sequence[Entry]) -> None:
    """Write down one submission before it is made: entries of one token and of no job yet."""
    first = entries[0]
    each = [[entry.task, entry.piece, entry.attempt, entry.stages] for entry in entries]
    shared = {"at": first.at, "code": first.code, "resources": first.resources, "size": first.size}
    runs.append_line(folder / LEDGER, {"intent": first.token, **shared, "pieces": each})


def settle(folder: Path, token: str, jobs: Sequence[str]) -> None:
    """Write down how that ended: the ids of its jobs, in their order; none where Slurm refused."""
    runs.append_line(folder / LEDGER, {"token": token, "jobs": list(jobs)})


def add(folder: Path, entry: Entry) -> None:
    """Write down what was just submitted, in one line."""
    runs.append_line(folder / LEDGER, entry._asdict())


def attempts(folder: Path) -> Counter[str]:
    """How often each piece was submitted."""
    return Counter(entry.piece for entry in read(folder))


def read(folder: Path) -> list[Entry]:
    """Every submission, oldest first, but those that Slurm refused. A line that a kill has torn is not one; what another
    version of this package wrote is read as far as it is known here."""
    path = folder / LEDGER
    found: dict[str, list[Entry]] = {}  # token -> its entries; a line of its own has its number
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else []):
        with suppress(ValueError, TypeError, LookupError, AttributeError):
            said = json.loads(line)
            if "intent" in said:
                found[said["intent"]] = _intended(said)
            elif "piece" in said:
                found[f"line {number}"] = [_entry(said)]
            elif "jobs" in said:
                found[said["token"]] = _settled(found[said["token"]], said["jobs"])
    return [entry for entries in found.values() for entry in entries]


def _entry(said: Mapping[str, Any]) -> Entry:
    empty: dict[str, Any] = {"job": "", "attempt": 1, "code": "", "resources": {}, "stages": []}
    return Entry(**{name: value for name, value in (empty | dict(said)).items() if name in Entry._fields})


def _intended(said: Mapping[str, Any]) -> list[Entry]:
    shared = {"token": said["intent"], **{name: said[name] for name in ("at", "code", "resources", "size")}}
    names = ("task", "piece", "attempt", "stages")
    return [_entry({**shared, **dict(zip(names, each[:4], strict=True))}) for each in said["pieces"]]


def _settled(entries: Sequence[Entry], jobs: Sequence[str]) -> list[Entry]:
    return [entry._replace(job=jobs[entry.task]) for entry in entries] if jobs else []


def newest(folder: Path) -> list[tuple[Entry, bool]]:
    """The last submission of each piece, and whether its job's id is still its own: a controller that was killed forgets
    its youngest jobs, and gives their numbers out again. Pieces that were submitted as one job share it."""
    entries = read(folder)
    owners = {_number(entry): _submission(entry) for entry in entries if entry.job}
    last = {entry.piece: entry for entry in entries}
    return [(entry, owners.get(_number(entry)) == _submission(entry)) for entry in last.values()]


def _number(entry: Entry) -> str:
    """What Slurm gives out: a whole array has one."""
    return entry.job.partition("_")[0] if entry.token else entry.job


def _submission(entry: Entry) -> tuple[str, ...]:
    return (entry.token,) if entry.token else (entry.at, entry.piece, str(entry.attempt))


@contextmanager
def alone(folder: Path) -> Iterator[runs.Held]:
    """Keep other launchers out that would submit from this folder, on whatever machine. Raises Busy where one is at it for
    long, and Fenced at the end where another took over, as this one was stopped for ``runs.STALE_S``."""
    place = folder / LAUNCHING
    place.mkdir(exist_ok=True)
    until = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(runs.lease(place))
                break
            except runs.Busy:
                if time.monotonic() > until:
                    raise runs.Busy(f"{folder.name}: another launcher submits from here") from None
            time.sleep(0.1)
        yield held
