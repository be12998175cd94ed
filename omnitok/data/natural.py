"""Photos and clips of the real world, out of packages that anybody can fetch, split by source: never by crop or shot."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import BaseModel

from omnitok.data import held
from omnitok.data.contract import Split
from omnitok.data.crops import AnySquare, CropPart
from omnitok.data.grey import SUFFIX as GREY
from omnitok.data.grey import read_grey
from omnitok.data.packages import Package
from omnitok.data.pictures import read_picture
from omnitok.data.pixels import Pixels, Reading
from omnitok.data.resources import KEPT
from omnitok.data.sources import Look, Source, SourceDataset
from omnitok.data.videos import read_frames
from omnitok.data.views import Cropped, ShortSide, ViewPart
from omnitok.spec import STRICT, digest

NAME: Final = "natural_mini"  # the folder below the root of all datasets
COMMAND: Final = "omnitok data natural_mini"
HELP: Final = f"; bring it with: {COMMAND}"
TABLE: Final = Path(__file__).with_name("natural.json")
EIGHT_WINDOWS: Final = functools.partial(Cropped, windows=8)


class NaturalFile(Source):
    """One file, with where it is from and under which terms. ``member``: in its package; with a star it is a sequence of
    grey pictures (PGM), which are joined in the order of their names."""

    name: str
    package: str
    member: str
    licence: str
    author: str
    origin: str

    @property
    def title(self) -> str:
        return self.name


class Natural(BaseModel):
    """All packages and files, as they were chosen and looked at."""

    model_config = STRICT

    packages: tuple[Package, ...]
    files: tuple[NaturalFile, ...]

    @property
    def fingerprint(self) -> str:
        """Of what training can see: the bytes, shots and splits, and not who made them."""
        return digest([file.model_dump(mode="json", include=set(Source.model_fields)) for file in self.files])


@functools.cache
def table() -> Natural:
    return Natural.model_validate_json(TABLE.read_bytes())


class NaturalMini(SourceDataset[NaturalFile]):
    """45 photos and 10 clips of other people's packages, each source in one split: no file, and no photographer that is
    known, is in two. What ``embedded`` holds out is held out here too. Four clips are grey, one is of a camera that
    stands still, one is an animated film. Clips have 10 to 30 frames a second; of the grey ones it is not known.

    Sources are drawn evenly for training, so that a long clip weighs as much as a short one; fixed items are at most
    eight windows a clip, if the view does not say otherwise. Unless ``short_side`` is native, what is drawn is decoded
    once a process, which at 256 takes 0.4 GB for training.

    short_side: pixels of the shorter side after decoding, photos by the view's filter, clips by area; larger keeps more
      detail and takes more memory; native: as the files are, so that each is resized once.
    view: how fixed items come out of files; its filter, fps and short hold for training too.
    crop: which part of a picture a training clip shows.
    clips: where in a shot a training clip lies; centre is always the same.
    flip: whether a training clip is mirrored left to right half of the time.
    """

    grid: ClassVar[int] = 2

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        short_side: ShortSide = 256,
        view: ViewPart = EIGHT_WINDOWS,
        crop: CropPart = AnySquare,
        clips: Literal["random", "centre"] = "random",
        flip: bool = True,
    ) -> None:
        own = [file for file in table().files if file.split == split]
        super().__init__(own, split, Look(short_side, view, crop, clips, flip))
        self.folder, self.fingerprint = root / NAME, table().fingerprint
        for file in self.sources:
            held.refuse_cut(self.folder / file.path, file.bytes, HELP)

    def read(self, source: NaturalFile, wanted: Sequence[int], reading: Reading) -> Pixels:
        path = self.folder / source.path
        if self.short_side is not None and path.suffix != GREY:
            return held.decoded(path, source, reading, HELP)[list(wanted)]
        held.refuse_other(path, source.sha256, HELP)
        return KEPT.get((path, reading, tuple(wanted)), lambda: _read(path, source, wanted, reading))


def _read(path: Path, file: NaturalFile, wanted: Sequence[int], reading: Reading) -> Pixels:
    if file.kind == "photo":
        return read_picture(path.read_bytes(), str(path), reading)
    if path.suffix == GREY:
        return read_grey(path, wanted, reading)
    return read_frames(path, str(path), wanted, reading=reading)
