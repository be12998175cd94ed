"""Metrics of pixels against scikit-image and against loops in float64."""

import numpy as np
import pytest
import torch
from looking import asked, fed, no_codes
from scipy.ndimage import correlate, gaussian_filter, uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from omnitok.metrics import Identity, Measured, psnr, ssim
from omnitok.metrics.fidelity import psnr_clip
from omnitok.metrics.spectrum import NOISE, spectrum_error
from omnitok.metrics.structure import SCALES, ms_ssim, ssim_gaussian
from omnitok.metrics.temporal import flicker, temporal_psnr


def smooth(*shape):
    """Clips with structure at several scales, which noise alone lacks."""
    noise = np.random.default_rng(0).standard_normal(shape)
    found = sum(gaussian_filter(noise, (0, 0, 1, s, s)) * s for s in (1, 3, 9))
    return torch.from_numpy(found / np.abs(found).max()).float()


def noised(clip, much, seed=1):
    return clip + much * torch.randn(clip.shape, generator=torch.Generator().manual_seed(seed))


def blurred(clip, much):
    return torch.from_numpy(gaussian_filter(clip.numpy(), (0, 0, 0, much, much)))


def frames_of(a, b):
    """Pairs of frames [H W] in [0, 1], by clip and channel and time."""
    x, y = (((clip.double().numpy() + 1) / 2).clip(0, 1) for clip in (a, b))
    return [[(x[i, c, t], y[i, c, t]) for c in range(3) for t in range(a.shape[2])] for i in range(len(a))]


@pytest.fixture
def pair():
    original = smooth(3, 3, 4, 24, 33)
    return original, noised(original, 0.4)  # beyond the range in places


def test_psnr_and_both_ssims_are_those_of_scikit_image(pair):
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i, frames in enumerate(frames_of(*pair)):
        both = [np.stack([frame[side] for frame in frames]).reshape(3, 4, 24, 33) for side in (0, 1)]
        each = [peak_signal_noise_ratio(both[0][:, t], both[1][:, t], data_range=1) for t in range(4)]
        assert psnr(*pair)[i].item() == pytest.approx(np.mean(each), abs=1e-9)
        pooled = peak_signal_noise_ratio(*both, data_range=1)
        assert psnr_clip(*pair)[i].item() == pytest.approx(pooled, abs=1e-9)
        for ours, said in ((ssim, {}), (ssim_gaussian, gaussian)):
            theirs = np.mean([structural_similarity(x, y, data_range=1, **said) for x, y in frames])
            assert ours(*pair)[i].item() == pytest.approx(theirs, abs=1e-9)


def test_the_mean_over_frames_is_more_than_that_of_pooled_errors(pair):
    original, _ = pair
    last_spoilt = original.clone()
    last_spoilt[:, :, -1] = noised(original[:, :, -1], 0.5)
    assert (psnr(original, last_spoilt) > psnr_clip(original, last_spoilt) + 10).all()
    image = original[:, :, :1], last_spoilt[:, :, -1:]
    torch.testing.assert_close(psnr(*image), psnr_clip(*image))


def by_scales(x, y):
    """Wang et al. 2003 with scipy: of one channel of one frame."""
    found = 1.0
    for place, weight in enumerate(SCALES):

        def mean(z):
            return gaussian_filter(z, 1.5, radius=5)[5:-5, 5:-5]

        mx, my = mean(x), mean(y)
        contrast = (2 * (mean(x * y) - mx * my) + 0.0009) / (mean(x * x) - mx**2 + mean(y * y) - my**2 + 0.0009)
        luminance = (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001)
        kept = (contrast if place < 4 else contrast * luminance).mean()
        found *= max(kept, 0) ** weight
        x, y = (correlate(z, np.ones((2, 2)) / 4, mode="reflect", origin=-1)[::2, ::2] for z in (x, y))
    return found


@pytest.mark.parametrize("size", [(161, 170), (176, 163)])
def test_ms_ssim_is_that_of_a_loop_over_scales(size):
    original = smooth(1, 3, 2, *size)
    for other in (noised(original, 0.3), -original, blurred(original, 2)):
        theirs = np.mean([by_scales(x, y) for x, y in frames_of(original, other)[0]])
        assert ms_ssim(original, other).item() == pytest.approx(theirs, abs=1e-9)


def test_ms_ssim_is_that_of_pytorch_msssim_where_sides_halve_evenly():
    clip = smooth(2, 3, 1, 176, 192)
    theirs = [0.91860020, 0.91923084]  # of its release 1.0.0, whose window has 32 bits
    assert ms_ssim(clip, blurred(clip, 2)).tolist() == pytest.approx(theirs, abs=2e-6)


def test_structure_turned_round_at_a_scale_counts_nothing():
    clip = smooth(1, 3, 1, 161, 161)
    assert ssim_gaussian(clip, -clip).item() < 0
    assert ms_ssim(clip, -clip).item() == 0


def test_a_frame_smaller_than_the_window_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="ssim needs 7 pixels a side, and the frame is 4 x 16"):
        ssim(torch.zeros(1, 3, 1, 4, 16), torch.zeros(1, 3, 1, 4, 16))


