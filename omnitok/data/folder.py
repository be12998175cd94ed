"""A user's own pictures and videos: a folder that is read by its manifest."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from omnitok.data import content
from omnitok.data.columns import titled
from omnitok.data.contract import Split
from omnitok.data.crops import AnySquare, CropPart
from omnitok.data.manifest import MANIFEST, Entry
from omnitok.data.pictures import read_picture
from omnitok.data.pixels import Pixels, Reading
from omnitok.data.resources import KEPT
from omnitok.data.sources import Facts, Look, SourceDataset
from omnitok.data.videos import read_frames
from omnitok.data.views import Cropped, ShortSide, ViewPart
from omnitok.spec import REQUIRED


class Folder(SourceDataset[Entry]):
    """The folder ``root/name`` as its manifest has it; every file is held to its hash, a video once a process.

    name: which folder below the root of all datasets, like pets or pets/cats.
    fingerprint: what ``omnitok data check`` printed for the folder; any other state of it is refused.
    short_side: pixels of the shorter side after decoding, photos by the view's filter, clips by area; larger keeps more
      detail and takes more memory and time; native: as the files are, so that each is resized once.
    view: how fixed items come out of files; its filter, fps and short hold for training too.
    crop: which part of a picture a training clip shows.
    clips: where in a shot a training clip lies; centre is always the same.
    flip: whether a training clip is mirrored left to right half of the time.
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        name: Annotated[str, REQUIRED],
        fingerprint: Annotated[str, REQUIRED],
        short_side: ShortSide = 256,
        view: ViewPart = Cropped,
        crop: CropPart = AnySquare,
        clips: Literal["random", "centre"] = "random",
        flip: bool = True,
    ) -> None:
        folder, manifest = MANIFEST.named(root, name, fingerprint)
        self.folder = manifest.place(folder)
        self.files = manifest.files.of(split)
        super().__init__(self.files, split, Look(short_side, view, crop, clips, flip))
        self.fingerprint, self.classes = fingerprint, manifest.classes
        content.refuse_any_changed(self.folder, self.files)

    def title(self, index: int) -> str:
        columns, row = self.files.columns, int(self.files.rows[index])
        return titled(columns.paths[row], columns.members[row] if columns.members else "", int(columns.at[row]))

    @cached_property
    def facts(self) -> Facts:
        return Facts(self.files.clips, self.files.heights, self.files.widths)

    @cached_property
    def longest(self) -> np.ndarray:
        return self.files.frames if self.fixed.fps is None else super().longest  # no file here has cuts

    def label(self, index: int, frames: int) -> int | None:
        found = int(self.files.labels[self.place(index, frames)])
        return found if found >= 0 else None

    def read(self, source: Entry, wanted: Sequence[int], reading: Reading) -> Pixels:
        name = str(self.folder / source.title)
        if source.kind == "photo":
            return KEPT.get(
                (name, source.sha256, reading), lambda: read_picture(content.read(self.folder, source), name, reading)
            )
        key = (name, source.sha256, reading, tuple(wanted))
        return KEPT.get(
            key, lambda: read_frames(content.opened(self.folder, source), name, wanted, source.keys, reading)
        )
