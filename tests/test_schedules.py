"""Schedules and curves against their closed forms, and against a count by brute force."""

import math
import re
from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitok.schedules import CURVES, SCHEDULES, StepPlan, every_kind
from omnitok.schedules.curves import constant, cosine, delayed, linear, wsd
from omnitok.schedules.mixing import clip_lengths, frame_rates, joint, mixing, progressive, video_only
from omnitok.spec import resolve

TOTAL = 50


@pytest.fixture(params=list(SCHEDULES))
def schedule(request):
    return resolve(SCHEDULES.default(request.param))


@pytest.fixture(params=list(CURVES))
def curve(request):
    return resolve(CURVES.default(request.param))


def test_is_a_function_of_the_step_alone(schedule):
    forward = [schedule(step, TOTAL) for step in range(TOTAL)]
    assert forward == [schedule(step, TOTAL) for step in reversed(range(TOTAL))][::-1]


@pytest.mark.parametrize("total", [1, 2, 3, TOTAL])
def test_says_something_sane_at_every_step_and_is_counted_as_it_is(schedule, total):
    plans = [schedule(step, total) for step in range(total)]
    assert all(plan.frames >= 1 and plan.stride >= 1 for plan in plans)
    assert every_kind(schedule, total) == set(plans)


@pytest.mark.parametrize("total", [1, 2, TOTAL])
def test_a_curve_stays_between_nothing_and_everything(curve, total):
    assert all(0 <= curve(step, total) <= 1 for step in range(total))
    assert max(curve(step, total) for step in range(total)) > 0.9


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_joint_keeps_its_share_and_spreads_it(share):
    frames = [joint(step, 100, image_share=share).frames for step in range(100)]
    assert frames.count(1) == round(100 * share)
    for start in range(0, 100, 20):
        assert frames[start : start + 20].count(1) == round(20 * share)


def test_a_ramp_goes_from_images_to_clips():
    frames = [progressive(step, 400, first_share=1.0, last_share=0.0).frames for step in range(400)]
    assert frames[0] == 1
    assert progressive(0, 400, first_share=0.0, last_share=1.0).frames > 1
    quarters = [frames[start : start + 100].count(1) for start in range(0, 400, 100)]
    assert quarters == pytest.approx([87.5, 62.5, 37.5, 12.5], abs=1)


def test_clips_alone_are_clips_alone():
    assert {video_only(step, 9, frames=3, scales=(0.5,)) for step in range(9)} == {StepPlan(3, (0.5,))}


shares = st.floats(0, 1) | st.sampled_from([0.0, 1 / 3, 0.1, 0.5, 1.0])


@st.composite
def bent(draw):
    """Points of a ramp: places that rise from 0 to 1, each with a share of images."""
    inner = draw(st.sets(st.integers(1, 19), max_size=4))
    places = [0.0, *(i / 20 for i in sorted(inner)), 1.0]
    return tuple((place, draw(shares)) for place in places)


def integral(points, end: float) -> float:
    """Of the straight pieces from 0 to ``end``, by the midpoint of each piece."""
    area = 0.0
    for (a, low), (b, high) in pairwise(points):
        top = min(end, b)
        if top > a:
            area += (top - a) * (low + (high - low) * ((a + top) / 2 - a) / (b - a))
    return area


@settings(max_examples=40)
@given(bent(), st.integers(1, 300))
def test_a_mix_is_never_more_than_a_step_from_its_points(points, total):
    seen = 0
    for step in range(total):
        seen += mixing(step, total, points=points).frames == 1
        assert abs(seen - total * integral(points, (step + 1) / total)) < 1
    assert every_kind(partial(mixing, points=points), total) == {mixing(i, total, points=points) for i in range(total)}


