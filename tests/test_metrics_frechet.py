"""The Fréchet distance and its statistics against closed forms, another root of matrices, and many samples."""

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.distributed as dist

from omnitok.metrics.everywhere import everyones
from omnitok.metrics.fid import Stream
from omnitok.metrics.frechet import Moments, Normal, by_size, extrapolated, frechet, normal, pull
from omnitok.metrics.interval import interval

DOUBLE = {"dtype": torch.double}


def spread(n, d, *indices):
    """Correlated vectors of unequal variances."""
    draw = torch.Generator().manual_seed(hash((n, d, *indices)) % 2**31)
    mix = torch.randn(d, d, generator=draw, **DOUBLE) / d**0.5 + torch.diag(torch.linspace(1, 0.1, d, **DOUBLE))
    return torch.randn(n, d, generator=draw, **DOUBLE) @ mix + torch.randn(d, generator=draw, **DOUBLE)


def of(mean, covariance):
    return Moments(2, mean, covariance).normal()  # one less than two is the divisor


def by_root(x, y):
    """As it is written in the paper, by a root of matrices."""
    x, y = x.numpy(), y.numpy()
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s @ t)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * np.trace(root.real)


# The distance


def test_of_two_numbers_it_is_that_of_means_and_of_deviations():
    a, b = (
        of(torch.tensor([1.0], **DOUBLE), torch.tensor([[4.0]], **DOUBLE)),
        of(torch.tensor([-2.0], **DOUBLE), torch.tensor([[0.25]], **DOUBLE)),
    )
    assert frechet(a, b) == pytest.approx(3**2 + (2 - 0.5) ** 2, rel=1e-14)


def test_of_a_shift_it_is_the_square_of_the_shift():
    x = spread(200, 12)
    shift = torch.linspace(-1, 2, 12, **DOUBLE)
    assert frechet(normal(x), normal(x + shift)) == pytest.approx(float(shift.square().sum()), rel=1e-12)
    assert frechet(normal(x), normal(x)) == pytest.approx(0, abs=1e-12)


def test_of_a_scaled_covariance_it_is_the_trace_times_the_difference_of_the_roots():
    x = spread(200, 12)
    x -= x.mean(0)
    trace = float(np.trace(np.cov(x.numpy(), rowvar=False)))
    assert frechet(normal(x), normal(3 * x)) == pytest.approx(trace * (3 - 1) ** 2, rel=1e-12)


def test_of_commuting_covariances_it_is_that_of_their_roots():
    turn = torch.linalg.qr(torch.randn(9, 9, **DOUBLE)).Q
    first, second = torch.rand(9, **DOUBLE), torch.rand(9, **DOUBLE) * 5
    first[0] = second[4] = 0  # where a covariance is singular
    zero = torch.zeros(9, **DOUBLE)
    a, b = (of(zero, turn @ torch.diag(values) @ turn.T) for values in (first, second))
    expected = float((first.sqrt() - second.sqrt()).square().sum())
    assert frechet(a, b) == pytest.approx(expected, rel=1e-7)  # a rounded 0 has a root of 1e-8


def test_it_is_that_of_a_root_of_matrices_and_symmetric():
    x, y = spread(500, 20, 1), spread(300, 20, 2)
    assert frechet(normal(x), normal(y)) == pytest.approx(by_root(x, y), rel=1e-10)
    assert frechet(normal(x), normal(y)) == pytest.approx(frechet(normal(y), normal(x)), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 12), (12, 60), (2, 3)])
def test_of_fewer_vectors_than_dimensions_both_ways_give_the_same_number(n, m):
    x, y = spread(n, 24, 1), spread(m, 24, 2)
    short, long = normal(x), Moments.of(x).normal()
    assert short.factor.shape == (n, 24)
    assert frechet(short, normal(y)) == pytest.approx(frechet(long, Moments.of(y).normal()), rel=1e-6)
    exact = scipy.linalg.svdvals(np.cov(x.numpy(), rowvar=False))[: n - 1].sum()
    assert short.factor.square().sum().item() == pytest.approx(exact, rel=1e-12)


