"""Pixels <-> tokens: the first frame and the rest have weights of their own, so an image is a clip of one frame."""

from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.discriminators.norms import GlobalBatchNorm
from omnitok.model.contract import Inflation, Patches, in_full
from omnitok.model.convolution import CausalCnn, Cnn2d
from omnitok.spec import Count, Positive, Registry

FIRST = "b c 1 (h i) (w j) -> b 1 h w (c i j)"
REST = "b c (t q) (h i) (w j) -> b t h w (c q i j)"


class _Linear(Patches):
    def __init__(self, dim: int, patch: int, temporal_patch: int, upscale: int) -> None:
        super().__init__()
        self.patch, self.temporal_patch, self.upscale, self.out_patch = patch, temporal_patch, upscale, patch * upscale
        self.to_first = nn.Linear(dim, 3 * self.out_patch**2)
        self.to_rest = nn.Linear(dim, 3 * temporal_patch * self.out_patch**2)

    def pixels(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        with in_full(x):
            return self._joined(x.to(self.to_first.weight.dtype))

    def _joined(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        p, q = self.out_patch, self.temporal_patch
        first = rearrange(self.to_first(x[:, :1]), "b t h w (c i j) -> b c t (h i) (w j)", c=3, i=p, j=p)
        if x.shape[1] == 1:
            return first
        pattern = "b t h w (c q i j) -> b c (t q) (h i) (w j)"
        return torch.cat([first, rearrange(self.to_rest(x[:, 1:]), pattern, c=3, q=q, i=p, j=p)], dim=2)

    def _cut(self, clip: Float[Tensor, "b c T H W"]) -> list[Tensor]:
        self.check(clip)
        p, q = self.patch, self.temporal_patch
        first = rearrange(clip[:, :, :1], FIRST, i=p, j=p)
        return [first] if clip.shape[2] == 1 else [first, rearrange(clip[:, :, 1:], REST, q=q, i=p, j=p)]


def _over_time(values: Float[Tensor, "*n cp"], frames: int, how: Inflation) -> Float[Tensor, "*n cqp"]:
    """Of the pixels of a picture -> of those of a patch of so many frames."""
    if how == "average":
        return _repeated(values / frames, frames)
    picture = rearrange(values, "... (c p) -> ... c 1 p", c=3)
    later = torch.zeros_like(picture).expand(*picture.shape[:-2], frames - 1, -1)
    return torch.cat([picture, later], dim=-2).flatten(-3)


def _repeated(values: Float[Tensor, "*n cp"], frames: int) -> Float[Tensor, "*n cqp"]:
    """The same for each of so many frames."""
    picture = rearrange(values, "... (c p) -> ... c 1 p", c=3)
    return picture.expand(*picture.shape[:-2], frames, -1).flatten(-3)


@final
class LinearPatches(_Linear):
    """Two linear maps each way (arXiv:2406.09399), with no normalisation of patches, which would make the tokenizer blind
    to brightness.

    patch: side of a patch in pixels; larger means fewer tokens.
    temporal_patch: frames of a patch after the first frame; larger means fewer tokens.
    upscale: how many times larger the pixels that come out are.
    """

    def __init__(self, dim: int, *, patch: Count = 8, temporal_patch: Count = 4, upscale: Count = 1) -> None:
        super().__init__(dim, patch, temporal_patch, upscale)
        self.first = nn.Linear(3 * patch * patch, dim)
        self.rest = nn.Linear(3 * temporal_patch * patch * patch, dim)

    def embed(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]:
        return torch.cat([way(part) for way, part in zip((self.first, self.rest), self._cut(clip))], dim=1)  # noqa: B905

    @torch.no_grad()
    def inflate(self, how: Inflation = "average") -> None:
        q = self.temporal_patch
        self.rest.weight.copy_(_over_time(self.first.weight, q, how))
        self.rest.bias.copy_(self.first.bias)
        self.to_rest.weight.copy_(_repeated(self.to_first.weight.T, q).T)
        self.to_rest.bias.copy_(_repeated(self.to_first.bias, q))


class _Normed(nn.Module):
    """Layer norm of raw pixels, a linear map, layer norm of tokens."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.before, self.linear, self.after = nn.LayerNorm(width), nn.Linear(width, dim), nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "b t h w p"]) -> Float[Tensor, "b t h w d"]:
        return self.after(self.linear(self.before(x)))


@final
class PublishedLinearPatches(_Linear):
    """As published: the raw pixels of a patch are layer-normalised before the linear map, its tokens after it; inflation
    does not line the channels up.

    patch: side of a patch in pixels; larger means fewer tokens.
    temporal_patch: frames of a patch after the first frame; larger means fewer tokens.
    upscale: how many times larger the pixels that come out are.
    half_range: what a pixel of 1 is to the network; published weights have 0.5.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("patch LayerNorm", "inflation misaligns channels")

    def __init__(
        self,
        dim: int,
        *,
        patch: Count = 8,
        temporal_patch: Count = 4,
        upscale: Count = 1,
        half_range: Positive = 0.5,
    ) -> None:
        super().__init__(dim, patch, temporal_patch, upscale)
        self.half_range = half_range
        self.first = _Normed(3 * patch * patch, dim)
        self.rest = _Normed(3 * temporal_patch * patch * patch, dim)

    def embed(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]:
        parts = self._cut(clip * self.half_range)
        return torch.cat([way(part) for way, part in zip((self.first, self.rest), parts)], dim=1)  # noqa: B905

    def pixels(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        return super().pixels(x) / self.half_range

    @torch.no_grad()
    def inflate(self, how: Inflation = "average") -> None:
        """As published: whole pictures one after another, where a patch has its frames inside each channel; gains and
        weights are both shared out, and so are the pixels that come out."""
        self.rest.before.weight.copy_(self._tiled(self.first.before.weight, how))
        self.rest.before.bias.copy_(self._tiled(self.first.before.bias, how))
        self.rest.linear.weight.copy_(self._tiled(self.first.linear.weight, how))
        self.rest.linear.bias.copy_(self.first.linear.bias)
        self.rest.after.load_state_dict(self.first.after.state_dict())
        self.to_rest.weight.copy_(self._tiled(self.to_first.weight.T, how).T)
        self.to_rest.bias.copy_(self._tiled(self.to_first.bias, how))

    def _tiled(self, values: Float[Tensor, "*n cp"], how: Inflation) -> Float[Tensor, "*n qcp"]:
        q = self.temporal_patch
        parts = [values / q] * q if how == "average" else [values, *[torch.zeros_like(values)] * (q - 1)]
        return torch.cat(parts, dim=-1)


class _Strided(nn.Module):
    """A convolution whose kernel is its stride, or its transpose, then batch norm."""

    def __init__(self, convolution: nn.Conv3d | nn.ConvTranspose3d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = GlobalBatchNorm(convolution.out_channels)

    def forward(self, x: Float[Tensor, "b i T H W"]) -> Float[Tensor, "b o t h w"]:
        return self.norm(self.convolution(x))

    @torch.no_grad()
    def inflate_from(self, other: "_Strided", how: Inflation | None) -> None:
        """``how`` the kernel goes over the frames; None: the same for each."""
        weight = other.convolution.weight.expand_as(self.convolution.weight)
        if how == "average":
            weight = weight / weight.shape[2]
        elif how == "first":
            weight = torch.cat([weight[:, :, :1], torch.zeros_like(weight[:, :, 1:])], dim=2)
        self.convolution.weight.copy_(weight)
        assert self.convolution.bias is not None
        assert other.convolution.bias is not None
        self.convolution.bias.copy_(other.convolution.bias)
        self.norm.load_state_dict(other.norm.state_dict())


@final
class ConvolutionPatches(Patches):
    """Strided convolutions with batch norm, both ways (the ``cnn`` patch embedding of arXiv:2406.09399's code).

    patch: side of a patch in pixels; larger means fewer tokens.
    temporal_patch: frames of a patch after the first frame; larger means fewer tokens.
    upscale: how many times larger the pixels that come out are.
    half_range: what a pixel of 1 is to the network; published weights have 0.5.
    """

    def __init__(
        self,
        dim: int,
        *,
        patch: Count = 8,
        temporal_patch: Count = 4,
        upscale: Count = 1,
        half_range: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.patch, self.temporal_patch, self.upscale, self.half_range = patch, temporal_patch, upscale, half_range
        one, many = (1, patch, patch), (temporal_patch, patch, patch)
        self.first, self.rest = (_Strided(nn.Conv3d(3, dim, size, size)) for size in (one, many))
        outs = [(frames, patch * upscale, patch * upscale) for frames in (1, temporal_patch)]
        self.to_first, self.to_rest = (_Strided(nn.ConvTranspose3d(dim, 3, size, size)) for size in outs)

    def embed(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]:
        self.check(clip)
        parts = [self.first(clip[:, :, :1] * self.half_range)]
        if clip.shape[2] > 1:
            parts.append(self.rest(clip[:, :, 1:] * self.half_range))
        return rearrange(torch.cat(parts, dim=2), "b d t h w -> b t h w d")

    def pixels(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        with in_full(x):
            return self._joined(x.to(self.to_first.convolution.weight.dtype))

    def _joined(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        grid = rearrange(x, "b t h w d -> b d t h w")
        parts = [self.to_first(grid[:, :, :1])]
        if x.shape[1] > 1:
            parts.append(self.to_rest(grid[:, :, 1:]))
        return torch.cat(parts, dim=2) / self.half_range

    def inflate(self, how: Inflation = "average") -> None:
        self.rest.inflate_from(self.first, how)
        self.to_rest.inflate_from(self.to_first, None)


PATCHES: Registry[Patches] = Registry(
    "patches",
    group="omnitok.patches",
    contract=Patches,
    linear=LinearPatches,
    linear_published=PublishedLinearPatches,
    cnn=ConvolutionPatches,
    causal_cnn=CausalCnn,
    cnn_2d=Cnn2d,
)
PatchesPart = Annotated[Callable[..., Patches], PATCHES]
