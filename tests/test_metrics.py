"""What every metric and every loss promises; PSNR and SSIM against scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from omnitok.losses import LOSSES
from omnitok.metrics import METRICS, psnr, ssim
from omnitok.spec import resolve

SIZES = (16, 8)


@pytest.fixture(params=list(METRICS))
def fresh(request):
    return lambda: resolve(METRICS.default(request.param))(SIZES)


@pytest.fixture
def batch():
    original = torch.rand(5, 3, 2, 12, 16) * 2 - 1
    codes = torch.stack([torch.randint(0, size, (5, 2, 3, 4)) for size in SIZES], -1)
    return original, (original + 0.3 * torch.randn_like(original)).clamp(-1, 1), codes


def fed(metric, *batches):
    for batch in batches:
        metric.add(*batch)
    return metric.result()


def test_many_small_batches_in_any_order_are_one_large_one(fresh, batch):
    parts = [tuple(part[i : i + 1] for part in batch) for i in range(5)]
    whole = fed(fresh(), batch)
    assert fed(fresh(), *parts).value == pytest.approx(whole.value, rel=1e-12)
    assert fed(fresh(), *parts[::-1]).value == pytest.approx(whole.value, rel=1e-12)


def test_a_mean_over_items_is_the_mean_of_its_items(fresh, batch):
    value, per_item = fed(fresh(), batch)
    assert not per_item or sum(per_item) / 5 == pytest.approx(value)


def test_is_best_at_identity(fresh, batch):
    original, reconstruction, codes = batch
    same, other = fed(fresh(), (original, original, codes)).value, fed(fresh(), batch).value
    better = fresh().better
    assert same > other or not fed(fresh(), batch).per_item if better == "higher" else same <= other


def test_its_name_says_its_protocol(fresh):
    assert fresh().protocol.startswith(f"{fresh().label}[") and fresh().protocol.endswith("]")


def test_psnr_and_ssim_are_those_of_scikit_image(batch):
    original, reconstruction, _ = batch
    for i in range(5):
        frames = [((clip[i, :, t].double().numpy() + 1) / 2) for t in range(2) for clip in (original, reconstruction)]
        pairs = list(zip(frames[::2], frames[1::2], strict=True))
        theirs = np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])
        assert psnr(original, reconstruction)[i].item() == pytest.approx(theirs, abs=1e-9)
        theirs = np.mean([structural_similarity(a, b, data_range=1, channel_axis=0) for a, b in pairs])
        assert ssim(original, reconstruction)[i].item() == pytest.approx(theirs, abs=1e-9)


def test_a_frame_smaller_than_the_window_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="window=7 must fit into the frame, which is 4 x 16"):
        ssim(torch.zeros(1, 3, 1, 4, 16), torch.zeros(1, 3, 1, 4, 16))


def test_usage_and_perplexity_are_counted_by_hand():
    codes = torch.tensor([[0, 0], [0, 1], [1, 2], [1, 3]]).view(1, 1, 2, 2, 2)
    clip = torch.zeros(1, 3, 1, 8, 8)
    usage = resolve(METRICS.default("codebook_usage"))((4, 8))
    assert fed(usage, (clip, clip, codes)).value == pytest.approx((2 / 4 + 4 / 8) / 2)
    perplexity = resolve(METRICS.default("perplexity"))((4, 8))
    assert fed(perplexity, (clip, clip, codes)).value == pytest.approx((2 + 4) / 2)


def test_a_codebook_metric_does_not_apply_where_there_is_no_codebook():
    clip = torch.zeros(1, 3, 1, 8, 8)
    for name in ("codebook_usage", "perplexity"):
        assert (
            fed(resolve(METRICS.default(name))(()), (clip, clip, torch.zeros(1, 1, 2, 2, 0, dtype=torch.long))).value
            is None
        )


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_loss_is_a_finite_scalar_zero_at_identity_and_scaled_by_its_weight(name, batch):
    original, reconstruction, _ = batch
    loss, double = LOSSES.components[name](), LOSSES.components[name](weight=2.0)
    assert loss(original, original).item() == 0
    assert loss(reconstruction, original).isfinite() and loss(reconstruction, original).shape == ()
    assert double(reconstruction, original).item() == pytest.approx(2 * loss(reconstruction, original).item())
    assert math.isclose(LOSSES.components["l1"]()(original + 0.5, original).item(), 0.5, rel_tol=1e-5)
