"""What a fraction of all combinations cannot tell apart: effects whose contrasts go together over its arms (Box and Hunter,
Technometrics 3, 1961). Loads no torch."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from omnitok.spec import Spec, plain
from omnitok.sweep.design import DESIGNS, Arm, Factors, arms

Effect = tuple[str, ...]  # a factor, whose main effect it is, or two that interact
Contrasts = Mapping[Effect, Float[np.ndarray, "arms freedom"]]
CLEAR: Final = 1e-9  # of a share; what is not zero is far larger


class Alias(NamedTuple):
    """Two effects that the arms do not tell apart. ``share``: how much of the one with fewer degrees of freedom is in the
    other; 1: all of it, so that no analysis can say which of the two it was; less: a part."""

    effect: Effect
    other: Effect
    share: float


def aliases_of(design: Spec, factors: Factors) -> list[Alias] | None:
    """As ``aliases``; None where the design is no fraction."""
    return aliases(factors, arms(design, factors)) if plain(design)[DESIGNS.tag] == "fractional" else None


def aliases(factors: Factors, fraction: Sequence[Arm]) -> list[Alias]:
    """Main effects with interactions of two factors; where every main effect is clear of these, the interactions with each
    other. In the fraction every value stands equally often with every value of each other factor."""
    mains: Contrasts = {
        (factor,): _contrasts(len(labels))[[labels.index(arm[factor]) for arm in fraction]]
        for factor, labels in factors.items()
        if len(labels) > 1
    }
    both: Contrasts = {
        (*one, *other): np.einsum("ni,nj->nij", mains[one], mains[other]).reshape(len(fraction), -1)
        for one, other in itertools.combinations(mains, 2)
    }
    found = list(_together(itertools.product(mains, both), {**mains, **both}))
    return found or list(_together(itertools.combinations(both, 2), both))


def as_json(found: Sequence[Alias]) -> list[dict[str, Any]]:
    return [{"effect": list(one.effect), "with": list(one.other), "share": one.share} for one in found]


def _contrasts(levels: int) -> Float[np.ndarray, "levels freedom"]:
    """What the levels can differ in: columns of mean 0 and mean square 1 at right angles to each other."""
    ones = np.ones((levels, 1))
    return np.sqrt(levels) * np.linalg.qr(np.hstack([ones, np.eye(levels)[:, :-1]]))[0][:, 1:]


def _together(pairs: Iterator[tuple[Effect, Effect]], contrasts: Contrasts) -> Iterator[Alias]:
    for one, other in pairs:
        a, b = contrasts[one], contrasts[other]
        share = float(np.square(a.T @ b / len(a)).sum()) / min(a.shape[1], b.shape[1])
        if share > CLEAR:
            yield Alias(one, other, round(share, 6))
