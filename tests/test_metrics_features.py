"""Metrics of what networks see: with a pretended network they keep the contract and are what can be written down by hand."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pretend
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from omnitok.metrics import METRICS, Identity, Measured, Pair, classification, fid, kid, neighbours
from omnitok.metrics.kernel import discrepancy, paired_discrepancies
from omnitok.metrics.manifold import inside, radii
from omnitok.metrics.perceptual import LpipsAlex, LpipsVgg
from omnitok.networks import lpips
from omnitok.networks.weights import WEIGHTS
from omnitok.spec import resolve

CPU = torch.device("cpu")
USUAL = {name: resolve(METRICS.default(name)) for name in METRICS}
NAMES = [name for name, metric in USUAL.items() if metric(Identity()).networks]
FRECHET = ["rfid", "rfvd", "frechet_inception", "frechet_efficientnet"]


@dataclass(frozen=True)
class Fake:
    """A few numbers of a frame's 2x2 means, or of their mean over a clip."""

    of_clips: bool = False
    weights: str = "inception_2015"
    name: str = "pretended"
    width: int = 6

    def __call__(self, clip):
        small = F.avg_pool3d(clip.double(), (1, clip.shape[3] // 2, clip.shape[4] // 2))
        flat = rearrange(small, "b c t h w -> b t (c h w)")
        found = torch.tanh(flat[..., : self.width] + flat[..., -self.width :])
        return (found.mean(1, keepdim=True) if self.of_clips else found).float()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def _pretended(monkeypatch, folder):
    for module in (fid, kid, neighbours):
        monkeypatch.setattr(module, "InceptionFeatures", lambda *_: Fake())
    for module in (fid, classification):
        monkeypatch.setattr(module, "EfficientNetFeatures", lambda *_: Fake(weights="efficientnet_lite0"))
    monkeypatch.setattr(fid, "I3DFeatures", lambda *_, **__: Fake(of_clips=True, weights="i3d_kinetics400"))
    with pretend.pretended(folder):
        yield


@pytest.fixture(params=NAMES)
def fresh(request):
    return lambda: USUAL[request.param](Identity())


def made(name, **choices):
    return METRICS.components[name](Identity(), **choices)


def batch(frames=2, items=9, side=32):
    original = torch.rand(items, 1, 1, 2, 2).repeat(1, 3, frames, 1, 1) + 0.3 * torch.rand(items, 3, frames, 2, 2) - 0.5
    original = original.repeat_interleave(side // 2, 3).repeat_interleave(side // 2, 4)
    other = (0.7 * original + 0.1 + 0.1 * torch.randn_like(original)).clamp(-1, 1)
    return original, other, torch.zeros(items, 1, 1, 1, 0, dtype=torch.long)


def fed(metric, *batches) -> Measured:
    for one in batches:
        metric.add(Pair(*one))
    return metric.result()


def seen(clips):
    return Fake()(clips)


# The contract


def test_many_small_batches_in_any_order_are_one_large_one(fresh):
    whole = batch(fresh().least_frames + 1)
    parts = [tuple(part[i : i + 2] for part in whole) for i in range(0, 9, 2)]
    value = fed(fresh(), whole).value
    exact = 1e-6 if isinstance(fresh(), LpipsAlex | LpipsVgg) else 1e-12  # a float32 network, or none
    assert fed(fresh(), *parts).value == pytest.approx(value, rel=exact)
    assert fed(fresh(), *parts[::-1]).value == pytest.approx(value, rel=exact)


def test_a_mean_over_items_is_the_mean_of_its_items_and_an_interval_is_around_the_number(fresh):
    value, per_item, between, details, _ = fed(fresh(), batch(fresh().least_frames))
    assert bool(per_item) != bool(between)
    assert not per_item or (len(per_item) == 9 and sum(per_item) / 9 == pytest.approx(value))
    assert not between or between[0] < value < between[1] or between[0] == value == between[1]
    assert all(np.isfinite(number) for number in details.values())


def test_is_best_at_identity(fresh):
    original, other, codes = batch(fresh().least_frames)
    same, changed = fed(fresh(), (original, original, codes)).value, fed(fresh(), (original, other, codes)).value
    if fresh().better == "lower":
        assert same == pytest.approx(0, abs=1e-9) and same < changed
    if fresh().better == "higher":
        assert same == 1 and changed <= same


def test_clips_without_content_have_numbers_too(fresh):
    black = torch.full((9, 3, fresh().least_frames, 32, 32), -1.0)
    for original, back in ((black, black), (black, -black)):
        found = fed(fresh(), (original, back, torch.zeros(9, 1, 1, 1, 0, dtype=torch.long)))
        numbers = (found.value, *(found.interval or ()), *found.details.values())
        assert all(map(np.isfinite, numbers))


@pytest.mark.parametrize("name", ["rfid", "rkid", "recall", "class_agreement", "lpips_alex"])
def test_what_is_no_number_is_refused(name):
    original, other, codes = batch()
    other[3, :, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=f"^{name}: what (the network sees in|is found of) an item is nan or infinite"):
        fed(made(name), (original, other, codes))


def test_its_name_says_its_protocol_and_its_networks_are_known(fresh):
    metric = fresh()
    assert metric.protocol.startswith(f"{metric.label}[") and metric.protocol.endswith("]")
    assert set(metric.networks) <= set(WEIGHTS) and metric.networks


def test_fewer_items_than_it_takes_are_refused_with_both_numbers(fresh):
    least = fresh().least_items
    if least > 1:
        with pytest.raises(ValueError, match=f"^{fresh().label} is of {least} items or more, not {least - 1}$"):
            fed(fresh(), batch(fresh().least_frames, least - 1))


def test_every_choice_that_moves_the_number_is_in_the_protocol():
    said = [made(name).protocol for name in NAMES]
    said += [made(name, few=True).protocol for name in FRECHET]
    said += [made("rkid", subsets=2, subset_size=3).protocol, made("rkid", subsets=3, subset_size=3).protocol]
    said += [made(name, k=2).protocol for name in ("precision", "recall", "density", "coverage")]
    assert len(set(said)) == len(said)


# The Fréchet distance


@pytest.mark.parametrize("name", FRECHET)
def test_as_many_items_as_features_are_refused_unless_asked_for(name):
    assert made(name).least_items == 7 and made(name, few=True).least_items == 2
    few = batch(10, items=4)
    with pytest.raises(ValueError, match=f"{name} is of 7 items or more, not 4"):
        fed(made(name), few)
    found = fed(made(name, few=True), few)
    assert found.value > 0 and "n <= d allowed" in made(name, few=True).protocol
    streamed = fed(made(name, few=True, resamples=0), few)
    assert streamed.value == pytest.approx(found.value, rel=1e-6) and streamed.interval is None


def test_it_is_that_of_every_frame_and_says_it_for_fewer_of_them():
    whole = batch(frames=3, items=40)
    value, _, (low, high), details, _ = fed(made("rfid"), whole)
    x, y = (seen(side).flatten(0, 1).numpy().astype(np.float64) for side in whole[:2])
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(s @ t).real).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * roots
    assert value == pytest.approx(expected, rel=1e-9)
    assert list(details) == ["n=30", "n=60", "n=120", "n=infinity"] and details["n=120"] == value
    assert details["n=infinity"] < value and low < value < high
    assert fed(made("rfid", resamples=0), whole) == Measured(value, (), None, details)


def test_a_video_is_one_vector():
    whole = batch(frames=10, items=12)
    assert list(fed(made("rfvd"), whole).details) == ["n=12"]
    assert made("rfvd").least_frames == 10


# The kernel


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_all_at_once_it_is_the_mean_over_pairs_of_different_items(monkeypatch):
    x, y, _ = batch(frames=2, items=7)
    a, b = seen(x).numpy().astype(np.float64), seen(y).numpy().astype(np.float64)
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    terms = [(cubic(a[i], a[j]) + cubic(b[i], b[j]) - cubic(a[i], b[j]) - cubic(b[i], a[j])).mean() for i, j in pairs]
    found = fed(made("rkid"), (x, y, torch.zeros(7, 1, 1, 1, 0, dtype=torch.long)))
    assert found.value == pytest.approx(np.mean(terms), rel=1e-10)
    monkeypatch.setattr("omnitok.metrics.kernel.AT_ONCE", 4)  # tiles of two items
    tiled = paired_discrepancies(seen(x), seen(y), CPU)
    assert tiled.mean().item() == pytest.approx(found.value, rel=1e-10) and tiled.shape == (7,)


def test_unchanged_items_differ_by_exactly_nothing_and_equal_ones_by_nothing_on_average():
    x = torch.randn(300, 1, 8)
    assert not paired_discrepancies(x, x.clone(), CPU).any()
    values = []
    for i in range(60):
        draw = torch.Generator().manual_seed(i)
        x, y = torch.randn(2, 40, 1, 8, generator=draw)
        values.append(paired_discrepancies(x, y, CPU).mean().item())
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5


def test_by_subsets_it_is_the_mean_of_the_published_estimates():
    x, y = torch.randn(2, 30, 8, dtype=torch.double)
    n, m = len(x), len(y)
    within = [(cubic(side, side).sum() - cubic(side, side).trace()) / (n * (n - 1)) for side in (x, y)]
    between = sum(float(cubic(x[i : i + 1], y[j : j + 1])) for i in range(n) for j in range(m)) / (n * m)
    assert discrepancy(x, y) == pytest.approx(float(sum(within)) - 2 * between, rel=1e-10)
    whole = batch(frames=1, items=40)
    metric = partial(made, "rkid", subset_size=30)
    found = fed(metric(subsets=50), whole)
    assert found.interval is None and found.details["deviation of subsets"] > 0
    assert fed(metric(subsets=50), whole) == found
    everything = fed(made("rkid", subsets=3, subset_size=40), whole)
    once = discrepancy(*(seen(side).flatten(0, 1) for side in whole[:2]))
    assert everything.value == pytest.approx(once, rel=1e-10)
    assert everything.details["deviation of subsets"] == pytest.approx(0, abs=1e-12)
    assert found.value == pytest.approx(once, abs=0.02)


def test_its_interval_is_as_wide_as_numbers_of_new_samples_differ():
    found, widths = [], []
    for i in range(100):
        draw = torch.Generator().manual_seed(i)
        x = torch.randn(150, 1, 6, generator=draw)
        shares = paired_discrepancies(x, x + 0.5 + 0.2 * torch.randn(150, 1, 6, generator=draw), CPU)
        found.append(shares.mean().item())
        widths.append(2 * shares.std().item() / 150**0.5)
    assert np.mean(widths) == pytest.approx(np.std(found), rel=0.2)


# Neighbours


def brute(x, y, k):
    """Precision, recall, density and coverage, from whole matrices of distances."""
    within = [np.sort(np.linalg.norm(side[:, None] - side[None], axis=-1), 1)[:, k] for side in (x, y)]
    between = np.linalg.norm(x[:, None] - y[None], axis=-1)
    in_x, in_y = between <= within[0][:, None], between <= within[1]
    return in_x.any(0).mean(), in_y.any(1).mean(), in_x.sum() / (k * len(y)), in_x.any(1).mean()


@pytest.mark.parametrize("at_once", [7, 2048])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_those_of_all_distances(k, at_once, monkeypatch):
    monkeypatch.setattr("omnitok.metrics.manifold.AT_ONCE", at_once)
    whole = batch(frames=2, items=20)
    x, y = (seen(side).flatten(0, 1).numpy().astype(np.float64) for side in whole[:2])
    found = [fed(made(name, k=k), whole).value for name in ("precision", "recall", "density", "coverage")]
    assert found == pytest.approx(brute(x, y, k), rel=1e-12)


def test_without_change_all_is_found_and_density_is_what_its_text_says():
    x, _, codes = batch(frames=1, items=30)
    same = (x, x, codes)
    assert [fed(made(name), same).value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert fed(made("density", k=5), same).value == pytest.approx(6 / 5)
    still = tuple(part[:1].repeat(8, *(1,) * (part.dim() - 1)) for part in same)  # balls without extent
    assert [fed(made(name), still).value for name in ("precision", "recall", "coverage")] == [1, 1, 1]


def test_lost_kinds_cost_recall_and_strange_ones_precision():
    left, right = torch.randn(40, 3), torch.randn(40, 3) + 50
    both = torch.cat([left, right])

    def share(centres, points):
        return (inside(centres, radii(centres, 3, CPU), points, CPU).of_points > 0).double().mean().item()

    fewer = left[torch.arange(80) % 40] + 1e-3
    assert share(both, fewer) > 0.9 and share(fewer, both) < 0.55
    assert share(left, both) < 0.55
    with pytest.raises(ValueError, match="one among 4 vectors or more, not 3"):
        radii(both[:3], 3, CPU)


# Means of items


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_lpips_is_the_mean_over_frames_of_clamped_pictures(network, monkeypatch):
    monkeypatch.setattr("omnitok.metrics.perceptual.AT_ONCE", 2)
    x, y, codes = batch(frames=3, items=2)
    found = fed(made(f"lpips_{network}"), (x, 3 * y, codes))
    distance = lpips.pretrained(network, CPU)
    for i in range(2):
        frames = [distance((3 * y[i : i + 1, :, t]).clamp(-1, 1), x[i : i + 1, :, t]).item() for t in range(3)]
        assert found.per_item[i] == pytest.approx(np.mean(frames), rel=1e-5)
    assert made(f"lpips_{network}").least_side == lpips.BACKBONES[network].smallest
    assert LpipsAlex.least_side == 31


def test_lpips_is_not_computed_in_tf32(monkeypatch):
    seen = []

    def network(mine, _):
        seen.append((torch.backends.cudnn.allow_tf32, torch.is_grad_enabled()))
        return torch.zeros(len(mine))

    monkeypatch.setattr("omnitok.metrics.perceptual.pretrained", lambda *_: network)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # PyTorch's default
    fed(made("lpips_vgg"), batch())
    assert seen == [(False, False)] and torch.backends.cudnn.allow_tf32


def test_agreement_is_the_share_of_frames_of_one_class():
    x, y, codes = (torch.rand(2, 5, 3, 4, 8, 8) - 0.5).unbind() + (torch.zeros(5, 1, 1, 1, 0, dtype=torch.long),)
    found = fed(made("class_agreement"), (x, y, codes))
    same = seen(x).argmax(-1) == seen(y).argmax(-1)
    assert found.per_item == tuple(same.double().mean(1).tolist())
    assert 0 < found.value < 1
