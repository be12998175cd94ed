"""How fixed items come out of files: which frames of a video, which part of a picture, by which filter."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Discriminator, Field, Tag

from omnitok.data.crops import middle
from omnitok.data.pixels import Box, Filter, Reading
from omnitok.data.shots import Places, Window
from omnitok.spec import Count, Registry

Native = Annotated[Literal["native"], Tag("<native>")]  # as the file is
OR_NATIVE: Final = Discriminator(lambda said: "<native>" if isinstance(said, str) else "<number>")
Fps = Annotated[Annotated[float, Field(gt=0), Tag("<number>")] | Native, OR_NATIVE]
ShortSide = Annotated[Annotated[int, Field(ge=1), Tag("<number>")] | Native, OR_NATIVE]


class View(ABC):
    """What is seen of a file. ``filter``, ``fps`` and ``short`` hold for training clips too."""

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        filter: Filter = "bicubic",
        fps: Fps = "native",
        windows: Count = 1,
        start: Literal["centre", "first", "spread"] = "centre",
        short: Literal["skip", "pad"] = "skip",
        enlarge: bool = False,
    ) -> None:
        self.filter: Filter = filter
        self.fps = None if fps == "native" else float(fps)
        self.windows, self.start, self.pads, self.enlarge = windows, start, short == "pad", enlarge

    @abstractmethod
    def box(self, height: int, width: int) -> Box:
        """The part of a picture that is seen."""

    @abstractmethod
    def reading(self, resolution: int) -> Reading:
        """What size a picture is given while it is read, where files are not reduced to a size of their own."""

    @abstractmethod
    def shown(self, resolution: int, short_side: int | None, reduced: Filter) -> str:
        """The same in words, for files that are first reduced to ``short_side`` by ``reduced``."""

    def places(self, places: Places) -> list[Window]:
        """The fixed windows of one video: at most ``windows``, no two of which overlap."""
        if self.start == "first":
            return list(itertools.islice(places.one_after_another(), self.windows))
        count = max(1, min(self.windows, len(places) // places.frames))
        if self.start == "spread" and count > 1:
            return [places[(len(places) - 1) * i // (count - 1)] for i in range(count)]
        return [places[(2 * i + 1) * len(places) // (2 * count)] for i in range(count)]

    def timed(self, frames: int) -> str:
        """Which frames of a video are seen, in words."""
        rate = "" if self.fps is None else f" at <={str(self.fps).removesuffix('.0')} fps"
        one = "first" if self.start == "first" else "centre"
        place = one if self.windows == 1 else f"{self.windows} windows {self.start}"
        return f"{frames} frame{'s' * (frames > 1)}{rate}, {place}{', short padded' * self.pads}"


class Cropped(View):
    """The shorter side is brought to the resolution, and the square in the middle is seen: "cc256".

    filter: by what pictures are resized, always antialiased; clips are scaled by the video library, photos by Pillow.
    fps: frames a second of clips at most; frame i is the one shown at i / fps, the rate a file's average. native: all.
    windows: fixed clips of a video at most, no two of which overlap; a short video has fewer.
    start: where these stand. centre: amid equal parts, so one is the centre; first: from the start on; spread: end to end.
    short: a video without a long enough shot is skipped, or its longest one padded with black frames.
    enlarge: whether pictures smaller than the resolution may be enlarged; false refuses them.
    """

    def box(self, height: int, width: int) -> Box:
        return middle(height, width)

    def reading(self, resolution: int) -> Reading:
        return Reading(short_side=resolution, filter=self.filter)

    def shown(self, resolution: int, short_side: int | None, reduced: Filter) -> str:
        if short_side is None:
            return f"cc{resolution} {self.filter}"
        if short_side == resolution:
            return f"cc{resolution} {reduced}"
        first = f"cc{short_side}" if reduced == self.filter else f"cc{short_side} {reduced}"
        return f"{first}->{resolution} {self.filter}"


class Squashed(View):
    """All of the frame is brought to a square, whatever its aspect, as OmniTokenizer (arXiv:2406.09399) is evaluated.

    filter: by what pictures are resized, always antialiased; clips are scaled by the video library, photos by Pillow.
    fps: frames a second of clips at most; frame i is the one shown at i / fps, the rate a file's average. native: all.
    windows: fixed clips of a video at most, no two of which overlap; a short video has fewer.
    start: where these stand. centre: amid equal parts, so one is the centre; first: from the start on; spread: end to end.
    short: a video without a long enough shot is skipped, or its longest one padded with black frames.
    enlarge: whether pictures smaller than the resolution may be enlarged; false refuses them.
    """

    def box(self, height: int, width: int) -> Box:
        return Box(0, 0, height, width)

    def reading(self, resolution: int) -> Reading:
        return Reading(square=resolution, filter=self.filter)

    def shown(self, resolution: int, short_side: int | None, reduced: Filter) -> str:
        before = "" if short_side is None else f"short side {short_side} {reduced}, "
        return f"{before}squash{resolution} {self.filter}"


VIEWS: Registry[View] = Registry(
    "view",
    tag="fit",
    usual="crop",
    group="omnitok.views",
    contract=View,
    crop=Cropped,
    squash=Squashed,
)
ViewPart = Annotated[Callable[..., View], VIEWS]
