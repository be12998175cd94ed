"""The manifest of a dataset that is made of files: every usable one, its bytes, split and class. Training reads nothing
else. It is kept by columns, in the file and in memory, so that a million files are read in seconds."""

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, overload

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from omnitok import runs
from omnitok.data.columns import KINDS, SPLITS, Columns, Written, titled
from omnitok.data.contract import Split
from omnitok.data.sources import Source
from omnitok.data.stored import ManifestFile
from omnitok.data.videos import Keys
from omnitok.spec import STRICT
from omnitok.spec.identity import DIGITS

FILE: Final = "omnitok-manifest.json"
FORMAT: Final = 2


class Entry(Source):
    """One picture or video and where its bytes lie: a whole file, a member of a tar, or a row of a table.

    ``path`` is the file, below the folder. In a tar ``member`` is the name inside and ``at`` the byte where it begins; in
    a table (.parquet, .arrow) ``member`` is the column and ``at`` the row. ``label`` is the class, empty where unknown.
    """

    label: str = Field(alias="class")
    keys: Keys = ()  # where a clip can be entered, see videos.Video
    member: str = ""
    at: int | None = None

    @property
    def title(self) -> str:
        return titled(self.path, self.member, -1 if self.at is None else self.at)


class Broken(BaseModel):
    """What was left out, and why."""

    model_config = STRICT

    path: str
    reason: str


class Files(Sequence[Entry]):
    """The files of a manifest, or some of them: an ``Entry`` is made when it is asked for, the columns are arrays.

    ``frames``, ``heights``, ``widths``: int; ``labels``: places in ``classes``, -1 where the class is not known;
    ``clips``: whether it is a video.
    """

    def __init__(self, columns: Columns, rows: np.ndarray | None = None) -> None:
        self.columns = columns
        self.rows = np.arange(len(columns.paths)) if rows is None else rows
        self.classes = columns.classes

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> "Files": ...
    def __getitem__(self, index: int | slice) -> "Entry | Files":
        if isinstance(index, slice):
            return Files(self.columns, self.rows[index])
        return Entry.model_construct(**self.columns.row(int(self.rows[index])))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Files):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def of(self, split: Split) -> "Files":
        """Those of one split, in the order of the manifest."""
        return Files(self.columns, self.rows[self.columns.splits[self.rows] == SPLITS.index(split)])

    @property
    def frames(self) -> np.ndarray:
        return self.columns.frames[self.rows]

    @property
    def heights(self) -> np.ndarray:
        return self.columns.heights[self.rows]

    @property
    def widths(self) -> np.ndarray:
        return self.columns.widths[self.rows]

    @property
    def clips(self) -> np.ndarray:
        return self.columns.kinds[self.rows] == KINDS.index("clip")

    @property
    def labels(self) -> np.ndarray:
        return self.columns.labels[self.rows]


class Manifest:
    """What ``omnitok data check`` found, and how the tree was read: ``layout`` is the component that was named; ``home`` is
    where the files lie, empty where that is beside the manifest.

    The fingerprint is of the usable files in their order: what each is called, its bytes, size, split and class.
    """

    def __init__(
        self,
        files: Files,
        broken: Sequence[Broken] = (),
        layout: Mapping[str, Any] | None = None,
        home: str = "",
    ) -> None:
        self.files, self.broken, self.home = files, tuple(broken), home
        self.layout = dict(layout or {"type": "plain"})

    def place(self, folder: Path) -> Path:
        """Where the files lie whose manifest is in ``folder``."""
        return Path(self.home) if self.home else folder

    def command(self, folder: Path) -> str:
        """What makes the manifest in ``folder`` again."""
        layout = [] if self.layout == {"type": "plain"} else ["--layout", json.dumps(self.layout)]
        into = ["--into", str(folder)] if self.home else []
        return shlex.join(["omnitok", "data", "check", str(self.place(folder)), *layout, *into])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        same = self.broken == other.broken and self.layout == other.layout and self.classes == other.classes
        return same and self.files == other.files

    __hash__ = None  # type: ignore[assignment]

    @property
    def classes(self) -> tuple[str, ...]:
        """In the official order where the layout has one, else by name; empty where no file has a class."""
        return self.files.classes

    @cached_property
    def fingerprint(self) -> str:
        columns, made = self.files.columns, hashlib.sha256(f"omnitok manifest {FORMAT}".encode())
        for text in ("\0".join(columns.titles()), "\0".join(self.classes)):
            made.update(f"\1{len(text)}\1{text}".encode())
        for array in (columns.kinds, columns.splits, columns.labels, columns.heights, columns.widths, columns.frames):
            made.update(array.astype("<i8").tobytes())
        made.update(columns.hashes.tobytes())
        return made.hexdigest()[:DIGITS]

    @property
    def counts(self) -> dict[tuple[str, str, str], int]:
        """{(split, kind, class): how many files}, sorted."""
        columns, names = self.files.columns, (*self.classes, "")  # -1 is the last
        places = zip(columns.splits.tolist(), columns.kinds.tolist(), columns.labels.tolist(), strict=True)
        found = {(SPLITS[s], KINDS[k], names[c]): count for (s, k, c), count in Counter(places).items()}
        return dict(sorted(found.items()))

    def save(self, folder: Path) -> None:
        """A line a column, so that a small one can be read."""
        head = {"format": FORMAT, "layout": self.layout, "home": self.home, "classes": self.classes}
        lines = [f"{_json(name)}:{_json(value)},\n" for name, value in head.items()]
        columns = [f"{_json(name)}:{_json(value)}" for name, value in self.files.columns.written().items()]
        broken = _json([one.model_dump() for one in self.broken])
        body = ",\n".join(columns)
        text = "".join(["{", *lines, '"files":{\n', body, "},\n", f'"broken":{broken}', "}\n"])
        runs.write(folder / FILE, text.encode())


class _Text(BaseModel):
    """The file, as it is written."""

    model_config = STRICT

    format: Literal[2]
    layout: dict[str, Any]
    home: str = ""
    classes: tuple[str, ...]
    files: Written
    broken: tuple[Broken, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> "_Text":
        labels = self.files.label
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes has a name twice")
        if labels and not -1 <= min(labels) <= max(labels) < len(self.classes):
            raise ValueError(f"class is from -1 to {len(self.classes) - 1}")
        return self


def parsed(content: bytes) -> Manifest:
    """The bytes of a manifest -> what they say. Raises pydantic's ValidationError."""
    if b'"format":2,' not in content[:32]:
        raise ValidationError.from_exception_data("manifest", [_wrong_format(content)])
    text = _Text.model_validate_json(content)
    return Manifest(Files(Columns.of(text.files, text.classes)), text.broken, text.layout, text.home)


def _wrong_format(content: bytes) -> Any:
    try:
        json.loads(content)
    except ValueError as error:
        return {"type": "json_invalid", "loc": (), "input": "", "ctx": {"error": str(error)}}
    said = f"it is not of format {FORMAT}, which is what is read here"
    return {"type": "value_error", "loc": ("format",), "input": "", "ctx": {"error": ValueError(said)}}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


MANIFEST = ManifestFile(
    FILE,
    parsed,
    make="omnitok data check {folder}",
    again="make it again with: omnitok data check {folder}",
    other=lambda found, folder: f"; if the folder is meant as it is, say what this prints: {found.command(folder)}",
)


def load(folder: Path) -> Manifest:
    """Raises DataError where ``folder`` has no manifest, or what it has is none."""
    return MANIFEST.load(folder)
