"""Whether each scale of detail is as strong as it was."""

from typing import ClassVar, Literal, NamedTuple, final

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.metrics.contract import Clip
from omnitok.metrics.frames import Frames, OfClips, over_frames, refuse_smaller

NOISE = 1 / 255**2 / 12  # the power of rounding to 8 bits: what is far below it could not be in a picture file
LEAST = 8


def spectrum_error(a: Clip, b: Clip) -> Float[Tensor, " b"]:
    """How far apart the radial power spectra of clips in [-1, 1] are, in dB: the mean of |10 log10 (P_b / P_a)| over the
    rings of a frame, its channels, and the frames.

    A frame is windowed (Hann's in rows and columns), its mean under the window first taken off; its power is scaled so that
    white noise has its variance, and rounding noise of 8 bits is added. Ring k, from 1 to half of the shorter side, has
    the frequencies that round to k cycles a shorter side; P is the mean power there (the azimuthal average of Durall et
    al. 2020, arXiv:2003.01826). Raises ValueError where a side has less than 8 pixels."""
    refuse_smaller(a, LEAST, "spectrum_error")
    window, rings = _window(*a.shape[-2:]), _rings(*a.shape[-2:])

    def error(x: Frames, y: Frames) -> Float[Tensor, " n"]:
        ratio = _spectrum(x, window, rings).log10() - _spectrum(y, window, rings).log10()
        return 10 * ratio.abs().mean((1, 2))

    return over_frames(error, a, b)


class _Rings(NamedTuple):
    """Of the half of the plane that a real transform has: what ring each frequency is in, and its share of the ring's mean,
    which is 0 for those in none."""

    ring: Int[Tensor, " H*V"]
    share: Float[Tensor, "H V"]
    many: int


def _window(height: int, width: int) -> Float[Tensor, "H W"]:
    rows, columns = (
        torch.sin(torch.pi * (torch.arange(size, dtype=torch.double) + 0.5) / size) ** 2 for size in (height, width)
    )
    return torch.outer(rows, columns)


def _rings(height: int, width: int) -> _Rings:
    shorter = min(height, width)
    rows, columns = torch.fft.fftfreq(height, dtype=torch.double), torch.fft.rfftfreq(width, dtype=torch.double)
    ring = (torch.hypot(rows[:, None], columns) * shorter).round().long()
    twice = torch.full_like(columns, 2.0)  # every frequency stands for its negative too
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    counted = torch.where((ring >= 1) & (ring <= shorter // 2), twice, 0.0)
    ring = (ring - 1).clamp(0, shorter // 2 - 1).flatten()
    total = counted.new_zeros(shorter // 2).index_add_(0, ring, counted.flatten())
    return _Rings(ring, counted / total[ring].view_as(counted), shorter // 2)


def _spectrum(x: Frames, window: Float[Tensor, "H W"], rings: _Rings) -> Float[Tensor, "n c k"]:
    mean = (x * window).sum((-2, -1), keepdim=True) / window.sum()
    found = torch.fft.rfft2((x - mean) * window)
    power = (found.real.square() + found.imag.square()) * (rings.share / window.square().sum())
    power = rearrange(power, "n c h v -> (h v) (n c)")
    mean_power = power.new_zeros(rings.many, power.shape[1]).index_add_(0, rings.ring, power)
    return rearrange(mean_power, "k (n c) -> n c k", n=x.shape[0]) + NOISE


@final
class SpectrumError(OfClips):
    """How far the radially averaged power spectrum is from the original's, in dB, whichever way: a blur takes from fine
    rings, noise and checkerboards add to them (arXiv:2003.01826). Blind to phase: it tells what is missing, not where."""

    label: ClassVar[str] = "spectrum_error"
    unit: ClassVar[str] = "dB"
    least_side: ClassVar[int] = LEAST
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    protocol = (
        "spectrum_error[rgb, each channel and frame, clamped, mean taken off, hann, rings of a cycle a shorter side from 1 to "
        "half of it, 8-bit rounding noise added, mean of absolute dB over rings]"
    )

    def of(self, a: Clip, b: Clip) -> Float[Tensor, " b"]:
        return spectrum_error(a, b)
