"""How random clips and fixed items are taken out of files, the same for every dataset that is made of files."""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from omnitok.data.contract import DataError, Dataset, Split, span
from omnitok.data.pixels import Pixels, as_clip, square
from omnitok.spec import STRICT


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


class Item(NamedTuple):
    """A fixed place in a source: from which frame, and which cell of how fine a grid."""

    name: str
    source: int
    start: int
    row: int
    column: int
    grid: int


class SourceDataset(Dataset, Generic[S]):
    """A dataset made of files. It takes squares out of photos, and windows that cross no cut out of clips.

    Single frames come from the photos, and from the clips only where there is no photo.
    """

    short_side: int  # to which pictures are reduced when they are read
    grid: ClassVar[int] = 1  # fixed items of a photo, along each side
    windows: ClassVar[int] = 1  # fixed items of a clip, at most

    def __init__(self, sources: Sequence[S], split: Split, flip: bool) -> None:
        self.sources, self.split, self.flip = tuple(sources), split, flip
        self._pools: dict[int, tuple[int, ...]] = {}
        self._items: dict[int, tuple[Item, ...]] = {}

    @abstractmethod
    def read(self, source: S, start: int, count: int) -> Pixels:
        """Frames ``start`` to ``start + count`` of a source. Raises DataError."""

    def items(self, frames: int) -> tuple[str, ...]:
        return tuple(item.name for item in self._fixed(frames))

    def view(self, frames: int, resolution: int) -> str:
        grid = f"grid {self.grid}x{self.grid} of " if self.grid > 1 and frames == 1 else ""
        clips = "" if frames == 1 else f", {frames} frames, at most {self.windows} a shot set"
        return f"{grid}cc{self.short_side}->{resolution} bicubic{clips}"

    def finest(self, frames: int) -> int:
        sides = [min(self.sources[i].height, self.sources[i].width) for i in self._pool(frames)]
        return min([self.short_side, *sides])

    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        """A grid cell is at least ``resolution`` pixels a side where the source has them, so cells may overlap."""
        _, source, start, row, column, grid = self._fixed(frames)[index]
        window = self.read(self.sources[source], start, frames)
        _, height, width, _ = window.shape
        short = min(height, width)
        side = max(short // grid, min(resolution, short))
        top, left = _spaced(height - side, row, grid), _spaced(width - side, column, grid)
        return as_clip(square(window, top, left, side, resolution))

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """Any source, any start within a shot, any square between ``resolution`` and the short side."""
        length = span(frames, stride)
        pool = self._pool(length)
        if not pool:
            raise DataError(
                f"no {self.split} clip has {length} frames without a cut; the longest has {self._longest()}"
            )
        source = self.sources[pool[_below(draw, len(pool))]]
        starts = starts_in(source, length)
        window = self.read(source, _nth(starts, _below(draw, sum(map(len, starts)))), length)[::stride]
        _, height, width, _ = window.shape
        short = min(height, width)
        least = min(resolution, short)
        side = least + _below(draw, short - least + 1)
        top, left = _below(draw, height - side + 1), _below(draw, width - side + 1)
        clip = square(window, top, left, side, resolution)
        return as_clip(clip[:, :, ::-1] if self.flip and _below(draw, 2) else clip)

    def _pool(self, frames: int) -> tuple[int, ...]:
        """The indices of the sources that hold ``frames`` frames."""
        if frames < 1:
            raise ValueError(f"a clip has at least 1 frame, not {frames}")
        if frames not in self._pools:
            photos = [i for i, source in enumerate(self.sources) if source.kind == "photo"]
            clips = [i for i, source in enumerate(self.sources) if source.kind == "clip"]
            chosen = photos if frames == 1 and photos else clips
            self._pools[frames] = tuple(i for i in chosen if starts_in(self.sources[i], frames))
        return self._pools[frames]

    def _fixed(self, frames: int) -> tuple[Item, ...]:
        if frames not in self._items:
            self._items[frames] = tuple(item for i in self._pool(frames) for item in self._items_of(i, frames))
        return self._items[frames]

    def _items_of(self, index: int, frames: int) -> list[Item]:
        source = self.sources[index]
        if source.kind == "photo":
            cells = itertools.product(range(self.grid), repeat=2)
            return [Item(f"{source.title}[{y},{x}]", index, 0, y, x, self.grid) for y, x in cells]
        starts = starts_in(source, frames)
        total = sum(map(len, starts))
        count = max(1, min(self.windows, total // frames))
        chosen = [_nth(starts, (2 * i + 1) * total // (2 * count)) for i in range(count)]
        return [Item(f"{source.title}[{start}:{start + frames}]", index, start, 0, 0, 1) for start in chosen]

    def _longest(self) -> int:
        shots = [shot for source in self.sources if source.kind == "clip" for shot in shots_of(source)]
        return max(map(len, shots), default=0)


def shots_of(source: Source) -> list[range]:
    """The frames of each shot."""
    edges = [0, *source.cuts, source.frames]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def starts_in(source: Source, frames: int) -> list[range]:
    """Where a window of ``frames`` frames may start so that it crosses no cut: one range a shot that is long enough."""
    return [shot[: len(shot) - frames + 1] for shot in shots_of(source) if len(shot) >= frames]


def _nth(ranges: list[range], index: int) -> int:
    return next(itertools.islice(itertools.chain.from_iterable(ranges), index, None))


def _spaced(room: int, index: int, count: int) -> int:
    return room // 2 if count == 1 else room * index // (count - 1)


def _below(draw: torch.Generator, bound: int) -> int:
    return int(torch.randint(bound, (), generator=draw).item())
