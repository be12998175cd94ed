"""A codebook that moves as a whole: frozen codes under one learned linear map."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.quantizers.estimators import Estimator
from omnitok.quantizers.vq_learned import GradientCodebook
from omnitok.spec import Count, Weight


@final
class SimVectorQuantizer(GradientCodebook):
    """The nearest of k frozen random vectors after a learned linear map of all of them, so that each gradient moves
    each code and none dies (Zhu et al. 2024, arXiv:2411.02038).

    codebook_size: how many vectors can be named; larger keeps more detail.
    code_dim: their width; the paper's is 128.
    commitment_weight: how hard latents are pulled to their code, of how hard codes are pulled to latents.
    estimator: how gradients pass the choice: to the latent as they are, or turned with it onto its code
        (arXiv:2410.06424).
    """

    frozen: Float[Tensor, "k z"]

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 32,
        commitment_weight: Weight = 0.25,
        estimator: Estimator = "straight_through",
    ) -> None:
        super().__init__(codebook_size, code_dim, commitment_weight, estimator)
        self.basis = nn.Parameter(torch.empty(code_dim, code_dim))
        self.register_buffer("frozen", torch.empty(codebook_size, code_dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        deviation = self.channels**-0.5
        self.frozen.normal_(std=deviation)
        self.basis.uniform_(-deviation, deviation)

    def codes(self) -> Float[Tensor, "k z"]:
        return self.frozen @ self.basis.T

    def _latents(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        return x.to(self.basis.dtype)
