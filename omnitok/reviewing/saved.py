"""What shared stages save: every stage trained once, against each trial trained whole."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from omnitok.sweep.plan import Plan


class Sharing(NamedTuple):
    """The same sum over all trials whole, and over each stage once."""

    whole: float
    once: float

    @property
    def saved(self) -> float:
        """The share of the whole that nobody pays for."""
        return 1 - self.once / self.whole if self.whole else 0.0


def sharing(plans: Iterable[Plan], weights: Mapping[str, float]) -> Sharing:
    """``weights``: what each stage costs, by digest. Several plans share what they have in common, too."""
    stages = [digest for plan in plans for trial in plan.trials for digest in trial.stages]
    return Sharing(
        math.fsum(weights[digest] for digest in stages), math.fsum(weights[digest] for digest in dict.fromkeys(stages))
    )
