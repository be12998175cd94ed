"""Pixels <-> latents <-> codes, for images and video alike (OmniTokenizer, arXiv:2406.09399)."""

import math
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.attention import AttentionPart
from omnitok.attention.temporal import TemporalAttention
from omnitok.attention.window import WindowAttention
from omnitok.model.block import Block
from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.model.patch import Patches, Pixels
from omnitok.model.position import PositionPart, Sinusoidal
from omnitok.quantizers import Quantized, QuantizerPart
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count, Positive


@final
class Tokenizer(Reconstructor):
    """One transformer for images and video: space then time in the encoder, time then space in the decoder.

    A clip is [b, c, T, H, W] in [-1, 1] with T = 1 + n temporal patches; latents are [b, t, h, w, z].

    dim: width of the trunk; larger is better and costs more.
    patch: side of a patch in pixels; larger means fewer tokens.
    temporal_patch: frames of a patch after the first frame; larger means fewer tokens.
    spatial: the attentions within frames, first to last; the decoder has them in reverse.
    temporal: the attentions over time, first to last; the decoder has them in reverse.
    quantizer: the bottleneck.
    position: what tells tokens where they are.
    feed_forward: width of the feed-forward networks as a multiple of dim, counted as GEGLU counts.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        dim: Count = 64,
        patch: Count = 8,
        temporal_patch: Count = 4,
        spatial: tuple[AttentionPart, ...] = (WindowAttention, WindowAttention),
        temporal: tuple[AttentionPart, ...] = (TemporalAttention,),
        quantizer: QuantizerPart = VectorQuantizer,
        position: PositionPart = Sinusoidal,
        feed_forward: Positive = 4.0,
    ) -> None:
        super().__init__()
        self.quantizer = quantizer()
        self.codebook_sizes = self.quantizer.codebook_sizes
        self.patches = Patches(dim, patch, temporal_patch)
        self.position = position(dim)
        trunk = (*spatial, *temporal)
        mixers = [attention(dim) for attention in trunk]
        self.multiple = patch * math.lcm(*(mixer.multiple for mixer in mixers))
        self.frame_step = temporal_patch
        self.encoder = nn.Sequential(*(Block(dim, mixer, feed_forward) for mixer in mixers))
        self.to_latents = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.quantizer.in_channels))
        self.from_latents = nn.Linear(self.quantizer.channels, dim)
        self.decoder_position = position(dim)
        self.decoder = nn.Sequential(*(Block(dim, attention(dim), feed_forward) for attention in reversed(trunk)))
        self.norm = nn.LayerNorm(dim)
        self.pixels = Pixels(dim, patch, temporal_patch)

    def encode(self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None) -> Quantized:
        """``draw``: the source of what is random in the bottleneck; without one nothing is.
        Raises ValueError where the clip does not fit the patches or an attention."""
        return self.quantizer(self.to_latents(self.encoder(self.position(self.patches(clip)))), draw)

    def decode(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b c T H W"]:
        x = self.decoder_position(self.from_latents(latents))
        return self.pixels(self.norm(self.decoder(x)))

    def decode_codes(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b c T H W"]:
        return self.decode(self.quantizer.decode(codes))

    def forward(
        self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b c T H W"], Quantized]:
        """The reconstruction and what came through the bottleneck on the way: one pass for all losses."""
        quantized = self.encode(clip, draw)
        return self.decode(quantized.latents), quantized

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        reconstruction, quantized = self(clip)
        return Reconstruction(reconstruction, quantized.codes)
