"""Vector quantization with a codebook that the optimizer moves."""

from abc import abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from omnitok.quantizers.codebook import OneCodebook
from omnitok.quantizers.contract import Quantized, precise
from omnitok.quantizers.entropy import entropy_gap
from omnitok.quantizers.estimators import Estimator, passed
from omnitok.quantizers.search import nearest
from omnitok.quantizers.start import Start, begun, counted, picked, spread
from omnitok.spec import Count, Weight

DECAY = 0.99  # of the moving average of how often each code is chosen


class GradientCodebook(OneCodebook):
    """The nearest of k vectors, which are pulled to what chose them: van den Oord et al. 2017, arXiv:1711.00937, eq. 3,
    with means for squared norms."""

    def __init__(self, codebook_size: int, code_dim: int, commitment_weight: float, estimator: Estimator) -> None:
        super().__init__(codebook_size, code_dim)
        self.commitment_weight, self.estimator = commitment_weight, estimator

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            latents = self._latents(x)
            tokens = latents.detach().flatten(0, -2)
            if self.training and draw is not None:
                self._mend(tokens, draw)
            codebook = self.codes()
            codes = nearest(tokens, codebook.detach())
            chosen = F.embedding(codes, codebook).view(latents.shape)
            pull, commitment = F.mse_loss(chosen, latents.detach()), F.mse_loss(latents, chosen.detach())
            loss = pull + self.commitment_weight * commitment
            if self.training:
                loss = loss + self._asked_beside(latents, codebook)
                if draw is not None:
                    self._count(tokens, codes)
            given = passed(self.estimator, latents, chosen) if self.training else chosen
        return Quantized(given, codes.view(*x.shape[:-1], 1), loss)

    @abstractmethod
    def _latents(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        """What is searched for."""

    def _mend(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """The codebook before a training step; ``tokens`` are this process's."""

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"], codebook: Float[Tensor, "k z"]) -> Float[Tensor, ""]:
        """What else is in the loss of a training step, weighted."""
        return latents.new_zeros(())

    def _count(self, tokens: Float[Tensor, "n z"], codes: Tensor) -> None:
        """What is remembered of a training step."""


@final
class LearnedVectorQuantizer(GradientCodebook):
    """The nearest of k vectors, which gradients pull to what chose them (arXiv:1711.00937, eq. 3); latents and codes
    are of unit length and narrow (arXiv:2110.04627).

    codebook_size: how many vectors can be named; larger keeps more detail and is harder to keep in use.
    code_dim: their width; narrower keeps more of the codebook in use.
    commitment_weight: how hard latents are pulled to their code, of how hard codes are pulled to latents.
    restart_below: a code chosen less often than this many times a batch (in a moving average) is put on a random latent
        of the next batch; 0 never.
    normalise: whether latents and codes are brought to unit length.
    entropy_weight: how much it counts that each choice is sure and all codes are used alike; larger uses more of the
        codebook.
    start: the codes before the first step: random latents of the first batch, their k-means, or an even spread.
    estimator: how gradients pass the choice: to the latent as they are, or turned with it onto its code
        (arXiv:2410.06424).
    """

    usage: Float[Tensor, " k"]
    filled: Bool[Tensor, ""]

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 8,
        commitment_weight: Weight = 0.25,
        restart_below: Weight = 0.0,
        normalise: bool = True,
        entropy_weight: Weight = 0.0,
        start: Start = "first_batch",
        estimator: Estimator = "straight_through",
    ) -> None:
        super().__init__(codebook_size, code_dim, commitment_weight, estimator)
        self.restart_below, self.normalise, self.entropy_weight = restart_below, normalise, entropy_weight
        self.start = start
        self.codebook = nn.Parameter(torch.empty(codebook_size, code_dim))
        self.register_buffer("usage", torch.ones(codebook_size))
        self.register_buffer("filled", torch.tensor(start == "spread"))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.codebook.copy_(spread(*self.codebook.shape))

    def codes(self) -> Float[Tensor, "k z"]:
        """Apart from the parameter, which the next forward pass may mend before this one's gradient is taken."""
        codebook = self.codebook.clone()
        return F.normalize(codebook, dim=-1) if self.normalise else codebook

    def _latents(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        wide = x.to(self.codebook.dtype)
        return F.normalize(wide, dim=-1) if self.normalise else wide

    @torch.no_grad()
    def _mend(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        if not self.filled:
            self.codebook.copy_(begun(self.start, tokens, len(self.codebook), draw, self.normalise))
            self.filled.fill_(True)
        elif self.restart_below:
            dead = self.usage < self.restart_below
            fresh = picked(tokens, len(self.codebook), draw, self.normalise)
            self.codebook.copy_(torch.where(dead[:, None], fresh, self.codebook))
            self.usage.copy_(torch.where(dead, 1.0, self.usage))

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"], codebook: Float[Tensor, "k z"]) -> Float[Tensor, ""]:
        if not self.entropy_weight:
            return super()._asked_beside(latents, codebook)
        return self.entropy_weight * entropy_gap(latents.flatten(0, -2), codebook)

    @torch.no_grad()
    def _count(self, tokens: Float[Tensor, "n z"], codes: Tensor) -> None:
        if self.restart_below:
            self.usage.lerp_(counted(tokens, codes, len(self.usage))[0], 1 - DECAY)
