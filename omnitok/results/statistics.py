"""Numbers over seeds: mean, spread, and differences paired by seed with Student's t intervals."""

import math
from collections.abc import Iterable, Mapping
from statistics import mean, stdev
from typing import NamedTuple

import pandas as pd
from scipy.special import stdtrit


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


def summary(values: Iterable[float]) -> Summary:
    """Mean and spread of the numbers that are there; NaN stands for one that is not."""
    found = [float(value) for value in values if not math.isnan(value)]
    return Summary(len(found), mean(found) if found else math.nan, stdev(found) if len(found) > 1 else None)


def by_seed(frame: pd.DataFrame, column: str) -> dict[int, float]:
    """{seed: the mean of ``column`` over whatever else varies}, without the seeds that have no number."""
    known = frame.dropna(subset=["seed", column])
    groups: dict[int, list[float]] = {}
    for seed, value in zip(known["seed"], known[column], strict=True):
        groups.setdefault(int(seed), []).append(float(value))
    return {seed: mean(groups[seed]) for seed in sorted(groups)}


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Summary:
    """The differences a - b over the seeds that both have."""
    return summary(a[seed] - b[seed] for seed in a if seed in b)


def tied(best: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Whether nothing shows that two arms differ: the paired 95 % interval holds 0, or there is none."""
    interval = paired(best, other).interval()
    return interval is None or interval.low <= 0 <= interval.high
