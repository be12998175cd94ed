"""Quantizers without a learned codebook: each against its paper's equation in float64, and against a peer on the same latents."""

import math
from functools import partial

import pytest
import torch
import vector_quantize_pytorch as peer

from omnitok.quantizers import binary
from omnitok.quantizers.binary import entropies
from omnitok.quantizers.bsq import BinarySphericalQuantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.quantizers.lfq import LookupFreeQuantizer

KINDS = [LookupFreeQuantizer, BinarySphericalQuantizer]


def corners(bits: int, dtype: torch.dtype = torch.double):
    """Every code, the first channel the lowest bit."""
    return torch.tensor([[1 if code >> i & 1 else -1 for i in range(bits)] for code in range(2**bits)], dtype=dtype)


def entropy(shares):
    return -torch.special.xlogy(shares, shares).sum(-1)


def brute(latents, codes, temperature):
    """Mean entropy of each choice, entropy of the mean choice: the softmax over all codes written out."""
    shares = (-(torch.cdist(latents, codes) ** 2) / temperature).softmax(-1)
    return entropy(shares).mean(), entropy(shares.mean(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_loss_and_its_gradient_are_those_of_a_softmax_over_all_codes(kind, temperature, monkeypatch):
    monkeypatch.setattr(binary, "ROWS", 16)
    bits, gamma = 5, 0.7
    weights = {"commitment_weight": 0.25, "entropy_weight": 0.3, "diversity_gamma": gamma}
    made = kind(bits=bits, temperature=temperature, group_size=8, **weights).double()
    x = torch.randn(2, 2, 3, 3, bits, dtype=torch.double, requires_grad=True)
    loss = made.train()(x).loss
    flat = x.flatten(0, -2)
    spherical = kind is BinarySphericalQuantizer
    latents = flat / flat.norm(dim=-1, keepdim=True) if spherical else flat
    codes = corners(bits) / (bits**0.5 if spherical else 1)
    each, together = brute(latents, codes, temperature)
    away = (latents - codes[torch.cdist(latents, codes).argmin(-1)]).square()
    commitment = away.sum(-1).mean() if spherical else away.mean()
    expected = 0.25 * commitment + 0.3 * (each + gamma * (bits * math.log(2) - together))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, x), torch.autograd.grad(expected, x))


@pytest.mark.parametrize("group_size", [1, 2, 3])
def test_entropies_of_groups_are_those_of_their_bits_alone_and_never_see_more_than_all_together(group_size):
    latents, bits = torch.randn(40, 5, dtype=torch.double, requires_grad=True), 5
    _, lacking = entropies(4 * latents, group_size)
    parts = latents.split(group_size, dim=-1)
    expected = bits * math.log(2) - sum(brute(part, corners(part.shape[-1]), 1.0)[1] for part in parts)
    torch.testing.assert_close(lacking, expected)
    torch.testing.assert_close(torch.autograd.grad(lacking, latents), torch.autograd.grad(expected, latents))
    assert lacking < entropies(4 * latents, bits)[1]


def test_bsq_spends_no_table_on_its_codebook_entropy_which_is_the_papers_sum_over_bits():
    """arXiv:2406.07548, eq. 8 to 10, with tau = 2 / temperature."""
    bits, temperature = 6, 0.4
    made = BinarySphericalQuantizer(
        bits=bits, temperature=temperature, commitment_weight=0.0, entropy_weight=1.0
    ).double()
    x = torch.randn(1, 2, 4, 4, bits, dtype=torch.double)
    u = (x / x.norm(dim=-1, keepdim=True)).flatten(0, -2)
    one = torch.sigmoid(2 * (2 / temperature) * u / bits**0.5)
    each = sum(entropy(torch.stack([one[:, i], 1 - one[:, i]], -1)).mean() for i in range(bits))
    mean = one.mean(0)
    together = sum(entropy(torch.stack([mean[i], 1 - mean[i]])) for i in range(bits))
    torch.testing.assert_close(made.train()(x).loss, each + bits * math.log(2) - together)


def test_by_default_bsq_has_the_loss_of_its_authors():
    """No commitment, and 0.1 of the entropies of sigmoids of 4 u / sqrt(bits): a temperature of 1."""
    x = torch.randn(1, 2, 4, 4, 18)
    one = torch.sigmoid(4 * x / x.norm(dim=-1, keepdim=True) / 18**0.5).flatten(0, -2)
    one = torch.stack([one, 1 - one], -1)
    shortfall = 18 * math.log(2) - entropy(one.mean(0)).sum()
    made = BinarySphericalQuantizer(bits=18)
    torch.testing.assert_close(made.train()(x).loss, 0.1 * (entropy(one).sum(-1).mean() + shortfall))
    assert made.eval()(x).loss == 0


