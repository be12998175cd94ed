"""``jobs.jsonl``: what was submitted of a sweep, a line a piece and submission. Only ever appended to."""

import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs

LEDGER: Final = "jobs.jsonl"
PATIENCE_S = 60.0  # how long another launcher of this sweep may be at it


class Entry(NamedTuple):
    """A submission of a piece: when, the stages it works on, its job ("12_3" of an array), the how-manieth it is, the
    frozen code, what it was given."""

    at: str
    piece: str
    stages: list[str]
    job: str
    attempt: int
    code: str
    resources: dict[str, Any]

    @property
    def age_s(self) -> float:
        """Seconds since."""
        return time.time() - datetime.fromisoformat(self.at).timestamp()


def add(folder: Path, entry: Entry) -> None:
    """Write down what was just submitted."""
    runs.append_line(folder / LEDGER, entry._asdict())


def attempts(folder: Path) -> Counter[str]:
    """How often each piece was submitted."""
    return Counter(entry.piece for entry in read(folder))


def read(folder: Path) -> list[Entry]:
    """Every submission, oldest first; a line that a kill has torn is not one."""
    path = folder / LEDGER
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError, TypeError):
            found.append(Entry(**json.loads(line)))
    return found


def newest(folder: Path) -> list[tuple[Entry, bool]]:
    """The last submission of each piece, and whether its job's id is still its own: a controller that was killed forgets
    its youngest jobs, and gives their numbers out again."""
    entries = read(folder)
    owners = {entry.job: entry for entry in entries}
    return [(entry, owners[entry.job] is entry) for entry in {entry.piece: entry for entry in entries}.values()]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other launchers out that would submit from this folder. Raises Busy where one is at it for over a minute."""
    with (folder / "submitting").open("ab") as file:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise runs.Busy(f"{folder.name}: another launcher submits from here") from None
                time.sleep(0.1)
        yield
