"""One file or folder that may be deleted: how large it is, and why it may."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

STALE_S = 3600.0  # a half file that is younger may be being written


class Freed(NamedTuple):
    """One file, or folder, that may go: how many bytes, and why."""

    path: Path
    size: int
    reason: str


def delete(files: Sequence[Freed]) -> None:
    for one in files:
        if one.path.is_dir() and not one.path.is_symlink():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            one.path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; a link has none."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sizes(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    return path.stat().st_size


def sizes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())
