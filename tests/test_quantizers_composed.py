"""Quantizers made of others: against their papers' algorithms written out, and against a peer with the same codebooks."""

import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import vector_quantize_pytorch as peer

from omnitok.quantizers import QUANTIZERS, joined, split
from omnitok.quantizers.bsq import BinarySphericalQuantizer
from omnitok.quantizers.elements import ELEMENTS
from omnitok.quantizers.factorised import FactorisedQuantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.quantizers.grouped import GroupedQuantizer
from omnitok.quantizers.lfq import LookupFreeQuantizer
from omnitok.quantizers.multi_scale import MultiScaleQuantizer
from omnitok.quantizers.residual import ResidualQuantizer
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.quantizers.vq_learned import LearnedVectorQuantizer
from omnitok.randomness import generator
from omnitok.spec import decode, resolve

VQ = partial(VectorQuantizer, codebook_size=16, code_dim=4, normalise=False)
MADE = {
    "residual": ResidualQuantizer,
    "grouped": GroupedQuantizer,
    "multi_scale": MultiScaleQuantizer,
    "factorised": FactorisedQuantizer,
}


def draw(step: int = 0):
    return generator(0, "test", step)


def scattered(quantizer):
    """With random codebooks that count as filled."""
    for part in quantizer.modules():
        if isinstance(part, VectorQuantizer):
            part.filled.fill_(True)
            part.codebook.normal_()
            part.sums.copy_(part.codebook)
    return quantizer


def choices_of(name: str):
    """Every element with its defaults, where one of unit length is refused with its length kept."""
    said = {"type": name, "normalise": False} if name.startswith("vq") else {"type": name}
    return resolve(decode(ELEMENTS, said))


@pytest.mark.parametrize("kind", [ResidualQuantizer, GroupedQuantizer, MultiScaleQuantizer])
@pytest.mark.parametrize("name", list(ELEMENTS))
def test_of_every_element_codes_decode_to_latents_and_the_encoder_is_reached(kind, name):
    made = kind(of=choices_of(name)).train()
    x = torch.randn(2, 3, 3, 5, made.in_channels, requires_grad=True)
    out = made(x, draw())
    (gradient,) = torch.autograd.grad(out.latents.mul(torch.randn_like(out.latents)).sum() + out.loss, x)
    assert gradient.isfinite().all() and gradient.abs().min(-1).values.sum() > 0 and out.loss >= 0
    out = made.eval()(x)
    assert out.codes.shape == (2, 3, 3, 5, len(made.codebook_sizes))
    torch.testing.assert_close(made.decode(out.codes), out.latents, rtol=0, atol=2e-6)


def test_residual_vq_is_the_peers_with_its_codebooks():
    made = scattered(ResidualQuantizer(of=VQ, depth=3))
    theirs = peer.ResidualVQ(dim=4, num_quantizers=3, codebook_size=16, commitment_weight=0.25, rotation_trick=False)
    for level, layer in zip(made.levels, theirs.layers, strict=True):
        layer._codebook.embed.copy_(level.codebook[None])
    x = torch.randn(2, 1, 4, 4, 4, requires_grad=True)
    for training in (False, True):
        out = made.train(training)(x)
        latents, indices, losses = theirs.train(training)(x.flatten(1, 3))
        torch.testing.assert_close(out.latents.flatten(1, 3), latents)
        assert torch.equal(out.codes.flatten(1, 3), indices)
    torch.testing.assert_close(out.loss, losses.sum())
    mine, other = (torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in (out.loss, losses.sum()))
    torch.testing.assert_close(mine, other)
    (passed,) = torch.autograd.grad(out.latents.sum(), x)
    assert torch.equal(passed, torch.ones_like(x))  # once, and not once a level


@pytest.mark.parametrize("levels", [(5, 3, 7), (8, 4, 4)])
def test_residual_fsq_is_the_peers(levels):
    made = ResidualQuantizer(of=partial(FiniteScalarQuantizer, levels=levels), depth=3).eval()
    theirs = peer.ResidualFSQ(levels=list(levels), num_quantizers=3).eval()
    x = 2 * torch.randn(2, 1, 6, 6, 3)
    counts = torch.tensor(levels)
    wider = torch.where(
        counts % 2 == 0, counts / (counts - 1), 1
    )  # theirs reach from -1 to 1, ours of even numbers less
    out, (latents, indices) = made(x), theirs((x * wider).flatten(1, 3))
    assert torch.equal(out.codes.flatten(1, 3), indices.long())
    torch.testing.assert_close((out.latents * wider).flatten(1, 3), latents)


def test_residual_fsq_of_depth_d_is_a_uniform_quantizer_of_levels_to_the_d():
    for count in (3, 4):
        made = ResidualQuantizer(of=partial(FiniteScalarQuantizer, levels=(count,)), depth=3).eval()
        out = made(torch.linspace(-12, 12, 20000).view(1, 1, 100, 200, 1))
        values = out.latents.unique()
        steps = values.diff()[values.diff() > 1e-4]
        assert len(steps) == count**3 - 1 and steps.max() - steps.min() < 1e-5
        assert len(out.codes.flatten(0, -2).unique(dim=0)) == count**3


