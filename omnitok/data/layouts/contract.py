"""What every layout promises, and the tree of files that it reads."""

import csv
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from omnitok.data import pictures, videos
from omnitok.data.columns import titled
from omnitok.data.contract import Split
from omnitok.data.manifest import FILE, Broken
from omnitok.spec import Fault, Mark, SpecError, closest

SUFFIXES = (*pictures.SUFFIXES, *videos.SUFFIXES)


class Listed(NamedTuple):
    """A picture or video that belongs to a dataset. ``member``, ``at``: where it lies in a tar or table, see ``Entry``.

    ``split``: the one that is used here, None where the files are split by their hashes. ``group``: what is never in two
    splits, like the cuts of one video; empty: the file alone. ``bytes``: of a member of a tar.
    """

    path: str
    split: Split | None = None
    label: str = ""
    group: str = ""
    member: str = ""
    at: int = -1
    bytes: int = -1

    @property
    def title(self) -> str:
        return titled(self.path, self.member, self.at)


class Listing(NamedTuple):
    """What a layout found. ``classes``: in the official order; None: by name. ``absent`` and ``broken``: what the lists
    name that is not there, and files in which others should lie; each a fault, or left out where that is asked for.
    ``held``: val is held out of train by hashes, since there is no such set."""

    files: Sequence[Listed]
    classes: tuple[str, ...] | None = None
    absent: Sequence[Broken] = ()
    broken: Sequence[Broken] = ()
    held: bool = False


class Layout(ABC):
    """How a dataset lies on disk. A component is ``Component(*, ...)``: its choices are what its lists leave open.

    Every dataset here has train, val and test. ``test`` is what papers measure on: where the official lists have only two
    labelled sets, or where papers measure on the validation set, that is ``test``, and ``val`` is held out of the official
    train by the hashes of groups (``splitting.HELD``, 2 % of them).
    """

    by_content: ClassVar[bool] = True  # files are told apart by their bytes: official ones may have another's ending

    @abstractmethod
    def read(self, tree: "Tree") -> Listing:
        """Raises SpecError: lists that are missing or wrong."""


class Tree:
    """The files below a folder that are not hidden, in the order of their names. Raises SpecError: links that lead out, a
    folder that is none or cannot be read."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SpecError([Fault(Mark(str(folder)), "", _no_folder(folder))])
        self.folder = folder
        self.names = _names(folder)
        self.lists: set[str] = set()  # what was read as a list, so that it is not said to be ignored

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """The names that are a picture's or a video's by their ending."""
        return tuple(name for name in self.names if suffix_of(name) in SUFFIXES)

    def under(self, base: str) -> list[str]:
        """Pictures and videos below ``base``, which is empty or ends with a slash."""
        return [name for name in self.media if name.startswith(base)]

    def base(self, *bases: str) -> str:
        """The first of some folders that has files in it; nothing, the top, where none has."""
        return next((base for base in bases if any(name.startswith(base) for name in self.names)), "")

    def first(self, *names: str) -> str | None:
        return next((name for name in names if name in self.known), None)

    def need(self, *names: str) -> str:
        """The first of some files that is there."""
        if found := self.first(*names):
            return found
        raise SpecError([Fault(Mark(str(self.folder)), "", f"has no {' and no '.join(names)}")])

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """The lines of a list that are not empty, from 1."""
        for number, line in enumerate(self.text(name).splitlines(), 1):
            if line.strip():
                yield number, line.strip()

    def rows(self, name: str) -> Iterator[tuple[int, list[str]]]:
        """The rows of a CSV file that are not empty, with the numbers of their lines."""
        reader = csv.reader(self.text(name).splitlines(), strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise self.refuse(name, reader.line_num, f"is no CSV: {error}") from None

    def content(self, name: str) -> bytes:
        self.lists.add(name)
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise self.refuse(name, 0, f"cannot be read: {error.strerror}") from None

    def text(self, name: str) -> str:
        try:
            return self.content(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.refuse(name, 0, f"not UTF-8: byte 0x{error.object[error.start]:02x}") from None

    def refuse(self, name: str, line: int, said: str) -> SpecError:
        return SpecError([self.fault(name, line, said)])

    def fault(self, name: str, line: int, said: str) -> Fault:
        return Fault(Mark(shown(str(self.folder / name)), line), "", said)


def absent(path: str, name: str, line: int) -> Broken:
    """What stands for a file that line ``line`` of the list ``name`` names and that is not there."""
    return Broken(path=path, reason=f"is not there; {f'{name}:{line}' if line else name} names it")


def shown(name: str) -> str:
    """A name as text that any file and terminal takes, even where the name itself is not UTF-8."""
    return name.encode(errors="replace").decode()


def ordered(files: Iterable[Listed]) -> tuple[str, ...]:
    """The classes of files, by number where all are numbers, else by name."""
    found = sorted({file.label for file in files if file.label})
    return tuple(sorted(found, key=int) if all(label.isdecimal() for label in found) else found)


def suffix_of(name: str) -> str:
    name = name.rpartition("/")[2]
    return name[name.rfind(".") :].lower() if "." in name else ""


def split_of(path: str) -> Split | None:
    """The split that a path says by a word in its name, or else in the nearest folder: "data/validation-0001.tar" says
    val."""
    for part in reversed(path.lower().split("/")):
        words = "".join(c if c.isalpha() else " " for c in part).split()
        if found := next((_WORDS[word] for word in words if word in _WORDS), None):
            return found
    return None


def settled(files: Sequence[Listed]) -> tuple[Sequence[Listed], bool]:
    """(files, whether val is held out of train) by the names of their splits: of train and one other set, that is test."""
    found = {file.split for file in files}
    if found == {"train", "val"}:
        return [file._replace(split="test") if file.split == "val" else file for file in files], True
    return files, found == {"train", "test"}


_WORDS: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "validate": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip


def _no_folder(folder: Path) -> str:
    if folder.exists():
        return "is a file; what is checked is a folder"
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    return f"no such folder{closest(folder.name, sorted(beside))}"


def _names(folder: Path) -> tuple[str, ...]:
    home, faults, names = folder.resolve(), [], []
    waiting = [""]
    while waiting:
        here = waiting.pop()
        for entry in _entries(folder / here):
            name = f"{here}{entry.name}"
            if entry.name.startswith(".") and entry.is_dir():
                continue
            if entry.is_symlink() and (said := _led(Path(entry.path), home)):
                faults.append(Fault(Mark(shown(entry.path)), "", said))
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif not entry.name.startswith(".") and name != FILE:
                names.append(name)
    if faults:
        raise SpecError(sorted(faults))
    return tuple(sorted(names))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise SpecError([Fault(Mark(str(error.filename)), "", f"cannot be read: {error.strerror}")]) from None


def _led(path: Path, home: Path) -> str:
    """What is wrong with a link."""
    target = Path(os.path.realpath(path))  # of a link to itself too, which resolve() of old versions of Python refuses
    if not target.is_relative_to(home):
        return f"is a link out of the folder, to {shown(str(target))}"
    return "is a link to a folder; these are not followed" if path.is_dir() else ""
