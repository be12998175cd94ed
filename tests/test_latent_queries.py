"""Latent tokens that no place owns: the layers are the equations, and a frame is for itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from omnitok.model import MODELS
from omnitok.model.latent_queries import FromQueries, LatentQueries
from omnitok.randomness import initialise
from omnitok.spec import SpecError, decode, read_value, resolve
from omnitok.sweep.plan import plan_one

TITOK = """
{dim: 12, patches: {type: linear, patch: 4, temporal_patch: 2}, quantizer: gaussian, position: none,
  encoder: [{type: latent_queries, grid: [2, 3], queries: 5, heads: 2, depth: 2}, norm],
  decoder: [{type: from_queries, grid: [2, 3], queries: 5, heads: 2, depth: 2}, norm]}
"""


def tokenizer():
    made = resolve(decode(MODELS, read_value(TITOK, "here")))()
    initialise(made, 0)
    return made.double().eval()


def attended(x, layer, heads):
    """One pre-norm layer over a sequence [s n d], with torch's own attention on the layer's weights."""
    own, feed = layer.attention.within, layer.feed_forward
    peer = nn.MultiheadAttention(x.shape[-1], heads, batch_first=True).double()
    with torch.no_grad():
        peer.in_proj_weight.copy_(own.qkv.weight)
        peer.in_proj_bias.zero_()
        peer.out_proj.load_state_dict(own.out.state_dict())
    normed = F.layer_norm(x, x.shape[-1:], own.norm.weight, own.norm.bias)
    x = x + peer(normed, normed, normed, need_weights=False)[0]
    value, gate = feed.enter(feed.norm(x)).chunk(2, dim=-1)
    return x + feed.leave(value * F.gelu(gate))


def test_queries_read_a_frame_through_layers_of_attention():
    block = LatentQueries(12, grid=(2, 3), queries=5, heads=2, depth=2).double()
    x = torch.randn(2, 3, 2, 3, 12, dtype=torch.double)
    made = block(x)
    assert made.shape == (2, 3, 1, 5, 12)
    for frame in range(3):
        sequence = torch.cat(
            [x[:, frame].flatten(1, 2) + block.places.values, block.learned.values.expand(2, -1, -1)], 1
        )
        for layer in block.layers.layers:
            sequence = attended(sequence, layer, 2)
        torch.testing.assert_close(made[:, frame, 0], sequence[:, 6:])


def test_places_are_filled_from_queries_through_layers_of_attention():
    block = FromQueries(12, grid=(2, 3), queries=5, heads=2).double()
    x = torch.randn(1, 2, 1, 5, 12, dtype=torch.double)
    sequence = torch.cat([x[0, :, 0] + block.places.values, block.learned.values.expand(2, -1, -1)], 1)
    expected = attended(sequence, block.layers.layers[0], 2)[:, 5:].reshape(1, 2, 2, 3, 12)
    torch.testing.assert_close(block(x), expected)


def test_a_frame_is_for_itself_a_picture_is_the_first_and_chunks_are_the_whole():
    model, clip = tokenizer(), torch.rand(2, 3, 5, 8, 12, dtype=torch.double)
    changed = clip.clone()
    changed[:, :, 3:] = 7.0
    a, b = model.encode(clip).latents, model.encode(changed).latents
    assert a.shape[1:4] == (3, 1, 5) and torch.equal(a[:, :2], b[:, :2]) and not torch.equal(a[:, 2], b[:, 2])
    assert torch.equal(model.decode(a)[:, :, :3], model.decode(b)[:, :, :3])
    torch.testing.assert_close(model.encode(clip[:, :, :1]).latents, a[:, :1], rtol=0, atol=1e-10)
    first, cache = model.encode_chunk(clip[:, :, :3])
    rest, _ = model.encode_chunk(clip[:, :, 3:], cache)
    torch.testing.assert_close(torch.cat([first.latents, rest.latents], 1), a, rtol=0, atol=1e-10)


def test_every_parameter_learns():
    model = tokenizer().train()
    model(torch.rand(1, 3, 3, 8, 12, dtype=torch.double))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for block in model.encoder for p in block.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for block in model.decoder for p in block.parameters())


def test_the_token_of_each_place_and_each_query_is_another():
    model = tokenizer()
    for block in (model.encoder[0], model.decoder[0]):
        assert torch.pdist(block.places.values).min() > 0.1 and torch.pdist(block.learned.values).min() > 0.1
    flat = torch.full((1, 3, 1, 8, 12), 0.3, dtype=torch.double)
    assert torch.pdist(model.encode(flat).latents.flatten(0, 3)).min() > 1e-6


def test_what_does_not_fit_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"grid=\[2, 3\] must be that of the tokens, which is 3 x 2"):
        LatentQueries(12, grid=(2, 3))(torch.zeros(1, 1, 3, 2, 12))
    with pytest.raises(ValueError, match="queries=5 must be the tokens in one row, and they are 1 x 6"):
        FromQueries(12, queries=5)(torch.zeros(1, 1, 1, 6, 12))
    with pytest.raises(ValueError, match="heads=5 must divide the width, which is dim=12"):
        LatentQueries(12, heads=5)


def test_the_frames_that_fit_are_said():
    model = tokenizer()
    assert model.multiple == 4  # a grid of 2 x 3: nothing but one token divides both
    text = TITOK.replace("[2, 3]", "[4, 4]").replace("norm],", "norm],", 1)
    made = resolve(decode(MODELS, read_value(text, "here")))()
    assert made.multiple == 16
    text = text.replace("depth: 2}, norm]}", "depth: 2}, {attention: {type: window_published, heads: 2, window: 4}}]}")
    assert resolve(decode(MODELS, read_value(text, "here")))().multiple == 16


PLANNED = """\
stages:
  images:
    data: {type: embedded, short_side: 32}
    model:
      dim: 12
      patches: {type: linear, patch: 4, temporal_patch: 2}
      encoder:
        - {type: latent_queries, grid: [4, 4], queries: 4, heads: 2}
      decoder:
        - {type: from_queries, grid: [4, 4], queries: 4, heads: 2}
    steps: 1
    batch: 2
    resolution: 16
"""


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("resolution: 16", "resolution: 32"), 8, "grid=[4, 4] must be that of the tokens, which is 8 x 8"),
        (
            ("from_queries, grid: [4, 4], queries: 4", "from_queries, queries: 8"),
            10,
            "queries=8 must be the tokens in one",
        ),
        (
            ("from_queries, grid: [4, 4]", "from_queries, grid: [2, 2]"),
            4,
            "gives back (1, 3, 1, 8, 8) for (1, 3, 1, 16, 16)",
        ),
    ],
)
def test_a_plan_refuses_what_does_not_fit_at_its_line(tmp_path, runs_root, change, line, said):
    path = tmp_path / "titok.yaml"
    path.write_text(PLANNED)
    plan_one(path, [], 0)
    path.write_text(PLANNED.replace(*change))
    with pytest.raises(SpecError) as refused:
        plan_one(path, [], 0)
    assert any(said in str(fault) and fault.mark.line == line for fault in refused.value.faults), refused.value.faults
