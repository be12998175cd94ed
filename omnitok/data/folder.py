"""A user's own pictures and videos: a folder with a class per sub-folder, read by its manifest."""

import functools
import hashlib
from pathlib import Path
from typing import Annotated

from omnitok.data.contract import DataError, Split
from omnitok.data.manifest import FILE, Entry, load, plain_path
from omnitok.data.pictures import read_picture
from omnitok.data.pixels import Pixels
from omnitok.data.sources import SourceDataset
from omnitok.data.videos import read_window
from omnitok.spec import REQUIRED, Count


class Folder(SourceDataset[Entry]):
    """The folder ``root/name`` as its manifest has it; photos are held to their hashes, clips to their sizes.

    name: which folder below the root of all datasets, like pets or pets/cats.
    fingerprint: what ``omnitok data check`` printed for the folder; any other state of it is refused.
    short_side: pixels of the shorter side after decoding; larger keeps more detail and takes more memory and time.
    flip: whether a training clip is mirrored left to right half of the time.
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        name: Annotated[str, REQUIRED],
        fingerprint: Annotated[str, REQUIRED],
        short_side: Count = 256,
        flip: bool = True,
    ) -> None:
        try:
            self.folder = root / plain_path(name)
        except ValueError as error:
            raise DataError(f"name: {error}") from None
        manifest = load(self.folder)
        if manifest.fingerprint != fingerprint:
            raise DataError(
                f"{self.folder / FILE}: its fingerprint is {manifest.fingerprint}, the experiment says {fingerprint}; "
                f"if the folder is meant as it is, say what this prints: omnitok data check {self.folder}"
            )
        super().__init__([file for file in manifest.files if file.split == split], split, flip)
        self.fingerprint, self.short_side = fingerprint, short_side
        for file in self.sources:
            _refuse_changed(self.folder / file.path, file.bytes)

    def read(self, source: Entry, start: int, count: int) -> Pixels:
        path = self.folder / source.path
        if source.kind == "photo":
            return _photo(path, source.sha256, self.short_side)
        _refuse_other_bytes(path, source.sha256, path.stat().st_mtime_ns if path.exists() else 0)
        return _window(path, source, start, count, self.short_side)


def _refuse_changed(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: is in the manifest, but: {error.strerror}") from None
    if found != size:
        raise DataError(f"{path}: has {found} bytes, the manifest says {size}")


@functools.lru_cache(maxsize=65536)
def _refuse_other_bytes(path: Path, sha256: str, changed_ns: int) -> None:
    """Once a process for each clip and each time that it was written."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if found != sha256:
        raise DataError(f"{path}: its bytes are not those of the manifest")


@functools.lru_cache(maxsize=256)
def _photo(path: Path, sha256: str, short_side: int) -> Pixels:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path}: its bytes are not those of the manifest")
    return _frozen(read_picture(content, str(path), short_side))


@functools.lru_cache(maxsize=32)  # enough for the fixed items of a validation; random windows pass through
def _window(path: Path, source: Entry, start: int, count: int, short_side: int) -> Pixels:
    return _frozen(read_window(path, start, count, source.keys, short_side))


def _frozen(frames: Pixels) -> Pixels:
    frames.setflags(write=False)
    return frames
