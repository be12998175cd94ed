"""One way to read any manifest: a JSON file in a dataset's folder that says what is in it and has a fingerprint."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar, runtime_checkable

from pydantic import ValidationError

from omnitok.data.contract import DataError
from omnitok.spec import closest


@runtime_checkable
class Fingerprinted(Protocol):
    """What a manifest has: a hash of everything in it that training can see."""

    @property
    def fingerprint(self) -> str: ...


M = TypeVar("M", bound=Fingerprinted)


@dataclass(frozen=True)
class ManifestFile(Generic[M]):
    """A kind of manifest. In the commands ``{folder}`` stands for the folder.

    name: of the file, in the folder.
    parse: its bytes -> what they say; raises pydantic's ValidationError.
    make: the command that makes it where there is none.
    again: what to do about one that is wrong.
    other: what to do about one in that folder that is not the experiment's; nothing where that is plain.
    """

    name: str
    parse: Callable[[bytes], M]
    make: str
    again: str
    other: Callable[[M, Path], str] = lambda found, folder: ""

    def load(self, folder: Path, root: Path | None = None) -> M:
        """Raises DataError where ``folder`` has no manifest, or what it has is none. ``root``: below which the folder with
        the nearest name is that was meant, perhaps."""
        path = folder / self.name
        try:
            return self.parse(path.read_bytes())
        except FileNotFoundError:
            missing = f"has no {self.name}" if folder.is_dir() else f"no such folder{self.nearest(folder, root)}"
            raise DataError(f"{folder}: {missing}; make it with: {self._said(self.make, folder)}") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            said = first["msg"].removeprefix("Value error, ")
            raise DataError(f"{path}: {where}: {said}; {self._said(self.again, folder)}") from None

    def named(self, root: Path, name: str, fingerprint: str) -> tuple[Path, M]:
        """The folder ``root/name`` and its manifest. Raises DataError also where an experiment means another one."""
        try:
            folder = root / plain_path(name)
        except ValueError as error:
            raise DataError(f"name: {error}") from None
        found = self.load(folder, root)
        if found.fingerprint != fingerprint:
            said = f"its fingerprint is {found.fingerprint}, the experiment says {fingerprint}"
            raise DataError(f"{folder / self.name}: {said}{self.other(found, folder)}")
        return folder, found

    def below(self, root: Path) -> list[str]:
        """The names of the folders that have such a manifest, two levels deep at most."""
        found = [path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/{self.name}")]
        return sorted(path.relative_to(root).as_posix() for path in found)

    def nearest(self, folder: Path, root: Path | None) -> str:
        """The end of a refusal: which one may have been meant."""
        return closest(folder.relative_to(root).as_posix(), self.below(root)).rstrip("?") if root else ""

    def _said(self, text: str, folder: Path) -> str:
        return text.replace("{folder}", shlex.quote(str(folder)))


def plain_path(text: str) -> str:
    """A path below a folder, written in one way only. Raises ValueError: absolute, empty, or with ``.`` or ``..``."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != text or "\\" in text:
        raise ValueError(f"{text!r} is no plain path below a folder; write it like pets or pets/cats")
    return text
