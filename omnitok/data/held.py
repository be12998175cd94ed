"""Files held to what is known of them: how long they are, and the hash of their bytes."""

import functools
import hashlib
from pathlib import Path

from omnitok.data.contract import DataError
from omnitok.data.pictures import read_picture
from omnitok.data.pixels import Pixels, Reading
from omnitok.data.sources import Source
from omnitok.data.videos import read_video


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole(path: Path, size: int, sha256: str) -> bool:
    """Whether a file is there, with those bytes."""
    return path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256


def refuse_cut(path: Path, size: int, help: str = "") -> None:
    """Raises DataError, which ends with ``help``, where a file is not there or not so long. Reads nothing."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: is in the manifest, but: {error.strerror}{help}") from None
    if found != size:
        raise DataError(f"{path}: has {found} bytes, the manifest says {size}{help}")


def refuse_other(path: Path, sha256: str, help: str = "") -> None:
    """Raises DataError, which ends with ``help``, where a file has other bytes. It is hashed once a process, and again
    when it was written since."""
    try:
        found = _hashed(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}{help}") from None
    if found != sha256:
        raise DataError(f"{path}: its bytes are not those of the manifest{help}")


@functools.lru_cache(maxsize=64)
def decoded(path: Path, source: Source, reading: Reading, help: str) -> Pixels:
    """All frames of a file, read once a process and then shared, so not writable. Raises DataError."""
    refuse_other(path, source.sha256, help)
    if source.kind == "photo":
        frames = read_picture(path.read_bytes(), str(path), reading)
    else:
        frames, _ = read_video(path, str(path), reading)
    if len(frames) != source.frames:
        raise DataError(f"{path}: {len(frames)} frames were decoded, not {source.frames}: pip install --upgrade av")
    frames.setflags(write=False)
    return frames


@functools.lru_cache(maxsize=65536)
def _hashed(path: Path, changed_ns: int) -> str:
    return sha256_of(path)
