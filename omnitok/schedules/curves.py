"""How large something is at each step, as a part of its full size: learning rates, loss weights."""

import math
from typing import Literal

from omnitok.spec import Share


def constant(step: int, total: int, *, warmup_share: Share = 0.0) -> float:
    """A straight rise, then level.

    warmup_share: how large a part of the steps the rise takes.
    """
    return _rise(step, total, warmup_share)


def linear(step: int, total: int, *, warmup_share: Share = 0.05, final_share: Share = 0.0) -> float:
    """A straight rise, then straight down (arXiv:1810.04805, appendix A.2).

    warmup_share: how large a part of the steps the rise takes.
    final_share: how much is left at the end, as a part of the full size.
    """
    start = warmup_share * total
    if step < start:
        return _rise(step, total, warmup_share)
    return 1 - (1 - final_share) * (step - start) / max(total - start, 1)


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


def wsd(
    step: int,
    total: int,
    *,
    warmup_share: Share = 0.05,
    decay_share: Share = 0.2,
    decay: Literal["sqrt", "linear"] = "sqrt",
    final_share: Share = 0.0,
) -> float:
    """Warm-up, stable, decay: a straight rise, level for long, and a short way down at the end (arXiv:2404.06395,
    arXiv:2405.18392).

    warmup_share: how large a part of the steps the rise takes.
    decay_share: how large a part of the steps the way down takes; a fifth is as good as a whole cosine.
    decay: the way down: 1 - sqrt, which falls fast and then slowly and was found the best, or straight.
    final_share: how much is left at the end, as a part of the full size.
    """
    if warmup_share + decay_share > 1:
        raise _too_much(warmup_share=warmup_share, decay_share=decay_share)
    start = (1 - decay_share) * total
    if step < start:
        return _rise(step, total, warmup_share)
    done = (step - start) / max(total - start, 1)
    return 1 - (1 - final_share) * (math.sqrt(done) if decay == "sqrt" else done)


def delayed(step: int, total: int, *, begin_share: Share = 0.0, rise_share: Share = 0.1) -> float:
    """Nothing, then a straight rise, then level: for judges and perceptual losses, which disturb a tokenizer that cannot
    reconstruct yet (arXiv:2012.09841, sec. 4: a warm-up before the discriminator).

    begin_share: how large a part of the steps has nothing.
    rise_share: how large a part of the steps the rise after that takes; 0 is at once.
    """
    if begin_share + rise_share > 1:
        raise _too_much(begin_share=begin_share, rise_share=rise_share)
    begin = math.floor(begin_share * total)
    return 0.0 if step < begin else _rise(step - begin, total, rise_share)


def _rise(step: int, total: int, warmup_share: float) -> float:
    return min(1.0, (step + 1) / max(1.0, warmup_share * total))


def _too_much(**shares: float) -> ValueError:
    """Of two shares, the larger first: it is more than a half, so it is no default and stands in a file."""
    (more, much), (less, little) = sorted(shares.items(), key=lambda one: -one[1])
    return ValueError(f"{more}={much}: with {less}={little} it is more than the whole stage")
