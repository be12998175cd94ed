"""Who sees whom: every attention against a loop over queries and the keys that each is said to see, in float64."""

import functools
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from omnitok.attention import ATTENTION
from omnitok.attention.places import PLACES, NoPlaces

DIM, HEADS = 8, 2
SHAPE = (5, 5, 7)  # frames, rows, columns


def tokens(shape):
    return list(itertools.product(*map(range, shape)))


def nearest(here, side, size):
    """The numbers that are nearest to one, on a line of a size."""
    return sorted(range(size), key=lambda there: abs(there - here))[:side]


def in_window(window, first):
    return lambda _, q, k, __: (
        q[0] == k[0] and all((q[i] - first) // window == (k[i] - first) // window for i in (1, 2))
    )


def around(side):
    return lambda _, q, k, shape: q[0] == k[0] and all(k[i] in nearest(q[i], side, shape[i]) for i in (1, 2))


def block(frame, of):
    """Frame 0 is alone; those after it come ``of`` together."""
    return 0 if frame == 0 else 1 + (frame - 1) // of


def same_place(q, k):
    return q[1:] == k[1:]


CASES = {
    "full": ("full", {}, lambda _, q, k, __: q[0] == k[0]),
    "window": ("window", {"window": 3}, in_window(3, 0)),
    "shifted": ("shifted_window", {"window": 4}, in_window(4, 2)),
    "shifted by less than half": ("shifted_window", {"window": 3}, in_window(3, 1)),
    "rows": ("axial", {"axis": "rows"}, lambda _, q, k, __: q[:2] == k[:2]),
    "columns": ("axial", {"axis": "columns"}, lambda _, q, k, __: q[0] == k[0] and q[2] == k[2]),
    "both": ("axial", {"axis": "both"}, lambda head, q, k, _: q[0] == k[0] and q[1 + head] == k[1 + head]),
    "near": ("neighbourhood", {"side": 3}, around(3)),
    "near and far": ("neighbourhood", {"side": 5}, around(5)),
    "past": ("temporal", {}, lambda _, q, k, __: same_place(q, k) and k[0] <= q[0]),
    "near past": ("temporal", {"context": 2}, lambda _, q, k, __: same_place(q, k) and 0 <= q[0] - k[0] < 2),
    "all times": ("temporal_bidirectional", {}, lambda _, q, k, __: same_place(q, k)),
    "blocks": (
        "temporal_block_causal", {"block": 2},
        lambda _, q, k, __: same_place(q, k) and block(k[0], 2) <= block(q[0], 2),
    ),
    "space and past": ("space_time", {}, lambda _, q, k, __: k[0] <= q[0]),
    "space and near past": ("space_time", {"context": 2}, lambda _, q, k, __: 0 <= q[0] - k[0] < 2),
    "space and blocks": ("space_time", {"block": 3}, lambda _, q, k, __: block(k[0], 3) <= block(q[0], 3)),
    "near blocks": (
        "space_time", {"block": 3, "context": 2},
        lambda _, q, k, __: block(k[0], 3) <= block(q[0], 3) and q[0] - k[0] < 2,
    ),
    "everything": ("space_time", {"causal": False}, lambda *_: True),
}  # fmt: skip


def made(name, choices, **more):
    return ATTENTION.components[name](DIM, heads=HEADS, **choices, **more).double()


def brute(within, x, sees, bias=None):
    """softmax(q k / sqrt e + bias) v, a query and a head at a time."""
    at, flat = tokens(x.shape[:3]), torch.nn.functional.layer_norm(x.reshape(-1, DIM), (DIM,))
    q, k, v = (part.view(len(at), HEADS, -1) for part in (flat @ within.qkv.weight.T).chunk(3, -1))
    found = torch.empty_like(q)
    for i, head in itertools.product(range(len(at)), range(HEADS)):
        seen = [j for j in range(len(at)) if sees(head, at[i], at[j], x.shape)]
        logits = k[seen, head] @ q[i, head] / (DIM // HEADS) ** 0.5
        if bias is not None:
            logits = logits + torch.stack([bias(at[i], at[j])[head] for j in seen])
        found[i, head] = logits.softmax(0) @ v[seen, head]
    return (found.flatten(1) @ within.out.weight.T + within.out.bias).view(x.shape)


@pytest.mark.parametrize("case", list(CASES))
def test_a_token_sees_what_it_is_said_to_see(case):
    name, choices, sees = CASES[case]
    attention, x = made(name, choices, places=NoPlaces), torch.randn(*SHAPE, DIM, dtype=torch.double)
    torch.testing.assert_close(attention(x[None])[0], brute(attention.within, x, sees), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", list(CASES))
def test_a_counter_of_operations_counts_the_pairs_that_are_seen(case):
    name, choices, sees = CASES[case]
    attention = made(name, choices, places=NoPlaces).to("meta")
    x = torch.empty(2, *SHAPE, DIM, device="meta", dtype=torch.double)
    with FlopCounterMode(display=False) as counter:
        assert attention(x).shape == x.shape
    at = tokens(SHAPE)
    pairs = sum(sees(head, q, k, SHAPE) for head in range(HEADS) for q in at for k in at)
    assert counter.get_total_flops() == 2 * (2 * len(at) * 4 * DIM * DIM + 4 * pairs * DIM // HEADS)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_neighbours_in_strips_of_rows_are_the_same_neighbours(side):
    attention, x = made("neighbourhood", {"side": side}), torch.randn(1, 13, 6, DIM, dtype=torch.double)
    torch.testing.assert_close(attention(x[None])[0], brute(attention.within, x, around(side)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "first"), [("window", 0), ("shifted_window", 2)])
def test_windows_have_a_bias_for_each_offset(name, first):
    attention, x = made(name, {"window": 4}), torch.randn(2, 5, 7, DIM, dtype=torch.double)
    table = attention.within.places.table.view(7, 7, HEADS)

    def bias(q, k):
        return table[q[1] - k[1] + 3, q[2] - k[2] + 3]

    expected = brute(attention.within, x, in_window(4, first), bias)
    torch.testing.assert_close(attention(x[None])[0], expected, rtol=0, atol=1e-12)


def test_shifted_windows_are_the_grid_rolled_and_what_was_not_beside_hidden():
    """As the paper has it: the grid is rolled by half a window, cut into windows, and within one only tokens of the same
    region see each other."""
    attention, x = made("shifted_window", {"window": 4}), torch.randn(1, 8, 12, DIM, dtype=torch.double)
    region = torch.zeros(8, 12)
    for i, rows in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
        for j, columns in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
            region[rows, columns] = 3 * i + j
    rolled = x.roll((-2, -2), dims=(1, 2))
    table = attention.within.places.table.view(7, 7, HEADS)
    expected = torch.empty_like(rolled)
    place = [(r, c) for r in range(4) for c in range(4)]
    bias = torch.stack([torch.stack([table[a - c + 3, b - d + 3] for c, d in place]) for a, b in place]).permute(
        2, 0, 1
    )
    for top, left in itertools.product(range(0, 8, 4), range(0, 12, 4)):
        cell = (0, slice(top, top + 4), slice(left, left + 4))
        q, k, v = attention.within.split(rolled[cell].reshape(1, 16, DIM))
        labels = region[cell[1:]].flatten()
        logits = (q @ k.mT / 2 + bias).masked_fill(labels[:, None] != labels[None, :], float("-inf"))
        expected[cell] = attention.within.joined(logits.softmax(-1) @ v).view(4, 4, DIM)
    torch.testing.assert_close(attention(x[None])[0], expected.roll((2, 2), dims=(1, 2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [(5, 7), (2, 3), (8, 4), (1, 9)])
def test_smaller_windows_at_the_border_are_what_padding_and_hiding_come_to(grid):
    attention, x = made("window", {"window": 4}), torch.randn(2, *grid, DIM, dtype=torch.double)
    down, right = (-side % 4 for side in grid)
    padded = torch.nn.functional.pad(x, (0, 0, 0, right, 0, down), value=7.0)
    real = torch.nn.functional.pad(torch.ones(grid, dtype=torch.bool), (0, right, 0, down))
    table = attention.within.places.table.view(7, 7, HEADS)
    expected = brute(
        attention.within, padded,
        lambda _, q, k, shape: in_window(4, 0)(_, q, k, shape) and (bool(real[k[1:]]) or not real[q[1:]]),
        lambda q, k: table[q[1] - k[1] + 3, q[2] - k[2] + 3],
    )  # fmt: skip
    torch.testing.assert_close(attention(x[None])[0], expected[:, : grid[0], : grid[1]], rtol=0, atol=1e-12)


def test_axes_share_the_heads_and_an_odd_number_is_refused_with_both_sides():
    with pytest.raises(ValueError, match="axis=both gives half of the heads to rows .*, and heads=3 is odd"):
        ATTENTION.components["axial"](9, heads=3)


@pytest.mark.parametrize("name", ["relative_table", "alibi"])
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_half_of_the_heads_is_as_all_of_them_where_the_biases_are(name, axis):
    places = PLACES.components[name]
    both, one = (made("axial", {"axis": a}, places=places) for a in ("both", axis))
    one.load_state_dict(both.state_dict())
    x = torch.randn(1, *SHAPE, DIM, dtype=torch.double)
    q, k, v = one.within.split(x.flatten(1, 3))
    head = 0 if axis == "rows" else 1
    for module in (both, one):
        module.within.out.weight.data.copy_(torch.eye(DIM))
    mine = slice(head * DIM // 2, (head + 1) * DIM // 2)
    torch.testing.assert_close(both(x)[..., mine], one(x)[..., mine], rtol=0, atol=1e-12)


def test_an_even_neighbourhood_is_refused():
    with pytest.raises(ValueError, match="side=4 must be odd"):
        ATTENTION.components["neighbourhood"](DIM, side=4)


def test_a_window_that_has_no_half_is_refused():
    with pytest.raises(ValueError, match="window=1 cannot be shifted by a half"):
        ATTENTION.components["shifted_window"](DIM, window=1)


def test_global_tokens_look_at_the_frame_and_every_token_looks_at_them():
    attention = made("global_tokens", {"window": 3, "tokens": 2})
    within, x = attention.within, torch.randn(5, 7, DIM, dtype=torch.double)
    at, scale = tokens((5, 7)), (DIM // HEADS) ** -0.5
    table = within.places.table.view(5, 5, HEADS)

    def split(some):
        parts = torch.nn.functional.layer_norm(some, (DIM,)) @ within.qkv.weight.T
        return (part.view(len(some), HEADS, -1) for part in parts.chunk(3, -1))

    def joined(found):
        return found.flatten(1) @ within.out.weight.T + within.out.bias

    q, k, v = split(x.reshape(-1, DIM))
    mine = [torch.cat(pair) for pair in zip(split(attention.tokens), (q, k, v), strict=True)]
    told = torch.empty(2, HEADS, DIM // HEADS, dtype=torch.double)
    for i, head in itertools.product(range(2), range(HEADS)):
        told[i, head] = (mine[1][:, head] @ mine[0][i, head] * scale).softmax(0) @ mine[2][:, head]
    _, more_k, more_v = split(attention.tokens + joined(told))
    found = torch.empty_like(q)
    for i, head in itertools.product(range(len(at)), range(HEADS)):
        seen = [j for j in range(len(at)) if in_window(3, 0)(0, (0, *at[i]), (0, *at[j]), None)]
        bias = [table[at[i][0] - at[j][0] + 2, at[i][1] - at[j][1] + 2, head] for j in seen]
        logits = torch.cat([more_k[:, head], k[seen, head]]) @ q[i, head] * scale
        logits = logits + torch.cat([torch.zeros(2, dtype=torch.double), torch.stack(bias)])
        found[i, head] = logits.softmax(0) @ torch.cat([more_v[:, head], v[seen, head]])
    torch.testing.assert_close(attention(x[None, None])[0, 0], joined(found).view(x.shape), rtol=0, atol=1e-12)


FEATURES = {"relu": torch.relu, "elu": lambda x: torch.where(x > 0, x + 1, x.exp())}


@pytest.mark.parametrize("feature", list(FEATURES))
def test_linear_attention_is_the_sum_over_keys_of_its_kernel(feature):
    attention, x = made("linear", {"feature": feature}), torch.randn(1, 3, 4, DIM, dtype=torch.double)
    q, k, v = (part.view(12, HEADS, -1) for part in _projected(attention.within, x).chunk(3, -1))
    q, k = FEATURES[feature](q), FEATURES[feature](k)
    found = torch.empty_like(q)
    for i, head in itertools.product(range(12), range(HEADS)):
        weights = torch.stack([q[i, head] @ k[j, head] for j in range(12)])
        total = sum(weight * v[j, head] for j, weight in enumerate(weights))
        found[i, head] = total / weights.sum().clamp_min(1e-6)
    expected = found.flatten(1) @ attention.within.out.weight.T + attention.within.out.bias
    torch.testing.assert_close(attention(x[None])[0], expected.view(x.shape), rtol=0, atol=1e-9)


def _projected(within, x):
    return torch.nn.functional.layer_norm(x.reshape(-1, DIM), (DIM,)) @ within.qkv.weight.T


def test_linear_attention_sums_in_float32_under_autocast():
    attention, x = ATTENTION.components["linear"](DIM, heads=HEADS), torch.randn(1, 1, 8, 8, DIM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(attention(x).float(), attention(x.clone()).float())
        found = attention(x)
    torch.testing.assert_close(found.float(), attention(x), rtol=0, atol=0.1)


def test_linear_attention_costs_as_many_products_more_as_there_are_tokens_more():
    attention = functools.partial(ATTENTION.components["linear"](DIM, heads=HEADS).to("meta"))
    costs = []
    for side in (4, 8):
        with FlopCounterMode(display=False) as counter:
            attention(torch.empty(1, 1, side, side, DIM, device="meta"))
        costs.append(counter.get_total_flops())
    assert costs[1] == 4 * costs[0]
