import pytest

from omnitok.schedules import CURVES, SCHEDULES
from omnitok.schedules.curves import constant, cosine
from omnitok.schedules.mixing import joint, progressive
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


@pytest.mark.parametrize("total", [1, 2, TOTAL])
def test_says_something_sane_at_every_step(schedule, total):
    assert all(schedule(step, total).frames >= 1 for step in range(total))


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


def test_curves_rise_and_fall_as_they_say():
    assert [constant(step, 10, warmup_share=0.4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert cosine(100, 200, warmup_share=0.0) == pytest.approx(0.5)
    assert cosine(199, 200, warmup_share=0.0, final_share=0.1) == pytest.approx(0.1, abs=1e-3)
