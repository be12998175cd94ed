"""How random clips and fixed items are taken out of files, the same for every dataset that is made of files."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from omnitok.data.contract import DataError, Dataset, Split, span
from omnitok.data.crops import Crop
from omnitok.data.draws import below
from omnitok.data.pixels import Box, Filter, Pixels, Reading, as_clip, resized
from omnitok.data.shots import Places, Shot, Window, shots
from omnitok.data.views import Cropped, ShortSide, View
from omnitok.spec import STRICT

LARGEST: Final = 1 << 14  # pixels a side that any picture may be enlarged to


class Source(BaseModel):
    """One file of a manifest. A shot is what lies between two cuts; a cut is the first frame of the later shot."""

    model_config = STRICT

    path: str
    kind: Literal["photo", "clip"]
    split: Split
    sha256: str
    bytes: int
    width: int
    height: int
    frames: int
    fps: float | None
    cuts: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """What the file is called in the names of items and in errors."""
        return self.path


S = TypeVar("S", bound=Source)


class Facts(NamedTuple):
    """What must be known of all sources at once: arrays of a value each."""

    clips: np.ndarray
    heights: np.ndarray
    widths: np.ndarray


class Item(NamedTuple):
    """A fixed place in a source: which window of it, and which cell of its grid."""

    source: int
    window: Window
    row: int = 0
    column: int = 0


class Look(NamedTuple):
    """The choices of every dataset that is made of files."""

    short_side: ShortSide
    view: Callable[..., View]
    crop: Callable[..., Crop]
    clips: Literal["random", "centre"]
    flip: bool


class SourceDataset(Dataset, Generic[S]):
    """A dataset made of files. It takes parts out of photos, and windows that cross no cut out of clips.

    Single frames come from the photos, and from the clips only where there is no photo.
    """

    grid: ClassVar[int] = 1  # fixed items of a photo, along each side, where its view is a crop

    def __init__(self, sources: Sequence[S], split: Split, look: Look) -> None:
        self.sources, self.split = sources, split
        self.short_side = None if look.short_side == "native" else int(look.short_side)
        self.fixed, self.crop, self.clips, self.flip = look.view(), look.crop(), look.clips, look.flip
        self._pools: dict[int, np.ndarray] = {}
        self._ends: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what was found out, which whoever gets a copy finds out again."""
        kept = {name: value for name, value in self.__dict__.items() if name not in ("facts", "longest")}
        return kept | {"_pools": {}, "_ends": {}}

    @abstractmethod
    def read(self, source: S, wanted: Sequence[int], reading: Reading) -> Pixels:
        """The frames of a source that are numbered ``wanted``, which rise. Raises DataError."""

    def title(self, index: int) -> str:
        """What a source is called in the names of items."""
        return self.sources[index].title

    @cached_property
    def facts(self) -> Facts:
        rows = [(source.kind == "clip", source.height, source.width) for source in self.sources]
        clips, heights, widths = np.array(rows, np.int64).reshape(-1, 3).T
        return Facts(clips.astype(bool), heights, widths)

    @cached_property
    def longest(self) -> np.ndarray:
        """The frames that are seen of the longest shot of each source."""
        return np.array([max(shot.frames for shot in self.shots_of(source)) for source in self.sources], np.int64)

    def items(self, frames: int) -> tuple[str, ...]:
        return tuple(
            self._name(item, frames) for index in self._pool(frames) for item in self._items_of(int(index), frames)
        )

    @property
    def photos(self) -> bool:
        return not self._of_clips(1)

    def count(self, frames: int) -> int:
        return int(self._counts(frames).sum())

    def view(self, frames: int, resolution: int) -> str:
        of_clips = self._of_clips(frames)
        reduced: Filter = "area" if of_clips else self.fixed.filter
        grid = self._grid(frames)
        said = self.fixed.shown(resolution, self.short_side, reduced)
        if grid > 1:
            said = f"grid {grid}x{grid} of " + (
                said if self.short_side else f"native->{resolution} {self.fixed.filter}"
            )
        if resolution > self._least(frames):
            said += f", smaller enlarged {self.fixed.filter}"
        return f"{said}, {self.fixed.timed(frames)}" if of_clips else said

    def finest(self, frames: int) -> int:
        return LARGEST if self.fixed.enlarge else self._least(frames)

    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        """A grid cell is at least ``resolution`` pixels a side where the source has them, so cells may overlap."""
        item, grid = self._item(index, frames), self._grid(frames)
        wanted = item.window.shot.numbers(item.window.start, frames)
        free = self.fixed.reading(resolution) if grid == 1 else Reading(filter=self.fixed.filter)
        window = self._read(item.source, wanted, free)
        height, width = window.shape[1:3]
        box = self.fixed.box(height, width) if grid == 1 else _cell(item, grid, height, width, resolution)
        return self._clip(window, box, resolution, frames)

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """Any source, a window anywhere within a shot or in the middle, the part that ``crop`` draws."""
        length = span(frames, stride)
        pool = self._pool(length)
        if not len(pool):
            most = self.longest[self.facts.clips].max(initial=0)
            raise DataError(f"no {self.split} clip has {length} frames without a cut; the longest has {most}")
        index = int(pool[below(draw, len(pool))])
        places = self._places(self.sources[index], length)
        shot, start = places[below(draw, len(places)) if self.clips == "random" else len(places) // 2]
        free = self.crop.reading(resolution, self.fixed.filter)
        window = self._read(index, shot.numbers(start, frames, stride), free)
        height, width = window.shape[1:3]
        box = self.crop.box(draw, height, width, resolution)
        return self._clip(window, box, resolution, frames, self.flip and bool(below(draw, 2)))

    def place(self, index: int, frames: int) -> int:
        """The place among the sources of the one that a fixed item is of. Raises IndexError."""
        return self._item(index, frames).source

    def shots_of(self, source: S) -> list[Shot]:
        return shots(source.frames, source.cuts, source.fps, self.fixed.fps)

    def _places(self, source: S, frames: int) -> Places:
        return Places(self.shots_of(source), frames, self.fixed.pads)

    def _read(self, index: int, wanted: Sequence[int], free: Reading) -> Pixels:
        """``free``: what size is wanted where files are not reduced to ``short_side``."""
        source = self.sources[index]
        if self.short_side is not None:
            free = Reading(self.short_side, filter="area" if source.kind == "clip" else self.fixed.filter)
        return self.read(source, wanted, free)

    def _clip(
        self, window: Pixels, box: Box, resolution: int, frames: int, mirrored: bool = False
    ) -> Float[Tensor, "3 {frames} {resolution} {resolution}"]:
        """A part of all frames at the same place, brought to a square; black frames follow where some are missing."""
        seen = resized(box.of(window), resolution, resolution, self.fixed.filter)
        if (missing := frames - len(seen)) > 0:
            seen = np.pad(seen, ((0, missing), (0, 0), (0, 0), (0, 0)))
        return as_clip(seen[:, :, ::-1] if mirrored else seen)

    def _grid(self, frames: int) -> int:
        return self.grid if isinstance(self.fixed, Cropped) and not self._of_clips(frames) else 1

    def _of_clips(self, frames: int) -> bool:
        return frames > 1 or bool(self.facts.clips.all())

    def _least(self, frames: int) -> int:
        pool, facts = self._pool(frames), self.facts
        sides = np.minimum(facts.heights[pool], facts.widths[pool])
        return int(min(sides.min(initial=LARGEST), self.short_side or LARGEST))

    def _pool(self, frames: int) -> np.ndarray:
        """The indices of the sources that hold ``frames`` frames."""
        if frames < 1:
            raise ValueError(f"a clip has at least 1 frame, not {frames}")
        if frames not in self._pools:
            clips = self.facts.clips
            enough = clips & ((self.longest >= frames) | self.fixed.pads) if self._of_clips(frames) else ~clips
            self._pools[frames] = np.flatnonzero(enough)
        return self._pools[frames]

    def _item(self, index: int, frames: int) -> Item:
        """Raises IndexError."""
        if frames not in self._ends:
            self._ends[frames] = np.cumsum(self._counts(frames))
        ends = self._ends[frames]
        if not 0 <= index < (ends[-1] if len(ends) else 0):
            raise IndexError(f"item {index} of {ends[-1] if len(ends) else 0}")
        place = int(np.searchsorted(ends, index, side="right"))
        before = int(ends[place - 1]) if place else 0
        return self._items_of(int(self._pool(frames)[place]), frames)[index - before]

    def _counts(self, frames: int) -> np.ndarray:
        """How many fixed items there are of each source of the pool; no source is looked at where all have as many."""
        pool = self._pool(frames)
        if not self._of_clips(frames) or self.fixed.windows == 1:
            return np.full(len(pool), self._grid(frames) ** 2, np.int64)
        return np.array([len(self._items_of(int(index), frames)) for index in pool], np.int64)

    def _items_of(self, index: int, frames: int) -> list[Item]:
        if not self.facts.clips[index]:
            grid = self._grid(frames)
            return [Item(index, _PHOTO, row, column) for row in range(grid) for column in range(grid)]
        return [Item(index, window) for window in self.fixed.places(self._places(self.sources[index], frames))]

    def _name(self, item: Item, frames: int) -> str:
        title = self.title(item.source)
        if not self.facts.clips[item.source]:
            return f"{title}[{item.row},{item.column}]"
        numbers = item.window.shot.numbers(item.window.start, frames)
        more = f"+{frames - len(numbers)}" if len(numbers) < frames else ""
        rate = "" if item.window.shot.step == 1 else f"@{str(self.fixed.fps).removesuffix('.0')}fps"
        return f"{title}[{numbers[0]}:{numbers[-1] + 1}{more}{rate}]"


_PHOTO: Final = Window(Shot(0, 1), 0)


def _cell(item: Item, grid: int, height: int, width: int, resolution: int) -> Box:
    short = min(height, width)
    side = max(short // grid, min(resolution, short))
    return Box(_spaced(height - side, item.row, grid), _spaced(width - side, item.column, grid), side, side)


def _spaced(room: int, index: int, count: int) -> int:
    return room // 2 if count == 1 else room * index // (count - 1)
