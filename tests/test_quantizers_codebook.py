"""Searches, starts, estimators, entropies and quantizers with a codebook, each against brute force in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from omnitok.quantizers import QUANTIZERS
from omnitok.quantizers.entropy import TEMPERATURE, choice_gap, entropy_gap
from omnitok.quantizers.estimators import passed, rotated
from omnitok.quantizers.ibq import TEMPERATURE as IBQ_TEMPERATURE
from omnitok.quantizers.ibq import IndexBackpropagationQuantizer
from omnitok.quantizers.search import BLOCK, MOST_ROWS, likeliest, nearest
from omnitok.quantizers.simvq import SimVectorQuantizer
from omnitok.quantizers.softvq import SoftVectorQuantizer
from omnitok.quantizers.start import ROUNDS, kmeans, picked, spread
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.quantizers.vq_learned import DECAY, LearnedVectorQuantizer
from omnitok.randomness import generator

SIZED = ["vq", "vq_learned", "simvq", "ibq"]


def draw(step: int = 0):
    return generator(0, "test", step)


def distances(tokens, codes):
    return (tokens.double()[:, None] - codes.double()).square().sum(-1)


@pytest.mark.parametrize(
    ("dim", "size", "away"), [(8, 300, 100.0), (2, 500, 0.0), (1, 65, 0.0), (32, BLOCK + 1, 1e3), (3, 1, 0.0)]
)
def test_searches_find_what_float64_finds_also_far_from_the_origin_and_between_near_codes(dim, size, away):
    tokens, codes = torch.randn(MOST_ROWS + 37, dim) + away, torch.randn(size, dim) + away
    assert torch.equal(nearest(tokens, codes), distances(tokens, codes).argmin(-1))
    assert torch.equal(likeliest(tokens, codes), (tokens.double() @ codes.double().T).argmax(-1))


def test_of_equal_codes_the_lowest_is_found():
    codes = torch.randn(150, 5)
    tokens = torch.randn(40, 5)
    assert torch.equal(nearest(tokens, codes.repeat(4, 1)), nearest(tokens, codes))
    assert torch.equal(likeliest(tokens, codes.repeat(4, 1)), likeliest(tokens, codes))
    assert nearest(torch.zeros(1, 5), torch.ones(4, 5)).item() == 0


def test_a_search_that_float32_gets_wrong_is_set_right():
    codes = 1 + torch.linspace(0, 1e-5, 64)[:, None] * torch.tensor([1.0, 0.5, 0.25])
    tokens = 3 + 1e-3 * torch.randn(200, 3)
    right = (tokens.double() @ codes.double().T).argmax(-1)
    assert ((tokens @ codes.T).argmax(-1) != right).any() and torch.equal(likeliest(tokens, codes), right)


@pytest.mark.parametrize("normalise", [True, False])
def test_kmeans_is_lloyds_algorithm(normalise):
    tokens, codes = torch.randn(60, 3, dtype=torch.double), torch.randn(7, 3, dtype=torch.double)
    codes[0] = 50.0  # nothing chooses it
    expected = codes.clone()
    for _ in range(ROUNDS):
        chosen = distances(tokens, expected).argmin(-1)
        for k in range(7):
            if (chosen == k).any():
                mean = tokens[chosen == k].mean(0)
                expected[k] = mean / mean.norm() if normalise else mean
    torch.testing.assert_close(kmeans(tokens, codes, normalise), expected)


@pytest.mark.parametrize("name", ["vq", "vq_learned"])
def test_codes_begin_as_their_start_says(name):
    x = torch.randn(1, 2, 4, 4, 3)
    tokens = F.normalize(x.flatten(0, -2), dim=-1)
    first = picked(tokens, 6, draw(), normalise=True)
    expected = {"first_batch": first, "kmeans": kmeans(tokens, first, True), "spread": spread(6, 3)}
    for start, codes in expected.items():
        said = {"decay": 1.0} if name == "vq" else {}
        vq = QUANTIZERS.components[name](codebook_size=6, code_dim=3, start=start, **said).train()
        vq(x)
        torch.testing.assert_close(vq.codes(), spread(6, 3))  # without a draw nothing begins
        vq(x, draw())
        if start == "spread" and name == "vq":
            assert torch.equal(vq.hits, torch.ones(6))
        torch.testing.assert_close(vq.codes(), codes)
        before = vq.codes().clone()
        vq(x + 1, draw(1))
        torch.testing.assert_close(vq.codes(), before)


def householder(latent, code):
    """The rotation of one direction onto another as the product of two reflections, and the ratio of lengths."""
    u, q = latent / latent.norm(), code / code.norm()
    reflect = [torch.eye(len(u), dtype=torch.double) - 2 * torch.outer(r, r) for r in (u, (u + q) / (u + q).norm())]
    return code.norm() / latent.norm() * reflect[1] @ reflect[0]


def test_rotation_passes_gradients_as_two_reflections_do():
    latents = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    codes, wanted = torch.randn(5, 4, dtype=torch.double), torch.randn(5, 4, dtype=torch.double)
    out = rotated(latents, codes)
    (found,) = torch.autograd.grad(out, latents, wanted)
    assert torch.equal(out, codes) or torch.allclose(out, codes, atol=1e-14)
    for latent, code, gradient, expected in zip(latents.detach(), codes, found, wanted, strict=True):
        matrix = householder(latent, code)
        torch.testing.assert_close(matrix @ latent, code)
        torch.testing.assert_close(gradient, matrix.T @ expected)


def test_the_estimators_stand_still_where_latents_are_zero_or_opposite():
    latents = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    codes = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    for estimator in ("straight_through", "rotation"):
        out = passed(estimator, latents, codes)
        (gradient,) = torch.autograd.grad(out.sum(), latents)
        assert torch.equal(out, codes) and gradient.isfinite().all()


def gap_by_brute_force(logits):
    shares = logits.softmax(-1)
    mean = shares.mean(0)
    return -(shares * logits.log_softmax(-1)).sum(-1).mean() + (mean * mean.log()).sum()


def test_the_entropy_gap_and_its_gradients_are_its_formula(monkeypatch):
    monkeypatch.setattr("omnitok.quantizers.entropy.rows_at_once", lambda tokens, codes: 4)  # the last tile is smaller
    asked = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in ((10, 3), (6, 3), (6,))]
    tokens, keys, offsets = asked
    expected = gap_by_brute_force(tokens @ keys.T + offsets)
    found = choice_gap(*asked)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(3 * found, asked), torch.autograd.grad(3 * expected, asked), strict=True
    ):
        torch.testing.assert_close(mine, theirs)
    assert gradcheck(choice_gap, asked)
    by_distance = gap_by_brute_force(-distances(tokens, keys) / TEMPERATURE)
    torch.testing.assert_close(entropy_gap(tokens, keys), by_distance)


def test_the_entropy_gap_is_least_where_choices_are_sure_and_even_and_bears_shares_of_nothing():
    codebook = torch.eye(4)
    even, uneven = entropy_gap(codebook, codebook), entropy_gap(codebook[:1].repeat(4, 1), codebook)
    assert even == pytest.approx(-math.log(4), abs=1e-3) and uneven == pytest.approx(0, abs=1e-3)
    tokens = (100 * codebook).requires_grad_()
    (gradient,) = torch.autograd.grad(entropy_gap(tokens, 100 * codebook), tokens)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("normalise", [True, False])
def test_vq_learned_is_equation_3_of_its_paper(normalise):
    vq = LearnedVectorQuantizer(
        codebook_size=5, code_dim=3, normalise=normalise, start="spread", commitment_weight=0.3, entropy_weight=0.2
    )
    vq.double().train()
    x = torch.randn(1, 2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    codebook = vq.codebook.detach().clone().mul_(1.5).requires_grad_()
    vq.codebook.data.copy_(codebook)
    z, e = (F.normalize(a, dim=-1) if normalise else a for a in (x.flatten(0, -2), codebook))
    chosen = e[distances(z, e).argmin(-1)]
    loss = (z.detach() - chosen).square().mean() + 0.3 * (z - chosen.detach()).square().mean()
    loss = loss + 0.2 * gap_by_brute_force(-distances(z, e) / TEMPERATURE)
    out, wanted = vq(x, draw()), torch.randn(12, 3, dtype=torch.double)
    torch.testing.assert_close(out.latents.flatten(0, -2), chosen)
    torch.testing.assert_close(out.loss, loss)
    mine = torch.autograd.grad((out.latents.flatten(0, -2) * wanted).sum() + out.loss, (x, vq.codebook))
    theirs = torch.autograd.grad((z * wanted).sum() + loss, (x, codebook))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_vq_learned_puts_codes_that_were_seldom_chosen_on_latents_before_the_next_step():
    vq = LearnedVectorQuantizer(
        codebook_size=2, code_dim=2, restart_below=0.995, normalise=False, start="spread"
    ).train()
    vq.codebook.data.copy_(torch.tensor([[1.0, 0.0], [-9.0, 0.0]]))
    x = torch.tensor([[1.0, 0.1], [1.0, -0.1]]).view(1, 1, 1, 2, 2)
    first = vq(x.requires_grad_(), draw())
    assert vq.usage.tolist() == pytest.approx([DECAY + (1 - DECAY) * 2, DECAY])
    vq(x.detach())  # nothing is random or counted without a draw
    assert vq.codebook[1, 0] == -9
    second = vq(x.detach(), draw(1))
    assert torch.cdist(vq.codebook[1:], x.flatten(0, -2)).min() == 0 and vq.usage[1] >= 1
    (first.loss + second.loss + first.latents.sum()).backward()  # both graphs are whole
    assert vq.codebook.grad.isfinite().all()


def test_simvq_searches_mapped_codes_and_learns_the_map_alone():
    vq = SimVectorQuantizer(codebook_size=7, code_dim=3, commitment_weight=0.3).double().train()
    x = torch.randn(1, 2, 2, 2, 3, dtype=torch.double, requires_grad=True)
    basis = vq.basis.detach().clone().requires_grad_()
    z, codes = x.flatten(0, -2), vq.frozen @ basis.T
    chosen = codes[distances(z, codes).argmin(-1)]
    loss = (z.detach() - chosen).square().mean() + 0.3 * (z - chosen.detach()).square().mean()
    out = vq(x, draw())
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(out.latents.flatten(0, -2), chosen)
    assert [name for name, _ in vq.named_parameters()] == ["basis"]
    torch.testing.assert_close(*(torch.autograd.grad(a, b)[0] for a, b in ((out.loss, vq.basis), (loss, basis))))


def test_ibq_is_its_papers_equations():
    vq = IndexBackpropagationQuantizer(codebook_size=6, code_dim=4, codebook_weight=0.3, entropy_weight=0.2)
    vq.double().train()
    vq.codebook.data.normal_()
    x = torch.randn(1, 2, 2, 2, 4, dtype=torch.double, requires_grad=True)
    codebook = vq.codebook.detach().clone().requires_grad_()
    z = x.flatten(0, -2)
    logits = z @ codebook.T
    soft, hard = logits.softmax(-1), F.one_hot(logits.argmax(-1), 6).double()
    given, plain = (hard - soft.detach() + soft) @ codebook, hard @ codebook
    loss = (
        (given - z).square().mean() + (plain.detach() - z).square().mean() + 0.3 * (plain - z.detach()).square().mean()
    )
    loss = loss + 0.2 * gap_by_brute_force(logits / IBQ_TEMPERATURE)
    out, wanted = vq(x, draw()), torch.randn(8, 4, dtype=torch.double)
    torch.testing.assert_close(out.latents.flatten(0, -2), plain)
    torch.testing.assert_close(out.loss, loss)
    mine = torch.autograd.grad((out.latents.flatten(0, -2) * wanted).sum() + out.loss, (x, vq.codebook))
    theirs = torch.autograd.grad((given * wanted).sum() + loss, (x, codebook))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("normalise", [True, False])
def test_softvq_is_its_papers_equations(normalise):
    vq = SoftVectorQuantizer(codebook_size=6, latent_channels=4, temperature=0.5, kl_weight=0.2, normalise=normalise)
    vq.double().train()
    x = torch.randn(1, 2, 2, 2, 4, dtype=torch.double, requires_grad=True)
    codebook = vq.codebook.detach().clone().requires_grad_()
    z, e = (F.normalize(a, dim=-1) if normalise else a for a in (x.flatten(0, -2), codebook))
    logits = z @ e.T / 0.5
    blend, loss = logits.softmax(-1) @ e, 0.2 * (gap_by_brute_force(logits) + math.log(6))
    out, wanted = vq(x, draw()), torch.randn(8, 4, dtype=torch.double)
    torch.testing.assert_close(out.latents.flatten(0, -2), blend)
    torch.testing.assert_close(out.loss, loss)
    mine = torch.autograd.grad((out.latents.flatten(0, -2) * wanted).sum() + out.loss, (x, vq.codebook))
    theirs = torch.autograd.grad((blend * wanted).sum() + loss, (x, codebook))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert vq.eval()(x).loss == 0


def test_codes_that_nothing_has_chosen_for_long_keep_their_direction():
    vq = VectorQuantizer(codebook_size=2, code_dim=2, start="spread").train()
    vq.codebook.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    vq.sums.copy_(vq.codebook)
    vq.sums[1], vq.hits[1] = 1e-30, 1e-30
    vq(torch.tensor([1.0, 0.1]).view(1, 1, 1, 1, 2), draw())
    torch.testing.assert_close(vq.codebook.norm(dim=-1), torch.ones(2))
    assert vq.codebook[1].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("name", SIZED)
def test_settings_spend_the_bits_that_they_are_asked_for(name):
    kind = QUANTIZERS.components[name]
    for bits in (1, 10):
        assert [kind(**said).bits_per_token for said in kind.settings(bits)] == [bits]
    assert kind.settings(0) == kind.settings(25) == ()


@pytest.mark.parametrize("name", [*SIZED, "softvq"])
def test_no_training_step_holds_tokens_times_codes(name, monkeypatch):
    monkeypatch.setattr("omnitok.quantizers.search.MOST_ROWS", 32)
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            out = op(*args, **(kwargs or {}))
            seen.extend(t.numel() for t in (out if isinstance(out, tuple | list) else (out,)) if torch.is_tensor(t))
            return out

    width = "latent_channels" if name == "softvq" else "code_dim"
    weights = {"vq": {"entropy_weight": 0.1}, "vq_learned": {"entropy_weight": 0.1, "start": "kmeans"}}
    made = QUANTIZERS.components[name](codebook_size=2 * BLOCK, **{width: 8}, **weights.get(name, {})).train()
    x = torch.randn(1, 1, 20, 20, 8, requires_grad=True)
    with Watch():
        out = made(x, draw())
        (out.latents.sum() + out.loss).backward()
    assert max(seen) <= 32 * 2 * BLOCK
