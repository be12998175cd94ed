"""What every attention promises, asked of every attention in the table."""

import pytest
import torch

from omnitok.attention import ATTENTION
from omnitok.attention.contract import Heads
from omnitok.attention.places import PLACES
from omnitok.spec import choices, resolve

DIM = 8
SQUARE = "non-square inputs refused"


@pytest.fixture(params=list(ATTENTION))
def attention(request):
    return resolve(ATTENTION.default(request.param))(DIM).eval()


@pytest.fixture
def x(request):
    if "attention" in request.fixturenames and SQUARE in request.getfixturevalue("attention").known_defects:
        return torch.randn(2, 3, 8, 8, DIM)
    return torch.randn(2, 3, 4, 8, DIM)


def test_keeps_the_shape(attention, x):
    assert attention(x).shape == x.shape


@pytest.mark.parametrize("grid", [(4, 8), (5, 7), (3, 1), (9, 9)])
def test_any_grid_is_taken_but_where_the_opposite_is_declared(attention, grid):
    x = torch.randn(1, 2, *grid, DIM)
    if SQUARE in attention.known_defects and (grid[0] != grid[1] or grid[0] % attention.multiple):
        with pytest.raises(ValueError, match=f"the latent grid.*{grid[0]} x {grid[1]}"):
            attention(x)
    else:
        assert attention.multiple == 1 or SQUARE in attention.known_defects
        assert attention(x).shape == x.shape


def extended(attention, x, cut):
    """Piece by piece, and what was kept after each."""
    past, found, kept = (), [], []
    for part in x.split(cut, dim=1):
        y, past = attention.extend(part, past)
        found.append(y)
        kept.append(past)
    return torch.cat(found, dim=1), kept


@pytest.mark.parametrize("cut", [[1] * 7, [7], [2, 5], [1, 6], [1, 4, 2]])
def test_a_clip_given_piece_by_piece_is_the_clip_given_whole(attention, cut):
    attention = attention.double()
    x = torch.randn(2, sum(cut), 8, 8, DIM, dtype=torch.double)
    if attention.mixes != "space" and not attention.causal:
        with pytest.raises(ValueError, match="not causal"):
            attention.extend(x, ())
    elif any((sum(cut[: i + 1]) - 1) % attention.block for i in range(len(cut))):
        with pytest.raises(ValueError, match=f"block={attention.block} must divide the latent frames after the first"):
            extended(attention, x, cut)
    else:
        torch.testing.assert_close(extended(attention, x, cut)[0], attention(x), rtol=0, atol=1e-10)


def test_a_prefix_of_a_clip_is_mixed_as_if_nothing_came_after(attention):
    if attention.mixes != "space" and not attention.causal:
        pytest.skip("not causal, and does not say that it is")
    attention, x = attention.double(), torch.randn(1, 7, 4, 4, DIM, dtype=torch.double)
    for frames in range(1, 7, attention.block):
        torch.testing.assert_close(attention(x[:, :frames]), attention(x)[:, :frames], rtol=0, atol=1e-12)


def test_chunks_that_end_inside_a_block_are_refused_with_both_numbers():
    attention = ATTENTION.components["temporal_block_causal"](DIM, block=3)
    x = torch.randn(1, 4, 1, 1, DIM)
    _, past = attention.extend(x, ())
    with pytest.raises(ValueError, match="block=3 must divide the latent frames after the first, which are 5"):
        attention.extend(x[:, :2], past)


PLACED = [name for name in ATTENTION if "places" in choices(ATTENTION.components[name])]
CONTEXT = [name for name in ATTENTION if "context" in choices(ATTENTION.components[name])]
ONE_BY_ONE = [name for name in CONTEXT if name != "temporal_block_causal"]


