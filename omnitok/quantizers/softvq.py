"""A soft choice among codes: continuous latents inside the hull of a codebook."""

import math
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.quantizers.contract import Quantized, Quantizer, precise
from omnitok.quantizers.entropy import choice_gap
from omnitok.spec import Count, Positive, Weight


@final
class SoftVectorQuantizer(Quantizer):
    """The mean of k learned vectors, weighted by a softmax of their inner products with the latent (Chen et al. 2024,
    arXiv:2412.10958); nothing is discrete.

    codebook_size: how many vectors there are to choose among.
    latent_channels: how wide the latents are; more keep more detail and are harder to generate.
    temperature: of the softmax; larger blends more codes.
    normalise: whether latents and codes are brought to unit length first.
    kl_weight: how much it counts that each choice is sure and all codes are used alike; larger uses more of the
        codebook.
    """

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        latent_channels: Count = 32,
        temperature: Positive = 0.07,
        normalise: bool = True,
        kl_weight: Weight = 0.01,
    ) -> None:
        super().__init__()
        self.in_channels = self.channels = latent_channels
        self.codebook_sizes = ()
        self.temperature, self.normalise, self.kl_weight = temperature, normalise, kl_weight
        self.codebook = nn.Parameter(torch.empty(codebook_size, latent_channels))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        bound = 1 / len(self.codebook)
        self.codebook.uniform_(-bound, bound)

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            tokens, codebook = self._unit(x.to(self.codebook.dtype).flatten(0, -2)), self._unit(self.codebook)
            latents = blended(tokens, codebook, codebook, 1 / self.temperature)
            loss = latents.new_zeros(())
            if self.kl_weight and self.training:  # log k more than the paper's, so that 0 is the least
                keys = codebook / self.temperature
                loss = self.kl_weight * (choice_gap(tokens, keys, keys.new_zeros(len(keys))) + math.log(len(keys)))
        codes = torch.empty((*x.shape[:-1], 0), dtype=torch.long, device=x.device)
        return Quantized(latents.view(x.shape).to(x.dtype), codes, loss)

    def _unit(self, x: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
        return F.normalize(x, dim=-1) if self.normalise else x

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        raise ValueError("a soft choice names none of its vectors: there is no codebook for codes to be decoded with")


def blended(
    tokens: Float[Tensor, "n z"], keys: Float[Tensor, "k z"], values: Float[Tensor, "k y"], scale: float
) -> Float[Tensor, "n y"]:
    """Each token's mean of ``values``, weighted by the softmax of its scaled inner products with ``keys``."""
    asked = tokens[None, None], keys[None, None], values[None, None]
    return F.scaled_dot_product_attention(asked[0], asked[1], asked[2], scale=scale)[0, 0]
