"""Moving shapes are where their motion says, pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitok.data import DataError
from omnitok.data.moving import SHAPES, MovingShapes


def made(split: Any = "train", **said: Any) -> MovingShapes:
    return MovingShapes(Path(), split, **said)


def test_frames_of_whole_velocities_are_shifted_copies_and_move_as_was_said() -> None:
    dataset = made(edge="wrap")
    for index in range(12):
        motion, clip = dataset.motion(index, 9, 40), dataset.item(index, 9, 40)
        assert bool((motion.velocity == motion.velocity.round()).all())
        assert 0 < motion.velocity.abs().max() <= 2
        for t in range(1, 9):
            shift = tuple((t * motion.velocity).int().tolist())
            assert torch.equal(clip[:, t], clip[:, 0].roll(shift, (1, 2)))


@pytest.mark.parametrize("edge", ["bounce", "wrap"])
@pytest.mark.parametrize("kind", ["integer", "subpixel"])
def test_the_middle_of_what_is_drawn_is_the_position_and_its_colour_the_shapes(kind: Any, edge: Any) -> None:
    dataset = made(motion=kind, edge=edge, length=100)
    for index in range(6):
        motion, clip = dataset.motion(index, 100, 48), dataset.item(index, 100, 48)
        background = clip[:, 0].flatten(1).min(-1).values  # darker than any shape, and plain
        covered = ((clip - background[:, None, None, None]) / (motion.colour - background)[:, None, None, None]).mean(0)
        assert covered.min() >= -0.02
        assert covered.max() <= 1.001
        for t, (y, x) in enumerate(motion.positions.tolist()):
            assert torch.allclose(clip[:, t, int(y), int(x)], motion.colour)
            inside = motion.radius <= y <= 48 - motion.radius and motion.radius <= x <= 48 - motion.radius
            assert inside or edge == "wrap"
            if motion.shape != "triangle" and inside:
                weights = covered[t].double() / covered[t].sum()
                centre = (torch.arange(48) + 0.5).double()
                assert float((weights.sum(1) * centre).sum()) == pytest.approx(y, abs=0.05)
                assert float((weights.sum(0) * centre).sum()) == pytest.approx(x, abs=0.05)


def test_the_areas_are_those_of_the_shapes() -> None:
    dataset = made(size=0.5, clips=3)
    area = {"disc": np.pi, "square": 4.0, "triangle": 3 * 3**0.5 / 4}
    for index, shape in enumerate(SHAPES):
        clip, motion = dataset.item(index, 1, 128), dataset.motion(index, 1, 128)
        assert motion.radius == 32
        background = clip.flatten(1).min(-1).values
        covered = ((clip[:, 0] - background[:, None, None]) / (motion.colour - background)[:, None, None]).mean(0).sum()
        assert float(covered) == pytest.approx(area[shape] * 32**2, rel=0.01)


def test_what_bounces_turns_round_and_stays_within() -> None:
    motion = made(length=200, speed=3.0).motion(0, 200, 32)
    steps = motion.positions.diff(dim=0)
    for axis in (0, 1):
        speed = abs(float(motion.velocity[axis]))
        whole = steps[:, axis].abs() == speed
        assert whole.float().mean() > 0.6  # it turns within a frame now and then
        assert speed == 0 or {-speed, speed} <= set(steps[:, axis].tolist())


def test_a_texture_stands_still_behind_the_shape() -> None:
    clip = made(background="texture").item(0, 40, 48)
    darkest = clip.min(dim=1).values
    assert darkest.flatten(1).std() > 0.05
    assert float((clip == darkest[:, None]).float().mean()) > 0.7
    assert made().item(0, 40, 48)[:, 0].min(-1).values.std(-1).max() < 1e-6


def test_splits_share_no_scene_and_a_sample_is_no_fixed_item() -> None:
    scenes = {split: made(split) for split in ("train", "val", "test")}
    starts = [
        tuple(dataset.motion(i, 1, 512).positions[0].tolist() + dataset.motion(i, 1, 512).colour.tolist())
        for dataset in scenes.values()
        for i in range(48)
    ]
    assert len(set(starts)) == 3 * 48
    draw = torch.Generator().manual_seed(0)
    items = [scenes["train"].item(i, 1, 24) for i in range(48)]
    assert not any(torch.equal(scenes["train"].sample(draw, 1, 24), item) for item in items for _ in range(1))


def test_every_choice_of_the_recipe_is_in_the_fingerprint_and_too_slow_is_refused() -> None:
    prints = [
        made(**said).fingerprint
        for said in (
            {}, {"clips": 5}, {"length": 9}, {"size": 0.2}, {"motion": "subpixel"}, {"speed": 1.0}, {"edge": "wrap"},
            {"background": "texture"},
        )
    ]  # fmt: skip
    assert len(set(prints)) == len(prints)
    assert made("val").fingerprint == made("test").fingerprint == prints[0]
    with pytest.raises(DataError, match=r"speed=0\.5: .*say motion: subpixel"):
        made(speed=0.5)
