"""What every loss promises, and the distance of deep features in its two ways."""

from pathlib import Path

import pretend
import pytest
import tiny
import torch
from torch import nn

import omnitok
from omnitok.losses import LOSSES
from omnitok.losses.perceptual import PerceptualDistance, PublishedPerceptualDistance
from omnitok.networks import lpips
from omnitok.networks.weights import WeightsError, WeightsMissing
from omnitok.randomness import generator
from omnitok.spec import SpecError, resolve

PERCEPTUAL = [PerceptualDistance, PublishedPerceptualDistance]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def _pretended(folder):
    with pretend.pretended(folder):
        yield


@pytest.fixture(params=list(LOSSES))
def loss(request):
    return resolve(LOSSES.default(request.param))()


@pytest.fixture(params=PERCEPTUAL)
def perceptual(request):
    return request.param


def clips(frames: int = 3, side: int = 32, samples: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, samples, 3, frames, side, side) * 2 - 1)


# Every loss


def test_a_loss_is_a_number_and_nothing_at_identity(loss):
    made, real = clips()
    found = loss(made, real)
    assert found.shape == () and found.dtype == torch.float32 and torch.isfinite(found) and found > 0
    assert loss(real, real) == 0 and loss(real, real, generator(0, "x")) == 0


def test_it_pulls_at_the_reconstruction_and_never_at_the_original(loss):
    made, real = (clip.requires_grad_() for clip in clips())
    loss(made, real).backward()
    assert torch.isfinite(made.grad).all() and made.grad.abs().max() > 0 and real.grad is None


def test_what_it_draws_is_a_function_of_the_generator(loss):
    made, real = clips(frames=9)
    drawn = [loss(made, real, generator(seed, "x")) for seed in (1, 1)]
    assert torch.equal(*drawn) and torch.equal(loss(made, real), loss(made, real))


def test_its_weight_is_a_factor(loss):
    made, real = clips()
    twice = resolve(LOSSES.specs[LOSSES.name_of(type(loss))](weight=2.0))()
    torch.testing.assert_close(twice(made, real), 2 * loss(made, real))


def test_one_made_in_a_rehearsal_is_ready_has_no_state_and_serves_afterwards(loss):
    with torch.device("meta"):
        rehearsed = type(loss)()
    rehearsed.ready()
    made, real = clips()
    assert torch.equal(rehearsed(made, real), loss(made, real))
    assert not rehearsed.state_dict() and not list(rehearsed.parameters()) and not list(rehearsed.children())
    assert loss(made.to("meta"), real.to("meta")).is_meta


def test_only_published_losses_have_defects():
    found = {name: LOSSES.components[name].known_defects for name in LOSSES}
    assert {name: said for name, said in found.items() if said} == {"lpips_published": ("LPIPS fed the wrong range",)}


# The distance of deep features


def test_it_is_lpips_of_frames(perceptual):
    made, real = clips()
    network = lpips.pretrained("alex", torch.device("cpu"))
    gain = {PerceptualDistance: 1.0, PublishedPerceptualDistance: 0.5}[perceptual]
    by_frame = torch.stack([network(gain * made[:, :, i], gain * real[:, :, i]) for i in range(3)], dim=1)
    first, every = perceptual(network="alex"), perceptual(network="alex", frames="all")
    torch.testing.assert_close(first(made, real), by_frame[:, 0].mean())
    torch.testing.assert_close(every(made, real), by_frame.mean())
    draw = generator(3, "frame")
    at = torch.randint(3, (2,), generator=generator(3, "frame"))
    torch.testing.assert_close(first(made, real, draw), by_frame[torch.arange(2), at].mean())


def test_each_clip_has_a_frame_of_its_own_and_each_frame_its_turn():
    seen = set()
    loss = PerceptualDistance(network="alex")
    for seed in range(24):
        made, real = (clip.requires_grad_() for clip in clips(frames=2))
        loss(made, real, generator(seed, "frame")).backward()
        looked = made.grad.abs().amax((1, 3, 4)) > 0
        assert looked.sum(1).tolist() == [1, 1]
        seen.add(tuple(looked.int().argmax(1).tolist()))
    assert len(seen) == 4


def test_an_image_needs_no_draw_and_its_frame_is_itself(perceptual):
    made, real = clips(frames=1)
    loss = perceptual(network="alex")
    assert torch.equal(loss(made, real, generator(0, "x")), loss(made, real))


@pytest.mark.parametrize("network", ["vgg", "alex"])
def test_the_published_one_sees_half_the_contrast(network):
    made, real = clips()
    published, corrected = PublishedPerceptualDistance(network=network), PerceptualDistance(network=network)
    torch.testing.assert_close(published(made, real), corrected(made / 2, real / 2))
    assert abs(published(made, real) / corrected(made, real) - 1) > 0.01
    assert published.known_defects == ("LPIPS fed the wrong range",) and not corrected.known_defects


def test_no_module_around_a_loss_takes_the_network_for_its_own():
    around = nn.ModuleList([PerceptualDistance(network="alex")])
    around[0](*clips(frames=1))
    assert not around.state_dict() and sum(1 for _ in around.modules()) == 2
    around.to("meta")
    assert lpips.pretrained("alex", torch.device("cpu")).shift.device.type == "cpu"


# Where the weights are not


def test_without_weights_it_is_made_and_not_ready(perceptual, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path))
    loss = perceptual()
    with pytest.raises(
        WeightsMissing, match="^losses need lpips_vgg: it is not here; run: omnitok weights fetch lpips_vgg$"
    ):
        loss.ready()
    with pytest.raises(WeightsMissing, match="^lpips_vgg: "):
        loss(*clips())
    (tmp_path / "lpips_alex.ckpt").write_bytes(b"other")
    with pytest.raises(WeightsError, match="^losses need lpips_alex: .* has the sha256"):
        perceptual(network="alex").ready()


def test_a_plan_is_refused_where_weights_are_missing(tmp_path, runs_root, monkeypatch):
    text = tiny.EXPERIMENT.replace("    steps: 5\n", "    losses: [l1, {type: lpips, network: alex}]\n    steps: 5\n")
    path = tiny.write(tmp_path, text)
    assert len(omnitok.plan_sweep(path).trials) == 9
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path))
    with pytest.raises(SpecError, match="omnitok weights fetch lpips_alex") as refused:
        omnitok.plan_sweep(path)
    line = 1 + text.split("\n").index("    losses: [l1, {type: lpips, network: alex}]")
    assert f"tiny.yaml:{line}" in str(refused.value)


def test_the_pixel_losses_are_their_means():
    original = torch.zeros(1, 3, 1, 4, 4)
    assert LOSSES.components["l1"](weight=2.0)(original - 0.5, original).item() == 1.0
    assert LOSSES.components["l2"]()(original - 0.5, original).item() == 0.25
