"""Clips of sixteen games with known classes, made here by Procgen (arXiv:1912.01588) and read by their manifest."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import BaseModel, field_validator
from torch import Tensor

from omnitok import runs
from omnitok.data.contract import DataError, Dataset, Split, span
from omnitok.data.draws import below
from omnitok.data.held import refuse_cut, refuse_other
from omnitok.data.pixels import Pixels, as_clip
from omnitok.data.stored import ManifestFile, plain_path
from omnitok.spec import REQUIRED, STRICT, digest

FILE = "procgen16.json"
FRAMES = 17  # of every clip
GAMES = (
    "bigfish", "bossfight", "caveflyer", "chaser", "climber", "coinrun", "dodgeball", "fruitbot",
    "heist", "jumper", "leaper", "maze", "miner", "ninja", "plunder", "starpilot",
)  # fmt: skip
HELD_OUT = ("caveflyer", "ninja")  # the test split: both move, the one flying and the other running


class Clips(BaseModel):
    """The clips of one game in one split: one array [clips, frames, side, side, 3] of uint8."""

    model_config = STRICT

    path: str
    game: str
    split: Split
    sha256: str
    bytes: int
    rand_seed: int
    start_level: int
    num_levels: int
    levels: tuple[int, ...]  # of each clip

    _plain = field_validator("path")(plain_path)


class Manifest(BaseModel):
    """Everything that the bytes follow from, and their hashes."""

    model_config = STRICT

    format: Literal[1] = 1
    package: str
    side: int
    frames: int = FRAMES
    warm_up: int
    hold: int
    environments: int
    arrays: tuple[Clips, ...]

    @property
    def fingerprint(self) -> str:
        return digest(self.model_dump(mode="json"))

    def save(self, folder: Path) -> None:
        runs.write_json(folder / FILE, self.model_dump(mode="json"))


MANIFEST = ManifestFile(
    FILE,
    Manifest.model_validate_json,
    make="omnitok data procgen16",
    again="delete the folder and make it again",
)


class Procgen(Dataset):
    """Clips of sixteen Procgen games (arXiv:1912.01588) under random play: train and val are fourteen games on different
    levels, test is two other games, caveflyer and ninja. Maze, heist and miner hardly move and stay in as static classes.

    Every fixed item is a clip of 17 frames, whole; of fewer frames the first ones, so a single frame is a clip's first.
    A training clip starts at any frame of a clip. Frames are taken whole, reduced by area, never enlarged.

    name: which folder below the root of all datasets, like procgen16-64-256.
    fingerprint: what ``omnitok data procgen16`` printed for the folder; any other state of it is refused.
    flip: whether a training clip is mirrored left to right half of the time.
    """

    classes = GAMES

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        name: Annotated[str, REQUIRED],
        fingerprint: Annotated[str, REQUIRED],
        flip: bool = True,
    ) -> None:
        self.folder, manifest = MANIFEST.named(root, name, fingerprint)
        self.split, self.fingerprint, self.flip, self.side = split, fingerprint, flip, manifest.side
        self.arrays = tuple(array for array in manifest.arrays if array.split == split)
        self.places = [(array, i) for array in self.arrays for i in range(len(array.levels))]
        for array in self.arrays:
            refuse_cut(self.folder / array.path, array.bytes)

    def items(self, frames: int) -> tuple[str, ...]:
        if frames < 1:
            raise ValueError(f"a clip has at least 1 frame, not {frames}")
        return tuple(f"{array.game}/{i}[0:{frames}]" for array, i in self.places) if frames <= FRAMES else ()

    def count(self, frames: int) -> int:
        return len(self.places) if frames <= FRAMES else 0

    def view(self, frames: int, resolution: int) -> str:
        return f"whole {self.side}->{resolution} area, first {frames} frames"

    def finest(self, frames: int) -> int:
        return self.side

    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        if not 0 <= index < self.count(frames):
            raise IndexError(f"item {index} of {self.count(frames)}")
        return as_clip(reduced(self._clip(index)[:frames], resolution))

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """Any clip, any start in it, mirrored or not."""
        length = span(frames, stride)
        if not self.count(length):
            raise DataError(f"no {self.split} clip has {length} frames; the longest has {FRAMES}")
        clip, start = below(draw, len(self.places)), below(draw, FRAMES - length + 1)
        window = reduced(self._clip(clip)[start : start + length : stride], resolution)
        return as_clip(window[:, :, ::-1] if self.flip and below(draw, 2) else window)

    def label(self, index: int, frames: int) -> int:
        return GAMES.index(self.places[index][0].game)

    def _clip(self, index: int) -> Pixels:
        array, i = self.places[index]
        return np.asarray(opened(self.folder / array.path, array.sha256)[i])


def reduced(frames: Pixels, resolution: int) -> UInt8[np.ndarray, "T {resolution} {resolution} 3"]:
    """Square frames, each pixel the mean of the area that it covers. Raises ValueError where they would be enlarged."""
    side = frames.shape[1]
    if resolution > side:
        raise ValueError(f"resolution={resolution}: a frame has {side} pixels a side and is never enlarged")
    if resolution == side:
        return frames
    size = (resolution, resolution)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in frames])


@functools.lru_cache(maxsize=64)
def opened(path: Path, sha256: str) -> np.ndarray:
    """An array that stays on disk, held to its hash once a process. Raises DataError."""
    refuse_other(path, sha256)
    try:
        opened: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(f"{path}: is no array of clips: {error}") from None
    return opened
