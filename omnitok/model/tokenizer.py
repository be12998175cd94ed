"""Pixels <-> latents <-> codes, for images and video alike (OmniTokenizer, arXiv:2406.09399)."""

import math
from functools import partial
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.attention.temporal import TemporalAttention
from omnitok.attention.window import WindowAttention
from omnitok.model.block import Block, BlockPart, Norm, Transformer
from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.model.patch import LinearPatches, PatchesPart
from omnitok.model.position import PositionPart, Sinusoidal
from omnitok.quantizers import Quantized, QuantizerPart
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count

SPACE, TIME = (
    partial(Transformer, attention=WindowAttention, depth=2),
    partial(Transformer, attention=TemporalAttention),
)


@final
class Tokenizer(Reconstructor):
    """One transformer for images and video: space then time in the encoder, time then space in the decoder.

    A clip is [b, c, T, H, W] in [-1, 1] with T = 1 + n temporal patches; latents are [b, t, h, w, z].

    dim: width of the trunk; larger is better and costs more.
    patches: how pixels become tokens and back.
    encoder: the blocks from tokens to the bottleneck, first to last.
    decoder: the blocks from the bottleneck to tokens, first to last.
    quantizer: the bottleneck.
    position: what tells tokens where they are, at the beginning of the encoder and of the decoder.
    """

    version: ClassVar[int] = 2

    def __init__(
        self,
        *,
        dim: Count = 64,
        patches: PatchesPart = LinearPatches,
        encoder: tuple[BlockPart, ...] = (SPACE, TIME, Norm),
        decoder: tuple[BlockPart, ...] = (TIME, SPACE, Norm),
        quantizer: QuantizerPart = VectorQuantizer,
        position: PositionPart = Sinusoidal,
    ) -> None:
        super().__init__()
        self.quantizer = quantizer()
        self.codebook_sizes = self.quantizer.codebook_sizes
        self.patches = patches(dim)
        self.position, self.decoder_position = position(dim), position(dim)
        trunk: list[Block] = [block(dim) for block in encoder]
        self.encoder = nn.Sequential(*trunk)
        self.decoder = nn.Sequential(*(block(dim) for block in decoder))
        self.to_latents = nn.Linear(dim, self.quantizer.in_channels)
        self.from_latents = nn.Linear(self.quantizer.channels, dim)
        self.multiple = self.patches.patch * math.lcm(*(block.multiple for block in (*self.encoder, *self.decoder)))
        self.frame_step = self.patches.temporal_patch * math.prod(block.shortens for block in trunk)

    def encode(self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None) -> Quantized:
        """``draw``: the source of what is random in the bottleneck; without one nothing is.
        Raises ValueError where the clip does not fit the patches or an attention."""
        return self.quantizer(self.to_latents(self.encoder(self.position(self.patches.embed(clip)))), draw)

    def decode(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b c T H W"]:
        x = self.decoder_position(self.from_latents(latents))
        return self.patches.pixels(self.decoder(x))

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
