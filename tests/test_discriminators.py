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


def test_it_judges_any_size_that_its_kernel_fits(discriminator, clip):
    judged = discriminator(clip)
    assert len(judged.features) == 4 and judged.logits.shape[1] == 1
    assert judged.logits.shape[0] == (10 if discriminator.sees == "image" else 2)
    assert torch.isfinite(discriminator(clip[:1, :, :1, :4, :4]).logits).all()
    for height, width in [(3, 20), (16, 2)]:
        with pytest.raises(ValueError, match=f"a frame of {height} x {width} is smaller than the kernel, 4 x 4"):
            discriminator(clip[:, :, :, :height, :width])


def test_groups_of_channels_do_without_the_batch(clip):
    for name, component in DISCRIMINATORS.components.items():
        made = component(channels=16, norm="group")
        whole = made(clip).logits
        torch.testing.assert_close(made(clip[:1]).logits, whole[: len(whole) // 2], msg=name)
        with pytest.raises(ValueError, match="norm=group: 32 groups must divide a layer's channels, which are 48"):
            component(channels=24, norm="group")


def test_samples_are_independent_and_an_image_is_judged_frame_by_frame(discriminator, clip):
    discriminator.eval()
    whole = discriminator(clip).logits
    torch.testing.assert_close(discriminator(clip[:1]).logits, whole[: len(whole) // 2])
    changed = clip.clone()
    changed[:, :, 4] = 0.0
    same = (discriminator(changed).logits == whole).flatten(1).all(1)
    assert same.tolist() == ([True] * 4 + [False]) * 2 if discriminator.sees == "image" else not same.any()


def moved(discriminator):
    return {name for name, p in discriminator.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-9}


def test_every_parameter_gets_a_gradient(discriminator, clip):
    """In training a norm takes the mean away, and with it what a bias before it does; all else is learned."""
    names = dict(discriminator.named_parameters())
    discriminator(clip, generator(0, "x")).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in names.values())
    cancelled = {name for name in names if name.endswith("convolution.bias") and not name.startswith("hidden.0.")}
    if "normalised logits" in discriminator.known_defects:
        cancelled.add("last.bias")
    assert moved(discriminator) >= names.keys() - cancelled
    discriminator.zero_grad()
    discriminator.eval()(clip, generator(0, "x")).logits.square().sum().backward()
    assert moved(discriminator) == names.keys()


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("name", list(DISCRIMINATORS))
@torch.no_grad()
def test_logits_are_in_full_precision_under_autocast(name, norm, clip):
    made = DISCRIMINATORS.components[name](channels=4, norm=norm).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = made(clip)
    assert mixed.logits.dtype == torch.float32 and mixed.features[0].dtype == torch.bfloat16
    assert torch.equal(mixed.logits, made.finished(made.last(mixed.features[-1].float())))
    assert not torch.equal(mixed.logits, made(clip).logits)


def test_it_is_rehearsed_without_numbers(discriminator, clip):
    shape = discriminator(clip).logits.shape
    assert discriminator.to("meta")(clip.to("meta")).logits.shape == shape


def test_noise_is_there_only_where_it_is_drawn_and_begins_at_nothing(discriminator, clip):
    discriminator.eval()
    quiet = discriminator(clip).logits
    torch.testing.assert_close(discriminator(clip, generator(0, "x")).logits, quiet)
    if "published" in DISCRIMINATORS.name_of(type(discriminator)):
        with torch.no_grad():
            discriminator.noise.weight.fill_(0.5)
        assert not torch.equal(discriminator(clip, generator(0, "x")).logits, quiet)
        assert torch.equal(discriminator(clip).logits, quiet)


def test_noise_is_one_map_for_all_channels_of_the_scaled_pixels(clip):
    made = DISCRIMINATORS.components["patch_video_published"](channels=4).eval()
    with torch.no_grad():
        made.noise.weight.copy_(torch.tensor([0.0, 1.0, -2.0]))
        seen = made.prepared(clip, generator(0, "x")) - clip / 2
    torch.testing.assert_close(seen[:, 0], torch.zeros_like(seen[:, 0]))
    torch.testing.assert_close(seen[:, 2], -2 * seen[:, 1])
    assert abs(seen[:, 1].std() - 1) < 0.1


def test_logits_are_normalised_only_where_declared(discriminator, clip):
    with torch.no_grad():
        before = discriminator.train()(clip).logits.clone()
        discriminator.last.bias += 5.0
        shift = (discriminator(clip).logits - before).mean()
    defective = "normalised logits" in discriminator.known_defects
    assert defective == (type(discriminator) is DISCRIMINATORS.components["patch_video_published"])
    assert abs(shift) < 1e-3 if defective else abs(shift - 5) < 1e-3


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
    keys = ["model0.0.weight", "model0.0.bias"]
    image = {key: torch.from_numpy(io[f"in.image_discriminator.{key}"]) for key in keys}
    expected = {key: torch.from_numpy(io[f"dis_{how}.video_discriminator.{key}"]) for key in keys}
    made = inflated(image, {key: torch.zeros_like(value) for key, value in expected.items()}, how)
    assert made.keys() == expected.keys() and all(torch.equal(made[key], expected[key]) for key in keys)


@pytest.mark.parametrize("kind", ["", "_published"])
def test_an_inflated_discriminator_has_what_that_of_images_learned(kind, clip):
    image, video = (DISCRIMINATORS.components[f"patch_{sees}{kind}"](channels=4) for sees in ("image", "video"))
    image(clip)  # moves the running statistics
    video.load_state_dict(inflated(image.state_dict(), video.state_dict(), "average"))
    still = clip[:, :, :1].expand(-1, -1, 40, -1, -1)
    first, flat = video.eval()(still).features[0], image.eval()(clip[:, :, :1]).features[0]
    torch.testing.assert_close(first[:, :, 5], flat)  # away from the zeros before and after
    assert torch.equal(video.hidden[1].norm.running_var, image.hidden[1].norm.running_var)
    if kind:
        assert torch.equal(video.last_norm.running_var, torch.ones(1))


def test_inflation_refuses_a_misfit():
    wide, video = (DISCRIMINATORS.components[f"patch_{kind}"](channels=c) for kind, c in (("image", 8), ("video", 4)))
    with pytest.raises(ValueError, match=r"of images has \(8, 3, 4, 4\), that of videos \(4, 3, 4, 4, 4\)"):
        inflated(wide.state_dict(), video.state_dict(), "first")
    deep = DISCRIMINATORS.components["patch_image"](channels=4, layers=4)
    with pytest.raises(ValueError, match="that of videos nothing"):
        inflated(deep.state_dict(), video.state_dict(), "first")


@pytest.mark.parametrize("layers", [1, 3, 10])
def test_the_authors_keys_become_ours_at_any_depth(layers):
    made = DISCRIMINATORS.components["patch_video_published"](channels=1, layers=layers)
    theirs = {"d.noise.weight": torch.zeros(3), "d.model0.0.weight": torch.zeros(0), "d.model0.0.bias": torch.zeros(0)}
    kinds = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    for i in range(1, layers + 2):
        at = int(i < layers)  # where a placeholder stands first
        theirs |= {f"d.model{i}.{at}.{kind}": torch.zeros(0) for kind in kinds[:2]}
        theirs |= {f"d.model{i}.{at + 1}.{kind}": torch.zeros(0) for kind in kinds}
    assert renamed(theirs | {"e.model0.0.weight": torch.zeros(0)}, "d.").keys() == made.state_dict().keys()
    with pytest.raises(ValueError, match="no key of the .* begins with 'f.model'"):
        renamed(theirs, "f.")


def test_losses_are_their_formulas_in_full_precision_and_the_real_features_are_fixed():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    near(hinge_discriminator(real, fake), np.float32(0.5 * ((0 + 0.5 + 2) / 3 + (0 + 1) / 2)))
    entropy = -np.log(1 / (1 + np.exp(-real.numpy()))).mean() - np.log(1 - 1 / (1 + np.exp(-fake.numpy()))).mean()
    near(vanilla_discriminator(real, fake), np.float32(0.5 * entropy))
    near(generator_loss(fake), np.float32(1.5))
    assert generator_loss(fake.bfloat16()).dtype == torch.float32
    a, b = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    feature_matching([a, a], [b, 3 * b]).backward()
    near(
        feature_matching([a, a], [b, 3 * b]).detach(),
        ((a - b).abs().mean() + (a - 3 * b).abs().mean()).detach().numpy(),
    )
    assert a.grad is None and b.grad is not None
    with pytest.raises(ValueError, match="shorter"):
        feature_matching([a, a], [b])


@pytest.mark.parametrize(("dims", "theirs"), [(2, nn.BatchNorm2d), (3, nn.BatchNorm3d)])
def test_alone_it_is_the_batch_norm_of_torch(dims, theirs):
    mine, theirs = GlobalBatchNorm(3), theirs(3)
    for training in (True, True, False):
        x = torch.randn(2, 3, *(4, 5, 6)[:dims]) * 2 + 1
        found = []
        for norm in (mine.train(training), theirs.train(training)):
            norm.zero_grad()
            y = norm(part := x.clone().requires_grad_())
            (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
            found.append([y.detach(), part.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_batch_norm_is_in_full_precision_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert GlobalBatchNorm(3)(torch.randn(2, 3, 4, 5).bfloat16()).dtype == torch.float32


def _normed(x: torch.Tensor, weight: torch.Tensor) -> list[torch.Tensor]:
    norm = GlobalBatchNorm(3).double()
    y = norm(part := x.clone().requires_grad_())
    (y * weight).sum().backward()
    return [y.detach(), part.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]


def _batches() -> list[list[torch.Tensor]]:
    """Of pictures and of clips, with a weight for each number, so that every gradient differs."""
    drawn = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 5, 6), (4, 3, 3, 5, 6)]
    return [[torch.randn(shape, dtype=torch.double, generator=drawn) + 1 for _ in range(2)] for shape in shapes]


ROWS = [slice(0, 2), slice(2, 4)], [slice(0, 1), slice(1, 4)]  # halves, and a batch that does not divide


def _together(rank: int, place: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    found = [_normed(*(part[rows[rank]] for part in batch)) for rows in ROWS for batch in _batches()]
    torch.save(found, f"{out}.{rank}")
    dist.destroy_process_group()


def test_two_processes_with_parts_of_a_batch_are_one_with_the_whole(tmp_path):
    out = tmp_path / "out"
    torch.multiprocessing.spawn(_together, (str(tmp_path / "meet"), str(out)), nprocs=2)
    parts = [torch.load(f"{out}.{rank}") for rank in range(2)]
    alone = [_normed(*batch) for _ in ROWS for batch in _batches()]
    for whole, first, second in zip(alone, *parts, strict=True):
        ways = [lambda a, b: torch.cat([a, b])] * 2 + [torch.add] * 2  # outputs and gradients; of parameters, sums
        for i, way in enumerate(ways):
            torch.testing.assert_close(way(first[i], second[i]), whole[i], rtol=0, atol=1e-10)
        for i in (4, 5):
            assert torch.equal(first[i], second[i])
            torch.testing.assert_close(first[i], whole[i], rtol=0, atol=1e-10)
