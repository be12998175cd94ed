"""Product quantization: channels in groups, each with a code of its own."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.quantizers.contract import Quantized, Quantizer
from omnitok.quantizers.elements import ElementPart
from omnitok.quantizers.residual import MOST_BITS
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count


@final
class GroupedQuantizer(Quantizer):
    """Successive channels form groups, each quantized for itself (product quantization; UniTok's multi-codebook
    quantization, arXiv:2502.20321). The loss is the mean of the groups'.

    of: what quantizes each group.
    groups: how many there are; each spends as many bits again and adds as many channels.
    """

    def __init__(
        self,
        *,
        of: ElementPart = partial(VectorQuantizer, codebook_size=256),  # noqa: B008
        groups: Count = 4,
    ) -> None:
        super().__init__()
        parts = [of() for _ in range(groups)]
        self.parts, self.width = nn.ModuleList(parts), parts[0].in_channels
        self.in_channels, self.channels = groups * self.width, groups * parts[0].channels
        self.codebook_sizes = parts[0].codebook_sizes * groups

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """The moving-average codebook in any number of groups, from the fewest."""
        counts = [groups for groups in range(2, bits + 1) if bits % groups == 0 and bits // groups <= MOST_BITS]
        return tuple({"of": {"type": "vq", "codebook_size": 2 ** (bits // n)}, "groups": n} for n in counts)

    def forward(self, x: Float[Tensor, "b t h w i"], draw: torch.Generator | None = None) -> Quantized:
        given = zip(self.parts, x.split(self.width, dim=-1), strict=True)
        latents, codes, losses = zip(*(part(some, draw) for part, some in given), strict=True)
        return Quantized(torch.cat(latents, dim=-1), torch.cat(codes, dim=-1), torch.stack(losses).mean())

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        given = zip(self.parts, codes.split(codes.shape[-1] // len(self.parts), dim=-1), strict=True)
        return torch.cat([part.decode(some) for part, some in given], dim=-1)  # type: ignore[operator]
