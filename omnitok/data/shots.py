"""Which frames of a video make a clip: shots between cuts, seen at a rate, and windows of them."""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple


class Shot(NamedTuple):
    """What lies between two cuts: ``length`` frames of the video from ``first``, of which every ``step``-th is seen.

    Frame k of the shot is frame ``first + floor(k * step)`` of the video, the one that is shown at that time.
    """

    first: int
    length: int
    step: Fraction = Fraction(1)

    @property
    def frames(self) -> int:
        """How many frames are seen."""
        return self.length if self.step == 1 else math.ceil(self.length / self.step)

    def numbers(self, start: int, frames: int, stride: int = 1) -> Sequence[int]:
        """Of the video's frames, those of a window; fewer than ``frames`` where the shot ends before."""
        seen = range(start, min(start + (frames - 1) * stride + 1, self.frames), stride)
        if self.step == 1:
            return range(self.first + seen.start, self.first + seen.stop, stride)
        return tuple(self.first + math.floor(k * self.step) for k in seen)


def shots(frames: int, cuts: Sequence[int], rate: float | None, fps: float | None) -> list[Shot]:
    """The shots of a video of ``rate`` frames a second, seen at ``fps`` at most. A cut is the first frame after it."""
    step = Fraction(1)
    if rate is not None and fps is not None and rate > fps:
        step = _exact(rate) / _exact(fps)
    return [Shot(a, b - a, step) for a, b in itertools.pairwise([0, *cuts, frames])]


def _exact(rate: float) -> Fraction:
    """29.97002997 is 30000/1001."""
    return Fraction(rate).limit_denominator(100_000)


class Window(NamedTuple):
    """A place in a shot."""

    shot: Shot
    start: int


class Places:
    """Where a window of ``frames`` frames may start so that it crosses no cut. ``pad``: where there is no such place,
    the longest shot counts as one, although it ends before the window does."""

    def __init__(self, shots: Sequence[Shot], frames: int, pad: bool = False) -> None:
        self.frames = frames
        self.runs = [(shot, shot.frames - frames + 1) for shot in shots if shot.frames >= frames]
        if pad and not self.runs:
            self.runs = [(max(shots, key=lambda shot: shot.frames), 1)]

    def __len__(self) -> int:
        return sum(count for _, count in self.runs)

    def __getitem__(self, index: int) -> Window:
        for shot, count in self.runs:
            if index < count:
                return Window(shot, index)
            index -= count
        raise IndexError("no such place")

    def one_after_another(self) -> Iterator[Window]:
        """Windows from the beginning of each shot that do not overlap."""
        for shot, count in self.runs:
            yield from (Window(shot, start) for start in range(0, count, self.frames))
