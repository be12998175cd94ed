"""Pixels on their way between files (uint8 [T, H, W, 3]) and networks (float32 [3, T, H, W] in [-1, 1])."""

from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

Pixels: TypeAlias = UInt8[np.ndarray, "T H W 3"]
Filter = Literal["bicubic", "bilinear", "area", "lanczos"]  # all of them antialiased where they reduce

_FILTERS: Final[dict[Filter, Image.Resampling]] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}


class Reading(NamedTuple):
    """What size pictures are given while they are read: a shorter side of at most so many pixels, or exactly a square."""

    short_side: int | None = None
    square: int | None = None
    filter: Filter = "bicubic"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that a picture of this one becomes."""
        if self.square is not None:
            return self.square, self.square
        return (height, width) if self.short_side is None else reduced_size(height, width, self.short_side)


AS_IT_IS: Final = Reading()


def as_clip(frames: Pixels) -> Float[Tensor, "3 T H W"]:
    """0 becomes -1 and 255 becomes 1."""
    return torch.from_numpy(rearrange(frames, "T H W c -> c T H W").astype(np.float32)).div_(127.5).sub_(1.0)


def as_pixels(clip: Float[Tensor, "3 T H W"]) -> Pixels:
    """The inverse of ``as_clip``: rounded to the nearest value; what is beyond [-1, 1] is clamped."""
    values = clip.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return rearrange(values.to(torch.uint8), "c T H W -> T H W c").contiguous().cpu().numpy()


def resized(
    frames: Pixels, height: int, width: int, filter: Filter = "bicubic"
) -> UInt8[np.ndarray, "T {height} {width} 3"]:
    """Antialiased where it reduces; each frame on its own."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([np.asarray(image_resized(_image(frame), height, width, filter)) for frame in frames])


class Box(NamedTuple):
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, frames: Pixels) -> UInt8[np.ndarray, "T height width 3"]:
        return frames[:, self.top : self.top + self.height, self.left : self.left + self.width]


def reduced_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """The (height, width) at which the shorter side is ``short_side``; never larger than it was."""
    share = min(1.0, short_side / min(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def cropped_to(frames: Pixels, multiple: int) -> UInt8[np.ndarray, "T new_H new_W 3"]:
    """The largest centred part whose sides ``multiple`` divides. Raises ValueError where there is none."""
    height, width = frames.shape[1:3]
    new_height, new_width = height - height % multiple, width - width % multiple
    if not new_height or not new_width:
        raise ValueError(f"{height} x {width} pixels hold no part whose sides {multiple} divides; resize it instead")
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return frames[:, top : top + new_height, left : left + new_width]


def resized_to(frames: Pixels, multiple: int) -> UInt8[np.ndarray, "T new_H new_W 3"]:
    """The whole picture, each side brought to the nearest multiple; the aspect ratio changes by that little."""
    height, width = (max(1, round(side / multiple)) * multiple for side in frames.shape[1:3])
    return resized(frames, height, width)


def image_resized(image: Image.Image, height: int, width: int, filter: Filter) -> Image.Image:
    """One RGB picture; itself where it has that size."""
    return image if (image.height, image.width) == (height, width) else image.resize((width, height), _FILTERS[filter])


def _image(frame: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame))
