"""Writing in a folder through its lease, and being refused where it was lost (``leases``)."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from omnitok.runs.writing import encoded, fill, line, lines, publish

PLACE, LEASE = "attempts", "lease"
GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class Busy(Exception):
    """Somebody else holds the lease of this folder."""


class Fenced(Busy):
    """Somebody else has taken the lease over, because this holder was frozen or out of reach for ``STALE_S``.

    What it wrote since then is nowhere. It has not failed: the other one goes on.
    """


def fenced(folder: Path) -> Fenced:
    return Fenced(f"{folder.name}: another process has taken over the work in this folder")


class Growing(NamedTuple):
    """A file that this attempt alone appends to."""

    held: "Held"
    file: IO[bytes]

    def append(self, content: bytes) -> None:
        """Readers see it at once. Raises Fenced."""
        self.held.check()
        self.file.write(content)
        self.file.flush()

    def keep(self) -> None:
        """What was appended is on disk."""
        os.fsync(self.file.fileno())


class Held(NamedTuple):
    """A folder whose lease is held, and the only way to write in it. Every method raises Fenced where it was taken over."""

    folder: Path
    token: str

    @property
    def place(self) -> Path:
        """The attempt's own folder."""
        return self.folder / PLACE / self.token

    def check(self) -> None:
        """Whether the lease is still this one's."""
        try:
            (self.place / LEASE).stat()
        except OSError as error:
            raise (fenced(self.folder) if error.errno in GONE else error) from None

    def write(self, path: Path, content: bytes) -> None:
        """The whole file, if the lease is still held in the instant in which it is seen."""
        with self._fencing():
            publish(self._draft(path), path, content)

    def write_json(self, path: Path, data: Any) -> None:
        self.write(path, encoded(data))

    def append_line(self, path: Path, data: Any) -> None:
        """The file with one line more, and without lines that are torn."""
        self.write(path, b"".join(map(line, [*lines(path), data])))

    def link(self, path: Path, to: Path) -> None:
        """A link to another file."""
        draft = self._draft(path)
        with self._fencing():
            draft.symlink_to(to)
            draft.rename(path)

    def remove(self, path: Path) -> None:
        """The file, if it is there."""
        gone = self._draft(path)
        with self._fencing():
            if path.is_symlink() or path.exists():
                path.rename(gone)
                gone.unlink()
        self.check()

    @contextmanager
    def growing(self, path: Path, content: bytes) -> Iterator[Growing]:
        """A new file of ``content`` in the place of the old one, to append to. The file of one attempt is another's
        never: what a stale copy appends nobody reads."""
        draft = self._draft(path)
        with self._fencing():
            file = draft.open("xb")
        with file:
            with self._fencing():
                fill(file, draft, path, content)
            yield Growing(self, file)

    def _draft(self, path: Path) -> Path:
        return self.place / f"{path.name}.{secrets.token_hex(4)}"

    @contextmanager
    def _fencing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.check()
            raise
