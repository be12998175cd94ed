"""The benchmark of data runs and says what it measured; its plain loops see the same frames as ours."""

import math

import pytest

from benchmarks import data_child
from benchmarks.data import data, here
from omnitok.randomness import generator


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(data_child, "FILES", 3)
    monkeypatch.setattr(data_child, "LENGTH", 16)
    monkeypatch.setattr(data_child, "PHOTOS", 2)


def test_the_benchmark_of_data_gives_finite_numbers_and_says_how():
    small = {"repeats": 1, "clips": 1, "pictures": 2, "steps": 2, "shape": (3, 16)}
    rows = data(kinds=("dense",), workers=(0, 1), measured=here, **small)
    assert len(rows) == 2 + 2 * 2
    assert all(row.samples and all(map(math.isfinite, row.samples)) for row in rows)
    assert all(row.what and row.how and row.unit for row in rows)


def test_the_plain_loop_sees_the_frames_and_the_square_that_ours_sees():
    with data_child.tree("dense") as (root, make):
        dataset = make(root, "train")
        with data_child.noted(dataset) as seen:
            ours = [dataset.sample(generator(0, "test", i), 3, 64) for i in range(2)]
        plain = [data_child.plain_clip(one, (3, 64)) for one in seen]
        later = [data_child.plain_clip(one._replace(start=one.start + 1), (3, 64)) for one in seen]
    for mine, same, other in zip(ours, plain, later, strict=True):
        assert (mine - same).abs().mean() < min(0.02, (mine - other).abs().mean())
