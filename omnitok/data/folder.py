"""A user's own pictures and videos: a folder with a class per sub-folder, read by its manifest."""

import functools
from pathlib import Path
from typing import Annotated

from omnitok.data import content
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
            content.refuse_changed(self.folder, file)

    def read(self, source: Entry, start: int, count: int) -> Pixels:
        if source.kind == "photo":
            return _photo(self.folder, source, self.short_side)
        content.opened(self.folder, source)
        return _window(self.folder / source.path, source, start, count, self.short_side)


@functools.lru_cache(maxsize=256)
def _photo(folder: Path, source: Entry, short_side: int) -> Pixels:
    return _frozen(read_picture(content.read(folder, source), str(folder / source.path), short_side))


@functools.lru_cache(maxsize=32)  # enough for the fixed items of a validation; random windows pass through
def _window(path: Path, source: Entry, start: int, count: int, short_side: int) -> Pixels:
    return _frozen(read_window(path, start, count, source.keys, short_side))


def _frozen(frames: Pixels) -> Pixels:
    frames.setflags(write=False)
    return frames
