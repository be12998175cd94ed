"""``records.jsonl``: what each step measured, a line a step."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from omnitok.runs.names import RECORDS


class Record(NamedTuple):
    """What one step measured: "train/loss", "val/psnr": room / quantity."""

    step: int
    values: dict[str, float]


def encode(record: Record) -> bytes:
    return (json.dumps({"step": record.step, **record.values}) + "\n").encode()


def decode(line: bytes) -> Record | None:
    """One line of ``records.jsonl``; None where a kill or a full disk has torn it."""
    if not line.endswith(b"\n"):
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return Record(int(values.pop("step")), values)


def records(folder: Path, start: int = 0) -> Iterator[Record]:
    """The records from byte-complete line ``start`` on; a line that a kill has torn is not one."""
    path = folder / RECORDS
    if not path.exists():
        return
    with path.open("rb") as file:
        for i, line in enumerate(file):
            if i >= start and (record := decode(line)):
                yield record


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


def before(folder: Path, step: int) -> bytes:
    """The lines of the steps before ``step``: the others are about to be measured again."""
    return b"".join(encode(record) for record in records(folder) if record.step < step)
