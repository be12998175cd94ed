"""Where tokens are, within an attention: each way against its equation, one pair of tokens at a time."""

import math

import pytest
import torch

from omnitok.attention.grid import OVER_BOTH, OVER_SPACE, OVER_TIME, Grid
from omnitok.attention.places import PLACES, slopes
from omnitok.spec import resolve

WIDTH, HEADS = 12, 2
CPU = torch.device("cpu")
GRID = Grid(frames=3, rows=2, columns=4)


def at(grid: Grid) -> list[tuple[int, int, int]]:
    """(time, row, column) of each token, counted out."""
    return [(grid.first + t, r, c) for t in range(grid.frames) for r in range(grid.rows) for c in range(grid.columns)]


@pytest.fixture(params=list(PLACES))
def name(request):
    return request.param


def logits(places, q, k, queries, keys):
    """Of one query and one key that stand everywhere."""
    q, k = (x.expand(-1, -1, len(at(grid)), -1) for x, grid in ((q, queries), (k, keys)))
    made = (places.turn(q, queries) @ places.turn(k, keys).mT)[0]
    bias = places.bias(queries, keys, CPU)
    return made if bias is None else made + bias


@pytest.mark.parametrize("extent", [OVER_SPACE, OVER_TIME, OVER_BOTH])
def test_places_depend_on_offsets_alone(name, extent):
    frames, rows, columns = (size or side for size, side in zip(extent, (3, 3, 4), strict=True))
    grid = Grid(frames, rows, columns)
    places = resolve(PLACES.default(name))(8, HEADS, extent).double()
    q, k = torch.randn(2, 1, HEADS, 1, WIDTH, dtype=torch.double)
    made, seen = logits(places, q, k, grid, grid), {}
    for i, here in enumerate(at(grid)):
        for j, there in enumerate(at(grid)):
            offset = tuple(a - b for a, b in zip(here, there, strict=True))
            torch.testing.assert_close(made[:, i, j], seen.setdefault(offset, made[:, i, j]))
    if name not in ("none", "continuous_bias_dropped"):
        assert len({tuple(value.tolist()) for value in seen.values()}) >= 3


@pytest.mark.parametrize("extent", [OVER_TIME, OVER_BOTH])
def test_later_frames_are_placed_as_a_part_of_the_whole_clip(name, extent):
    whole = Grid(6) if extent == OVER_TIME else Grid(6, 2, 3)
    tokens = whole.rows * whole.columns
    places = resolve(PLACES.default(name))(8, HEADS, extent).double()
    q, k = torch.randn(2, 1, HEADS, 1, WIDTH, dtype=torch.double)
    some, known = whole._replace(frames=2, first=4), whole._replace(frames=5, first=1)
    found = logits(places, q, k, some, known)
    torch.testing.assert_close(found, logits(places, q, k, whole, whole)[:, 4 * tokens :, tokens:], rtol=0, atol=1e-12)


def test_rope_of_three_axes_turns_each_third_by_its_own_axis():
    places, x = PLACES.components["rope_3d"](8, HEADS, OVER_BOTH), torch.randn(1, 1, 24, 14, dtype=torch.double)
    turned = places.turn(x, GRID)
    speeds = [(0, 1.0), (0, 1e4 ** (-1 / 3)), (0, 1e4 ** (-2 / 3)), (1, 1.0), (1, 0.01), (2, 1.0), (2, 0.01)]
    for i, place in enumerate(at(GRID)):
        for pair, (axis, speed) in enumerate(speeds):
            a, b = x[0, 0, i, 2 * pair : 2 * pair + 2].tolist()
            angle = place[axis] * speed
            expected = [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
            assert turned[0, 0, i, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-12)


def test_rope_of_three_axes_does_not_change_when_all_tokens_move():
    places = PLACES.components["rope_3d"](8, HEADS, OVER_BOTH)
    q, k = torch.randn(2, 1, HEADS, 24, WIDTH, dtype=torch.double)
    later = GRID._replace(first=1000)
    here, there = (places.turn(q, grid) @ places.turn(k, grid).mT for grid in (GRID, later))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "width"), [("rope", 6), ("rope_3d", 4), ("rope_3d", 7)])
def test_a_width_that_cannot_be_turned_is_refused(name, width):
    with pytest.raises(ValueError, match=f"places={name} turns pairs by .* axes, so {width} features a head must be"):
        PLACES.components[name](8, HEADS).turn(torch.randn(1, 1, 8, width), Grid(1, 2, 4))


