"""The benchmark of data runs and says what it measured; its plain loops see the same frames as ours."""

import math

import numpy as np
import pytest

from benchmarks import data_child
from benchmarks.data import data, here
from omnitok.data import as_pixels


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


def test_the_plain_loop_sees_the_frames_that_ours_sees():
    with data_child.tree("dense") as (root, make):
        dataset = make(root, "train")
        source = dataset.sources[0]
        ours = dataset.read(source, range(5, 8), dataset.crop.reading(16, "bicubic")).astype(int)
        found = as_pixels(data_child.plain_clip(dataset.folder / source.path, 5, source.fps, (3, 240)))
        apart = [np.abs(ours[:, :, left : left + 240] - found).mean(axis=(1, 2, 3)) for left in range(81)]
        later = dataset.read(source, range(6, 9), dataset.crop.reading(16, "bicubic")).astype(int)
        off = [np.abs(later[:, :, left : left + 240] - found).mean(axis=(1, 2, 3)) for left in range(81)]
    assert min(each.max() for each in apart) < min(each.max() for each in off)
    assert min(each.max() for each in apart) < 3
