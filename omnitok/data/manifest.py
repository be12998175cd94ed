"""The manifest of a user's folder: every usable file, its bytes and its split. Training reads nothing else."""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from omnitok import runs
from omnitok.data.contract import DataError
from omnitok.data.sources import Source
from omnitok.data.videos import Keys
from omnitok.spec import STRICT, digest

FILE = "omnitok-manifest.json"


def plain_path(text: str) -> str:
    """A path below a folder, written in one way only. Raises ValueError: absolute, empty, or with ``.`` or ``..``."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != text or "\\" in text:
        raise ValueError(f"{text!r} is no plain path below a folder; write it like pets or pets/cats")
    return text


class Entry(Source):
    """One file of a user's folder; its class is the first folder it lies in, empty where it lies in none."""

    label: str = Field(alias="class")
    keys: Keys = ()  # where a clip can be entered, see videos.Video

    _plain = field_validator("path")(plain_path)


class Broken(BaseModel):
    """A file that was left out, and why."""

    model_config = STRICT

    path: str
    reason: str


class Manifest(BaseModel):
    """What ``omnitok data check`` found. The fingerprint is of the usable files, in the order of their paths."""

    model_config = STRICT

    format: Literal[1] = 1
    files: tuple[Entry, ...]
    broken: tuple[Broken, ...] = ()

    @property
    def fingerprint(self) -> str:
        return digest(self.model_dump(mode="json", by_alias=True, include={"format", "files"}))

    @property
    def counts(self) -> dict[tuple[str, str, str], int]:
        """{(split, kind, class): how many files}, sorted."""
        found = Counter((file.split, file.kind, file.label) for file in self.files)
        return dict(sorted(found.items()))

    def save(self, folder: Path) -> None:
        runs.write_json(folder / FILE, self.model_dump(mode="json", by_alias=True))


def load(folder: Path) -> Manifest:
    """Raises DataError where ``folder`` has no manifest, or what it has is none."""
    path = folder / FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        missing = f"has no {FILE}" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {missing}; make it with: omnitok data check {folder}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}; make it again with: omnitok data check {folder}") from None
