"""What every metric promises. What needs a network is held to it where its weights are known to be."""

import math

import pytest
import torch
from looking import SIZES, Looking, asked, fed, no_codes

from omnitok.metrics import METRICS, Identity

WITHOUT_WEIGHTS = [name for name in METRICS if not asked(name, Identity()).networks]


@pytest.fixture(params=WITHOUT_WEIGHTS)
def fresh(request):
    return lambda: asked(request.param, Looking(0.5))


@pytest.fixture
def batch(fresh):
    """Random clips that the metric takes, in frames that are no squares."""
    side = max(12, fresh().least_side)
    original = torch.rand(5, 3, max(2, fresh().least_frames), side, side + 4) * 2 - 1
    codes = torch.stack([torch.randint(0, size, (5, 2, 3, 4)) for size in SIZES], -1)
    return original, (original + 0.3 * torch.randn_like(original)).clamp(-1, 1), codes


def test_many_small_batches_in_any_order_are_one_large_one(fresh, batch):
    parts = [tuple(part[i : i + 1] for part in batch) for i in range(5)]
    whole = fed(fresh(), batch)
    for some in (parts, parts[::-1], [tuple(part[:2] for part in batch), tuple(part[2:] for part in batch)]):
        found = fed(fresh(), *some)
        assert found.value == (whole.value if whole.value is None else pytest.approx(whole.value, rel=1e-12))
        assert sorted(found.per_item) == pytest.approx(sorted(whole.per_item), rel=1e-12)


def test_a_mean_over_items_is_the_mean_of_its_items(fresh, batch):
    found = fed(fresh(), batch)
    assert not found.per_item or sum(found.per_item) / 5 == pytest.approx(found.value)


def test_is_best_at_identity(fresh, batch):
    original, _, codes = batch
    same, other = fed(fresh(), (original, original, codes)), fed(fresh(), batch)
    if other.value is None:
        assert same.value is None
    elif fresh().better == "higher":
        assert same.value > other.value or not other.per_item
    else:
        assert same.value <= other.value


def test_its_name_says_its_protocol(fresh):
    label, _, terms = fresh().protocol.partition("[")
    assert label == fresh().label
    assert terms.index("]") == len(terms) - 1
    assert all(term == term.strip() and term for term in terms[:-1].split(", "))


def test_it_says_a_number_or_nothing_of_clips_without_content_and_of_single_odd_frames(fresh):
    side = max(13, fresh().least_side)
    for frames in (1, 3):
        black = torch.full((2, 3, frames, side, side + 2), -1.0)
        codes = torch.zeros(2, frames, 1, 1, 2, dtype=torch.long)
        for original, back in ((black, black), (black, -black), (0 * black, black), (-black, 2 - black)):
            found = fed(fresh(), (original, back, codes))
            assert fresh().silence if found.value is None else math.isfinite(found.value)
            assert all(map(math.isfinite, (*found.per_item, *found.details.values())))


def test_a_reconstruction_that_is_no_number_is_refused_by_what_is_a_mean_of_items():
    original = torch.zeros(2, 3, 1, 16, 16)
    broken = original.clone()
    broken[1, 0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="^psnr: what is found of an item is nan or infinite$"):
        fed(asked("psnr", Identity()), (original, broken, no_codes(2)))


def test_a_frame_smaller_than_it_takes_is_refused_with_both_numbers(fresh):
    least = fresh().least_side
    if least > 1:
        small = torch.zeros(1, 3, 2, least - 1, least + 5)
        message = f"{fresh().label} needs {least} pixels a side, and the frame is {least - 1} x {least + 5}"
        with pytest.raises(ValueError, match=message):
            fed(fresh(), (small, small, no_codes()))
