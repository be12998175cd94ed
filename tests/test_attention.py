"""What every attention promises, asked of every attention in the table."""

import pytest
import torch

from omnitok.attention import ATTENTION
from omnitok.attention.contract import SHORT, Heads, causal_mask, mixed
from omnitok.attention.places import PLACES, slopes
from omnitok.attention.window import RelativeBias
from omnitok.spec import resolve

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


def chunks(frames: int):
    """Ways to cut a clip."""
    return [[1] * frames, [frames], [2, frames - 2], [1, frames - 1]]


@pytest.mark.parametrize("cut", chunks(7))
def test_a_clip_given_piece_by_piece_is_the_clip_given_whole(attention, cut):
    attention = attention.double()
    x = torch.randn(2, sum(cut), 8, 8, DIM, dtype=torch.double)
    if attention.mixes == "time" and not attention.causal:
        with pytest.raises(ValueError, match="not causal"):
            attention.extend(x, ())
        return
    past, found = (), []
    for part in x.split(cut, dim=1):
        y, past = attention.extend(part, past)
        found.append(y)
    torch.testing.assert_close(torch.cat(found, dim=1), attention(x), rtol=0, atol=1e-10)


TEMPORAL = [name for name in ATTENTION if "context" in type(ATTENTION.default(name)).model_fields]


@pytest.mark.parametrize("name", TEMPORAL)
@pytest.mark.parametrize("places", ["none", "rope", "alibi", "continuous_bias"])
@pytest.mark.parametrize("context", [1, 3, 100])
def test_a_context_is_how_far_back_a_frame_looks_and_bounds_what_is_kept(name, places, context):
    more = {"places": PLACES.components[places]} if "cosine" in name else {"heads": 2}
    attention = ATTENTION.components[name](DIM, context=context, **more).double()
    x = torch.randn(1, 9, 1, 2, DIM, dtype=torch.double)
    whole = attention(x)
    changed = x.clone()
    changed[:, 2] = torch.randn_like(x[:, 2])
    touched = (attention(changed) != whole).any(-1).any(-1)[0, :, 0].tolist()
    assert touched == [2 <= frame < 2 + context for frame in range(9)]
    past, found = (), []
    for part in x.split([2, 3, 1, 3], dim=1):
        y, past = attention.extend(part, past)
        found.append(y)
        assert past[0].shape[2] == min(context - 1, past[2])
        assert all(t.untyped_storage().nbytes() == t.nbytes for t in past[:2])
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("places", list(PLACES))
@pytest.mark.parametrize("name", ["cosine", "temporal_cosine"])
def test_places_are_where_the_tokens_are(name, places):
    with torch.device("meta"):
        attention = ATTENTION.components[name](DIM, dim_head=4, places=PLACES.components[places])
        assert attention(torch.empty(1, 2, 3, 4, DIM)).is_meta


def test_a_context_of_a_bidirectional_attention_is_refused():
    with pytest.raises(ValueError, match="context=3 is of a causal attention"):
        ATTENTION.components["temporal_cosine"](DIM, causal=False, context=3)


@pytest.mark.parametrize("grid", [(5, 7), (2, 3), (8, 4), (1, 9)])
def test_smaller_windows_at_the_border_are_what_padding_and_hiding_come_to(grid):
    window = ATTENTION.components["window"](DIM, window=4, heads=2).double()
    x = torch.randn(1, 2, *grid, DIM, dtype=torch.double)
    down, right = (-side % 4 for side in grid)
    padded = torch.nn.functional.pad(x, (0, 0, 0, right, 0, down), value=7.0)
    real = torch.nn.functional.pad(torch.ones(grid, dtype=torch.bool), (0, right, 0, down))
    expected = torch.zeros_like(padded)
    for top in range(0, padded.shape[2], 4):
        for left in range(0, padded.shape[3], 4):
            cell = (slice(None), slice(None), slice(top, top + 4), slice(left, left + 4))
            hidden = torch.zeros(1, 1, 16, dtype=torch.double).masked_fill(~real[cell[2:]].flatten(), float("-inf"))
            inside = window.within(padded[cell].flatten(0, 1).flatten(1, 2), window.bias(4, 4) + hidden)
            expected[cell] = inside.view(1, 2, 4, 4, DIM)
    torch.testing.assert_close(window(x), expected[:, :, : grid[0], : grid[1]], rtol=0, atol=1e-10)


