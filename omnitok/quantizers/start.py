"""How a codebook begins."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.processes import gathered, total
from omnitok.quantizers.search import nearest

Start = Literal["first_batch", "kmeans", "spread"]
ROUNDS = 10  # of k-means
GOLDEN_ANGLE = 2.399963


def spread(size: int, dim: int) -> Float[Tensor, "k z"]:
    """Directions that are spread evenly: before any data no code is worth a random draw."""
    angles = torch.arange(size)[:, None] * (1 + torch.arange(dim)) * GOLDEN_ANGLE
    return F.normalize(angles.cos(), dim=-1)


@torch.no_grad()
def picked(tokens: Float[Tensor, "n z"], size: int, draw: torch.Generator, normalise: bool) -> Float[Tensor, "k z"]:
    """Different tokens of all processes at random, of which ``tokens`` are this one's; slightly apart copies where
    there are fewer tokens than codes."""
    everyone = gathered(tokens)
    rows = torch.randperm(max(size, len(everyone)), generator=draw)[:size].to(tokens.device) % len(everyone)
    codes = everyone[rows]
    if len(everyone) < size:
        noise = torch.randn((size, tokens.shape[1]), generator=draw).to(tokens)
        codes = codes + (0.01 / tokens.shape[1] ** 0.5) * noise
    return F.normalize(codes, dim=-1) if normalise else codes


@torch.no_grad()
def begun(
    start: Start, tokens: Float[Tensor, "n z"], size: int, draw: torch.Generator, normalise: bool
) -> Float[Tensor, "k z"]:
    """Codes from the first batch of all processes; ``tokens`` are this one's."""
    codes = picked(tokens, size, draw, normalise)
    return kmeans(tokens, codes, normalise) if start == "kmeans" else codes


@torch.no_grad()
def kmeans(tokens: Float[Tensor, "n z"], codes: Float[Tensor, "k z"], normalise: bool) -> Float[Tensor, "k z"]:
    """Rounds of Lloyd's algorithm from ``codes`` on, over the tokens of all processes, of which ``tokens`` are this
    one's; on the sphere where ``normalise``. A code that nothing chooses stays."""
    for _ in range(ROUNDS):
        hits, sums = counted(tokens, nearest(tokens, codes), len(codes))
        means = sums / hits.clamp_min(1)[:, None]
        codes = torch.where(hits[:, None] > 0, F.normalize(means, dim=-1) if normalise else means, codes)
    return codes


def counted(tokens: Float[Tensor, "n z"], codes: Tensor, size: int) -> tuple[Float[Tensor, " k"], Float[Tensor, "k z"]]:
    """How many tokens of all processes chose each code, and their sums."""
    hits = tokens.new_zeros(size).index_add_(0, codes, torch.ones_like(codes, dtype=tokens.dtype))
    return total(hits), total(tokens.new_zeros(size, tokens.shape[1]).index_add_(0, codes, tokens))
