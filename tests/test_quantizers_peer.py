"""Quantizers with a codebook against vector-quantize-pytorch on shared weights."""

import pytest
import torch

from omnitok.quantizers.estimators import rotated
from omnitok.quantizers.simvq import SimVectorQuantizer
from omnitok.quantizers.vq import SMALL, VectorQuantizer
from omnitok.quantizers.vq_learned import LearnedVectorQuantizer
from omnitok.randomness import generator

peer = pytest.importorskip("vector_quantize_pytorch")


def draw(step: int = 0):
    return generator(0, "test", step)


def with_gradients(made, x, latents, loss):
    torch.manual_seed(1)
    wanted = torch.randn(x.shape)
    return torch.autograd.grad((latents.reshape(x.shape) * wanted).sum() + loss, [x, *made.parameters()])


def test_rotation_is_theirs_with_its_gradient():
    from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

    codes, wanted = torch.randn(9, 4), torch.randn(9, 4)
    found = []
    for rotate in (rotated, rotate_to):
        latents = torch.randn(9, 4, generator=draw()).requires_grad_()
        out = rotate(latents, codes)
        found.append((out, *torch.autograd.grad(out, latents, wanted)))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
@pytest.mark.parametrize("normalise", [True, False])
def test_vq_moves_as_theirs_for_several_steps(normalise, estimator):
    turned = estimator == "rotation"
    mine = VectorQuantizer(
        codebook_size=12, code_dim=4, decay=0.8, commitment_weight=0.3, normalise=normalise, start="spread",
        estimator=estimator,
    ).train()  # fmt: skip
    theirs = peer.VectorQuantize(
        4, 12, decay=0.8, commitment_weight=0.3, use_cosine_sim=normalise, eps=SMALL, rotation_trick=turned
    ).train()
    theirs._codebook.embed.copy_(mine.codebook[None])
    theirs._codebook.embed_avg.copy_(mine.sums[None])
    for step in range(4):
        x = torch.randn(2, 1, 5, 5, 4).requires_grad_()
        latents, codes, loss = theirs(x.flatten(1, 3))
        out = mine(x, draw(step))
        assert torch.equal(out.codes.flatten(), codes.flatten())
        torch.testing.assert_close(out.latents.flatten(1, 3), latents)
        torch.testing.assert_close(out.loss, loss.squeeze())
        ours, others = with_gradients(mine, x, out.latents, out.loss), with_gradients(mine, x, latents, loss)
        torch.testing.assert_close(ours, others)
        torch.testing.assert_close(mine.codebook, theirs.codebook)
        torch.testing.assert_close(mine.hits, theirs._codebook.cluster_size[0])


def test_vq_learned_without_unit_length_is_theirs():
    """Their loss stops no gradient, so that one term is both the pull and the commitment."""
    mine = LearnedVectorQuantizer(codebook_size=12, code_dim=4, commitment_weight=1.0, normalise=False, start="spread")
    theirs = peer.VectorQuantize(
        4, 12, commitment_weight=1.0, learnable_codebook=True, ema_update=False, rotation_trick=False
    )
    theirs._codebook.embed.data.copy_(mine.codebook[None])
    x = torch.randn(2, 1, 5, 5, 4).requires_grad_()
    latents, codes, loss = theirs.train()(x.flatten(1, 3))
    out = mine.train()(x, draw())
    assert torch.equal(out.codes.flatten(), codes.flatten())
    torch.testing.assert_close(out.loss, 2 * loss.squeeze())
    ours, others = with_gradients(mine, x, out.latents, out.loss), with_gradients(theirs, x, latents, loss)
    torch.testing.assert_close(ours[0], others[0])
    torch.testing.assert_close(ours[1], others[1][0])


@pytest.mark.parametrize("estimator", ["straight_through", "rotation"])
def test_simvq_is_theirs(estimator):
    mine = SimVectorQuantizer(codebook_size=12, code_dim=4, estimator=estimator).train()
    theirs = peer.SimVQ(4, 12, rotation_trick=estimator == "rotation").train()
    theirs.load_state_dict({"frozen_codebook": mine.frozen, "code_transform.weight": mine.basis.detach()})
    x = torch.randn(2, 1, 5, 5, 4).requires_grad_()
    latents, codes, loss = theirs(x.flatten(1, 3))
    out = mine(x, draw())
    assert torch.equal(out.codes.flatten(), codes.flatten())
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(with_gradients(mine, x, out.latents, out.loss), with_gradients(theirs, x, latents, loss))
    torch.testing.assert_close(mine.decode(out.codes).flatten(1, 3), theirs.indices_to_codes(codes))
