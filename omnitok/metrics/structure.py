"""How alike the structure is, per frame, in float64, on pixels clamped to the legal range: SSIM (Wang, Bovik, Sheikh and
Simoncelli 2004, IEEE Transactions on Image Processing 13) and multi-scale SSIM (Wang, Simoncelli and Bovik 2003, Asilomar
Conference on Signals, Systems and Computers)."""

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import Clip
from omnitok.metrics.frames import Frames, OfClips, over_frames, refuse_smaller

Windows = Float[Tensor, "n c h w"]
C1, C2 = 0.01**2, 0.03**2
UNIFORM = (1 / 7,) * 7
SAMPLE = 49 / 48  # of the variance over 7 x 7 pixels as an estimate: Bessel's correction
_BELL = torch.exp(-torch.arange(-5, 6, dtype=torch.double).square() / (2 * 1.5**2))
GAUSSIAN = tuple((_BELL / _BELL.sum()).tolist())
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # how much each counts, the finest first
HALVED = 2 ** (len(SCALES) - 1)
LEAST = (len(GAUSSIAN) - 1) * HALVED + 1  # of a side that is halved, the odd pixel repeated, to that of the window


def ssim(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004) of clips in [-1, 1] as scikit-image defines it by default: a uniform
    7 x 7 window, sample covariance, K1 = 0.01, K2 = 0.03, data range 1, only windows that lie within the frame; each
    channel and frame, then the mean. Raises ValueError where a frame is smaller than the window."""
    refuse_smaller(a, len(UNIFORM), "ssim")
    return over_frames(lambda x, y: _whole(x, y, UNIFORM, SAMPLE).mean((1, 2, 3)), a, b)


def ssim_gaussian(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Structural similarity of clips in [-1, 1] as Wang et al. 2004 define it: an 11 x 11 Gaussian window of standard
    deviation 1.5, the rest as ``ssim``. scikit-image's with gaussian_weights and without use_sample_covariance. Raises
    ValueError where a frame is smaller than the window."""
    refuse_smaller(a, len(GAUSSIAN), "ssim_gaussian")
    return over_frames(lambda x, y: _whole(x, y, GAUSSIAN).mean((1, 2, 3)), a, b)


def ms_ssim(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """Multi-scale structural similarity (Wang et al. 2003) of clips in [-1, 1]: the mean of contrast and structure at
    five scales, each half the one before, and of luminance at the coarsest, with their exponents, multiplied; each
    channel and frame, then the mean. A scale is the means of 2 x 2 pixels, an odd last row or column repeated; a scale
    whose mean is negative counts 0, as it has no power. Raises ValueError where a side has less than 161 pixels."""
    refuse_smaller(a, LEAST, "ms_ssim")
    return over_frames(_over_scales, a, b)


def _over_scales(x: Frames, y: Frames) -> Float[Tensor, " n"]:
    found = x.new_ones(x.shape[:2])
    for place, weight in enumerate(SCALES):
        luminance, structure = _similar(x, y, GAUSSIAN)
        kept = structure if place < len(SCALES) - 1 else luminance * structure
        found = found * kept.mean((-2, -1)).clamp_min(0) ** weight
        x, y = _half(x), _half(y)
    return found.mean(1)


def _half(x: Frames) -> Windows:
    return F.avg_pool2d(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate"), 2)


def _whole(x: Frames, y: Frames, taps: Sequence[float], sample: float = 1.0) -> Windows:
    luminance, structure = _similar(x, y, taps, sample)
    return luminance * structure


def _similar(x: Frames, y: Frames, taps: Sequence[float], sample: float = 1.0) -> tuple[Windows, Windows]:
    """Luminance, and contrast with structure, in each window."""
    mean_x, mean_y, mean_squares, mean_product = _filtered(torch.stack([x, y, x * x + y * y, x * y]), taps)
    squares, product = mean_x * mean_x + mean_y * mean_y, mean_x * mean_y
    luminance = (2 * product + C1) / (squares + C1)
    covariance, variances = sample * (mean_product - product), sample * (mean_squares - squares)
    return luminance, (2 * covariance + C2) / (variances + C2)


def _filtered(x: Float[Tensor, "*n H W"], taps: Sequence[float]) -> Float[Tensor, "*n h w"]:
    """Weighted means along columns and rows; only where all taps lie within."""
    for axis in (-1, -2):
        size = x.shape[axis] - len(taps) + 1
        mean = x.narrow(axis, 0, size) * taps[0]
        for place, tap in enumerate(taps[1:], 1):
            mean.add_(x.narrow(axis, place, size), alpha=tap)
        x = mean
    return x


@final
class StructuralSimilarity(OfClips):
    """Structural similarity as scikit-image computes it by default (uniform 7 x 7 window)."""

    label: ClassVar[str] = "ssim"
    least_side: ClassVar[int] = len(UNIFORM)
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "ssim[rgb, per frame, clamped, uniform 7x7, sample covariance, range 1]"

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return ssim(a, b)


@final
class GaussianSimilarity(OfClips):
    """Structural similarity as Wang et al. 2004 define it (Gaussian 11 x 11 window); of frames as large as they are, with
    no mean taken of large ones first."""

    label: ClassVar[str] = "ssim_gaussian"
    least_side: ClassVar[int] = len(GAUSSIAN)
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = (
        "ssim_gaussian[rgb, per frame at full size, clamped, gaussian 11x11 sigma 1.5, population covariance, windows "
        "within the frame, range 1]"
    )

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return ssim_gaussian(a, b)


@final
class MultiScaleSimilarity(OfClips):
    """Structural similarity over five scales with the weights of Wang et al. 2003 (Gaussian 11 x 11 window); frames have
    161 pixels a side or more."""

    label: ClassVar[str] = "ms_ssim"
    least_side: ClassVar[int] = LEAST
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = (
        "ms_ssim[rgb, each channel and frame, clamped, 5 scales of 0.0448 0.2856 0.3001 0.2363 0.1333, halved by 2x2 means "
        "with an odd edge repeated, gaussian 11x11 sigma 1.5, population covariance, windows within the frame, range 1, "
        "negative means of a scale are 0]"
    )

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return ms_ssim(a, b)
