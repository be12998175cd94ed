"""Statistics over seeds against SciPy, against numbers worked by hand, and against what they promise of small samples."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from omnitok.results.statistics import (
    Summary,
    bootstrap,
    differences,
    holm,
    least,
    paired,
    sign_flip,
    summary,
    tied,
)

SAMPLES = [
    [0.3, 0.1],
    [0.3, 0.1, 0.4],
    [-0.2, 0.1, 0.4, 0.35, 0.02],
    np.random.default_rng(3).normal(0.4, 1, 9).tolist(),
]


@pytest.mark.parametrize("values", SAMPLES, ids=len)
def test_the_t_test_and_its_interval_are_scipys(values: list[float]) -> None:
    found, theirs = summary(values), stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-10)
    for level in (0.9, 0.95):
        interval, ends = found.interval(level), theirs.confidence_interval(level)
        assert interval and interval == pytest.approx((ends.low, ends.high, level), rel=1e-10)
        assert (found.p < 1 - level) == (not interval.low <= 0 <= interval.high)


def test_of_one_number_and_of_none_nothing_follows() -> None:
    for values in ([], [3.0], [math.nan, 3.0]):
        found = summary(values)
        assert (found.sd, found.p, found.effect, found.interval()) == (None, None, None, None)
        assert bootstrap([value for value in values if not math.isnan(value)]) is None
    assert sign_flip([]) is None
    assert sign_flip([3.0]) == 1.0


def test_equal_differences_are_certain_and_have_no_effect_size() -> None:
    assert (summary([0.5, 0.5, 0.5]).p, summary([0.0, 0.0]).p) == (0.0, 1.0)
    assert summary([0.5, 0.5, 0.5]).effect is None
    assert bootstrap([0.5] * 6) == (0.5, 0.5, 0.95)
    assert not tied({0: 1.5, 1: 2.5}, {0: 1.0, 1: 2.0})


def test_differences_are_paired_by_seed() -> None:
    a, b = {0: 1.0, 1: 5.0, 2: 9.0}, {2: 8.0, 1: 4.5, 7: 100.0}
    assert differences(a, b) == [0.5, 1.0]
    assert paired(a, b) == Summary(2, 0.75, pytest.approx(math.sqrt(0.125)))
    theirs = stats.ttest_rel([5.0, 9.0], [4.5, 8.0])
    assert paired(a, b).p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("df", "printed"), [(2, 0.5642), (4, 0.7979), (9, 0.9139), (50, 0.9849)])
def test_the_effect_size_has_the_correction_for_few_numbers(df: int, printed: float) -> None:
    """J(2) = 1/√π, J(4) = √(2/π): Γ of halves by hand; the others near Hedges' 1 - 3 / (4 df - 1)."""
    assert printed == pytest.approx(1 - 3 / (4 * df - 1), abs=0.01 if df > 2 else 0.02)
    assert Summary(df + 1, 3.0, 2.0).effect == pytest.approx(1.5 * printed, abs=1.5e-4)
    assert Summary(3, 1.0, 1.0).effect == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert Summary(2, 3.0, 2.0).effect is None


def test_the_effect_size_is_unbiased_where_the_plain_one_is_not() -> None:
    draws = np.random.default_rng(11).normal(0.8, 1.0, size=(20_000, 5))
    plain = draws.mean(1) / draws.std(1, ddof=1)
    ours = [summary(row).effect or 0.0 for row in draws[:5000]]
    assert plain.mean() > 0.95
    assert np.mean(ours) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("n", [6, 9, 30])
def test_the_bootstrap_interval_is_scipys_bca(n: int) -> None:
    values = np.random.default_rng(n).gamma(1.5, size=n).tolist()
    theirs = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="BCa", rng=np.random.default_rng(0))
    ours = bootstrap(values)
    assert ours and ours.level == 0.95
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours[:2] == pytest.approx(tuple(theirs.confidence_interval), abs=0.03 * width)
    assert min(values) <= ours.low < np.mean(values) < ours.high <= max(values)
    assert ours == bootstrap(values), "the same numbers, the same interval"


def test_the_bootstrap_leans_with_skewed_numbers() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 9.0]
    found, mean = bootstrap(values), float(np.mean(values))
    assert found and found.high - mean > 1.5 * (mean - found.low)


def test_there_is_no_bootstrap_interval_of_fewer_numbers_than_can_have_the_level() -> None:
    """All n lie on one side of a symmetric distribution's middle in 2 of 2^n draws: 0.0625 of five, 0.03125 of six."""
    assert [least(n) for n in (2, 3, 5, 6)] == [0.5, 0.25, 0.0625, 0.03125]
    values = [0.1, 0.2, 0.3, 0.4, 0.55, 0.6]
    assert [bootstrap(values[:n]) is None for n in range(2, 7)] == [True] * 4 + [False]
    assert bootstrap(values[:5], 0.9) is not None


@pytest.mark.parametrize("values", [*SAMPLES, [0.1, -0.1, 0.2, -0.2], [1.0, 2.0, 3.0, 4.0, 5.0]], ids=len)
def test_the_sign_flip_is_scipys_exact_permutation(values: list[float]) -> None:
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values) == pytest.approx(theirs.pvalue)
    assert (sign_flip(values) or 0) >= least(len(values))


def test_the_sign_flip_of_five_cannot_reach_the_usual_level() -> None:
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0]) == 0.0625
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 0.03125


def test_the_sign_flip_is_not_told_apart_by_rounding() -> None:
    """In decimals 0.1 + 0.1 + 0.2 - 0.3 is 0.1, and no change of signs comes nearer to 0; in doubles a quarter of them does."""
    assert sign_flip([0.1, 0.1, 0.2, -0.3]) == 1.0


def test_the_sign_flip_of_many_is_drawn_and_near_the_t_test() -> None:
    values = np.random.default_rng(5).normal(0.45, 1, 40).tolist()
    p, theirs = sign_flip(values), summary(values).p
    assert p == sign_flip(values)
    assert p and theirs and p == pytest.approx(theirs, abs=0.01)
    assert sign_flip([1.0] * 40) == pytest.approx(1 / 50_001), "what was seen counts itself"


def test_holm_by_hand() -> None:
    """Four p values: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 (which may not be below the third)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@pytest.mark.parametrize("ps", [[0.2, 0.001, 0.03, 0.03, 0.5], [0.012, 0.013, 0.014], [0.9, 0.049]])
def test_holm_is_the_closure_of_bonferroni(ps: list[float]) -> None:
    """A hypothesis is rejected where Bonferroni's test rejects every set of hypotheses that it is in (Marcus and others, 1976)."""
    everyone = range(len(ps))
    sets = [some for size in everyone for some in itertools.combinations(everyone, size + 1)]
    closed = [max(min(1.0, len(some) * min(ps[j] for j in some)) for some in sets if i in some) for i in everyone]
    assert holm(ps) == pytest.approx(closed)


def test_the_t_interval_has_its_level_and_the_bootstrap_nearly() -> None:
    """Of 400 samples of six normal numbers; a coverage of 95 % has a standard error of 1.1 %."""
    draws = np.random.default_rng(2).normal(size=(400, 6))
    t = [found.low <= 0 <= found.high for row in draws if (found := summary(row).interval())]
    assert len(t) == 400
    assert np.mean(t) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)
    assert NormalDist().inv_cdf(0.975) < stats.t.ppf(0.975, 5), "which a normal interval of six has not"
