"""One code said as several smaller ones, for a language model that cannot hold so many in one vocabulary."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.quantizers.contract import Quantized, Quantizer
from omnitok.quantizers.elements import ElementPart
from omnitok.quantizers.lfq import LookupFreeQuantizer
from omnitok.spec import Count


@final
class FactorisedQuantizer(Quantizer):
    """Another quantizer, whose code is said as digits of several sizes (asymmetric token factorisation of
    Open-MAGVIT2, arXiv:2409.04410: 2^18 as 2^6 x 2^12). Latents and loss are the other's.

    of: the quantizer.
    sizes: how many values each digit has, the most significant first; their product is the codebook's size.
    """

    def __init__(
        self,
        *,
        of: ElementPart = partial(LookupFreeQuantizer, bits=12),  # noqa: B008
        sizes: tuple[Count, ...] = (16, 256),
    ) -> None:
        super().__init__()
        self.element = of()
        size = math.prod(self.element.codebook_sizes)
        if math.prod(sizes) != size:
            raise ValueError(f"sizes={list(sizes)} name {math.prod(sizes)} codes, and the codebook has {size}")
        self.in_channels, self.channels = self.element.in_channels, self.element.channels
        self.codebook_sizes = sizes

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """Signs, with a third of the bits in the first digit as in the paper, then with a half."""
        firsts = dict.fromkeys(first for first in (bits // 3, bits // 2) if first)
        of = LookupFreeQuantizer.settings(bits)
        return tuple({"of": {"type": "lfq", **of[0]}, "sizes": [2**n, 2 ** (bits - n)]} for n in firsts if of)

    def forward(self, x: Float[Tensor, "b t h w i"], draw: torch.Generator | None = None) -> Quantized:
        out: Quantized = self.element(x, draw)
        return out._replace(codes=split(out.codes[..., 0], self.codebook_sizes))

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        return self.element.decode(joined(codes, self.codebook_sizes).unsqueeze(-1))


def split(codes: Int[Tensor, "*n"], sizes: Sequence[int]) -> Int[Tensor, "*n q"]:
    """Codes below the product of ``sizes`` as digits, the most significant first."""
    digits = []
    for size in reversed(sizes):
        digits.append(codes % size)
        codes = codes // size
    return torch.stack(digits[::-1], dim=-1)


def joined(codes: Int[Tensor, "*n q"], sizes: Sequence[int]) -> Int[Tensor, "*n"]:
    """What ``split`` took apart."""
    found = torch.zeros_like(codes[..., 0])
    for digit, size in zip(codes.unbind(-1), sizes, strict=True):
        found = found * size + digit
    return found
