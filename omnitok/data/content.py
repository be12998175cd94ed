"""The bytes of a dataset's files, held to what the manifest says of them."""

import functools
import hashlib
from pathlib import Path

from omnitok.data.contract import DataError
from omnitok.data.manifest import Entry


def refuse_changed(folder: Path, entry: Entry) -> None:
    """Raises DataError where a file is not there, or not as long as the manifest says. Reads nothing."""
    path = folder / entry.path
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: is in the manifest, but: {error.strerror}") from None
    if found != entry.bytes:
        raise DataError(f"{path}: has {found} bytes, the manifest says {entry.bytes}")


def read(folder: Path, entry: Entry) -> bytes:
    """All of it. Raises DataError where it cannot be read or is not what the manifest says."""
    path = folder / entry.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise DataError(f"{path}: its bytes are not those of the manifest")
    return content


def opened(folder: Path, entry: Entry) -> Path | bytes:
    """What a decoder of videos opens: the file, hashed once a process and each time that it was written, or its bytes."""
    path = folder / entry.path
    _refuse_other_bytes(path, entry.sha256, path.stat().st_mtime_ns if path.exists() else 0)
    return path


@functools.lru_cache(maxsize=65536)
def _refuse_other_bytes(path: Path, sha256: str, changed_ns: int) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if found != sha256:
        raise DataError(f"{path}: its bytes are not those of the manifest")
