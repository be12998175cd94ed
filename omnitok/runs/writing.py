"""Files that are whole or not there, on disk before they are seen: a job may be killed at any line."""

import json
import os
import secrets
from pathlib import Path
from typing import IO, Any


def write(path: Path, content: bytes) -> None:
    """A whole file or none at all, also where the disk is full."""
    publish(path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial"), path, content)


def publish(draft: Path, path: Path, content: bytes) -> None:
    """Write ``draft`` and rename it to ``path``; where that fails neither is there that was not."""
    with draft.open("wb") as file:
        fill(file, draft, path, content)


def fill(file: IO[bytes], draft: Path, path: Path, content: bytes) -> None:
    """``publish`` through the open ``file`` of the draft, which stays open to go on in."""
    try:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    write(path, encoded(data))


def encoded(data: Any) -> bytes:
    """JSON for people to read; NaN is refused."""
    return (json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def line(data: Any) -> bytes:
    """JSON in a line."""
    return (json.dumps(data, sort_keys=True) + "\n").encode()


def append_line(path: Path, data: Any) -> None:
    """A line of its own, also after one that a full disk has torn."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = size and file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line(data))


def lines(path: Path) -> list[Any]:
    """What the whole lines of a file say; a kill or a full disk may have torn any of them."""
    found = []
    for one in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            found.append(json.loads(one))
        except ValueError:
            continue
    return found
