"""What every metric and every loss promises; PSNR and SSIM against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from omnitok.metrics import METRICS, Identity, Measured, Pair, psnr, ssim
from omnitok.metrics.causality import other_future
from omnitok.model import MODELS
from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.randomness import initialise
from omnitok.spec import decode, read_value, resolve
from omnitok.training.devices import OnDevice

SIZES = (16, 8)


class Looking(Reconstructor):
    """A frame comes back as itself and a share of the frame after it; its codes are their brightness."""

    codebook_sizes = SIZES

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def reconstruct(self, clip):
        after = torch.cat([clip[:, :, 1:], clip[:, :, -1:]], 2)
        back = clip + self.share * after
        code = (back.mean((1, 3, 4)) > 0).long().view(*clip.shape[:1], -1, 1, 1, 1)
        return Reconstruction(back, code.expand(-1, -1, 3, 4, 2))


def asked(name, codec):
    return resolve(METRICS.default(name))(codec)


def counted(name, *sizes):
    codec = Looking(0.0)
    codec.codebook_sizes = sizes
    return asked(name, codec)


@pytest.fixture(params=list(METRICS))
def fresh(request):
    return lambda: asked(request.param, Looking(0.5))


@pytest.fixture
def batch():
    original = torch.rand(5, 3, 2, 12, 16) * 2 - 1
    codes = torch.stack([torch.randint(0, size, (5, 2, 3, 4)) for size in SIZES], -1)
    return original, (original + 0.3 * torch.randn_like(original)).clamp(-1, 1), codes


def fed(metric, *batches):
    for batch in batches:
        metric.add(Pair(*batch))
    return metric.result()


def test_many_small_batches_in_any_order_are_one_large_one(fresh, batch):
    parts = [tuple(part[i : i + 1] for part in batch) for i in range(5)]
    whole = fed(fresh(), batch)
    assert fed(fresh(), *parts).value == pytest.approx(whole.value, rel=1e-12)
    assert fed(fresh(), *parts[::-1]).value == pytest.approx(whole.value, rel=1e-12)


def test_a_mean_over_items_is_the_mean_of_its_items(fresh, batch):
    value, per_item, _, _ = fed(fresh(), batch)
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
    usage = counted("codebook_usage", 4, 8)
    assert fed(usage, (clip, clip, codes)).value == pytest.approx((2 / 4 + 4 / 8) / 2)
    perplexity = counted("perplexity", 4, 8)
    assert fed(perplexity, (clip, clip, codes)).value == pytest.approx((2 + 4) / 2)


def test_a_codebook_metric_does_not_apply_where_there_is_no_codebook():
    clip = torch.zeros(1, 3, 1, 8, 8)
    for name in ("codebook_usage", "perplexity"):
        assert fed(counted(name), (clip, clip, torch.zeros(1, 1, 2, 2, 0, dtype=torch.long))).value is None


# The past and the future

TINY = """
dim: 16
patches: {type: linear, patch: 4, temporal_patch: 2}
encoder: [{type: transformer, attention: {type: temporal, heads: 2}, peg: PEG}]
decoder: [{type: transformer, attention: {type: temporal, heads: 2}, peg: PEG}]
quantizer: {type: vq, codebook_size: 16, code_dim: 4}
"""


def tiny(peg):
    model = resolve(decode(MODELS, read_value(TINY.replace("PEG", peg), "here")))().eval()
    initialise(model, 0)
    return model


def clips(frames, many=3):
    clip = torch.rand(many, 3, frames, 16, 16) * 2 - 1
    return clip, clip, torch.zeros(many, 1, 1, 1, 0, dtype=torch.long)


def test_another_future_keeps_the_past_and_can_be_told_from_the_old_one():
    clip = torch.arange(1.0, 6.0).view(1, 1, 5, 1, 1)
    assert other_future(clip, 3).flatten().tolist() == [1, 2, 3, -5, -4]


@pytest.mark.parametrize("peg", ["none", "convolution"])
def test_a_causal_tokenizer_leaks_nothing_to_the_last_bit(peg):
    for name in ("causality_leak", "code_leak"):
        assert fed(asked(name, OnDevice(tiny(peg))), clips(7)) == Measured(0.0, (0.0, 0.0, 0.0))


def test_the_published_convolution_leaks_the_future_into_the_past():
    codec = tiny("scrambled")
    assert fed(asked("causality_leak", codec), clips(7)).value > 0.01
    assert fed(asked("code_leak", codec), clips(7)).value > 0.01


def test_a_codec_that_looks_ahead_leaks_what_can_be_counted_by_hand():
    clip, _, codes = clips(3, many=1)
    second, third = clip[:, :, 1], clip[:, :, 2]  # cuts: 1 2 3 -> 1 -3 -2, and 1 2 3 -> 1 2 -3

    def rms(x):
        return x.double().square().mean().sqrt()

    first = 0.5 * rms(second + third) / torch.stack([rms(second + third), rms(third + second)]).square().mean().sqrt()
    last = 0.5 * (rms(2 * third) / 2**0.5) / rms(2 * third)  # one of the two earlier frames moves
    found = fed(asked("causality_leak", Looking(0.5)), (clip, clip, codes))
    assert found.value == pytest.approx(((first + last) / 2).item(), rel=1e-5)
    assert fed(asked("causality_leak", Looking(0.0)), (clip, clip, codes)).value == 0
    bright = torch.ones(1, 3, 3, 8, 8) * torch.tensor([0.1, 1.0, 1.0]).view(3, 1, 1)  # 0.1 + 0.5 becomes 0.1 - 0.5
    assert fed(asked("code_leak", Looking(0.5)), (bright, bright, codes)).value == pytest.approx((1 + 0) / 2)


def test_leaks_are_looked_for_behind_each_latent_frame_and_only_where_a_future_is():
    seen = []

    class Seen(Looking):
        def reconstruct(self, clip):
            seen.append(clip)
            return super().reconstruct(clip)

    codec = Seen(0.5)
    codec.frame_step = 4
    fed(asked("causality_leak", codec), clips(9))
    assert len(seen) == 3
    starts = [int((seen[0] != clip).any(1).any(0).flatten(1).any(1).nonzero()[0]) for clip in seen[1:]]
    assert starts == [1, 5]
    seen.clear()
    assert fed(asked("causality_leak", codec), clips(1)) == Measured(None)
    assert fed(asked("code_leak", Identity()), clips(5)) == Measured(None)
    assert not seen


def test_a_clip_of_no_content_has_no_other_future_and_leaks_nothing():
    grey = torch.zeros(2, 3, 5, 8, 8)
    codes = torch.zeros(2, 1, 1, 1, 0, dtype=torch.long)
    assert fed(asked("causality_leak", Looking(0.5)), (grey, grey, codes)) == Measured(0.0, (0.0, 0.0))
