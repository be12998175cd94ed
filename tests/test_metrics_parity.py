"""Metrics of codes and of the codec itself: what it uses, what it leaks, whether parts are the whole."""

import math

import pytest
import torch
from looking import Looking, asked, fed, no_codes

from omnitok.metrics import Codec, Identity, Measured
from omnitok.metrics.causality import other_future
from omnitok.metrics.codebook import PENDING, Tally
from omnitok.model import MODELS
from omnitok.model.baselines import PatchMean
from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.quantizers import QUANTIZERS
from omnitok.randomness import initialise
from omnitok.spec import decode, read_value, resolve
from omnitok.training.devices import OnDevice

# Codes


def test_what_is_used_of_codebooks_is_counted_by_hand():
    codes = torch.tensor([[0, 0], [0, 1], [1, 2], [1, 3]]).view(1, 1, 2, 2, 2)
    clip = torch.zeros(1, 3, 1, 8, 8)
    expected = {
        "codebook_usage": (2 / 4 + 4 / 8) / 2,
        "perplexity": (2 + 4) / 2,
        "dead_codes": (2 + 4) / 2,
        "entropy_bits_per_pixel": 4 * (1 + 2) / 64,
        "bits_per_pixel": 4 * (2 + 3) / 64,
    }
    codec = Looking(0.0, 4, 8)
    codec.bits_per_token = 5.0
    for name, value in expected.items():
        assert fed(asked(name, codec), (clip, clip, codes)).value == pytest.approx(value)


def test_how_often_codes_are_used_is_a_histogram_of_all_codes():
    """Of sixteen tokens and eight codes two would fall on each: code 0 has ten, code 1 two, 2 to 5 one each."""
    codes = torch.tensor([0] * 10 + [1] * 2 + [2, 3, 4, 5]).view(1, 1, 4, 4, 1)
    found = fed(asked("codebook_usage", Looking(0.0, 8)), (torch.zeros(1, 3, 1, 8, 8),) * 2 + (codes,))
    assert found.details == {"unused": 2, "used 2^-1": 4, "used 2^0": 1, "used 2^2": 1}
    rare = torch.cat([torch.zeros(999, dtype=torch.long), torch.ones(1, dtype=torch.long)]).view(1, 1, 10, 100, 1)
    found = fed(asked("codebook_usage", Looking(0.0, 2)), (torch.zeros(1, 3, 1, 8, 8),) * 2 + (rare,))
    assert found.details == {"unused": 0, "used 2^-6": 1, "used 2^0": 1}


def test_a_scale_with_fewer_codes_than_positions_costs_by_its_rate():
    codec = Looking(0.0, 4, 4)
    codec.rates = (0.25, 1.0)
    coarse = torch.tensor([0, 1]).repeat_interleave(8).view(1, 1, 4, 4)  # two of the four cells of 2 x 2
    fine = torch.arange(16).view(1, 1, 4, 4) % 4
    clip = torch.zeros(1, 3, 1, 16, 16)
    found = fed(asked("entropy_bits_per_pixel", codec), (clip, clip, torch.stack([coarse, fine], -1)))
    assert found.value == pytest.approx(16 * (0.25 * 1 + 2) / 256)


def test_nothing_is_said_of_codebooks_where_there_is_none():
    clip = torch.zeros(1, 3, 1, 8, 8)
    for name in ("codebook_usage", "perplexity", "dead_codes", "bits_per_pixel", "entropy_bits_per_pixel"):
        assert fed(asked(name, Identity()), (clip, clip, no_codes())) == Measured(None)


