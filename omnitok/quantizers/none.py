"""No bottleneck but the width of the latents."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.quantizers.contract import Quantized, Quantizer
from omnitok.spec import Count


@final
class NoQuantizer(Quantizer):
    """Latents are what the encoder gives; the bound on what any quantizer of this width can reach.

    latent_channels: how wide the latents are; more keep more detail.
    """

    def __init__(self, *, latent_channels: Count = 8) -> None:
        super().__init__()
        self.in_channels = self.channels = latent_channels
        self.codebook_sizes = ()

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        codes = torch.empty((*x.shape[:-1], 0), dtype=torch.long, device=x.device)
        return Quantized(x, codes, x.new_zeros((), dtype=torch.promote_types(x.dtype, torch.float32)))

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        raise ValueError("latents that are not quantized have no codebook, so there are no codes to decode")
