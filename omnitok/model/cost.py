"""What a model costs, in one place: parameters, floating-point operations, tokens, bits. Nothing is computed for it."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omnitok.model.contract import Reconstructor, refuse_other_shape
from omnitok.model.tokenizer import Tokenizer

T = TypeVar("T")


class Cost(NamedTuple):
    """Of a model and one clip. FLOPs are those of matrix products and convolutions, 2 for each multiplication with its
    addition, a convolution's padding included; what is done number by number (norms, softmax, activations) is left out,
    as is usual. Parameters are what an optimizer trains."""

    parameters: int
    encode: int
    decode: int
    tokens: int
    bits_per_token: float
    pixels: int  # of all frames

    @property
    def flops(self) -> int:
        """Of encoding and decoding together."""
        return self.encode + self.decode

    @property
    def bits_per_pixel(self) -> float:
        return self.tokens * self.bits_per_token / self.pixels


def cost(model: Reconstructor, frames: int, resolution: int) -> Cost:
    """What a model on the meta device spends on a square clip that comes back at ``resolution``.

    Raises ValueError with both numbers where something does not fit."""
    clip = torch.empty(1, 3, frames, resolution, resolution, device="meta")
    if isinstance(model, Tokenizer):
        encode, found = counted(lambda: model.encode(model.reduced(clip)))
        decode, back = counted(lambda: model.decode(found.latents))
        codes = found.codes
    else:
        (encode, decode), (back, codes) = (0, 0), model.reconstruct(clip)
    refuse_other_shape(back, clip)
    tokens = math.prod(codes.shape[1:-1])
    return Cost(parameters(model), encode, decode, tokens, model.bits_per_token, frames * resolution**2)


def parameters(module: nn.Module) -> int:
    """How many numbers an optimizer trains; a moving average, such as a codebook that follows, is none."""
    return sum(parameter.numel() for parameter in module.parameters())


def counted(work: Callable[[], T]) -> tuple[int, T]:
    """(its floating-point operations, what ``work`` gives)."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made = work()
    return counter.get_total_flops(), made
