"""What a check has found so far, beside the manifest, so that one that was interrupted goes on where it was."""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from omnitok.data.layouts.contract import Listed
from omnitok.data.survey import Facts
from omnitok.spec import Fault, Mark, SpecError

NAME = ".omnitok-check.jsonl"
FORMAT = 2
FLUSH = 64  # files between what outlives the process


class Journal:
    """A line a whole file: what it is called, how large it or its container is and when that was written, what was found.

    A file that was written since is looked at again. Lines that a kill has torn are not read. Raises SpecError where
    ``into`` cannot be written.
    """

    def __init__(self, folder: Path, into: Path, by_content: bool) -> None:
        self.folder, self.path, self.by_content = folder, into / NAME, by_content
        self.known = self._read()
        self.containers: dict[str, tuple[int, int]] = {}
        self.lines = 0
        try:
            self.file: BinaryIO = self.path.open("ab")
            self.file.write(b"\n")
        except OSError as error:
            raise SpecError([Fault(Mark(str(into)), "", f"cannot be written: {error.strerror}; see --into")]) from None

    def found(self, listed: Listed) -> Facts | None:
        """The facts of a file as it is now; None where it has to be looked at."""
        said = self.known.get(listed.title)
        if said is None or said[0] != self._state(listed):
            return None
        found = Facts._make(said[1])
        return found._replace(keys=tuple((frame, time) for frame, time in found.keys))

    def add(self, listed: Listed, found: Facts) -> None:
        line = [FORMAT, listed.title, self._state(listed), found]
        self.file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self.lines += 1
        if self.lines % FLUSH == 0:
            self.file.flush()

    def close(self) -> None:
        self.file.close()

    def _state(self, listed: Listed) -> list[int]:
        if not listed.member:
            return [*self._written(listed.path), -1, int(self.by_content)]
        if listed.path not in self.containers:
            self.containers[listed.path] = self._written(listed.path)
        return [*self.containers[listed.path], listed.at, int(self.by_content)]

    def _written(self, path: str) -> tuple[int, int]:
        try:
            found = os.stat(f"{self.folder}/{path}")  # noqa: PTH116  a million of them
        except OSError:
            return (-1, -1)
        return (found.st_size, found.st_mtime_ns)

    def _read(self) -> dict[str, Any]:
        known = {}
        try:
            with self.path.open("rb") as file:
                for line in file:
                    try:
                        version, title, state, found = json.loads(line)
                    except (ValueError, TypeError):
                        continue
                    if version == FORMAT:
                        known[str(title)] = (state, found)
        except OSError:
            pass
        return known


def forget(folder: Path) -> None:
    """The manifest is written: nothing is left to go on with."""
    (folder / NAME).unlink(missing_ok=True)
