"""How near the pixels are: PSNR, in float64, on pixels clamped to the legal range and not rounded to 8 bit."""

from typing import ClassVar, Literal, final

from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import Clip
from omnitok.metrics.frames import OfClips, over_frames

FLOOR = 1e-10  # of the mean squared error: identical frames count 100 dB, not infinity


def decibels(error: Tensor) -> Tensor:
    """A mean squared error of what is at most 1 as a peak signal-to-noise ratio."""
    return -10 * error.clamp_min(FLOOR).log10()


def psnr(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of clips in [-1, 1]: of each frame over all channels, then the frames' mean."""
    return over_frames(lambda x, y: decibels((x - y).square().mean((1, 2, 3))), a, b)


def psnr_clip(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of clips in [-1, 1], of the squared error of all frames together, as LARP
    (arXiv:2410.21264) and TokenBench (arXiv:2501.03575) have it. Never more than the mean over frames."""
    return decibels(over_frames(lambda x, y: (x - y).square().mean((1, 2, 3)), a, b))


@final
class PeakSignalToNoise(OfClips):
    """Peak signal-to-noise ratio: each frame over RGB, the mean over frames, the mean over items. Of pixels as the tokenizer
    gives them, clamped and not rounded to 8 bit."""

    label: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "psnr[rgb, per frame, clamped, peak 1, mse >= 1e-10]"

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return psnr(a, b)


@final
class PooledPeakSignalToNoise(OfClips):
    """Peak signal-to-noise ratio of a whole clip: the squared error of all its frames over RGB together (LARP,
    arXiv:2410.21264; TokenBench of arXiv:2501.03575), the mean over items. Lower than psnr where frames differ; the
    same for images."""

    label: ClassVar[str] = "psnr_clip"
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "psnr_clip[rgb, pooled over the frames of a clip, clamped, peak 1, mse >= 1e-10]"

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return psnr_clip(a, b)