def test_residual_lfq_is_the_peers_and_bsq_keeps_halving_from_the_sphere():
    made = ResidualQuantizer(of=partial(LookupFreeQuantizer, bits=5), depth=4).eval()
    theirs = peer.ResidualLFQ(dim=5, num_quantizers=4, codebook_size=32).eval()
    x = torch.randn(2, 1, 4, 4, 5)
    out, (latents, indices, _) = made(x), theirs(x.flatten(1, 3))
    torch.testing.assert_close(out.latents.flatten(1, 3), latents)
    backwards = [
        int(f"{int(code):05b}"[::-1], 2) for code in indices.flatten()
    ]  # their first channel is the highest bit
    assert out.codes.flatten().tolist() == backwards
    made = ResidualQuantizer(of=partial(BinarySphericalQuantizer, bits=5), depth=4).eval()
    left = F.normalize(x, dim=-1)
    for i in range(4):
        left = left - torch.where(left > 0, 1.0, -1.0) / (5**0.5 * 2**i)
    torch.testing.assert_close(F.normalize(x, dim=-1) - made(x).latents, left)


def test_dropout_gives_the_decoder_the_first_levels_of_a_sample_only_in_training():
    made = scattered(ResidualQuantizer(of=partial(VQ, decay=1.0), depth=3, dropout=1.0)).train()
    x = torch.randn(64, 1, 1, 2, 4)
    out = made(x, draw())
    sums = torch.stack([level.decode(out.codes[..., i : i + 1]) for i, level in enumerate(made.levels)]).cumsum(0)
    kept = (sums - out.latents).abs().amax((2, 3, 4, 5)) < 1e-5  # [level, sample]
    assert kept.sum(0).eq(1).all() and kept.sum(1)[:2].min() > 16 and kept.sum(1)[2] == 0
    torch.testing.assert_close(made(x).latents, sums[2])
    torch.testing.assert_close(made.eval()(x, draw()).latents, sums[2])


def test_groups_are_quantized_each_for_itself():
    made = scattered(GroupedQuantizer(of=VQ, groups=3)).train()
    alone = [VQ().train() for _ in range(3)]
    for one, part in zip(alone, made.parts, strict=True):
        one.load_state_dict(part.state_dict())
    x = torch.randn(2, 1, 4, 4, 12)
    out = made(x, draw())
    outs = [one(x[..., 4 * i : 4 * i + 4], draw()) for i, one in enumerate(alone)]
    assert torch.equal(out.latents, torch.cat([one.latents for one in outs], -1))
    assert torch.equal(out.codes, torch.cat([one.codes for one in outs], -1))
    torch.testing.assert_close(out.loss, sum(one.loss for one in outs) / 3)
    for one, part in zip(alone, made.parts, strict=True):
        assert torch.equal(one.codebook, part.codebook)


def test_a_code_is_said_as_digits_and_joined_again():
    sizes = (4, 2, 8)
    codes = torch.randperm(64).view(1, 4, 4, 4)
    digits = list(itertools.product(*map(range, sizes)))
    assert list(map(tuple, split(codes, sizes).flatten(0, -2).tolist())) == [digits[code] for code in codes.flatten()]
    assert torch.equal(joined(split(codes, sizes), sizes), codes)
    made = FactorisedQuantizer(of=partial(LookupFreeQuantizer, bits=18), sizes=(2**6, 2**12)).eval()
    x = torch.randn(2, 1, 4, 4, 18)
    out, plain = made(x), LookupFreeQuantizer(bits=18).eval()(x)
    assert made.bits_per_token == 18 and out.codes.amax((0, 1, 2, 3)).le(torch.tensor([2**6, 2**12])).all()
    assert torch.equal(joined(out.codes, made.codebook_sizes), plain.codes[..., 0])
    assert torch.equal(out.latents, plain.latents) and torch.equal(made.decode(out.codes), plain.latents)