@pytest.mark.parametrize("name", ONE_BY_ONE)
@pytest.mark.parametrize("places", ["none", "rope_3d", "alibi", "continuous_bias"])
@pytest.mark.parametrize("context", [1, 3, 100])
def test_a_context_is_how_far_back_a_frame_looks_and_bounds_what_is_kept(name, places, context):
    attention = ATTENTION.components[name](12, heads=2, context=context, places=PLACES.components[places]).double()
    x = torch.randn(1, 9, 1, 2, 12, dtype=torch.double)
    whole = attention(x)
    changed = x.clone()
    changed[:, 2] = torch.randn_like(x[:, 2])
    touched = (attention(changed) != whole).any(-1).any(-1)[0, :, 0].tolist()
    assert touched == [2 <= frame < 2 + context for frame in range(9)]
    found, kept = extended(attention, x, [2, 3, 1, 3])
    tokens = 2 if attention.mixes == "both" else 1
    for past in kept:
        assert past[0].shape[2] == tokens * min(context - 1, past[2])
        assert all(t.untyped_storage().nbytes() == t.nbytes for t in past[:2])
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["temporal_block_causal", "space_time"])
@pytest.mark.parametrize("context", [None, 1, 2, 4])
def test_frames_of_a_block_see_each_other_and_no_later_block(name, context):
    attention = ATTENTION.components[name](DIM, heads=2, block=3, context=context).double()
    x = torch.randn(1, 8, 1, 2, DIM, dtype=torch.double)
    whole, block = attention(x), [0, 1, 1, 1, 2, 2, 2, 3]
    for moved in range(8):
        changed = x.clone()
        changed[:, moved] = torch.randn_like(x[:, moved])
        touched = (attention(changed) != whole).any(-1).all(-1)[0, :, 0].tolist()
        near = [context is None or frame - moved < context for frame in range(8)]
        assert touched == [block[moved] <= block[frame] and near[frame] for frame in range(8)]
    found, _ = extended(attention, x[:, :7], [1, 3, 3])
    torch.testing.assert_close(found, attention(x[:, :7]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("places", list(PLACES))
@pytest.mark.parametrize("name", PLACED)
def test_every_attention_takes_every_places(name, places):
    attention = ATTENTION.components[name](24, heads=2, **WIDE.get(name, {}), places=PLACES.components[places])
    x = torch.randn(1, 3, 4, 4, 24)
    made = attention(x)
    assert made.isfinite().all()
    made.sum().backward()
    if attention.causal:
        torch.testing.assert_close(attention(x[:, :1]), made[:, :1])
    assert attention.to("meta")(x.to("meta")).shape == x.shape


WIDE = {name: {"dim_head": 12} for name in ATTENTION if "cosine" in name}


def test_a_context_of_a_bidirectional_attention_is_refused():
    with pytest.raises(ValueError, match="context=3 is of a causal attention"):
        ATTENTION.components["temporal_cosine"](DIM, causal=False, context=3)
    with pytest.raises(ValueError, match="context=3 is of a causal attention"):
        ATTENTION.components["space_time"](DIM, causal=False, context=3)
    with pytest.raises(ValueError, match="block=2 is of a causal attention"):
        ATTENTION.components["space_time"](DIM, causal=False, block=2)


def test_what_it_does_not_mix_does_not_leak(attention, x):
    changed = x.clone()
    if attention.mixes == "space":
        changed[:, 2] = torch.randn_like(x[:, 2])
        assert torch.equal(attention(x)[:, :2], attention(changed)[:, :2])
        assert not torch.equal(attention(x)[:, 2], attention(changed)[:, 2])
    elif attention.mixes == "both":
        changed[:, 0, 0, 0] += torch.randn(DIM)
        assert (attention(x) != attention(changed)).any(-1).all()
    else:
        changed[:, :, 1:] += 1
        assert torch.equal(attention(x)[:, :, 0], attention(changed)[:, :, 0])


def test_the_past_does_not_see_the_future_by_one_bit(attention, x):
    if not attention.causal:
        pytest.skip("not causal, and does not say that it is")
    x = torch.cat([x, x], dim=1)
    last = 3 if attention.block == 2 else 2
    changed = x.clone()
    changed[:, last] = 1e4
    before = last - (last - 1) % attention.block
    assert torch.equal(attention(x)[:, :before], attention(changed)[:, :before])
    assert not torch.equal(attention(x)[:, last], attention(changed)[:, last])


def test_samples_are_independent(attention, x):
    torch.testing.assert_close(attention(x)[:1], attention(x[:1]))


def test_every_parameter_gets_a_gradient(attention, x):
    (attention(x) * torch.randn_like(x)).sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_width_that_the_heads_do_not_divide_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="heads=3 must divide the width, which is dim=8"):
        ATTENTION.components["full"](8, heads=3)


def test_a_window_that_does_not_divide_the_grid_is_refused_with_both_numbers(x):
    with pytest.raises(ValueError, match="window=3 must divide the latent grid, which is 4 x 8"):
        ATTENTION.components["window_published"](DIM, window=3)(x)


def test_heads_are_the_equation_of_the_paper():
    heads = Heads(DIM, 2).double()
    x = torch.randn(1, 5, DIM, dtype=torch.double)
    normalised = torch.nn.functional.layer_norm(x[0], (DIM,))
    q, k, v = (part.view(5, 2, 4) for part in (normalised @ heads.qkv.weight.T).chunk(3, -1))
    mixed = torch.empty(5, 2, 4, dtype=torch.double)
    for head in range(2):
        for i in range(5):
            logits = torch.stack([q[i, head] @ k[j, head] / 4**0.5 for j in range(5)])
            mixed[i, head] = sum(weight * v[j, head] for j, weight in enumerate(logits.softmax(0)))
    torch.testing.assert_close(heads(x)[0], mixed.flatten(1) @ heads.out.weight.T + heads.out.bias)


def test_windows_see_their_own_window_only():
    window = ATTENTION.components["window"](DIM, window=2).eval()
    x = torch.randn(1, 1, 4, 4, DIM)
    changed = x.clone()
    changed[:, :, :2, :2] += torch.randn(2, 2, DIM)
    same = window(x)[0, 0] == window(changed)[0, 0]
    assert not same[:2, :2].any() and same[2:].all() and same[:, 2:].all()


@pytest.mark.parametrize("name", [name for name in ATTENTION if "cosine" in name])
def test_keys_and_values_see_the_length_of_the_residual_only_where_declared(name):
    attention, x = resolve(ATTENTION.default(name))(DIM), torch.randn(2, 3, 4, 4, DIM)
    sees = not torch.allclose(attention(x), attention(3 * x), atol=1e-4)
    assert sees == ("keys and values from the un-normalised residual" in attention.known_defects)
