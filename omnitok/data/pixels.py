"""Pixels on their way between files (uint8 [T, H, W, 3]) and networks (float32 [3, T, H, W] in [-1, 1])."""

from typing import TypeAlias

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

Pixels: TypeAlias = UInt8[np.ndarray, "T H W 3"]


def as_clip(frames: Pixels) -> Float[Tensor, "3 T H W"]:
    """0 becomes -1 and 255 becomes 1."""
    return torch.from_numpy(rearrange(frames, "T H W c -> c T H W").astype(np.float32)).div_(127.5).sub_(1.0)


def as_pixels(clip: Float[Tensor, "3 T H W"]) -> Pixels:
    """The inverse of ``as_clip``: rounded to the nearest value; what is beyond [-1, 1] is clamped."""
    values = clip.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return rearrange(values.to(torch.uint8), "c T H W -> T H W c").contiguous().cpu().numpy()


def resized(frames: Pixels, height: int, width: int) -> UInt8[np.ndarray, "T {height} {width} 3"]:
    """Bicubic, antialiased where it reduces; each frame on its own."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([np.asarray(_image(frame).resize((width, height), Image.Resampling.BICUBIC)) for frame in frames])


def square(
    frames: Pixels, top: int, left: int, side: int, resolution: int
) -> UInt8[np.ndarray, "T {resolution} {resolution} 3"]:
    """One square cut out of all frames at the same place, ``side`` pixels a side, brought to ``resolution``."""
    return resized(frames[:, top : top + side, left : left + side], resolution, resolution)


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


def _image(frame: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame))
