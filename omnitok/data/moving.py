"""Shapes that move as is known: clips to try things on, without files, of which a test can say every pixel."""

import math
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from omnitok.data.contract import DataError, Dataset, Split, span
from omnitok.data.draws import below, uniform
from omnitok.data.pixels import as_clip, as_pixels
from omnitok.data.sources import LARGEST
from omnitok.randomness import generator
from omnitok.spec import Count, Positive, digest

SHAPES: Final = ("disc", "square", "triangle")
DARKEST: Final = 154  # of 255, of any channel of a shape
CELLS: Final = 6  # of a textured background, along each side


class Motion(NamedTuple):
    """Where the shape of a clip is. Positions are its middle's (y, x) in pixels, the first pixel's middle being 0.5."""

    shape: str
    radius: int  # half the side of the square that it fits in
    colour: Float[Tensor, "3"]
    velocity: Float[Tensor, "2"]  # pixels a frame, before anything bounced
    positions: Float[Tensor, "T 2"]


class MovingShapes(Dataset):
    """One disc, square or triangle of one colour that moves with one velocity; which it is, is the clip's class.

    Every clip is a function of its split, its index and the choices: no two splits share a scene. Its pixels are those
    of the shape's outline, each covered as far as it lies inside (half a pixel beyond it is not at all), to 8 bits.

    clips: how many fixed items a split has; the shapes take turns.
    length: frames that a clip has at most.
    size: width of a shape by that of the picture.
    motion: whether velocities are whole numbers of pixels a frame, so that frames are shifted copies, or any numbers.
    speed: pixels a frame along each axis at most, at any resolution.
    edge: what a shape does at the edge of the picture: bounce back, or leave and come in at the other side.
    background: plain, or a texture that stands still.
    """

    classes = SHAPES

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        clips: Count = 48,
        length: Count = 256,
        size: Annotated[float, Field(gt=0, le=0.5)] = 0.3,
        motion: Literal["integer", "subpixel"] = "integer",
        speed: Positive = 2.0,
        edge: Literal["bounce", "wrap"] = "bounce",
        background: Literal["plain", "texture"] = "plain",
    ) -> None:
        if motion == "integer" and speed < 1:
            raise DataError(f"speed={speed}: the shortest way of a whole number of pixels is 1; say motion: subpixel")
        self.split, self.clips, self.length = split, clips, length
        self.size, self.whole, self.speed = size, motion == "integer", speed
        self.bounces, self.textured = edge == "bounce", background == "texture"
        recipe = [clips, length, size, motion, speed, edge, background]
        self.fingerprint = digest({"moving_shapes": self.version, "recipe": recipe})

    def items(self, frames: int) -> tuple[str, ...]:
        if frames < 1:
            raise ValueError(f"a clip has at least 1 frame, not {frames}")
        if frames > self.length:
            return ()
        return tuple(f"{SHAPES[i % len(SHAPES)]}-{i}[0:{frames}]" for i in range(self.clips))

    def count(self, frames: int) -> int:
        return self.clips if frames <= self.length else 0

    def finest(self, frames: int) -> int:
        return LARGEST

    def view(self, frames: int, resolution: int) -> str:
        return f"drawn at {resolution}, first {frames} frame{'s' * (frames > 1)}"

    def label(self, index: int, frames: int) -> int:
        return index % len(SHAPES)

    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        return self._drawn(self.motion(index, frames, resolution), self._background("item", index, resolution))

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """Any scene of this split that is no fixed item, from its first frame on."""
        if (length := span(frames, stride)) > self.length:
            raise DataError(f"no {self.split} clip has {length} frames; the longest has {self.length}")
        scene = below(draw, 1 << 31)
        motion = self._motion("sample", scene, frames, resolution, stride)
        return self._drawn(motion, self._background("sample", scene, resolution))

    def motion(self, index: int, frames: int, resolution: int) -> Motion:
        """What moves in a fixed item. Raises IndexError."""
        if not 0 <= index < self.count(frames):
            raise IndexError(f"item {index} of {self.count(frames)}")
        return self._motion("item", index, frames, resolution)

    def _motion(self, kind: str, scene: int, frames: int, resolution: int, stride: int = 1) -> Motion:
        draw = generator(0, "moving_shapes", self.split, kind, scene)
        colour = torch.tensor([DARKEST + below(draw, 256 - DARKEST) for _ in range(3)]).float().div(127.5).sub(1)
        velocity = self._velocity(draw)
        radius = max(1, round(self.size * resolution / 2))
        room = resolution - 2 * radius
        start = torch.tensor([uniform(draw, 0.0, 1.0) for _ in range(2)], dtype=torch.float64) * room
        times = torch.arange(0, span(frames, stride), stride, dtype=torch.float64)[:, None]
        along = (start.round() if self.whole else start) + times * velocity
        if self.bounces:
            positions = radius + room - (along.remainder(2 * room) - room).abs() if room else radius + 0 * along
        else:
            positions = (radius + along).remainder(resolution)
        return Motion(SHAPES[scene % len(SHAPES)], radius, colour, velocity, positions)

    def _velocity(self, draw: torch.Generator) -> Float[Tensor, "2"]:
        """Any but standing still."""
        if not self.whole:
            angle, length = uniform(draw, 0.0, 2 * math.pi), uniform(draw, self.speed / 4, self.speed)
            return torch.tensor([length * math.sin(angle), length * math.cos(angle)], dtype=torch.float64)
        most = int(self.speed)
        side = 2 * most + 1
        number = below(draw, side * side - 1)
        number += number >= side * side // 2  # the middle one is no motion
        return torch.tensor([number // side - most, number % side - most], dtype=torch.float64)

    def _background(self, kind: str, scene: int, resolution: int) -> Float[Tensor, "3 H W"]:
        """At most 0, which is darker than any shape."""
        draw = generator(0, "moving_shapes background", self.split, kind, scene)
        cells = CELLS if self.textured else 1
        coarse = -torch.rand((1, 3, cells, cells), generator=draw)
        return F.interpolate(coarse, size=(resolution, resolution), mode="bilinear", align_corners=False)[0]

    def _drawn(self, motion: Motion, background: Float[Tensor, "3 H W"]) -> Float[Tensor, "3 T H W"]:
        side = background.shape[-1]
        middles = torch.arange(side, dtype=torch.float64) + 0.5
        y, x = (middles - at[:, None] for at in motion.positions.T)  # [T side] each
        if not self.bounces:
            y, x = ((one + side / 2).remainder(side) - side / 2 for one in (y, x))
        inside = (0.5 - _beyond(motion.shape, y[:, :, None], x[:, None, :], motion.radius)).clamp(0, 1).float()
        return as_clip(as_pixels(torch.lerp(background[:, None], motion.colour[:, None, None, None], inside)))


def _beyond(shape: str, y: Tensor, x: Tensor, radius: int) -> Tensor:
    """How far a point lies beyond an outline around (0, 0), in pixels; negative within."""
    if shape == "disc":
        return torch.hypot(y, x) - radius
    if shape == "square":
        return torch.maximum(y.abs(), x.abs()) - radius
    slant = x.abs() * math.sin(math.pi / 3) - y * math.cos(math.pi / 3)  # a triangle that stands on its base
    return torch.maximum(y, slant) - radius / 2
