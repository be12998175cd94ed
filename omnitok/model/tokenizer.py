"""Pixels <-> latents <-> codes, for images and video alike (OmniTokenizer, arXiv:2406.09399)."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import ClassVar, Literal, NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.attention import Attention, NotCausal, Past
from omnitok.attention.temporal import TemporalAttention
from omnitok.attention.window import WindowAttention
from omnitok.model.block import Block, Norm, Transformer, extended
from omnitok.model.contract import Reconstruction, Reconstructor, refuse_no_codes, refuse_non_finite
from omnitok.model.patch import LinearPatches, PatchesPart
from omnitok.model.position import PositionPart, Sinusoidal
from omnitok.model.trunk import BlockPart
from omnitok.quantizers import Quantized, QuantizerPart
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count


class Cache(NamedTuple):
    """What a half of the tokenizer keeps of the frames that it has been given chunk by chunk: their number in tokens
    over time, and the past of the patches and of each block."""

    seen: int
    past: Past

    @property
    def nbytes(self) -> int:
        """Of the tensors in it."""
        return sum(tensor.nbytes for tensor in _tensors(self.past))


START = Cache(0, ())
Part = Literal["encoder", "quantizer", "decoder"]


def _sides(encoder: Iterable[Block], decoder: Iterable[nn.Module]) -> int:
    """What the sides of the grid of patches must be a multiple of, so that every block on the way gets what it takes."""
    needed = shrunk = 1
    for block in (*encoder, *decoder):
        assert isinstance(block, Block)
        needed = math.lcm(needed, shrunk * block.multiple)
        shrunk = max(1, shrunk * block.shrinks // block.grows)
    return needed


def _refuse_others(clip: Tensor) -> None:
    """Raises ValueError for what is no clip."""
    if clip.ndim != 5 or clip.shape[1] != 3:
        raise ValueError(f"a clip is [b, 3, T, H, W], an image has T = 1; this is {list(clip.shape)}")
    if not clip.numel():
        raise ValueError(f"a clip has pixels, and this is {list(clip.shape)}")
    if not clip.is_floating_point():
        raise ValueError(f"a clip has numbers in [-1, 1], not {clip.dtype}")


def _tensors(past: Past) -> Iterator[Tensor]:
    for part in past:
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, tuple):
            yield from _tensors(part)


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
        self.codebook_sizes, self.rates = self.quantizer.codebook_sizes, self.quantizer.rates
        self.bits_per_token = self.quantizer.bits_per_token
        self.patches = patches(dim)
        self.position, self.decoder_position = position(dim), position(dim)
        trunk: list[Block] = [block(dim) for block in encoder]
        self.encoder = nn.ModuleList(trunk)
        self.decoder = nn.ModuleList(block(dim) for block in decoder)
        self.to_latents = nn.Linear(dim, self.quantizer.in_channels)
        self.from_latents = nn.Linear(self.quantizer.channels, dim)
        self.multiple = self.patches.patch * self.patches.upscale * _sides(trunk, self.decoder)
        self.frame_step = self.patches.temporal_patch * math.prod(block.shortens for block in trunk)
        blocks = (module.block for module in self.modules() if isinstance(module, Attention))
        self.chunk_step = self.frame_step * math.lcm(*blocks)

    def modules_of(self, part: Part) -> tuple[nn.Module, ...]:
        """What leads from pixels to the bottleneck, the bottleneck, or what leads back: every parameter and every buffer
        belongs to one of the three."""
        parts: dict[Part, tuple[nn.Module, ...]] = {
            "encoder": (*self.patches.entrance(), self.position, self.encoder, self.to_latents),
            "quantizer": (self.quantizer,),
            "decoder": (self.from_latents, self.decoder_position, self.decoder, *self.patches.exit()),
        }
        return parts[part]

    def parameters_of(self, part: Part) -> Iterator[nn.Parameter]:
        for module in self.modules_of(part):
            yield from module.parameters()

    def encode(self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None) -> Quantized:
        """``draw``: the source of what is random in the bottleneck; without one nothing is.
        Raises ValueError where the clip does not fit the patches or an attention."""
        return self.quantizer(self.project(clip), draw)

    def encode_soundly(self, clip: Float[Tensor, "b c T H W"]) -> Quantized:
        """The same without anything random. Raises NonFinite, too, where the weights give what is no number or no code."""
        projected = self.project(clip)
        refuse_non_finite("latents", projected)
        quantized = self.quantizer(projected)
        refuse_no_codes(quantized.codes, self.codebook_sizes)
        return quantized

    def project(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w i"]:
        """What the bottleneck is given."""
        _refuse_others(clip)
        x = self.position(self.patches.embed(clip))
        for block in self.encoder:
            x = block(x)
        return self.to_latents(x)

    def decode(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b c T H W"]:
        x = self.decoder_position(self.from_latents(latents))
        for block in self.decoder:
            x = block(x)
        return self.patches.pixels(x)

    def decode_codes(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b c T H W"]:
        return self.decode(self.quantizer.decode(codes))

    def encode_chunk(self, clip: Float[Tensor, "b c T H W"], cache: Cache = START) -> tuple[Quantized, Cache]:
        """The next frames of a long clip: with what ``encode`` gives for the whole of it, and the cache for what comes
        after. The first chunk has 1 + n ``frame_step`` frames, each later one n ``frame_step``. Nothing is random.

        A cache is never changed, so going on from one twice gives the same twice. With a finite ``context`` in every
        attention over time its size does not grow. Raises ValueError where the model is not causal."""
        _refuse_others(clip)
        if cache.seen and clip.shape[2] % self.frame_step:
            raise ValueError(f"frames={clip.shape[2]} of a later chunk must be a multiple of {self.frame_step}")
        at_patches, at_blocks = cache.past or ((), ())
        tokens, at_patches = self.patches.embed_chunk(clip, at_patches)
        x, at_blocks = extended(self.encoder, self.position(tokens, cache.seen), at_blocks)
        return self.quantizer(self.to_latents(x)), Cache(cache.seen + tokens.shape[1], (at_patches, at_blocks))

    def decode_chunk(
        self, latents: Float[Tensor, "b t h w z"], cache: Cache = START
    ) -> tuple[Float[Tensor, "b c T H W"], Cache]:
        """The next frames of a long clip from its next latents, as ``encode_chunk`` has it; with a cache of its own."""
        at_patches, at_blocks = cache.past or ((), ())
        x = self.decoder_position(self.from_latents(latents), cache.seen)
        x, at_blocks = extended(self.decoder, x, at_blocks)
        clip, at_patches = self.patches.pixels_chunk(x, at_patches)
        return clip, Cache(cache.seen + latents.shape[1], (at_patches, at_blocks))

    def reduced(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b c T i j"]:
        """What is encoded so that the reconstruction is as large as ``clip``: the means of ``upscale`` x ``upscale``
        pixels."""
        size = (1, self.patches.upscale, self.patches.upscale)
        return clip if self.patches.upscale == 1 else F.avg_pool3d(clip, size)

    def forward(
        self, clip: Float[Tensor, "b c T H W"], draw: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b c T up_H up_W"], Quantized]:
        """The reconstruction, larger where the patches say so, and what came through the bottleneck on the way: one pass for
        all losses."""
        quantized = self.encode(clip, draw)
        return self.decode(quantized.latents), quantized

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        """Raises NonFinite where the weights give what is no number."""
        quantized = self.encode_soundly(self.reduced(clip))
        back = self.decode(quantized.latents)
        refuse_non_finite("pixels", back)
        return Reconstruction(back, quantized.codes)

    def reconstruct_chunks(
        self, clip: Float[Tensor, "b c T H W"], frames: Sequence[int]
    ) -> Float[Tensor, "b c T H W"] | None:
        cache = back = START
        made = []
        try:
            for chunk in self.reduced(clip).split(list(frames), dim=2):
                quantized, cache = self.encode_chunk(chunk, cache)
                decoded, back = self.decode_chunk(quantized.latents, back)
                made.append(decoded)
        except NotCausal:
            return None
        return torch.cat(made, dim=2)