def test_linear_biases_are_slopes_times_the_steps_between():
    bias = PLACES.components["alibi"](8, HEADS, OVER_BOTH).bias(GRID, GRID, CPU)
    for i, here in enumerate(at(GRID)):
        for j, there in enumerate(at(GRID)):
            steps = sum(abs(a - b) for a, b in zip(here, there, strict=True))
            assert bias[:, i, j].tolist() == pytest.approx([-steps * 2**-4, -steps * 2**-8])


def test_slopes_fall_geometrically():
    assert slopes(4) == [2**-2.0, 2**-4.0, 2**-6.0, 2**-8.0]
    assert slopes(3) == [2**-4.0, 2**-8.0, 2**-2.0]


@pytest.mark.parametrize("reach", [1, 2, 9])
def test_a_relative_table_has_an_entry_for_each_offset_within_reach(reach):
    places = PLACES.components["relative_table"](8, HEADS, OVER_BOTH, reach=reach)
    bias, side = places.bias(GRID, GRID, CPU), 2 * reach + 1
    assert places.table.shape == (side**3, HEADS)
    for i, here in enumerate(at(GRID)):
        for j, there in enumerate(at(GRID)):
            t, r, c = (max(-reach, min(reach, a - b)) + reach for a, b in zip(here, there, strict=True))
            assert torch.equal(bias[:, i, j], places.table[(t * side + r) * side + c])


def test_a_window_has_a_table_of_its_own_offsets_and_no_more():
    places = PLACES.components["relative_table"](8, HEADS, (1, 3, 3))
    assert places.table.shape == (25, HEADS)
    bias, seen = places.bias(Grid(1, 3, 3), Grid(1, 3, 3), CPU), set()
    for i, (_, r1, c1) in enumerate(at(Grid(1, 3, 3))):
        for j, (_, r2, c2) in enumerate(at(Grid(1, 3, 3))):
            entry = (r1 - r2 + 2) * 5 + c1 - c2 + 2
            assert torch.equal(bias[:, i, j], places.table[entry])
            seen.add(entry)
    assert seen == set(range(25))


@pytest.mark.parametrize("extent", [OVER_SPACE, OVER_TIME, OVER_BOTH])
def test_the_continuous_bias_is_its_network_one_pair_at_a_time(extent):
    grid = {OVER_SPACE: Grid(1, 2, 3), OVER_TIME: Grid(6), OVER_BOTH: Grid(3, 1, 2)}[extent]
    places = PLACES.components["continuous_bias"](8, HEADS, extent)
    bias = places.bias(grid, grid, CPU)
    for i, j in [(0, 5), (4, 1), (2, 2)]:
        t, r, c = (float(a - b) for a, b in zip(at(grid)[i], at(grid)[j], strict=True))
        offset = torch.tensor({OVER_SPACE: [r, c], OVER_TIME: [r, t], OVER_BOTH: [t, r, c]}[extent])
        torch.testing.assert_close(bias[:, i, j], places.net(offset.sign() * offset.abs().log1p()))


def test_the_continuous_bias_asks_its_network_once_an_offset():
    places, asked = PLACES.components["continuous_bias"](8, HEADS), []
    places.net.register_forward_pre_hook(lambda _, x: asked.append(len(x[0])))
    places.bias(Grid(1, 5, 7), Grid(1, 5, 7), CPU)
    assert asked == [9 * 13]


def test_a_dropped_bias_is_declared():
    dropped, kept = (PLACES.components[name](8, HEADS) for name in ("continuous_bias_dropped", "continuous_bias"))
    grid = Grid(1, 2, 3)
    assert dropped.known_defects and dropped.bias(grid, grid, CPU) is None
    assert dropped.state_dict().keys() == kept.state_dict().keys()
    assert not kept.known_defects and kept.bias(grid, grid, CPU).abs().sum() > 0


def test_what_is_made_once_while_measuring_also_serves_training(name):
    places = resolve(PLACES.default(name))(8, HEADS)
    x = torch.randn(1, HEADS, 77, WIDTH, requires_grad=True)
    grid = Grid(1, 7, 11)
    with torch.inference_mode():
        places.turn(x, grid), places.bias(grid, grid, CPU)
    bias = places.bias(grid, grid, CPU)
    (places.turn(x, grid).sum() + (0 if bias is None else bias.sum())).backward()
    assert x.grad is not None
