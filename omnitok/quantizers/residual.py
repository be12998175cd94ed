"""Residual quantization: each level names what the levels before it left over."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.processes import share, world
from omnitok.quantizers.contract import Quantized, Quantizer, precise
from omnitok.quantizers.elements import ElementPart
from omnitok.quantizers.nested import Nested
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count, Share

MOST_BITS = 20  # of a level that is offered


@final
class ResidualQuantizer(Quantizer):
    """Levels of one kind, each with values of its own; latents are the sum (SoundStream, arXiv:2107.03312; RQ-VAE,
    arXiv:2203.01941). A level whose values are fixed gets the remainder enlarged to its range: by the number of FSQ's
    levels, by 2 for signs, so that FSQ at depth d is a uniform quantizer of levels^d values. The loss is the sum of the
    levels'; the gradient of latents is the first level's.

    of: what each level is.
    depth: how many levels there are; each spends as many bits again.
    dropout: how often a sample in training is given to the decoder with its first levels only, one to all but one of them
        alike; larger makes early levels say more. Levels beyond are trained all the same.
    """

    def __init__(
        self,
        *,
        of: ElementPart = partial(VectorQuantizer, codebook_size=256, normalise=False),  # noqa: B008
        depth: Count = 4,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        levels = [of() for _ in range(depth)]
        refuse_unit_length(levels[0])
        if dropout and depth == 1:
            raise ValueError(f"dropout={dropout} leaves out levels, and depth={depth} has none to spare")
        self.levels, self.dropout = nn.ModuleList(levels), dropout
        self.in_channels, self.channels = levels[0].in_channels, levels[0].channels
        self.codebook_sizes = levels[0].codebook_sizes * depth

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """The moving-average codebook at every depth, from the fewest levels."""
        depths = [depth for depth in range(2, bits + 1) if bits % depth == 0 and bits // depth <= MOST_BITS]
        return tuple(
            {"of": {"type": "vq", "codebook_size": 2 ** (bits // depth), "normalise": False}, "depth": depth}
            for depth in depths
        )

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            left = x.to(torch.promote_types(x.dtype, torch.float32))
            first = self.levels[0]
            left = first.begin(left) if isinstance(first, Nested) else left
            kept, codes = self._kept(left, draw), []
            latents, loss = left, left.new_zeros(())
            for i, level in enumerate(self.levels):
                out = _quantized(level, left, i, draw)
                part = out.latents.detach()
                left = left - part
                latents = out.latents if i == 0 else latents + (part if kept is None else part * (kept > i))
                codes.append(out.codes)
                loss = loss + out.loss
        return Quantized(latents, torch.cat(codes, dim=-1), loss)

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        parts = codes.split(codes.shape[-1] // len(self.levels), dim=-1)
        found = [_decoded(level, part, i) for i, (level, part) in enumerate(zip(self.levels, parts, strict=True))]
        return torch.stack(found).sum(0)

    def _kept(self, x: Tensor, draw: torch.Generator | None) -> Float[Tensor, "b 1 1 1 1"] | None:
        """How many levels of each sample are given to the decoder; None: all."""
        if not self.dropout or not self.training or draw is None:
            return None
        chance, depth = torch.rand((2, world() * len(x)), generator=draw), len(self.levels)
        kept = torch.where(chance[0] < self.dropout, 1 + (chance[1] * (depth - 1)).floor(), depth)
        return share(kept).to(x).view(-1, 1, 1, 1, 1)


def refuse_unit_length(element: Quantizer) -> None:
    """Raises ValueError where ``element`` sees only the direction of what is left over."""
    if getattr(element, "normalise", False):
        raise ValueError(
            f"of={type(element).__name__} brings latents to unit length (normalise=True), and a remainder's length would be "
            "lost: say normalise: false"
        )


def _quantized(
    level: nn.Module, left: Float[Tensor, "b t h w z"], place: int, draw: torch.Generator | None
) -> Quantized:
    if not isinstance(level, Nested):
        return level(left, draw)
    if place == 0:
        return level.remainder(left, draw)
    scale = level.ratio**place
    out = level.remainder(left / scale, draw)
    return out._replace(latents=out.latents * scale)


def _decoded(level: nn.Module, codes: Int[Tensor, "b t h w q"], place: int) -> Float[Tensor, "b t h w z"]:
    if isinstance(level, Nested):
        return level.restored(codes) * level.ratio**place
    assert isinstance(level, Quantizer)
    return level.decode(codes)