@pytest.mark.parametrize("tokens", [5, SHORT, SHORT + 1])
def test_every_way_to_mix_gives_the_same_numbers_bias_included(tokens):
    q, k, v = torch.randn(3, 2, 3, tokens, 4, dtype=torch.double)
    bias = causal_mask(tokens, tokens, 3, q) + torch.randn(3, tokens, tokens, dtype=torch.double)
    expected = (8.0 * q @ k.mT + bias).softmax(-1) @ v
    torch.testing.assert_close(mixed(q, k, v, bias, 8.0), expected)
    torch.testing.assert_close(mixed(q, k, v), (q @ k.mT / 2).softmax(-1) @ v)


def test_what_it_does_not_mix_does_not_leak(attention, x):
    changed = x.clone()
    if attention.mixes == "space":
        changed[:, 2] = torch.randn_like(x[:, 2])
        assert torch.equal(attention(x)[:, :2], attention(changed)[:, :2])
        assert not torch.equal(attention(x)[:, 2], attention(changed)[:, 2])
    else:
        changed[:, :, 1:] += 1
        assert torch.equal(attention(x)[:, :, 0], attention(changed)[:, :, 0])


def test_the_past_does_not_see_the_future_by_one_bit(attention, x):
    if not attention.causal:
        pytest.skip("not causal, and does not say that it is")
    changed = x.clone()
    changed[:, 2] = 1e4
    assert torch.equal(attention(x)[:, :2], attention(changed)[:, :2])
    assert not torch.equal(attention(x)[:, 2], attention(changed)[:, 2])


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
    x, bias = torch.randn(1, 5, DIM, dtype=torch.double), torch.randn(2, 5, 5, dtype=torch.double)
    normalised = torch.nn.functional.layer_norm(x[0], (DIM,))
    q, k, v = (part.view(5, 2, 4) for part in (normalised @ heads.qkv.weight.T).chunk(3, -1))
    mixed = torch.empty(5, 2, 4, dtype=torch.double)
    for head in range(2):
        for i in range(5):
            logits = torch.stack([q[i, head] @ k[j, head] / 4**0.5 + bias[head, i, j] for j in range(5)])
            mixed[i, head] = sum(weight * v[j, head] for j, weight in enumerate(logits.softmax(0)))
    torch.testing.assert_close(heads(x, bias)[0], mixed.flatten(1) @ heads.out.weight.T + heads.out.bias)


def test_the_bias_of_a_window_depends_on_the_offset_alone():
    bias = RelativeBias(2, 3)(3, 3)
    place = {(r, c): 3 * r + c for r in range(3) for c in range(3)}
    seen = {}
    for (r1, c1), i in place.items():
        for (r2, c2), j in place.items():
            offset = (r1 - r2, c1 - c2)
            assert torch.equal(bias[:, i, j], seen.setdefault(offset, bias[:, i, j]))
    assert len({tuple(value.tolist()) for value in seen.values()}) == 25


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


@pytest.fixture(params=list(PLACES))
def places(request):
    return resolve(PLACES.default(request.param))(DIM, 2)


def test_places_depend_on_offsets_alone(places):
    q, k = torch.randn(1, 2, 1, DIM).expand(-1, -1, 12, -1), torch.randn(1, 2, 1, DIM).expand(-1, -1, 12, -1)
    logits = places.turn(q, 3, 4) @ places.turn(k, 3, 4).mT
    bias = places.bias(3, 4)
    logits = logits[0] if bias is None else logits[0] + bias
    torch.testing.assert_close(logits[:, 0, 1], logits[:, 5, 6])  # one column to the right
    torch.testing.assert_close(logits[:, 1, 5], logits[:, 6, 10])  # one row down


def test_a_dropped_bias_is_declared():
    dropped, kept = (PLACES.components[name](DIM, 2) for name in ("continuous_bias_dropped", "continuous_bias"))
    assert (
        dropped.known_defects and dropped.bias(2, 2) is None and dropped.state_dict().keys() == kept.state_dict().keys()
    )
    assert not kept.known_defects and kept.bias(2, 3).abs().sum() > 0


def test_the_continuous_bias_is_its_network_one_pair_at_a_time():
    places = PLACES.components["continuous_bias"](DIM, 2)
    bias = places.bias(2, 3)
    for i, j in [(0, 5), (4, 1), (2, 2)]:
        offset = torch.tensor([i // 3 - j // 3, i % 3 - j % 3], dtype=torch.float32)
        torch.testing.assert_close(bias[:, i, j], places.net(offset.sign() * offset.abs().log1p()))


def test_slopes_fall_geometrically():
    assert slopes(4) == [2**-2.0, 2**-4.0, 2**-6.0, 2**-8.0]
    assert slopes(3) == [2**-4.0, 2**-8.0, 2**-2.0]