@pytest.mark.parametrize("size", [8, 2**18, 2**40])
def test_codes_are_counted_the_same_however_large_the_codebook_and_however_many_batches(size):
    draw = torch.Generator().manual_seed(0)
    codes = torch.randint(0, size, (6, PENDING // 2 + 1), generator=draw)
    codes[:, ::3] = torch.randint(0, 5, codes[:, ::3].shape, generator=draw)
    tally = Tally(size)
    for some in codes:
        tally.add(some)
    expected = codes.unique(return_counts=True)[1]
    assert tally.counts.tolist() == expected.tolist() == tally.counts.tolist()
    shares = expected.double() / codes.numel()
    assert tally.entropy() == pytest.approx(-(shares * shares.log()).sum().item())


def test_a_codebook_of_40_bits_takes_no_more_memory_than_its_codes():
    clip, codes = torch.zeros(1, 3, 1, 8, 8), torch.tensor([0, 2**40 - 1]).view(1, 1, 1, 2, 1)
    assert fed(asked("dead_codes", Looking(0.0, 2**40)), (clip, clip, codes)).value == 2**40 - 2
    assert fed(asked("perplexity", Looking(0.0, 2**40)), (clip, clip, codes)).value == pytest.approx(2)


def test_a_code_that_the_codebook_has_not_is_refused():
    for code in (-1, 4):
        with pytest.raises(ValueError, match="are not all of a codebook of 4"):
            Tally(4).add(torch.tensor([0, code]))


@pytest.mark.parametrize("name", list(QUANTIZERS))
def test_codes_of_every_quantizer_are_counted(name):
    quantizer = resolve(QUANTIZERS.default(name))().eval()
    initialise(quantizer, 0)
    with torch.no_grad():
        codes = quantizer(torch.randn(2, 3, 4, 4, quantizer.in_channels)).codes
    codec = Looking(0.0)
    codec.codebook_sizes, codec.rates = quantizer.codebook_sizes, quantizer.rates
    codec.bits_per_token = quantizer.bits_per_token
    clip = torch.zeros(2, 3, 9, 16, 16)
    whole, spent = (
        fed(asked(of, codec), (clip, clip, codes)).value for of in ("bits_per_pixel", "entropy_bits_per_pixel")
    )
    if quantizer.codebook_sizes:
        used = fed(asked("codebook_usage", codec), (clip, clip, codes)).value
        dead = fed(asked("dead_codes", codec), (clip, clip, codes)).value
        assert 0 <= spent <= whole == pytest.approx(3 * 4 * 4 * quantizer.bits_per_token / (9 * 16 * 16))
        sizes = set(quantizer.codebook_sizes)
        assert len(sizes) > 1 or dead == pytest.approx((1 - used) * sizes.pop())
    else:
        assert whole is spent is None


def test_what_is_measured_is_what_metrics_take_it_for():
    codec = tiny("none")
    for one in (codec, OnDevice(codec), PatchMean(), Identity()):
        assert isinstance(one, Codec)


# The past and the future

TINY = """
dim: 16
patches: {type: linear, patch: 4, temporal_patch: 2}
encoder: [{type: transformer, attention: {type: temporal, heads: 2}, peg: PEG}]
decoder: [{type: transformer, attention: {type: temporal, heads: 2}, peg: PEG}]
quantizer: {type: vq, codebook_size: 16, code_dim: 4}
"""


def tiny(peg, **changed):
    text = TINY
    for old, new in changed.items():
        text = text.replace(old, new)
    text = text.replace("PEG", peg)
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    initialise(model, 0)
    return model


def clips(frames, many=3, side=16):
    clip = torch.rand(many, 3, frames, side, side) * 2 - 1
    return clip, clip, no_codes(many)


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
    assert fed(asked("causality_leak", Looking(0.5)), (grey, grey, no_codes(2))) == Measured(0.0, (0.0, 0.0))


# Chunks


@pytest.mark.parametrize("peg", ["none", "convolution"])
@pytest.mark.parametrize("chunk", [1, 2, 3])  # 1 2 2 2, 1 4 2 and 1 6 frames
def test_a_causal_tokenizer_gives_the_same_in_chunks(peg, chunk):
    found = fed(asked("chunk_parity", OnDevice(tiny(peg)), chunk=chunk), clips(7))
    assert 0 <= found.value < 1e-6 and 0 <= found.details["largest"] < 1e-5
    assert len(found.per_item) == 3


def test_chunks_of_a_clip_of_13_frames_are_those_of_the_plans_that_must_agree():
    plans = []

    class Planned(Looking):
        frame_step = chunk_step = 4

        def reconstruct_chunks(self, clip, frames):
            plans.append(list(frames))
            back = self.reconstruct(clip).clip.clone()
            back[0, :, -1] += 0.2
            return back

    for chunk in (1, 2, 3):
        found = fed(asked("chunk_parity", Planned(0.5), chunk=chunk), clips(13, many=2))
        assert found.per_item == pytest.approx((0.1 / math.sqrt(13), 0.0))
        assert found.details == pytest.approx({"largest": 0.1})
    assert plans == [[1, 4, 4, 4], [1, 8, 4], [1, 12]]


def test_a_tokenizer_that_enlarges_and_pools_over_time_gives_the_same_in_chunks():
    pooled = {
        "temporal_patch: 2": "temporal_patch: 2, upscale: 2",
        "PEG}]\ndecoder: [": "PEG}, pool_time]\ndecoder: [repeat_time, ",
    }
    codec = tiny("convolution", **pooled)
    assert codec.chunk_step == 4
    assert fed(asked("chunk_parity", OnDevice(codec)), clips(9)).value < 1e-6


@pytest.mark.parametrize("peg", ["scrambled", "none"])
def test_nothing_is_said_of_chunks_where_a_codec_looks_ahead(peg):
    codec = tiny(peg, **({"type: temporal,": "type: temporal_bidirectional,"} if peg == "none" else {}))
    assert fed(asked("chunk_parity", codec), clips(7)) == Measured(None)
    assert fed(asked("chunk_parity", PatchMean(patch=8)), clips(7)) == Measured(None)
    assert fed(asked("chunk_parity", Identity()), clips(1)) == Measured(None)


def test_frames_that_come_in_blocks_come_in_chunks_of_blocks():
    codec = tiny("none", **{"type: temporal,": "type: temporal_block_causal, block: 2,"})
    assert codec.chunk_step == 2 * codec.frame_step == 4
    assert fed(asked("chunk_parity", codec), clips(9)).value < 1e-6
    assert fed(asked("chunk_parity", codec), clips(7)) == Measured(None)


# Tiles


class Blurring(Reconstructor):
    """The mean of so many pixels around each, those beyond the border repeated."""

    def __init__(self, reach):
        super().__init__()
        self.reach = reach

    def reconstruct(self, clip):
        r = self.reach
        padded = torch.nn.functional.pad(clip, (r, r, r, r, 0, 0), mode="replicate")
        return Reconstruction(torch.nn.functional.avg_pool3d(padded, (1, 2 * r + 1, 2 * r + 1), 1), no_codes(len(clip)))


def stitched(codec, clip, tile, overlap):
    """Pixel by pixel: the mean of the tiles that cover it, each by its distance from the tile's edges."""
    side = clip.shape[-1]
    starts = [*range(0, side - tile, tile - overlap), side - tile]
    ramp = [min(i + 1, tile - i, overlap + 1) for i in range(tile)]
    total, weight = torch.zeros_like(clip, dtype=torch.double), torch.zeros(side, side, dtype=torch.double)
    for top in starts:
        for left in starts:
            back = codec.reconstruct(clip[..., top : top + tile, left : left + tile])[0]
            for i in range(tile):
                for j in range(tile):
                    total[..., top + i, left + j] += back[..., i, j] * ramp[i] * ramp[j]
                    weight[top + i, left + j] += ramp[i] * ramp[j]
    return total / weight


@pytest.mark.parametrize(("tile", "overlap"), [(16, 0), (16, 4), (24, 12), (16, 8)])
def test_tiles_are_put_together_as_pixel_by_pixel(tile, overlap):
    codec, (clip, _, codes) = Blurring(2), clips(1, many=2, side=40)
    found = fed(asked("tiling_parity", codec, tile=tile, overlap=overlap), (clip, clip, codes))
    differ = (stitched(codec, clip, tile, overlap) - codec.reconstruct(clip)[0].double()) / 2
    assert found.per_item == pytest.approx(differ.square().flatten(1).mean(1).sqrt().tolist())
    assert found.details == pytest.approx({"largest": differ.abs().max().item()})
    assert found.value > 1e-4


def test_what_looks_no_farther_than_a_patch_is_the_same_in_tiles():
    for overlap in (0, 8):
        metric = asked("tiling_parity", PatchMean(patch=8), tile=16, overlap=overlap)
        assert fed(metric, clips(3, side=40)).value == pytest.approx(0, abs=1e-7)


def test_an_overlap_hides_seams():
    found = [
        fed(asked("tiling_parity", Blurring(3), tile=16, overlap=overlap), clips(1, side=40)).value
        for overlap in (0, 4, 8)
    ]
    assert found == sorted(found, reverse=True) and found[-1] < 0.8 * found[0]


def test_nothing_is_said_of_tiles_as_large_as_the_frame_or_smaller_than_the_codec_takes():
    assert fed(asked("tiling_parity", Blurring(2), tile=40), clips(1, side=40)) == Measured(None)
    codec = PatchMean(patch=20)
    assert fed(asked("tiling_parity", codec, tile=16), clips(1, side=40)) == Measured(None)


def test_tiles_off_the_grid_of_the_codec_are_refused_with_both_numbers():
    codec = PatchMean(patch=8)
    for said, message in (
        ({"tile": 20}, "tile=20 must be a multiple of the 8 pixels"),
        ({"tile": 32, "overlap": 4}, "overlap=4 must be a multiple of the 8 pixels"),
        ({"tile": 16, "overlap": 16}, "overlap=16 must be less than tile=16"),
    ):
        with pytest.raises(ValueError, match=message):
            asked("tiling_parity", codec, **said)
