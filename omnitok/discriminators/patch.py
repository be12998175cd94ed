"""Discriminators that judge patch by patch (PatchGAN, arXiv:1611.07004), of pictures and of clips."""

from contextlib import nullcontext
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.discriminators.contract import Discriminator, Judged
from omnitok.discriminators.norms import GlobalBatchNorm
from omnitok.processes import share, world
from omnitok.spec import Count, Positive

SLOPE = 0.2  # of leaky rectifiers
WIDEST = 512  # channels
KERNEL = 4  # side; zeros around the input are half of it
GROUPS = 32
Norm = Literal["batch", "group"]


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return GlobalBatchNorm(channels)
    groups = min(GROUPS, channels)
    if channels % groups:
        raise ValueError(f"norm=group: {groups} groups must divide a layer's channels, which are {channels}")
    return nn.GroupNorm(groups, channels, eps=1e-6)


class _Convolved(nn.Module):
    """A convolution of kernel 4 and padding 2, a norm where there is one, a leaky rectifier."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Float[Tensor, "b i *grid"]) -> Float[Tensor, "b o *small"]:
        return F.leaky_relu(self.norm(self.convolution(x)), SLOPE)


class _Patch(Discriminator):
    """``layers`` convolutions that halve, the first without a norm, one that does not, and a last one to a logit."""

    def __init__(self, *, channels: Count = 64, layers: Count = 3, norm: Norm = "batch") -> None:
        super().__init__()
        make = nn.Conv2d if self.sees == "image" else nn.Conv3d
        widths = [3, *(min(channels * 2**i, WIDEST) for i in range(layers + 1))]
        self.hidden = nn.ModuleList(
            _Convolved(
                make(before, after, KERNEL, stride=2 if i < layers else 1, padding=KERNEL // 2),
                _norm(norm, after) if i else nn.Identity(),
            )
            for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.last = make(widths[-1], 1, KERNEL, padding=KERNEL // 2)

    def forward(self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None) -> Judged:
        height, width = clip.shape[3:]
        if min(height, width) < KERNEL:
            raise ValueError(f"a frame of {height} x {width} is smaller than the kernel, {KERNEL} x {KERNEL}")
        x = rearrange(clip, "b c t h w -> (b t) c h w") if self.sees == "image" else clip
        x, features = self.prepared(x, draw), []
        for layer in self.hidden:
            x = layer(x)
            features.append(x)
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            return Judged(self.finished(self.last(x.to(self.last.weight.dtype))), tuple(features))

    def prepared(self, x: Float[Tensor, "b c *grid"], draw: torch.Generator | None) -> Float[Tensor, "b c *grid"]:
        return x

    def finished(self, logits: Float[Tensor, "b 1 *small"]) -> Float[Tensor, "b 1 *small"]:
        return logits


class _Published(_Patch):
    """Pixels in half the range, and learned noise on them, as the authors' scripts have it: the gain has as many values
    as a pixel has channels, so the noise comes before the first convolution, on the scaled pixels."""

    def __init__(self, channels: int, layers: int, norm: Norm, half_range: float, noise: bool) -> None:
        super().__init__(channels=channels, layers=layers, norm=norm)
        self.half_range = half_range
        self.noise = _Noise() if noise else None

    def prepared(self, x: Float[Tensor, "b c *grid"], draw: torch.Generator | None) -> Float[Tensor, "b c *grid"]:
        x = x * self.half_range
        return x if self.noise is None or draw is None else self.noise(x, draw)


class _Noise(nn.Module):
    """One map of noise for all channels, times a learned gain a channel, which begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self, x: Float[Tensor, "b c *grid"], draw: torch.Generator) -> Float[Tensor, "b c *grid"]:
        noise = share(torch.randn((x.shape[0] * world(), 1, *x.shape[2:]), generator=draw)).to(x)
        return x + self.weight.view(-1, *(1 for _ in x.shape[2:])) * noise


@final
class PatchImage(_Patch):
    """Judges every frame for itself.

    channels: width of the first layer; it doubles with each layer, up to 512.
    layers: how many layers halve the picture; more see farther.
    norm: over the batch of all processes, or over groups of channels of one picture.
    """

    sees: ClassVar[Literal["image", "video"]] = "image"


@final
class PatchVideo(_Patch):
    """Judges patches of a clip that reach over time.

    channels: width of the first layer; it doubles with each layer, up to 512.
    layers: how many layers halve the clip; more see farther.
    norm: over the batch of all processes, or over groups of channels of one clip.
    """

    sees: ClassVar[Literal["image", "video"]] = "video"


@final
class PublishedPatchImage(_Published):
    """As published: on pixels in [-0.5, 0.5], with learned noise on what comes in (arXiv:2406.09399, its code).

    channels: width of the first layer; it doubles with each layer, up to 512.
    layers: how many layers halve the picture; more see farther.
    norm: over the batch of all processes, or over groups of channels of one picture.
    half_range: what a pixel of 1 is to the network.
    noise: whether noise is added to the pixels, with a learned gain a channel.
    """

    sees: ClassVar[Literal["image", "video"]] = "image"

    def __init__(
        self,
        *,
        channels: Count = 64,
        layers: Count = 3,
        norm: Norm = "batch",
        half_range: Positive = 0.5,
        noise: bool = True,
    ) -> None:
        super().__init__(channels, layers, norm, half_range, noise)


@final
class PublishedPatchVideo(_Published):
    """As published: its logits pass through a norm and a leaky rectifier, so that their mean over the batch says
    little (arXiv:2406.09399, its code, after arXiv:2204.03638).

    channels: width of the first layer; it doubles with each layer, up to 512.
    layers: how many layers halve the clip; more see farther.
    norm: over the batch of all processes, or over groups of channels of one clip.
    half_range: what a pixel of 1 is to the network.
    noise: whether noise is added to the pixels, with a learned gain a channel.
    """

    sees: ClassVar[Literal["image", "video"]] = "video"
    known_defects: ClassVar[tuple[str, ...]] = ("normalised logits",)

    def __init__(
        self,
        *,
        channels: Count = 64,
        layers: Count = 3,
        norm: Norm = "batch",
        half_range: Positive = 0.5,
        noise: bool = True,
    ) -> None:
        super().__init__(channels, layers, norm, half_range, noise)
        self.last_norm = _norm(norm, 1)

    def finished(self, logits: Float[Tensor, "b 1 *small"]) -> Float[Tensor, "b 1 *small"]:
        return F.leaky_relu(self.last_norm(logits), SLOPE)
