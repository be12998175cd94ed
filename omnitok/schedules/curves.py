"""How large something is at each step, as a part of its full size: learning rates, loss weights."""

import math

from omnitok.spec import Share


def constant(step: int, total: int, *, warmup_share: Share = 0.0) -> float:
    """A straight rise, then level.

    warmup_share: how large a part of the steps the rise takes.
    """
    return _rise(step, total, warmup_share)


def cosine(step: int, total: int, *, warmup_share: Share = 0.05, final_share: Share = 0.0) -> float:
    """A straight rise, then half a cosine down (arXiv:1608.03983, without restarts).

    warmup_share: how large a part of the steps the rise takes.
    final_share: how much is left at the end, as a part of the full size.
    """
    start = warmup_share * total
    if step < start:
        return _rise(step, total, warmup_share)
    done = (step - start) / max(total - start, 1)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * done))


def _rise(step: int, total: int, warmup_share: float) -> float:
    return min(1.0, (step + 1) / max(1.0, warmup_share * total))
