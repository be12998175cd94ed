"""Pixels of clips, and numbers that are means over their frames."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import Clip, MeanOfItems, Pair

PIECE = 2**16  # numbers of a clip that are worked on at once, or a frame: what is between then stays in a CPU's cache
Frames = Float[Tensor, "n c H W"]


def unit_range(pixels: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1] in float64, clamped to the range of a picture file, not rounded to its levels."""
    return ((pixels.double() + 1) / 2).clamp(0, 1)


def over_frames(measure: Callable[[Frames, Frames], Float[Tensor, " n"]], a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """``measure`` of frames in [0, 1], few at a time so that memory does not grow with the clip, and its mean over the
    frames of each clip."""
    frames = [rearrange(clip, "b c t h w -> (b t) c h w") for clip in (a, b)]
    few = max(1, PIECE // frames[0][0].numel())
    pieces = zip(*(side.split(few) for side in frames), strict=True)
    found = torch.cat([measure(unit_range(x), unit_range(y)) for x, y in pieces])
    return reduce(found, "(b t) -> b", "mean", b=a.shape[0])


def refuse_smaller(clip: Clip, least: int, label: str) -> None:
    """Raises ValueError where frames have not ``least`` pixels a side."""
    if min(clip.shape[-2:]) < least:
        raise ValueError(f"{label} needs {least} pixels a side, and the frame is {clip.shape[-2]} x {clip.shape[-1]}")


class OfClips(MeanOfItems):
    """A number for each clip and its reconstruction."""

    @abstractmethod
    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]: ...

    def add(self, pair: Pair) -> None:
        self.values += self.of(pair.original, pair.reconstruction).tolist()