@pytest.mark.parametrize("spherical", [False, True])
def test_lfq_and_bsq_are_the_peers_on_the_same_latents(spherical):
    bits, temperature = 6, 0.8
    theirs = peer.LFQ(dim=bits, spherical=spherical, commitment_loss_weight=0.25, diversity_gamma=0.9).train()
    kind = BinarySphericalQuantizer if spherical else LookupFreeQuantizer
    commitment = 0.25 / bits if spherical else 0.25  # theirs is the mean over channels
    made = kind(
        bits=bits, temperature=temperature, diversity_gamma=0.9, commitment_weight=commitment, group_size=bits
    ).train()
    x = torch.randn(2, 1, 5, 5, bits, requires_grad=True)
    out = made(x)
    latents, indices, loss = theirs(x.flatten(1, 3), inv_temperature=1 / temperature)
    torch.testing.assert_close(out.latents.flatten(1, 3), latents)
    backwards = torch.tensor([int(f"{int(code):0{bits}b}"[::-1], 2) for code in indices.flatten()])
    assert torch.equal(out.codes.flatten(), backwards)  # their first channel is the highest bit
    torch.testing.assert_close(out.loss - 0.1 * 0.9 * bits * math.log(2), loss, rtol=1e-4, atol=1e-4)
    mine, other = (torch.autograd.grad(y, x, retain_graph=True)[0] for y in (out.loss, loss))
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)  # they clamp probabilities at 1e-5
    passed, wanted = (torch.autograd.grad((y * y.detach().roll(1)).sum(), x)[0] for y in (made(x).latents, latents))
    torch.testing.assert_close(passed, wanted.view_as(passed))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lacking_where_choices_are_sure_and_even_and_all_of_it_where_one_code_is_chosen(kind):
    made = kind(bits=4, commitment_weight=0.0, entropy_weight=1.0, temperature=1e-3).train()
    even, alike = corners(4, torch.float).view(1, 4, 2, 2, 4), torch.ones(1, 4, 2, 2, 4, requires_grad=True)
    assert made(even).loss.item() == pytest.approx(0, abs=1e-5)
    loss = made(alike).loss
    assert loss.item() == pytest.approx(4 * math.log(2), abs=1e-4)
    assert torch.autograd.grad(loss, alike)[0].isfinite().all()  # though codes have no probability left


@pytest.mark.parametrize(
    "made", [partial(LookupFreeQuantizer, bits=12), partial(BinarySphericalQuantizer, group_size=9)]
)
def test_no_pass_holds_tokens_times_codes(made, monkeypatch):
    monkeypatch.setattr(binary, "ROWS", 128)
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            out = op(*args, **(kwargs or {}))
            seen.extend(t.numel() for t in (out if isinstance(out, tuple | list) else (out,)) if torch.is_tensor(t))
            return out

    quantizer = made().train()
    x = torch.randn(1, 2, 32, 32, quantizer.channels, requires_grad=True)
    with Watch():
        quantizer(x).loss.backward()
    assert max(seen) <= max(x.numel(), 128 * 2**6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_channel_is_the_lowest_bit_and_zero_is_below(kind):
    made = kind(bits=3).eval()
    x = torch.tensor([[1.0, -1, -1], [0, 0, 2], [3, 0.1, 1]]).view(1, 1, 1, 3, 3)
    assert made(x).codes.flatten().tolist() == [1, 4, 7]
    assert torch.equal(made.decode(torch.arange(8).view(1, 1, 2, 4, 1)).sign().flatten(0, -2), corners(3, torch.float))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_taken_under_autocast_are_those_of_full_precision(kind):
    made = kind(bits=6, group_size=6, temperature=1.0).train()
    x = torch.randn(1, 1, 8, 8, 6, requires_grad=True)
    plain = torch.autograd.grad(made(x).loss, x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.autograd.grad(made(x).loss, x)[0], plain)


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_bits_are_refused_with_both_numbers(kind):
    with pytest.raises(ValueError, match=r"^bits=40 .* 31 bits"):
        kind(bits=40)
    with pytest.raises(ValueError, match=r"^group_size=21 .*2\^21; there may be 2\^20"):
        kind(bits=4, group_size=21)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (4, 3), (8, 8, 8, 5, 5)])
def test_fsq_is_the_peers_latents_and_indices_and_gradients_alike(levels):
    mine, theirs = FiniteScalarQuantizer(levels=levels), peer.FSQ(list(levels))
    x = (2 * torch.randn(2, 3, 4, 5, len(levels))).requires_grad_()
    out, (latents, indices) = mine(x), theirs(x.flatten(1, 3))
    torch.testing.assert_close(out.latents.flatten(1, 3), latents)
    assert torch.equal(out.codes.flatten(1), indices.long())
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (out.latents, latents)))


def test_settings_spend_the_bits_that_were_asked_for_the_usual_one_first():
    for bits in range(1, 31):
        for kind in (FiniteScalarQuantizer, *KINDS):
            for said in kind.settings(bits):
                values = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
                assert kind(**values).bits_per_token == bits
        assert all(kind.settings(bits) for kind in KINDS)
        assert bool(FiniteScalarQuantizer.settings(bits)) == (bits > 1)
    first = {bits: FiniteScalarQuantizer.settings(bits)[0]["levels"] for bits in (4, 9, 12, 13, 16)}
    assert first == {4: [4, 4], 9: [8] * 3, 12: [8] * 4, 13: [8, 8, 8, 4, 4], 16: [8, 8, 8, 8, 4, 4]}
    assert {"levels": [16, 8, 8, 8]} in FiniteScalarQuantizer.settings(13)
    assert [kind.settings(0) for kind in (FiniteScalarQuantizer, *KINDS)] == [(), (), ()]
