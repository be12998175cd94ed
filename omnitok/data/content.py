"""The bytes of a dataset's files, held to what the manifest says of them, wherever they lie: in files of their own, in
tars, or in tables."""

import hashlib
import os
from pathlib import Path

from omnitok.data import held, tables
from omnitok.data.columns import titled
from omnitok.data.contract import DataError
from omnitok.data.manifest import Entry, Files


def refuse_any_changed(folder: Path, files: Files) -> None:
    """Raises DataError where a file is not there, or not as long as the manifest says. Reads nothing: a look a file; of
    those in tars and tables a look at each of these."""
    columns, home = files.columns, f"{folder}/"
    looks = {columns.paths[i]: i for i in files.rows.tolist()}  # the last of each is the furthest into its tar
    for path, i in looks.items():
        member, size = columns.members[i] if columns.members else "", int(columns.sizes[i])
        try:
            whole = not member and os.stat(home + path).st_size == size  # noqa: PTH116  a million of them
        except OSError:
            whole = False
        if not whole:
            _refuse_changed(folder / path, size, member, int(columns.at[i]))


def _refuse_changed(path: Path, size: int, member: str, at: int) -> None:
    if not member or not path.is_file():
        held.refuse_cut(path, size)
    elif path.suffix == ".tar" and (found := path.stat().st_size) < at + size:
        raise DataError(f"{path}: has {found} bytes, but the manifest says that {member} ends at {at + size}")


def read(folder: Path, entry: Entry) -> bytes:
    """All of it. Raises DataError where it cannot be read or is not what the manifest says."""
    content = taken(folder, entry.path, entry.member, -1 if entry.at is None else entry.at, entry.bytes)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise DataError(f"{folder / entry.title}: its bytes are not those of the manifest")
    return content


def opened(folder: Path, entry: Entry) -> Path | bytes:
    """What a decoder of videos opens: the file, hashed once a process and each time that it was written, or its bytes."""
    if entry.member:
        return read(folder, entry)
    path = folder / entry.path
    held.refuse_other(path, entry.sha256)
    return path


def taken(folder: Path, path: str, member: str, at: int, size: int) -> bytes:
    """The bytes of a file, of a tar's member (``size`` bytes from ``at``) or of a cell (``member`` of row ``at``).

    Raises DataError that says which.
    """
    said = folder / titled(path, member, at)
    try:
        if not member:
            return (folder / path).read_bytes()
        if path.endswith(".tar"):
            with (folder / path).open("rb", buffering=0) as file:
                content = os.pread(file.fileno(), size, at)
        else:
            return tables.inner(tables.cell(folder / path, member, at))
    except OSError as error:
        raise DataError(f"{said}: cannot be read: {error.strerror}") from None
    except DataError as error:
        raise DataError(f"{said}: {str(error).removeprefix(f'{folder / path}: ')}") from None
    if len(content) != size:
        raise DataError(f"{said}: the file ends after {len(content)} of {size} bytes")
    return content
