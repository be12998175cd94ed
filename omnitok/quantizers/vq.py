"""Vector quantization with a moving-average codebook on l2-normalised, narrow latents."""

from abc import abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omnitok.processes import gathered, total, world
from omnitok.quantizers.contract import Quantized, Quantizer, precise, straight_through
from omnitok.spec import Count, Share, Weight

ROWS = 256  # tokens searched at once: 256 x codes fits a CPU's cache (122 ms against 531 ms at 4096 rows, measured)
ROWS_ELSEWHERE = 4096  # an accelerator wants fewer, larger pieces
SMALL = 1e-7  # hits that every code is given, so that none is divided by nothing


def nearest(tokens: Float[Tensor, "n z"], codebook: Float[Tensor, "k z"]) -> Int[Tensor, " n"]:
    """The index of the code with the least squared Euclidean distance, ties to the lowest; memory never grows with
    tokens x codes."""
    offset = codebook.square().sum(-1) / 2
    rows = ROWS if tokens.is_cpu else ROWS_ELSEWHERE
    return torch.cat([(some @ codebook.T - offset).max(-1).indices for some in tokens.split(rows)])


class MovingAverageCodebook(Quantizer):
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
    ) -> None:
        super().__init__()
        self.in_channels = self.channels = code_dim
        self.codebook_sizes = (codebook_size,)
        self.decay, self.commitment_weight, self.restart_below = decay, commitment_weight, restart_below
        self.normalise = normalise
        # an even spread until the first batch: a model that was never trained has no codes worth a random draw
        angles = torch.arange(codebook_size)[:, None] * (1 + torch.arange(code_dim)) * 2.399963
        self.register_buffer("codebook", F.normalize(angles.cos(), dim=-1))
        self.register_buffer("hits", torch.ones(codebook_size))
        self.register_buffer("sums", self.codebook.clone())
        self.register_buffer("filled", torch.tensor(False))

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            wide = x.to(self.codebook.dtype)
            latents = F.normalize(wide, dim=-1) if self.normalise else wide
            tokens = latents.detach().flatten(0, -2)
            if self.training and draw is not None:
                everyone = gathered(tokens)
                self._fill(everyone, draw)
            codes = nearest(tokens, self.codebook)
            chosen = F.embedding(codes, self.codebook).view(latents.shape)
            loss = self.commitment_weight * F.mse_loss(latents, chosen) + self._asked_beside(latents)
            if self.training and draw is not None:
                self._follow(tokens, codes)
                self._restart(everyone, draw)
            passed = straight_through(latents, chosen) if self.training else chosen
        return Quantized(passed, codes.view(*x.shape[:-1], 1), loss)

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, ""]:
        """What latents are held to beside their codes, weighted."""
        return latents.new_zeros(())

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        return F.embedding(codes[..., 0], self.codebook)

    @torch.no_grad()
    def _follow(self, tokens: Float[Tensor, "n z"], codes: Int[Tensor, " n"]) -> None:
        """One step of the moving averages; ``tokens`` are this process's."""
        hits = torch.zeros_like(self.hits).index_add_(0, codes, torch.ones_like(codes, dtype=self.hits.dtype))
        self._moved(total(hits), total(torch.zeros_like(self.sums).index_add_(0, codes, tokens)))

    def _moved(self, hits: Float[Tensor, " k"], sums: Float[Tensor, "k z"]) -> None:
        self.hits.lerp_(hits, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        everything = self.hits.sum()
        smoothed = (self.hits + SMALL) / (everything + len(self.hits) * SMALL) * everything
        self.codebook.copy_(self.sums / smoothed[:, None])

    @abstractmethod
    def _fill(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """Codes from the first batch that is trained on, where this is it. ``tokens``: of all processes."""

    @abstractmethod
    def _restart(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """Another value for codes that are chosen too seldom. ``tokens``: of all processes."""


TEMPERATURE = 0.1  # of the soft choice among codes that entropies are taken of, in squared distances


def entropy_gap(tokens: Float[Tensor, "n z"], codebook: Float[Tensor, "k z"]) -> Float[Tensor, ""]:
    """How sure each choice of a code is, and how evenly all of them together use the codebook: the mean entropy of the
    soft choices less the entropy of their mean over all processes, in nats (arXiv:2310.05737, sec. 3). Holds n x k."""
    logits = (2 * tokens @ codebook.T - codebook.square().sum(-1)) / TEMPERATURE
    shares = logits.softmax(-1)
    mean = total(shares.sum(0)) / (len(tokens) * world())
    return _entropy(shares).mean() - _entropy(mean)


def _entropy(shares: Float[Tensor, "*n k"]) -> Float[Tensor, " *n"]:
    return -(shares * shares.clamp_min(1e-12).log()).sum(-1)


@final
class VectorQuantizer(MovingAverageCodebook):
    """The nearest of k vectors (arXiv:1711.00937), which follow the mean of what chose them (its appendix A.1);
    latents are normalised first and narrow (arXiv:2110.04627). The first training batch fills the codebook.

    codebook_size: how many vectors can be named; larger keeps more detail and is harder to keep in use.
    code_dim: their width; narrower keeps more of the codebook in use.
    decay: how much of its old value a code keeps in a step; larger is slower and steadier.
    commitment_weight: how hard latents are pulled to their code, on the mean squared distance.
    restart_below: a code chosen less often than this many times a batch (in the moving average) is put on a random
        latent of the batch; 0 never.
    normalise: whether latents are brought to unit length first.
    entropy_weight: how much it counts that each choice is sure and all codes are used alike; larger uses more of the
        codebook, at memory for tokens x codes.
    """

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
    ) -> None:
        super().__init__(
            codebook_size=codebook_size,
            code_dim=code_dim,
            decay=decay,
            commitment_weight=commitment_weight,
            restart_below=restart_below,
            normalise=normalise,
        )
        self.entropy_weight = entropy_weight

    def _asked_beside(self, latents: Float[Tensor, "b t h w z"]) -> Float[Tensor, ""]:
        if not self.entropy_weight or not self.training:
            return super()._asked_beside(latents)
        return self.entropy_weight * entropy_gap(latents.flatten(0, -2), self.codebook.clone())

    @torch.no_grad()
    def _fill(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        """The first batch's tokens become the codes, slightly apart where there are fewer tokens than codes."""
        drawn = self._drawn(tokens, draw)
        self.codebook.copy_(torch.where(self.filled, self.codebook, drawn))
        self.sums.copy_(torch.where(self.filled, self.sums, drawn))
        self.filled.fill_(True)

    @torch.no_grad()
    def _restart(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> None:
        if self.restart_below:
            dead = self.hits < self.restart_below
            drawn = self._drawn(tokens, draw)
            self.codebook.copy_(torch.where(dead[:, None], drawn, self.codebook))
            self.sums.copy_(torch.where(dead[:, None], drawn, self.sums))
            self.hits.copy_(torch.where(dead, 1.0, self.hits))

    def _drawn(self, tokens: Float[Tensor, "n z"], draw: torch.Generator) -> Float[Tensor, "k z"]:
        size = self.codebook_sizes[0]
        rows = torch.randperm(max(size, len(tokens)), generator=draw)[:size].to(tokens.device) % len(tokens)
        noise = torch.randn((size, self.channels), generator=draw).to(tokens)
        return tokens[rows] + (0.01 / self.channels**0.5) * noise * (len(tokens) < size)
