"""The codebook as OmniTokenizer's code has it (arXiv:2406.09399), after TATS (arXiv:2204.03638)."""

from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.processes import gathered
from omnitok.quantizers.vq import MovingAverageCodebook
from omnitok.spec import Count, Share, Weight


@final
class PublishedVectorQuantizer(MovingAverageCodebook):
    """As published: a restart puts a code elsewhere and leaves its moving averages, from which the next update computes
    it anew, so that a seldom chosen code is thrown about and never moves for good.

    codebook_size: how many vectors can be named; larger keeps more detail and is harder to keep in use.
    code_dim: their width; narrower keeps more of the codebook in use.
    decay: how much of its old value a code keeps in a step; larger is slower and steadier.
    commitment_weight: how hard latents are pulled to their code, on the mean squared distance.
    restart_below: a code chosen less often than this many times a batch (in the moving average) is put on a random
        latent of the batch until the next update; 0 never.
    normalise: whether latents are brought to unit length first.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("restarts are undone at the next update",)
    usage: Float[Tensor, " k"]

    def __init__(
        self,
        *,
        codebook_size: Count = 1024,
        code_dim: Count = 8,
        decay: Share = 0.99,
        commitment_weight: Weight = 0.25,
        restart_below: Weight = 0.0,
        normalise: bool = True,
    ) -> None:
        super().__init__(
            codebook_size=codebook_size,
            code_dim=code_dim,
            decay=decay,
            commitment_weight=commitment_weight,
            restart_below=restart_below,
            normalise=normalise,
        )
        self.register_buffer("usage", torch.zeros(codebook_size))  # the moving average of each code's share of a batch

    def permutation(self, count: int, draw: torch.Generator) -> Int[Tensor, " count"]:
        """The order of the latents from which codes are taken, first to last."""
        return torch.randperm(count, generator=draw)

    @torch.no_grad()
    def _fill(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        drawn = self._drawn(gathered(tokens), draw)
        self.codebook.copy_(drawn)
        self.sums.copy_(drawn)
        self.hits.fill_(1.0)

    def _moved(self, hits: Float[Tensor, " k"], sums: Float[Tensor, "k z"]) -> None:
        super()._moved(hits, sums)
        shares = hits / hits.sum()
        self.usage.copy_(torch.where(self.usage.any(), self.usage.lerp(shares, 1 - self.decay), shares))

    @torch.no_grad()
    def _restart(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        dead = self.hits < self.restart_below
        self.codebook.copy_(torch.where(dead[:, None], self._drawn(gathered(tokens), draw), self.codebook))

    def _drawn(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> Float[Tensor, "k z"]:
        """The first of the latents in random order, each several times with a little noise where there are too few."""
        size = self.codebook_sizes[0]
        if len(tokens) < size:
            tokens = tokens.repeat(-(-size // len(tokens)), 1)
            noise = torch.randn(tokens.shape, generator=draw).to(tokens)
            tokens = tokens + (0.01 / self.channels**0.5) * noise
        return tokens[self.permutation(len(tokens), draw)[:size].to(tokens.device)]
