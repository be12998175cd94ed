"""How sure a number is that is no mean of items: a bootstrap over items, to first order (Efron 1982)."""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.randomness import generator

COVERED: Final = 0.95
FEWEST: Final = 8  # items; fewer say too little of how far items differ
DRAWN = 1 << 22  # items drawn at once


def interval(
    value: float, pulls: Float[Tensor, " n"], resamples: int, purpose: str, least: float = -math.inf
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a number over items, of which ``resamples`` sets are drawn; None for no resamples, and
    for fewer than 8 items. ``least``: what the number is never below.

    ``pulls``: n times how far an item moves the number (the empirical influence, Hampel 1974), of mean 0. A drawn set's
    number is taken to be ``value`` and the mean of its items' pulls. That costs nothing however dear the number is, and
    has none of the bias that doubled items give to the distance of two distributions.
    """
    if not resamples or len(pulls) < FEWEST:
        return None
    draw, many = generator(0, f"interval of {purpose}"), len(pulls)
    at_once = max(1, DRAWN // many)
    found = []
    for start in range(0, resamples, at_once):
        chosen = torch.randint(many, (min(at_once, resamples - start), many), generator=draw)
        found.append(pulls[chosen].mean(1))
    ends = torch.tensor([(1 - COVERED) / 2, (1 + COVERED) / 2], dtype=torch.double)
    low, high = (value + torch.quantile(torch.cat(found).double(), ends)).tolist()
    return max(low, least), max(high, least)
