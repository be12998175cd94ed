"""What convolutional backbones are made of: layers from [b t h w c] to [b t h w c] that look back only, or not at all.

What a layer needs of earlier frames goes in and comes out as a value: () at the beginning, None where nothing comes
after. The frames lie with their channels last, as tokens do.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention import Past
from omnitok.attention.backends import mixed
from omnitok.model.contract import Inflation, in_full

GROUPS = 32  # of channels that are normalised together, at most; fewer where one would have less than four channels


class ClipLayer(nn.Module, ABC):
    """Frames -> frames."""

    @abstractmethod
    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b s j k o"], Past]:
        """Of the frames that come after those that ``past`` is of."""


class CausalConvolution(ClipLayer):
    """A 3 x 3 convolution over ``frames`` frames, the last of them its own. Before the first frame stand copies of it, so that a
    still clip is at each of its frames what its picture is; a picture so costs no more than a convolution of two dimensions.

    ``stride`` over space; ``step`` over time, where 1 + n step frames become 1 + n."""

    def __init__(self, enters: int, leaves: int, frames: int, *, stride: int = 1, step: int = 1) -> None:
        super().__init__()
        self.frames, self.step = frames, step
        self.kernel = nn.Conv3d(enters, leaves, (frames, 3, 3), stride=(step, stride, stride), padding=(0, 1, 1))

    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b s j k o"], Past]:
        before = past[0] if past else x[:, :1].expand(-1, self.frames - 1, -1, -1, -1)
        known = x if self.frames == 1 else torch.cat([before, x], dim=1)
        kept = self.frames - self.step
        now = () if past is None or not kept else (known[:, known.shape[1] - kept :].clone(),)
        if self.frames == 1 or (x.shape[1] == 1 and not past):
            return self._flat(x), now
        return torch.movedim(self.kernel(torch.movedim(known, -1, 1)), 1, -1), now

    def _flat(self, x: Float[Tensor, "b t h w i"]) -> Float[Tensor, "b t j k o"]:
        """Of frames, each of which stands still."""
        own = self.kernel
        weight, stride, padding = own.weight.sum(2), own.stride[1:], own.padding[1:]
        assert not isinstance(padding, str)
        made = F.conv2d(rearrange(x, "b t h w i -> (b t) i h w"), weight, own.bias, stride, padding)
        return rearrange(made, "(b t) o h w -> b t h w o", b=x.shape[0])

    @torch.no_grad()
    def inflate(self, how: Inflation) -> None:
        """Shared out over the frames, or put at the first of those that become one; at each picture it stays the same."""
        weight = self.kernel.weight
        still = weight.sum(2, keepdim=True)
        if how == "average":
            weight.copy_((still / self.frames).expand_as(weight))
        else:
            place = self.frames - self.step
            weight.copy_(torch.zeros_like(weight))
            weight[:, :, place : place + 1] = still


class Normed(nn.GroupNorm):
    """Group norm (arXiv:1803.08494) with the statistics of each frame alone, then SiLU."""

    def __init__(self, width: int) -> None:
        of_four = 1 << max(width.bit_length() - 3, 0)  # of one channel each, they would leave nothing of a lone token
        super().__init__(math.gcd(GROUPS, of_four, width), width)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        return F.silu(self.of_frames(x))

    def of_frames(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        made = super().forward(rearrange(x, "b t h w c -> (b t) c h w"))
        return rearrange(made, "(b t) c h w -> b t h w c", b=x.shape[0])


class Chain(ClipLayer):
    """One layer after another."""

    def __init__(self, layers: Iterable[ClipLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Float[Tensor, "b t h w i"]) -> Float[Tensor, "b s j k o"]:
        return self.extend(x, None)[0]

    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b s j k o"], Past]:
        found = []
        for place, layer in enumerate(self.layers):
            assert isinstance(layer, ClipLayer)
            x, now = layer.extend(x, past[place] if past else past)
            found.append(now)
        return x, tuple(found)


class NormedConvolution(ClipLayer):
    """Norm, SiLU, convolution; ``last``: the convolution in full precision also where what is before it is not."""

    def __init__(self, enters: int, leaves: int, frames: int, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.norm = Normed(enters)
        self.convolution = CausalConvolution(enters, leaves, frames)

    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b t h w o"], Past]:
        x = self.norm(x)
        if not self.last:
            return self.convolution.extend(x, past)
        with in_full(x):
            return self.convolution.extend(x.to(self.convolution.kernel.weight.dtype), past)


class Residual(ClipLayer):
    """x + twice norm, SiLU, convolution."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.inner = Chain(NormedConvolution(width, width, frames) for _ in range(2))

    def extend(self, x: Float[Tensor, "b t h w c"], past: Past | None) -> tuple[Float[Tensor, "b t h w c"], Past]:
        made, now = self.inner.extend(x, past)
        return x + made, now


class FrameAttention(ClipLayer):
    """x + attention with one head among the places of a frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Normed(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def extend(self, x: Float[Tensor, "b t h w c"], past: Past | None) -> tuple[Float[Tensor, "b t h w c"], Past]:
        pattern = "b t h w (three c) -> three (b t) 1 (h w) c"
        q, k, v = rearrange(self.qkv(self.norm.of_frames(x)), pattern, three=3)
        return x + self.out(mixed(q, k, v).reshape(x.shape)), ()


class DepthToSpace(ClipLayer):
    """Twice as large, and where ``step`` is 2 twice as long but for the first frame, as each token's channels become
    pixels beside each other (arXiv:1609.05158)."""

    def __init__(self, enters: int, leaves: int, frames: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.convolution = CausalConvolution(enters, 4 * step * leaves, frames)

    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b s j k o"], Past]:
        made, now = self.convolution.extend(x, past)
        laid = rearrange(made, "b t h w (s i j o) -> b (t s) (h i) (w j) o", s=self.step, i=2, j=2)
        return laid if past else laid[:, self.step - 1 :], now

    @torch.no_grad()
    def inflate(self) -> None:
        """The frames that no picture has as those that a picture has."""
        for values in (self.convolution.kernel.weight, self.convolution.kernel.bias):
            assert values is not None
            frames = values.view(self.step, -1, *values.shape[1:])
            frames.copy_(frames[-1:].clone().expand_as(frames))


class NearestAndConvolution(ClipLayer):
    """Twice as large: each place 2 x 2 times, then a convolution."""

    def __init__(self, enters: int, leaves: int) -> None:
        super().__init__()
        self.convolution = CausalConvolution(enters, leaves, 1)

    def extend(self, x: Float[Tensor, "b t h w i"], past: Past | None) -> tuple[Float[Tensor, "b t j k o"], Past]:
        return self.convolution.extend(repeat(x, "b t h w c -> b t (h i) (w j) c", i=2, j=2), past)
