"""Which part of a picture is shown: a square of it, or all of it brought to a square."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

import torch

from omnitok.data.contract import DataError
from omnitok.data.draws import below, uniform
from omnitok.data.pixels import Box, Filter, Reading
from omnitok.spec import Positive, Registry, Share


class Crop(ABC):
    """Chooses the part of a training picture; it is then brought to a square. A function of the generator's state."""

    version: ClassVar[int] = 1

    @abstractmethod
    def box(self, draw: torch.Generator, height: int, width: int, resolution: int) -> Box:
        """The part of a picture of ``height`` x ``width`` that becomes ``resolution`` pixels a side."""

    def reading(self, resolution: int, filter: Filter) -> Reading:
        """What size a picture may be given while it is read, if nothing else says so."""
        return Reading(filter=filter)


class AnySquare(Crop):
    """A square of any size between the resolution and the shorter side, anywhere; no aspect ratio changes."""

    def box(self, draw: torch.Generator, height: int, width: int, resolution: int) -> Box:
        short = min(height, width)
        least = min(resolution, short)
        side = least + below(draw, short - least + 1)
        return Box(below(draw, height - side + 1), below(draw, width - side + 1), side, side)


class Centre(Crop):
    """The largest square in the middle."""

    def box(self, draw: torch.Generator, height: int, width: int, resolution: int) -> Box:
        return middle(height, width)

    def reading(self, resolution: int, filter: Filter) -> Reading:
        return Reading(short_side=resolution, filter=filter)


class Whole(Crop):
    """All of it, squashed to a square, as OmniTokenizer (arXiv:2406.09399) trains."""

    def box(self, draw: torch.Generator, height: int, width: int, resolution: int) -> Box:
        return Box(0, 0, height, width)

    def reading(self, resolution: int, filter: Filter) -> Reading:
        return Reading(square=resolution, filter=filter)


class Resized(Crop):
    """A part of any area and aspect ratio, anywhere, squashed to a square: the crop of Inception (arXiv:1409.4842).

    Ten are drawn, of which the first that fits is taken; where none fits, the middle square.

    scale: least and most share of the picture's area; a lower least shows more detail and less of the whole.
    ratio: least and most width by height; the logarithm is uniform.
    """

    TRIES: ClassVar[int] = 10

    def __init__(
        self,
        *,
        scale: tuple[Share, Share] = (0.25, 1.0),
        ratio: tuple[Positive, Positive] = (0.75, 4 / 3),
    ) -> None:
        for name, (least, most) in (("scale", scale), ("ratio", ratio)):
            if not 0 < least <= most:
                raise DataError(f"{name}=[{least}, {most}]: must rise and be above 0")
        self.scale, self.ratio = scale, ratio

    def box(self, draw: torch.Generator, height: int, width: int, resolution: int) -> Box:
        for _ in range(self.TRIES):
            area = uniform(draw, *self.scale) * height * width
            ratio = math.exp(uniform(draw, *map(math.log, self.ratio)))
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                return Box(below(draw, height - tall + 1), below(draw, width - wide + 1), tall, wide)
        return middle(height, width)


def middle(height: int, width: int) -> Box:
    """The largest square in the middle."""
    short = min(height, width)
    return Box((height - short) // 2, (width - short) // 2, short, short)


CROPS: Registry[Crop] = Registry(
    "crop",
    group="omnitok.crops",
    contract=Crop,
    any=AnySquare,
    centre=Centre,
    whole=Whole,
    resized=Resized,
)
CropPart = Annotated[Callable[..., Crop], CROPS]