def written_out(made, frame):
    """VAR's algorithm 1 for one frame [z h w], in the functions that its authors call. -> codes, sum, loss."""
    left, total, codes, losses = frame[None], torch.zeros_like(frame[None]), [], []
    h, w = frame.shape[1:]
    for i, scale in enumerate(made.scales):
        size = (math.ceil(scale * h), math.ceil(scale * w))
        cells = F.interpolate(left, size=size, mode="area")[0].flatten(1).T
        codes.append(torch.cdist(cells, made.element.codebook).argmin(-1).view(size))
        up = made.element.codebook[codes[-1]].permute(2, 0, 1)[None]
        up = F.interpolate(up, size=(h, w), mode="bicubic") if i < len(made.scales) - 1 else up
        up = 0.5 * up + 0.5 * made.convolutions[i * len(made.convolutions) // len(made.scales)](up)
        total, left = total + up, left - up
        losses.append(1.25 * (total - frame).square().mean())
    return codes, total[0], sum(losses) / len(losses)


def test_multi_scale_is_vars_algorithm_frame_by_frame():
    scales = (0.2, 0.5, 0.75, 1.0)
    made = scattered(MultiScaleQuantizer(of=partial(VQ, commitment_weight=0.0), scales=scales, convolutions=2)).double()
    x = torch.randn(2, 2, 5, 6, 4, dtype=torch.double)
    out, losses = made.train()(x), []
    for sample, time in itertools.product(range(2), range(2)):
        codes, total, loss = written_out(made, x[sample, time].permute(2, 0, 1))
        torch.testing.assert_close(out.latents[sample, time], total.permute(1, 2, 0))
        for i, cells in enumerate(codes):
            found = out.codes[sample, time, ..., i]
            expected = F.interpolate(cells[None, None].double(), size=(5, 6), mode="nearest")[0, 0].long()
            assert torch.equal(found, expected)
        losses.append(loss)
    torch.testing.assert_close(out.loss, sum(losses) / 4)
    assert made.rates == pytest.approx((0.04, 0.25, 0.5625, 1))


def test_multi_scale_trains_its_codebook_once_with_the_remainders_of_all_scales_and_its_convolutions_by_the_loss():
    made = scattered(MultiScaleQuantizer(of=partial(VQ, decay=0.0), scales=(0.5, 1.0))).train()
    x = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    out = made(x, draw())
    cells = torch.cat([out.codes[:, :, ::2, ::2, 0].flatten(), out.codes[..., 1].flatten()])
    assert torch.equal(made.element.hits, cells.bincount(minlength=16).float())
    out.loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in made.convolutions.parameters())
    pulled = MultiScaleQuantizer(of=partial(VQ, commitment_weight=9.0), scales=(0.5, 1.0)).train()
    pulled.load_state_dict(before)
    pulled(x, draw()).loss.backward()  # a code's pull on remainders is the encoder's, and no convolution's
    for one, other in zip(pulled.convolutions.parameters(), made.convolutions.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    learned = MultiScaleQuantizer(of=partial(LearnedVectorQuantizer, normalise=False, start="spread")).train()
    learned(torch.randn(1, 1, 4, 4, 8), draw()).loss.backward()
    assert learned.element.codebook.grad.abs().sum() > 0 and learned.element.training


def test_choices_that_do_not_fit_are_refused_with_both_numbers():
    for kind in (ResidualQuantizer, MultiScaleQuantizer):
        with pytest.raises(ValueError, match="^of=VectorQuantizer .*normalise=True"):
            kind(of=VectorQuantizer)
    with pytest.raises(ValueError, match="^dropout=0.5 .*depth=1"):
        ResidualQuantizer(depth=1, dropout=0.5)
    with pytest.raises(ValueError, match=r"^sizes=\[8, 16\] name 128 codes, .* 1024"):
        FactorisedQuantizer(of=LookupFreeQuantizer, sizes=(8, 16))
    assert MultiScaleQuantizer(scales=(0.07, 1.0))._sizes(100, 5) == [(7, 1), (100, 5)]
    for scales in ((), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (0.5, 0.25, 1.0)):
        with pytest.raises(ValueError, match=r"^scales=\["):
            MultiScaleQuantizer(scales=scales)
    with pytest.raises(ValueError, match="^convolutions=3 .* 2"):
        MultiScaleQuantizer(scales=(0.5, 1.0), convolutions=3)


@pytest.mark.parametrize("name", list(MADE))
def test_settings_spend_the_bits_that_were_asked_for(name):
    count = 0
    for bits in (1, 5, 10, *([21] if name == "multi_scale" else [])):
        for said in QUANTIZERS.components[name].settings(bits):
            with torch.device("meta"):
                made = resolve(decode(QUANTIZERS, {"type": name, **said}))()
            assert made.bits_per_token == bits
            count += 1
    assert count >= 3 and not QUANTIZERS.components[name].settings(0)
    if name in ("residual", "grouped"):
        key = {"residual": "depth", "grouped": "groups"}[name]
        assert [said[key] for said in MADE[name].settings(12)] == [2, 3, 4, 6, 12]
    if name == "factorised":
        assert [said["sizes"] for said in FactorisedQuantizer.settings(18)] == [[2**6, 2**12], [2**9, 2**9]]


@pytest.mark.parametrize("name", [*MADE, "lfq", "bsq"])
def test_shapes_can_be_rehearsed_on_the_meta_device(name):
    with torch.device("meta"):
        made = QUANTIZERS.components[name]()
        out = made(torch.empty(2, 1, 4, 6, made.in_channels))
        assert out.latents.shape == (2, 1, 4, 6, made.channels)
        assert made.decode(out.codes).shape == out.latents.shape
