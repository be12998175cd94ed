"""Vector quantization with a moving-average codebook on l2-normalised, narrow latents."""

from abc import abstractmethod
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from omnitok.quantizers.codebook import OneCodebook
from omnitok.quantizers.contract import Quantized, precise
from omnitok.quantizers.entropy import entropy_gap
from omnitok.quantizers.estimators import Estimator, passed
from omnitok.quantizers.search import nearest
from omnitok.quantizers.start import Start, begun, counted, picked, spread
from omnitok.spec import Count, Share, Weight

SMALL = 1e-7  # hits that every code is given, so that none is divided by nothing


class MovingAverageCodebook(OneCodebook):
    """The nearest of k vectors, which follow the mean of what chose them, over the batch of all processes. What is done
    with the first batch and with codes that nothing chooses is each component's own."""

    codebook: Float[Tensor, "k z"]
    hits: Float[Tensor, " k"]
    sums: Float[Tensor, "k z"]
    filled: Bool[Tensor, ""]

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 8,
        decay: Share = 0.99,
        commitment_weight: Weight = 0.25,
        restart_below: Weight = 0.0,
        normalise: bool = True,
        estimator: Estimator = "straight_through",
    ) -> None:
        super().__init__(codebook_size, code_dim)
        self.decay, self.commitment_weight, self.restart_below = decay, commitment_weight, restart_below
        self.normalise, self.estimator = normalise, estimator
        self.register_buffer("codebook", spread(codebook_size, code_dim))
        self.register_buffer("hits", torch.ones(codebook_size))
        self.register_buffer("sums", self.codebook.clone())
        self.register_buffer("filled", torch.tensor(False))

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            wide = x.to(self.codebook.dtype)
            latents = F.normalize(wide, dim=-1) if self.normalise else wide
            tokens = latents.detach().flatten(0, -2)
            if self.training and draw is not None and not self.filled:
                self._fill(tokens, draw)
                self.filled.fill_(True)
            codes = nearest(tokens, self.codebook)
            chosen = F.embedding(codes, self.codebook).view(latents.shape)
            loss = self.commitment_weight * F.mse_loss(latents, chosen) + self._asked_beside(latents)
            if self.training and draw is not None:
                self._moved(*counted(tokens, codes, len(self.codebook)))
                if self.restart_below:
                    self._restart(tokens, draw)
            given = passed(self.estimator, latents, chosen) if self.training else chosen
        return Quantized(given, codes.view(*x.shape[:-1], 1), loss)

    def codes(self) -> Float[Tensor, "k z"]:
        return self.codebook

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, ""]:
        """What latents are held to beside their codes, weighted."""
        return latents.new_zeros(())

    @torch.no_grad()
    def _moved(self, hits: Float[Tensor, " k"], sums: Float[Tensor, "k z"]) -> None:
        """One step of the moving averages by what all processes chose."""
        self.hits.lerp_(hits, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        everything = self.hits.sum()
        smoothed = (self.hits + SMALL) / (everything + len(self.hits) * SMALL) * everything
        self.codebook.copy_(self.sums / smoothed[:, None])

    @abstractmethod
    def _fill(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """Codes from the first batch that is trained on, of which ``tokens`` are this process's."""

    @abstractmethod
    def _restart(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """Another value for codes that are chosen too seldom. ``tokens``: this process's."""


@final
class VectorQuantizer(MovingAverageCodebook):
    """The nearest of k vectors (arXiv:1711.00937), which follow the mean of what chose them (its appendix A.1);
    latents and codes are of unit length and narrow (arXiv:2110.04627).

    codebook_size: how many vectors can be named; larger keeps more detail and is harder to keep in use.
    code_dim: their width; narrower keeps more of the codebook in use.
    decay: how much of its old value a code keeps in a step; larger is slower and steadier.
    commitment_weight: how hard latents are pulled to their code, on the mean squared distance.
    restart_below: a code chosen less often than this many times a batch (in the moving average) is put on a random
        latent of the batch; 0 never.
    normalise: whether latents are brought to unit length first, and codes after each step.
    entropy_weight: how much it counts that each choice is sure and all codes are used alike; larger uses more of the
        codebook.
    start: the codes before the first step: random latents of the first batch, their k-means, or an even spread.
    estimator: how gradients pass the choice: to the latent as they are, or turned with it onto its code
        (arXiv:2410.06424).
    """

    version: ClassVar[int] = 2  # 1 left codes of the moving average shorter than the latents

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 8,
        decay: Share = 0.99,
        commitment_weight: Weight = 0.25,
        restart_below: Weight = 0.0,
        normalise: bool = True,
        entropy_weight: Weight = 0.0,
        start: Start = "first_batch",
        estimator: Estimator = "straight_through",
    ) -> None:
        super().__init__(
            codebook_size=codebook_size,
            code_dim=code_dim,
            decay=decay,
            commitment_weight=commitment_weight,
            restart_below=restart_below,
            normalise=normalise,
            estimator=estimator,
        )
        self.entropy_weight, self.start = entropy_weight, start
        self.filled.fill_(start == "spread")

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, ""]:
        if not self.entropy_weight or not self.training:
            return super()._asked_beside(latents)
        return self.entropy_weight * entropy_gap(latents.flatten(0, -2), self.codebook.clone())

    @torch.no_grad()
    def _moved(self, hits: Float[Tensor, " k"], sums: Float[Tensor, "k z"]) -> None:
        before = self.codebook.clone()
        super()._moved(hits, sums)
        if self.normalise:  # what has no length left has no direction either
            length = self.codebook.norm(dim=-1, keepdim=True)
            self.codebook.copy_(torch.where(length > SMALL, self.codebook / length, before))

    @torch.no_grad()
    def _fill(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        self.codebook.copy_(begun(self.start, tokens, len(self.codebook), draw, self.normalise))
        self.sums.copy_(self.codebook)

    @torch.no_grad()
    def _restart(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        dead = self.hits < self.restart_below
        fresh = picked(tokens, len(self.codebook), draw, self.normalise)
        self.codebook.copy_(torch.where(dead[:, None], fresh, self.codebook))
        self.sums.copy_(torch.where(dead[:, None], fresh, self.sums))
        self.hits.copy_(torch.where(dead, 1.0, self.hits))