@settings(max_examples=40)
@given(shares, st.integers(1, 300), st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
def test_images_are_spread_over_every_phase_of_a_curriculum(image_share, total, strides):
    plans = [frame_rates(i, total, frames=3, strides=tuple(strides), image_share=image_share) for i in range(total)]
    seen = 0
    for step, plan in enumerate(plans):
        seen += plan.frames == 1
        assert abs(seen - (step + 1) * image_share) < 1
    assert {plan.stride for plan in plans if plan.frames == 1} <= {1}
    clips = [plan.stride for plan in plans if plan.frames > 1]
    assert clips == sorted(clips, key=strides.index)
    alone = Counter(frame_rates(i, total, strides=tuple(strides)).stride for i in range(total))
    assert all(abs(alone[stride] - total / len(strides)) <= 1 for stride in strides)
    asked = partial(frame_rates, frames=3, strides=tuple(strides), image_share=image_share)
    assert every_kind(asked, total) == set(plans)


def test_lengths_grow_in_the_shares_that_are_said():
    said = Counter(clip_lengths(i, 200, lengths=(3, 5, 9), shares=(0.5, 0.3, 0.2)).frames for i in range(200))
    assert said == {3: 100, 5: 60, 9: 40}
    equal = [clip_lengths(i, 90, lengths=(3, 5, 9)).frames for i in range(90)]
    assert equal == [3] * 30 + [5] * 30 + [9] * 30


def test_what_is_rare_is_counted_where_a_look_here_and_there_would_miss_it():
    rare = partial(clip_lengths, lengths=(3, 5, 9), shares=(0.9, 1e-5, 0.09999), image_share=1e-6)
    assert {plan.frames for plan in every_kind(rare, 10**6)} == {1, 3, 5, 9}
    assert {plan.frames for plan in every_kind(rare, 1000)} == {3, 9}
    own = lambda step, total: StepPlan(1 if step % 2 else 3)  # noqa: E731
    assert {plan.frames for plan in every_kind(own, 600)} == {1, 3}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (partial(clip_lengths, lengths=(3, 5), shares=(1.0,)), r"^shares=\(1.0,\): there are 1, and 2 lengths"),
        (partial(frame_rates, strides=(2, 1), shares=(0.5, 0.4)), r"^shares=.*their sum is 0.9, and must be 1"),
        (partial(mixing, points=((0.0, 1.0), (0.9, 0.0))), r"^points=.*\[0.0, 0.9\] must rise from 0 to 1"),
        (partial(mixing, points=((0.0, 1.0), (0.5, 0.0), (0.5, 1.0), (1.0, 1.0))), "^points=.*must rise"),
        (partial(wsd, warmup_share=0.6, decay_share=0.5), "^warmup_share=0.6: with decay_share=0.5"),
        (partial(delayed, begin_share=0.6, rise_share=0.5), "^begin_share=0.6: with rise_share=0.5"),
    ],
)
def test_what_does_not_fit_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        asked(0, 10)


def test_curves_rise_and_fall_as_they_say():
    assert [constant(step, 10, warmup_share=0.4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert cosine(100, 200, warmup_share=0.0) == pytest.approx(0.5)
    assert cosine(199, 200, warmup_share=0.0, final_share=0.1) == pytest.approx(0.1, abs=1e-3)


def test_a_line_goes_straight_down_to_what_is_left():
    found = [linear(step, 100, warmup_share=0.1, final_share=0.2) for step in range(101)]
    assert found[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert found[10:] == pytest.approx(np.linspace(1, 0.2, 91))


@pytest.mark.parametrize(("decay", "way"), [("sqrt", lambda x: 1 - math.sqrt(x)), ("linear", lambda x: 1 - x)])
def test_warm_up_stable_decay_is_its_three_pieces(decay, way):
    """f(n, N, N_decay) of arXiv:2405.18392, sec. 2."""
    total, stable = 200, 150
    found = [wsd(n, total, warmup_share=0.1, decay_share=0.25, decay=decay, final_share=0.1) for n in range(total)]
    assert found[:20] == pytest.approx(np.arange(1, 21) / 20)
    assert set(found[20 : stable + 1]) == {1.0}
    down = [way((n - stable) / (total - stable)) for n in range(stable, total)]
    assert found[stable:] == pytest.approx([0.1 + 0.9 * part for part in down])


def test_what_is_delayed_is_nothing_and_then_rises():
    found = [delayed(step, 20, begin_share=0.5, rise_share=0.2) for step in range(20)]
    assert found == pytest.approx([0] * 10 + [0.25, 0.5, 0.75, 1.0] + [1] * 6)
    assert [delayed(step, 4, begin_share=0.5, rise_share=0.0) for step in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (partial(wsd, warmup_share=0.9), "warmup_share=0.9: with decay_share=0.2 it is more than the whole stage"),
        (partial(wsd, decay_share=0.96), "decay_share=0.96: with warmup_share=0.05 it is more than the whole stage"),
        (partial(delayed, begin_share=0.95), "begin_share=0.95: with rise_share=0.1 it is more than the whole stage"),
    ],
)
def test_shares_that_are_too_much_are_refused_at_the_one_that_was_said(curve, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        curve(0, 10)
