"""Numbers over seeds: mean, spread, differences paired by seed, intervals, tests, effect sizes.

Everything is over seeds: what pairs the items of one training tests these items, and says nothing of another training.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist, mean, stdev
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

RESAMPLES: Final = 50_000  # of a bootstrap
ALL: Final = 14  # numbers whose every change of signs is looked at; of more, as many are drawn as RESAMPLES says
NOISE: Final = 1e-9  # a spread this small beside its mean is rounding, not spread
DRAW: Final = 7  # the seed of every draw, so that the same numbers give the same interval whatever they are called


class Interval(NamedTuple):
    """Where a mean lies with the probability ``level``."""

    low: float
    high: float
    level: float


class Summary(NamedTuple):
    """Of n numbers: their mean (NaN of none) and standard deviation (ddof = 1; None below two numbers)."""

    n: int
    mean: float
    sd: float | None

    def interval(self, level: float = 0.95) -> Interval | None:
        """The two-sided t interval of the mean; None below two numbers, from which nothing follows."""
        if self.sd is None:
            return None
        half = float(stdtrit(self.n - 1, (1 + level) / 2)) * self.sd / math.sqrt(self.n)
        return Interval(self.mean - half, self.mean + half, level)

    @property
    def p(self) -> float | None:
        """Of the two-sided t test against a mean of 0; None below two numbers. Below 1 - level exactly where the interval
        of that level leaves out 0."""
        if self.sd is None:
            return None
        if not self.sd:
            return 0.0 if self.mean else 1.0
        return 2 * float(stdtr(self.n - 1, -abs(self.mean) * math.sqrt(self.n) / self.sd))

    @property
    def effect(self) -> float | None:
        """Hedges' g of paired differences: their mean over their sd, times J(n - 1) = Γ(m/2) / (√(m/2) Γ((m - 1)/2)) with
        m = n - 1, which takes out the bias of few numbers (Hedges, Journal of Educational Statistics 6, 1981).

        None below three numbers, of which J is 0, and of numbers without a spread.
        """
        if self.n < 3 or not self.sd:
            return None
        half = (self.n - 1) / 2
        correction = math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)
        return correction * self.mean / self.sd


def summary(values: Iterable[float]) -> Summary:
    """Mean and spread of the numbers that are there; NaN stands for one that is not. Rounding is no spread."""
    found = [float(value) for value in values if not math.isnan(value)]
    if len(found) < 2:
        return Summary(len(found), found[0] if found else math.nan, None)
    centre, sd = mean(found), stdev(found)
    return Summary(len(found), centre, sd if sd > NOISE * abs(centre) else 0.0)


def by_seed(frame: pd.DataFrame, column: str) -> dict[int, float]:
    """{seed: the mean of ``column`` over whatever else varies}, without the seeds that have no number."""
    groups: dict[int, list[float]] = {}
    for seed, value in zip(frame["seed"], frame[column], strict=True):
        if not (pd.isna(seed) or pd.isna(value)):
            groups.setdefault(int(seed), []).append(float(value))
    return {seed: mean(groups[seed]) for seed in sorted(groups)}


def differences(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """a - b over the seeds that both have."""
    return [a[seed] - b[seed] for seed in a if seed in b]


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Summary:
    """The differences a - b over the seeds that both have."""
    return summary(differences(a, b))


def tied(best: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Whether nothing shows that two arms differ: the paired 95 % interval holds 0, or there is none."""
    interval = paired(best, other).interval()
    return interval is None or interval.low <= 0 <= interval.high


def least(n: int) -> float:
    """The smallest two-sided p that signs of n differences can give: 2 of the 2^n ways to set them. It is also the share of
    symmetric distributions' draws in which all n lie on one side of the mean, so that no interval within their range holds it.
    """
    return 2.0 ** (1 - n)


def bootstrap(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """The bias-corrected and accelerated interval of the mean (Efron, JASA 82, 1987), from draws of a fixed seed.

    None of so few numbers that an interval within their range cannot have the level (below 6 at 95 %; see ``least``).
    """
    numbers = np.asarray(values, float)
    n = len(numbers)
    if not n or least(n) > 1 - level:
        return None
    centre = float(numbers.mean())
    if np.ptp(numbers) == 0:
        return Interval(centre, centre, level)
    means = numbers[np.random.default_rng(DRAW).integers(n, size=(RESAMPLES, n))].mean(1)
    normal = NormalDist()
    bias = normal.inv_cdf(float(((means < centre).mean() + (means <= centre).mean()) / 2))
    pulls = numbers - centre  # how far the jackknife's means lie below the mean, times n - 1
    acceleration = float((pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5))
    ends = []
    for z in (normal.inv_cdf((1 - level) / 2), normal.inv_cdf((1 + level) / 2)):
        share = normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        ends.append(float(np.quantile(means, share)))
    return Interval(ends[0], ends[1], level)


def sign_flip(values: Sequence[float]) -> float | None:
    """The two-sided p of a mean of 0 where only symmetry is assumed: the share of all changes of signs whose mean lies as far
    from 0 (Fisher, The Design of Experiments, 1935, section 21). None of no number. Never below ``least``.
    """
    numbers = np.asarray(values, float)
    n = len(numbers)
    if not n:
        return None
    if n <= ALL:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        drawn = np.random.default_rng(DRAW).choice([-1, 1], size=(RESAMPLES, n))
        signs = np.vstack([np.ones((1, n), int), drawn])  # what was seen is one of the ways
    sums = np.abs(signs @ numbers)
    return float((sums >= sums[0] * (1 - 1e-12)).mean())


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for being so many, in their order: the i-th smallest of m times m - i + 1, and none below a smaller one
    (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, ps[i] * (len(ps) - rank)))
        corrected[i] = highest
    return corrected
