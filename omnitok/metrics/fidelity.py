"""How near the pixels are: PSNR and SSIM, per frame, in float64, on pixels clamped to the legal range."""

from typing import ClassVar, Literal, final

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import Codec, Measured, Metric, Pair

FLOOR = 1e-10  # of the mean squared error: identical frames count 100 dB, not infinity


def unit_range(clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b c T H W"]:
    """[-1, 1] -> [0, 1], clamped: what a picture file could hold."""
    return ((clip.double() + 1) / 2).clamp(0, 1)


def psnr(a: Float[Tensor, "b c T H W"], b: Float[Tensor, "b c T H W"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB of clips in [-1, 1]: of each frame over all channels, then the frames' mean."""
    error = reduce((unit_range(a) - unit_range(b)).square(), "b c t h w -> b t", "mean").clamp_min(FLOOR)
    return (-10 * error.log10()).mean(-1)


def ssim(a: Float[Tensor, "b c T H W"], b: Float[Tensor, "b c T H W"], window: int = 7) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004) of clips in [-1, 1] as scikit-image defines it by default: a uniform
    window, sample covariance, K1 = 0.01, K2 = 0.03, data range 1, the border cut off; each channel and frame, then the
    mean. Raises ValueError where a frame is smaller than the window."""
    if min(a.shape[-2:]) < window:
        raise ValueError(f"window={window} must fit into the frame, which is {a.shape[-2]} x {a.shape[-1]}")
    x, y = (rearrange(unit_range(clip), "b c t h w -> (b t) c h w") for clip in (a, b))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        F.avg_pool2d(plane, window, stride=1) for plane in (x, y, x * x, y * y, x * y)
    )
    sample = window**2 / (window**2 - 1)
    var_x, var_y = sample * (mean_xx - mean_x**2), sample * (mean_yy - mean_y**2)
    covariance = sample * (mean_xy - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar = similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return reduce(similar, "(b t) c h w -> b", "mean", b=a.shape[0])


class _MeanOfItems(Metric):
    def __init__(self) -> None:
        self.values: list[float] = []

    def result(self) -> Measured:
        return Measured(sum(self.values) / len(self.values), tuple(self.values))


@final
class PeakSignalToNoise(_MeanOfItems):
    """Peak signal-to-noise ratio: each frame over RGB, the mean over frames, the mean over items."""

    label: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "psnr[rgb, per frame, clamped, peak 1, mse >= 1e-10]"

    def __init__(self, codec: Codec) -> None:
        super().__init__()

    def add(self, pair: Pair) -> None:
        self.values += psnr(pair.original, pair.reconstruction).tolist()


@final
class StructuralSimilarity(_MeanOfItems):
    """Structural similarity as scikit-image computes it by default (uniform 7 x 7 window)."""

    label: ClassVar[str] = "ssim"
    least_side: ClassVar[int] = 7
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "ssim[rgb, per frame, clamped, uniform 7x7, sample covariance, range 1]"

    def __init__(self, codec: Codec) -> None:
        super().__init__()

    def add(self, pair: Pair) -> None:
        self.values += ssim(pair.original, pair.reconstruction).tolist()
