"""Index back-propagation: a hard choice forwards, a soft one among all codes backwards."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.quantizers.codebook import OneCodebook
from omnitok.quantizers.contract import Quantized, precise
from omnitok.quantizers.entropy import choice_gap
from omnitok.quantizers.search import likeliest
from omnitok.quantizers.softvq import blended
from omnitok.spec import Count, Weight

TEMPERATURE = 0.01  # of the choices that entropies are taken of


@final
class IndexBackpropagationQuantizer(OneCodebook):
    """The vector with the largest inner product; gradients pass by the softmax over all of them, so that each step
    moves every code (Shi et al. 2024, arXiv:2412.02692).

    codebook_size: how many vectors can be named; larger keeps more detail.
    code_dim: their width; the paper's is 256.
    codebook_weight: how hard codes are pulled to latents, of how hard latents are pulled to codes.
    entropy_weight: how much it counts that each choice is sure and all codes are used alike; larger uses more of the
        codebook.
    """

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 32,
        codebook_weight: Weight = 0.25,
        entropy_weight: Weight = 0.05,
    ) -> None:
        super().__init__(codebook_size, code_dim)
        self.codebook_weight, self.entropy_weight = codebook_weight, entropy_weight
        self.codebook = nn.Parameter(torch.empty(codebook_size, code_dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        bound = 1 / len(self.codebook)
        self.codebook.uniform_(-bound, bound)

    def codes(self) -> Float[Tensor, "k z"]:
        return self.codebook

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            tokens = x.to(self.codebook.dtype).flatten(0, -2)
            codes = likeliest(tokens.detach(), self.codebook.detach())
            hard = given = F.embedding(codes, self.codebook)
            if self.training:
                soft = blended(tokens, self.codebook, self.codebook.detach(), 1.0)
                given = hard + (soft - soft.detach())
            double = F.mse_loss(hard.detach(), tokens) + self.codebook_weight * F.mse_loss(hard, tokens.detach())
            loss = F.mse_loss(given, tokens) + double
            if self.training and self.entropy_weight:
                keys = self.codebook / TEMPERATURE
                loss = loss + self.entropy_weight * choice_gap(tokens, keys, keys.new_zeros(len(keys)))
        return Quantized(given.view(x.shape), codes.view(*x.shape[:-1], 1), loss)
