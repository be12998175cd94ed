"""Convolutional backbones: the whole encoder is what makes tokens, the whole decoder what makes pixels of them, so that
a tokenizer without blocks is a VQGAN, and one with blocks a hybrid."""

from collections.abc import Callable
from typing import ClassVar, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention import Past
from omnitok.model.contract import Inflation, Patches
from omnitok.model.convolution_layers import (
    CausalConvolution,
    Chain,
    ClipLayer,
    DepthToSpace,
    FrameAttention,
    NearestAndConvolution,
    NormedConvolution,
    Residual,
)
from omnitok.spec import Count, Share

WIDTHS = (0.25, 0.5, 1.0)


class _Convolutional(Patches):
    ways_out: ClassVar[tuple[str, ...]] = ("decoder",)
    encoder: Chain
    decoder: Chain

    def embed(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]:
        self.check(clip)
        return self.encoder(rearrange(clip, "b c t h w -> b t h w c"))

    def pixels(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        return rearrange(self.decoder(x), "b t h w c -> b c t h w")

    def embed_chunk(self, clip: Float[Tensor, "b c T H W"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        self.check(clip, past)
        return self.encoder.extend(rearrange(clip, "b c t h w -> b t h w c"), past)

    def pixels_chunk(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b c T H W"], Past]:
        clip, now = self.decoder.extend(x, past)
        return rearrange(clip, "b t h w c -> b c t h w"), now

    def inflate(self, how: Inflation = "average") -> None:
        for module in self.modules():
            if isinstance(module, CausalConvolution):
                module.inflate(how)
            elif isinstance(module, DepthToSpace):
                module.inflate()


@final
class CausalCnn(_Convolutional):
    """Residual layers of causal convolutions over space and time, strided on the way in, depth-to-space on the way out
    (MAGVIT-v2, arXiv:2310.05737; TATS, arXiv:2204.03638). With neither blocks nor position around it, a causal VQGAN.

    Before the first frame stand copies of it, so a still clip always embeds as its picture.

    patch: pixels to a side of a token, a power of 2; larger means fewer tokens.
    temporal_patch: frames of a token after the first, a power of 2, at most patch; larger means fewer tokens.
    widths: channels as shares of dim, at full resolution first, the last wherever it is coarser still; larger costs more.
    depth: residual layers at each resolution; larger costs more.
    """

    def __init__(
        self,
        dim: int,
        *,
        patch: Count = 8,
        temporal_patch: Count = 4,
        widths: tuple[Share, ...] = WIDTHS,
        depth: Count = 2,
    ) -> None:
        super().__init__()
        self.patch, self.temporal_patch = patch, temporal_patch
        halvings, over_time = _halvings("patch", patch), _halvings("temporal_patch", temporal_patch)
        if over_time > halvings:
            raise ValueError(
                f"temporal_patch={temporal_patch} must be at most patch={patch}: time is halved with space"
            )
        channels = _channels(dim, widths, halvings)
        steps = [1] * (halvings - over_time) + [2] * over_time
        self.encoder = _encoder(channels, dim, depth, steps, frames=3)

        def larger(level: int) -> ClipLayer:
            return DepthToSpace(channels[level + 1], channels[level], 3, steps[level])

        self.decoder = _decoder(channels, dim, depth, larger, frames=3)


@final
class Cnn2d(_Convolutional):
    """Residual layers of convolutions, frame by frame, with attention among the places of the coarsest grid (VQGAN,
    arXiv:2012.09841). With neither blocks nor position around it, the VQGAN itself.

    patch: pixels to a side of a token, a power of 2; larger means fewer tokens.
    widths: channels as shares of dim, at full resolution first, the last wherever it is coarser still; larger costs more.
    depth: residual layers at each resolution; larger costs more.
    attention: whether the coarsest grid has attention, once each way.
    """

    temporal_patch = 1

    def __init__(
        self,
        dim: int,
        *,
        patch: Count = 8,
        widths: tuple[Share, ...] = WIDTHS,
        depth: Count = 2,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.patch = patch
        halvings = _halvings("patch", patch)
        channels = _channels(dim, widths, halvings)
        self.encoder = _encoder(channels, dim, depth, [1] * halvings, frames=1, attention=attention)

        def larger(level: int) -> ClipLayer:
            return NearestAndConvolution(channels[level + 1], channels[level])

        self.decoder = _decoder(channels, dim, depth, larger, frames=1, attention=attention)


def _halvings(name: str, size: int) -> int:
    if size & (size - 1):
        raise ValueError(f"{name}={size} must be a power of 2: each strided convolution halves")
    return size.bit_length() - 1


def _channels(dim: int, widths: tuple[float, ...], halvings: int) -> list[int]:
    """At each resolution, the finest first."""
    if not 1 <= len(widths) <= halvings + 1:
        raise ValueError(f"widths={list(widths)} are {len(widths)}, and there are {halvings + 1} resolutions")
    channels = [round(share * dim) for share in widths]
    if not all(channels):
        raise ValueError(f"widths={list(widths)} of dim={dim} leave no channel")
    return channels + channels[-1:] * (halvings + 1 - len(channels))


def _encoder(
    channels: list[int], dim: int, depth: int, steps: list[int], *, frames: int, attention: bool = False
) -> Chain:
    layers: list[ClipLayer] = [CausalConvolution(3, channels[0], frames)]
    for level, width in enumerate(channels):
        layers += [Residual(width, frames) for _ in range(depth)]
        if level < len(steps):
            layers.append(CausalConvolution(width, channels[level + 1], frames, stride=2, step=steps[level]))
    if attention:
        layers.append(FrameAttention(channels[-1]))
    return Chain([*layers, NormedConvolution(channels[-1], dim, frames, last=True)])


def _decoder(
    channels: list[int],
    dim: int,
    depth: int,
    larger: Callable[[int], ClipLayer],
    *,
    frames: int,
    attention: bool = False,
) -> Chain:
    """``larger``: the layer that leads from the grid below a level to the level's."""
    layers: list[ClipLayer] = [CausalConvolution(dim, channels[-1], frames)]
    if attention:
        layers.append(FrameAttention(channels[-1]))
    for level in reversed(range(len(channels))):
        layers += [Residual(channels[level], frames) for _ in range(depth)]
        if level:
            layers.append(larger(level - 1))
    return Chain([*layers, NormedConvolution(channels[0], 3, frames, last=True)])
