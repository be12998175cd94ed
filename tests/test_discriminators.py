"""What every discriminator promises, the authors' numbers, and batch norm over several processes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from omnitok.discriminators import DISCRIMINATORS, inflated, renamed
from omnitok.discriminators.norms import GlobalBatchNorm
from omnitok.losses.adversarial import feature_matching, generator_loss, hinge_discriminator, vanilla_discriminator
from omnitok.randomness import generator
from omnitok.spec import resolve

GOLDEN = Path(os.environ.get("OMNITOK_GOLDEN") or Path(__file__).parent.parent.parent / "shared" / "golden")
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")


@pytest.fixture(params=list(DISCRIMINATORS))
def discriminator(request):
    return resolve(DISCRIMINATORS.default(request.param))(channels=4)


@pytest.fixture
def clip():
    return torch.rand(2, 3, 5, 16, 20) * 2 - 1


def test_it_judges_any_size(discriminator, clip):
    judged = discriminator(clip)
    assert len(judged.features) == 4 and judged.logits.shape[1] == 1
    assert judged.logits.shape[0] == (10 if discriminator.sees == "image" else 2)
    assert torch.isfinite(discriminator(clip[:, :, :1, :1, :1]).logits).all()


def test_samples_are_independent_and_an_image_is_judged_frame_by_frame(discriminator, clip):
    discriminator.eval()
    whole = discriminator(clip).logits
    torch.testing.assert_close(discriminator(clip[:1]).logits, whole[: len(whole) // 2])
    changed = clip.clone()
    changed[:, :, 4] = 0.0
    same = (discriminator(changed).logits == whole).flatten(1).all(1)
    assert same.tolist() == ([True] * 4 + [False]) * 2 if discriminator.sees == "image" else not same.any()


def test_every_parameter_gets_a_gradient(discriminator, clip):
    if "noise" in dict(discriminator.named_children()):
        with torch.no_grad():
            discriminator.noise.weight.fill_(0.1)
    (discriminator(clip, generator(0, "x")).logits * torch.rand(())).square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name


def test_noise_is_there_only_where_it_is_drawn_and_begins_at_nothing(discriminator, clip):
    discriminator.eval()
    quiet = discriminator(clip).logits
    torch.testing.assert_close(discriminator(clip, generator(0, "x")).logits, quiet)
    if "published" in DISCRIMINATORS.name_of(type(discriminator)):
        with torch.no_grad():
            discriminator.noise.weight.fill_(0.5)
        assert not torch.equal(discriminator(clip, generator(0, "x")).logits, quiet)
        assert torch.equal(discriminator(clip).logits, quiet)


def test_logits_are_normalised_only_where_declared(discriminator, clip):
    with torch.no_grad():
        shifted = discriminator.train()(clip).logits.clone()
        discriminator.last.bias += 5.0
        moved = (discriminator(clip).logits - shifted).mean()
    assert (abs(moved) < 1e-3) == ("normalised logits" in discriminator.known_defects)


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@torch.no_grad()
def test_logits_features_and_losses_are_those_of_the_authors_code(kind):
    weights, io = load_file(GOLDEN / "discriminators.weights.safetensors"), np.load(GOLDEN / "discriminators.io.npz")
    made = DISCRIMINATORS.components[f"patch_{kind}_published"](channels=8, noise=False)
    made.load_state_dict(renamed(weights, f"{kind}_discriminator."))
    made.eval()
    judged = {}
    for side in ("real", "fake"):
        x = torch.from_numpy(io[f"{kind}.{side}"]) * 2  # theirs is [-0.5, 0.5]
        judged[side] = made(x[:, :, None] if kind == "image" else x)
        near(judged[side].logits, io[f"{kind}.logits_{side}"])
        for i, feature in enumerate(judged[side].features):
            near(feature, io[f"{kind}.feat_{side}.{i}"])
    real, fake = judged["real"], judged["fake"]
    near(hinge_discriminator(real.logits, fake.logits), io[f"{kind}.d_hinge"])
    near(vanilla_discriminator(real.logits, fake.logits), io[f"{kind}.d_vanilla"])
    near(generator_loss(fake.logits), io[f"{kind}.g_loss"])
    near(feature_matching(real.features, fake.features), io[f"{kind}.feat_match"])


def near(found: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(found, torch.from_numpy(np.asarray(expected)), rtol=0, atol=5e-5)


@golden
@pytest.mark.parametrize("how", ["average", "center", "first", "last"])
def test_inflation_is_that_of_the_authors_code(how):
    io = np.load(GOLDEN / "inflation.npz")
    name = "model0.0.weight"
    image = {"w": torch.from_numpy(io[f"in.image_discriminator.{name}"])}
    expected = torch.from_numpy(io[f"dis_{how}.video_discriminator.{name}"])
    assert torch.equal(inflated(image, {"w": torch.zeros_like(expected)}, how)["w"], expected)


def test_an_inflated_discriminator_begins_where_that_of_images_is_and_a_misfit_is_refused():
    image, video = (DISCRIMINATORS.components[f"patch_{kind}"](channels=4) for kind in ("image", "video"))
    video.load_state_dict(inflated(image.state_dict(), video.state_dict(), "average"))
    assert torch.equal(video.hidden[1].norm.weight, image.hidden[1].norm.weight)
    wide = DISCRIMINATORS.components["patch_image"](channels=8)
    with pytest.raises(ValueError, match=r"of images has \(8, 3, 4, 4\), that of videos \(4, 3, 4, 4, 4\)"):
        inflated(wide.state_dict(), video.state_dict(), "first")


@pytest.mark.parametrize("training", [True, False])
def test_alone_it_is_the_batch_norm_of_torch(training):
    mine, theirs = GlobalBatchNorm(3).train(training), nn.BatchNorm3d(3).train(training)
    x = torch.randn(2, 3, 4, 5, 6)
    torch.testing.assert_close(mine(x), theirs(x))
    torch.testing.assert_close(mine.running_var, theirs.running_var)


def _normed(rank: int, world: int, place: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=world)
    torch.manual_seed(0)
    x = torch.randn(4, 3, 5, 6, dtype=torch.double)
    weight = torch.randn_like(x)
    mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
    norm = GlobalBatchNorm(3).double()
    part = x[mine].clone().requires_grad_()
    y = norm(part)
    (y * weight[mine]).sum().backward()
    torch.save([y.detach(), part.grad, norm.running_mean, norm.running_var], f"{out}.{rank}")
    dist.destroy_process_group()


def test_two_processes_with_half_a_batch_are_one_with_the_whole(tmp_path):
    for world in (1, 2):
        place, out = str(tmp_path / f"meet{world}"), str(tmp_path / f"out{world}")
        torch.multiprocessing.spawn(_normed, (world, place, out), nprocs=world)
    whole = torch.load(f"{tmp_path}/out1.0")
    halves = [torch.load(f"{tmp_path}/out2.{rank}") for rank in (0, 1)]
    for i in (0, 1):
        torch.testing.assert_close(torch.cat([half[i] for half in halves]), whole[i], rtol=0, atol=1e-10)
    for i in (2, 3):
        torch.testing.assert_close(halves[0][i], whole[i], rtol=0, atol=1e-10)
