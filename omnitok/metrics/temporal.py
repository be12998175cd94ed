"""How a clip changes from frame to frame, without a motion model: in float64, on pixels clamped to the legal range."""

from collections.abc import Callable
from typing import ClassVar, Literal, final

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import Clip, Pair
from omnitok.metrics.fidelity import decibels
from omnitok.metrics.frames import OfClips, unit_range


def temporal_psnr(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of the differences between successive frames of clips in [-1, 1]: of each
    difference over all channels, then their mean. The peak is that of pixels, 1, although differences span 2. An error
    that stays the same over time is none. Raises ValueError for a single frame."""

    def of_one(a: Clip, b: Clip) -> Float[Tensor, " 1"]:
        return decibels(reduce((_changes(a) - _changes(b)).square(), "b c t h w -> b t", "mean")).mean(-1)

    return _one_by_one(of_one, a, b)


def flicker(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """How much more the pixels of clips ``b`` change from frame to frame than those of ``a``, both in [-1, 1]: the mean over
    pixels, channels and differences of max(0, |change of b| - |change of a|), as a share of the range. What moves less
    than it should counts 0. Raises ValueError for a single frame."""

    def of_one(a: Clip, b: Clip) -> Float[Tensor, " 1"]:
        return reduce((_changes(b).abs() - _changes(a).abs()).clamp_min(0), "b c t h w -> b", "mean")

    return _one_by_one(of_one, a, b)


def _one_by_one(measure: Callable[[Clip, Clip], Float[Tensor, " 1"]], a: Clip, b: Clip) -> Float[Tensor, " b"]:
    return torch.cat([measure(*one) for one in zip(a.split(1), b.split(1), strict=True)])


def _changes(clip: Clip) -> Float[Tensor, "b c t H W"]:
    if clip.shape[2] < 2:
        raise ValueError("a single frame has no other to differ from")
    return torch.diff(unit_range(clip), dim=2)


class _OfChanges(OfClips):
    silence: ClassVar[str] = "says nothing of single images"

    def add(self, pair: Pair) -> None:
        if pair.original.shape[2] > 1:
            super().add(pair)


@final
class TemporalPeakSignalToNoise(_OfChanges):
    """Peak signal-to-noise ratio of the differences between successive frames, at a peak of 1 as for pixels: each
    difference over RGB, the mean over differences, the mean over items. Says nothing of single images."""

    label: ClassVar[str] = "temporal_psnr"
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "temporal_psnr[rgb, per difference of successive frames, clamped before it, peak 1, mse >= 1e-10]"

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return temporal_psnr(a, b)


@final
class Flicker(_OfChanges):
    """The absolute change from frame to frame beyond that of the original, pixel by pixel, as a share of the range. It is
    VBench's temporal flickering (the mean absolute difference of successive frames, arXiv:2311.17982) with the
    original's own motion taken off at each pixel; nothing is warped. Says nothing of single images."""

    label: ClassVar[str] = "flicker"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    protocol = (
        "flicker[rgb, mean over pixels of the change between successive frames beyond the original's, less change is 0, "
        "clamped, range 1, no warping]"
    )

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return flicker(a, b)