def test_differences_over_time_are_those_of_a_loop(pair):
    for i, frames in enumerate(frames_of(*pair)):
        x, y = (np.stack([frame[side] for frame in frames]).reshape(3, 4, 24, 33) for side in (0, 1))
        steps = [(x[:, t + 1] - x[:, t], y[:, t + 1] - y[:, t]) for t in range(3)]
        theirs = np.mean([-10 * np.log10(((a - b) ** 2).mean()) for a, b in steps])
        assert temporal_psnr(*pair)[i].item() == pytest.approx(theirs, abs=1e-9)
        theirs = np.mean([np.maximum(0, np.abs(b) - np.abs(a)).mean() for a, b in steps])
        assert flicker(*pair)[i].item() == pytest.approx(theirs, abs=1e-12)


def test_an_error_that_stays_is_none_over_time_and_one_that_comes_and_goes_flickers():
    still = smooth(1, 3, 1, 16, 16).expand(-1, -1, 4, -1, -1) / 4
    shifted = still + 0.25
    assert temporal_psnr(still, shifted).item() == pytest.approx(100)
    assert flicker(still, shifted).item() == pytest.approx(0, abs=1e-7)
    flashing = still + 0.2 * torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1)
    assert flicker(still, flashing).item() == pytest.approx(0.1, rel=1e-5)
    assert flicker(flashing, still).item() == 0  # frozen is no flicker
    assert temporal_psnr(still, flashing).item() == pytest.approx(20, rel=1e-5)
    assert temporal_psnr(flashing, still).item() == pytest.approx(20, rel=1e-5)


def test_nothing_is_said_of_the_time_of_single_images(pair):
    image = (pair[0][:, :, :1], pair[1][:, :, :1], no_codes(3))
    for name in ("temporal_psnr", "flicker"):
        assert fed(asked(name, Identity()), image) == Measured(None)
    for measure in (temporal_psnr, flicker):
        with pytest.raises(ValueError, match="a single frame"):
            measure(*image[:2])


def rings(x):
    """Mean power a ring, frequency by frequency over the whole plane."""
    height, width = x.shape
    window = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in x.shape))
    power = np.abs(np.fft.fft2(window * (x - (x * window).sum() / window.sum()))) ** 2 / (window**2).sum()
    found = [[] for _ in range(min(x.shape) // 2 + 1)]
    for u, row in enumerate(np.fft.fftfreq(height)):
        for v, column in enumerate(np.fft.fftfreq(width)):
            ring = round(np.hypot(row, column) * min(x.shape))
            if ring < len(found):
                found[ring].append(power[u, v])
    return np.array([np.mean(some) for some in found[1:]])


@pytest.mark.parametrize("size", [(24, 33), (15, 20), (8, 8)])
def test_the_spectrum_is_that_of_a_loop_over_frequencies(size):
    original = smooth(2, 3, 2, *size)
    other = noised(original, 0.3)
    for i, frames in enumerate(frames_of(original, other)):
        theirs = np.mean([np.abs(10 * np.log10((rings(x) + NOISE) / (rings(y) + NOISE))).mean() for x, y in frames])
        assert spectrum_error(original, other)[i].item() == pytest.approx(theirs, abs=1e-8)


def test_a_spectrum_does_not_see_brightness_and_sees_noise_as_loud_as_it_is():
    clip = smooth(1, 3, 1, 64, 64) / 2
    assert spectrum_error(clip, clip + 0.2).item() == pytest.approx(0, abs=1e-3)
    assert spectrum_error(clip, clip).item() == 0
    grey = torch.zeros(1, 3, 4, 64, 64)
    expected = 10 * np.log10((0.05**2 + NOISE) / NOISE)  # 0.1 in [-1, 1] is 0.05 of the range
    assert spectrum_error(grey, noised(grey, 0.1)).item() == pytest.approx(expected, abs=0.3)


LIKENESS = {"psnr", "psnr_clip", "ssim", "ssim_gaussian", "ms_ssim", "temporal_psnr"}


@pytest.mark.parametrize("name", [*sorted(LIKENESS), "flicker", "spectrum_error"])
def test_more_noise_is_worse_and_so_is_more_blur(name):
    clip = smooth(2, 3, 3, 161, 161)
    ways = [[noised(clip, much) for much in (0.0, 0.02, 0.1, 0.4)]]
    if name != "flicker":
        ways.append([blurred(clip, much) for much in (0.3, 1.0, 3.0)])
    for worse in ways:
        found = [fed(asked(name, Identity()), (clip, other, no_codes(2))).value for other in worse]
        assert found == sorted(found, reverse=name in LIKENESS) and len(set(found)) == len(found)


def test_means_in_a_uniform_window_are_those_of_scipy():
    from omnitok.metrics.structure import UNIFORM, _filtered

    x = np.random.default_rng(0).standard_normal((12, 17))
    theirs = uniform_filter(x, 7)[3:-3, 3:-3]
    torch.testing.assert_close(_filtered(torch.from_numpy(x), UNIFORM), torch.from_numpy(theirs))
