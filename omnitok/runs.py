"""What a run leaves: one folder named by its digest, whose files are the whole state. Knows no tensors and no trackers.

``runs/<digest>/`` holds ``experiment.json`` (every choice), ``provenance.json``, ``records.jsonl`` (a line a step),
``attempts.jsonl`` (a line a start), ``checkpoint.pt``, ``weights.safetensors`` (and ``weights.ema.safetensors``,
``adversary.safetensors`` where there are such), ``evaluations/``, ``samples/``,
``result.json`` (written last: its existence is "done") and ``error.txt`` (class and traceback, if it died).
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

EXPERIMENT: Final = "experiment.json"
PROVENANCE: Final = "provenance.json"
RECORDS: Final = "records.jsonl"
ATTEMPTS: Final = "attempts.jsonl"
CHECKPOINT: Final = "checkpoint.pt"
WEIGHTS: Final = "weights.safetensors"
AVERAGED: Final = "weights.ema.safetensors"
ADVERSARY: Final = "adversary.safetensors"
RESULT: Final = "result.json"
ERROR: Final = "error.txt"
EVALUATIONS: Final = "evaluations"
SAMPLES: Final = "samples"

Status = Literal["planned", "running", "interrupted", "failed", "done"]


GLANCES: Final = 5  # how often a lease is tried before its folder is called busy


KINDS: Final = (
    "out_of_memory", "nan", "time_out", "preempted", "node", "import", "data", "disk", "killed", "lost", "cancelled", "bug",
)  # fmt: skip


class Busy(Exception):
    """Somebody else holds the lease of this folder."""


class Record(NamedTuple):
    """What one step measured: "train/loss", "val/psnr": room / quantity."""

    step: int
    values: dict[str, float]


class Failure(NamedTuple):
    """Why a run died: a class that a policy can act on, one sentence, and the traceback."""

    kind: str  # one of KINDS
    sentence: str
    traceback: str


def root() -> Path:
    """Where runs live: OMNITOK_RUNS, or ``runs`` in the working folder."""
    return Path(os.environ.get("OMNITOK_RUNS") or "runs")


def write(path: Path, content: bytes) -> None:
    """A whole file or none at all, on disk before it is seen: a job may be killed at any line."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    write(path, (json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def encode(record: Record) -> bytes:
    return (json.dumps({"step": record.step, **record.values}) + "\n").encode()


def records(folder: Path, start: int = 0) -> Iterator[Record]:
    """The records from byte-complete line ``start`` on; a line that a kill has torn is not one."""
    path = folder / RECORDS
    if not path.exists():
        return
    with path.open("rb") as file:
        for i, line in enumerate(file):
            if i >= start and (record := decode(line)):
                yield record


def decode(line: bytes) -> Record | None:
    """One line of ``records.jsonl``; None where a kill or a full disk has torn it."""
    if not line.endswith(b"\n"):
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return Record(int(values.pop("step")), values)


def last_record(folder: Path) -> Record | None:
    """The newest whole record, read from the end of the file."""
    try:
        with (folder / RECORDS).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return None
    return next((record for line in reversed(lines[:-1]) if (record := decode(line + b"\n"))), None)


def forget(folder: Path, step: int) -> None:
    """Drop what was measured from ``step`` on: it is about to be measured again."""
    if (folder / RECORDS).exists():
        kept = b"".join(encode(record) for record in records(folder) if record.step < step)
        write(folder / RECORDS, kept)


def append_line(path: Path, data: Any) -> None:
    """A line of its own, also after one that a full disk has torn."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = size and file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + (json.dumps(data, sort_keys=True) + "\n").encode())


def fail(folder: Path, failure: Failure, name: str = ERROR) -> None:
    write(folder / name, f"{failure.kind}: {failure.sentence}\n\n{failure.traceback}".encode())


def evaluation_error(key: str) -> str:
    """Where the death of an evaluation is written: beside its results, one file an evaluation."""
    return f"{EVALUATIONS}/{key}.error.txt"


def failure(folder: Path, name: str = ERROR) -> Failure | None:
    """What ``error.txt`` says, if the last attempt died."""
    path = folder / name
    if not path.exists():
        return None
    first, _, rest = path.read_text(errors="replace").partition("\n")
    kind, _, sentence = first.partition(": ")
    return Failure(kind, sentence, rest.lstrip("\n"))


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the folder for one attempt. Raises Busy at once if another process does.

    The kernel gives the lease back when its holder dies, however it dies.
    """
    with (folder / "lease").open("ab") as file:
        for tries in range(GLANCES, -1, -1):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # perhaps somebody only looks, which takes a moment
                if not tries:
                    raise Busy(f"{folder.name}: another process works in this folder") from None
                time.sleep(0.01)
        yield


def leased(folder: Path) -> bool:
    """Whether somebody holds the folder now."""
    try:
        with (folder / "lease").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def status(folder: Path) -> Status:
    """Read off the files, so it cannot disagree with them."""
    if (folder / RESULT).exists():
        return "done"
    if leased(folder):
        return "running"
    if (folder / ERROR).exists():
        return "failed"
    return "interrupted" if (folder / RECORDS).exists() else "planned"


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Every start that came to an end it could write down."""
    path = folder / ATTEMPTS
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError):  # torn
            found.append(json.loads(line))
    return found


def last_attempt(folder: Path) -> dict[str, Any]:
    """The newest of them, empty where there is none."""
    return (attempts(folder) or [{}])[-1]


def seconds(folder: Path) -> float:
    """How long all attempts took together."""
    return float(sum(attempt.get("seconds", 0.0) for attempt in attempts(folder)))
