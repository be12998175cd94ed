"""Numbers drawn from a generator, which are functions of its state."""

import torch


def below(draw: torch.Generator, bound: int) -> int:
    """Any whole number from 0 to ``bound - 1``."""
    return int(torch.randint(bound, (), generator=draw).item())


def uniform(draw: torch.Generator, least: float, most: float) -> float:
    """Any number between the two."""
    return least + (most - least) * float(torch.rand((), generator=draw, dtype=torch.float64))