def test_features_that_say_nothing_change_nothing():
    x, y = spread(100, 5, 1), spread(100, 5, 2)
    dead = torch.zeros(100, 3, **DOUBLE)
    assert frechet(normal(torch.cat([x, dead], 1)), normal(torch.cat([y, dead], 1))) == pytest.approx(
        frechet(normal(x), normal(y)), rel=1e-10
    )
    assert frechet(normal(dead), normal(dead)) == 0


def test_one_vector_has_no_covariance():
    with pytest.raises(ValueError, match="two vectors or more, not 1"):
        normal(torch.zeros(1, 3))


# Its statistics


def same(a: Moments, b: Moments):
    assert a.size == b.size
    torch.testing.assert_close(a.mean, b.mean, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(a.scatter, b.scatter, rtol=1e-12, atol=1e-11)


def test_merged_parts_are_the_whole_in_any_order_far_from_zero():
    x = spread(301, 6) + 1e4  # where sums of squares would cancel
    whole, found = Moments.of(x), Moments.none(6)
    for part in reversed(x.split([1, 100, 150, 50])):
        found = found.merged(Moments.of(part))
    found = found.merged(Moments.none(6))
    assert found.size == 301
    torch.testing.assert_close(found.mean, whole.mean, rtol=1e-15, atol=1e-11)
    np.testing.assert_allclose(whole.scatter / 300, np.cov(x.numpy() - 1e4, rowvar=False), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.scatter, whole.scatter, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_a_stream_deals_items_to_its_parts_however_they_come(batch, monkeypatch):
    monkeypatch.setattr("omnitok.metrics.fid.WAITING", 8)
    items = spread(50 * 3, 6).view(50, 3, 6)
    stream = Stream(6)
    for part in items.split(batch):
        stream.add(part)
    for i, part in enumerate(stream.parts()):
        same(part, Moments.of(items[i::4].flatten(0, 1)))


def _seen():
    rank = dist.get_rank()
    items = spread(50, 6)
    mine = items[:37] if rank == 0 else items[37:]
    stream = Stream(6)
    stream.add(mine[:, None])
    nothing = torch.zeros(0, 1, 6) if rank == 0 else mine[:, None].float()
    return Moments.of(mine).everywhere(), everyones(mine), everyones(nothing), stream.parts()


@pytest.mark.service
def test_every_process_finds_the_statistics_of_the_whole_to_the_same_bit(tmp_path):
    from test_processes import spawned

    torch.serialization.add_safe_globals([Moments])
    first, second = spawned(_seen, tmp_path, 2)
    items = spread(50, 6)
    same(first[0], Moments.of(items))
    assert torch.equal(first[1], items) and torch.equal(second[1], items)
    assert torch.equal(first[2], items[37:, None].float())
    for a, b in ((first[0], second[0]), *zip(first[3], second[3], strict=True)):
        assert a.size == b.size and torch.equal(a.mean, b.mean) and torch.equal(a.scatter, b.scatter)
    assert sum(part.size for part in first[3]) == 50


# How sure it is


def pairs(n, d, *indices):
    x = spread(n, d, *indices)
    draw = torch.Generator().manual_seed(n)
    return x, 0.8 * x + 0.3 * torch.randn(n, d, generator=draw, **DOUBLE) + 0.1


@pytest.mark.parametrize("n", [7, 60])
def test_a_pull_is_the_derivative_by_a_weight(n):
    x, y = pairs(n, 10)
    pulls = pull(normal(x), normal(y), x, y)
    assert pulls.mean().item() == pytest.approx(0, abs=1e-12)

    def weighted(x, w):  # the covariance over n - 1 for weights of 1
        mean = (w[:, None] * x).sum(0) / w.sum()
        scale = (w / w.sum() * n / (n - 1)).sqrt()
        return Normal(mean, scale[:, None] * (x - mean))

    for i in (0, n - 1):
        both = []
        for step in (1e-5, -1e-5):
            w = torch.ones(n, **DOUBLE)
            w[i] += step
            both.append(frechet(weighted(x, w), weighted(y, w)))
        slope = n * (both[0] - both[1]) / 2e-5
        spare = n / (n - 1)  # of the covariance's divisor
        assert pulls[i].item() == pytest.approx(slope, rel=0.2 / n + 1e-4, abs=2 * abs(spare - 1) * pulls.std().item())


@pytest.mark.parametrize(("n", "d"), [(400, 8), (30, 40)])
def test_the_interval_is_as_wide_as_distances_of_new_samples_differ(n, d):
    mix = torch.linalg.qr(torch.randn(d, d, **DOUBLE)).Q
    found, widths = [], []
    for i in range(120):
        draw = torch.Generator().manual_seed(i)
        x = torch.randn(n, d, generator=draw, **DOUBLE) @ mix * torch.linspace(2, 0.2, d, **DOUBLE)
        y = 0.8 * x + 0.3 * torch.randn(n, d, generator=draw, **DOUBLE)
        a, b = normal(x), normal(y)
        found.append(frechet(a, b))
        widths.append(pull(a, b, x, y).std().item() / n**0.5)
    assert np.mean(widths) == pytest.approx(np.std(found), rel=0.2)


def test_the_interval_is_that_of_a_whole_bootstrap_without_its_bias():
    x, y = pairs(400, 8)
    a, b = normal(x), normal(y)
    value = frechet(a, b)
    low, high = interval(value, pull(a, b, x, y), 2000, "a test")
    drawn = []
    for i in range(400):
        chosen = torch.randint(400, (400,), generator=torch.Generator().manual_seed(i))
        drawn.append(frechet(normal(x[chosen]), normal(y[chosen])))
    assert low < value < high
    assert high - low == pytest.approx(np.subtract(*np.quantile(drawn, [0.975, 0.025])), rel=0.15)
    assert interval(value, pull(a, b, x, y), 2000, "a test") == (low, high)
    assert interval(value, pull(a, b, x, y), 0, "a test") is None
    assert interval(value, torch.zeros(7, **DOUBLE), 2000, "a test") is None, "too few to say"


def test_an_interval_of_a_mean_is_the_one_of_the_normal_distribution():
    values = torch.randn(5000, **DOUBLE)
    low, high = interval(1.0, values - values.mean(), 4000, "a mean")
    half = 1.96 * values.std().item() / 5000**0.5
    assert (low, high) == pytest.approx((1 - half, 1 + half), abs=0.1 * half)


# What few items do


def test_the_line_through_distances_over_one_by_n_ends_at_infinity():
    assert extrapolated({n: 3 + 50 / n for n in (100.0, 200.0, 400.0)}) == pytest.approx(3, rel=1e-12)


def test_distances_at_fewer_items_fall_and_end_nearer_the_truth():
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1600, 20, generator=draw, **DOUBLE) for _ in range(2))  # truly the same
    parts = [[Moments.of(side[i::4]) for i in range(4)] for side in (x, y)]
    sizes = by_size(*parts)
    assert list(sizes) == [400, 800, 1600]
    assert sizes[400] > sizes[800] > sizes[1600] > 0
    assert sizes[1600] == pytest.approx(frechet(normal(x), normal(y)), rel=1e-10)
    assert sizes[400] == pytest.approx(sum(frechet(normal(x[i::4]), normal(y[i::4])) for i in range(4)) / 4, rel=1e-10)
    assert abs(extrapolated(sizes)) < 0.3 * sizes[1600]


def test_sizes_at_which_a_covariance_is_singular_are_left_out():
    x, y = pairs(82, 20)
    parts = [[Moments.of(side[i::4]) for i in range(4)] for side in (x, y)]  # of 21, 21, 20 and 20
    assert list(by_size(*parts)) == [41, 82]
    assert list(by_size(*[[part[0]] for part in parts])) == [21]
    assert by_size(*[[part[3]] for part in parts]) == {}
