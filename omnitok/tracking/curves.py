"""Which lines of records.jsonl are not in MLflow yet, and whether those that are still say the same."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from omnitok import runs


class Cursor(NamedTuple):
    """How much of records.jsonl MLflow holds. It is kept as a tag of the run itself, so it cannot disagree with it."""

    lines: int = 0  # whole ones
    sha256: str = "-"  # of those lines
    stamp: str = "-"  # the file's, once all its lines were pushed

    def __str__(self) -> str:
        return " ".join(map(str, self))


def cursor_of(tag: str | None) -> Cursor:
    if tag is None:
        return Cursor()
    lines, sha256, stamp = tag.split(" ")
    return Cursor(int(lines), sha256, stamp)


def stamp(folder: Path) -> str:
    """Changes whenever records.jsonl does."""
    path = folder / runs.RECORDS
    if not path.exists():
        return "-"
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def rewritten(folder: Path, cursor: Cursor) -> bool:
    """Whether the lines that were pushed are no longer those in the file: the stage began again, or went back."""
    if cursor.lines == 0 or cursor.stamp == stamp(folder):
        return False
    if not (folder / runs.RECORDS).exists():
        return True
    with (folder / runs.RECORDS).open("rb") as file:
        pushed = list(islice(file, cursor.lines))
    return len(pushed) < cursor.lines or hashlib.sha256(b"".join(pushed)).hexdigest()[:16] != cursor.sha256


def unpushed(folder: Path, cursor: Cursor, limit: int) -> Iterator[tuple[list[runs.Record], Cursor]]:
    """The records after the cursor, at most ``limit`` values a time, each with the cursor after it."""
    now = stamp(folder)  # before the file is read, so that what is written meanwhile changes it
    if now in ("-", cursor.stamp):
        return
    seen, values, lines = hashlib.sha256(), 0, 0
    batch: list[runs.Record] = []
    with (folder / runs.RECORDS).open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            if lines == cursor.lines > 0 and seen.hexdigest()[:16] != cursor.sha256:
                return  # rewritten since we looked; the next sync sees it
            if lines >= cursor.lines and (record := runs.decode(line)):
                if batch and values + len(record.values) > limit:
                    yield batch, Cursor(lines, seen.hexdigest()[:16])
                    batch, values = [], 0
                batch.append(record)
                values += len(record.values)
            seen.update(line)
            lines += 1
    yield batch, Cursor(lines, seen.hexdigest()[:16], now)
