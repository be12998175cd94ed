"""Attentions where they are used: in layers beside convolutions, in pieces where nothing is trained; learned positions."""

import pytest
import torch

from omnitok.attention import ATTENTION
from omnitok.model import block as blocks
from omnitok.model.block import Transformer
from omnitok.model.peg import PEGS
from omnitok.model.position import POSITIONS
from omnitok.spec import resolve

DIM = 12


@pytest.fixture(params=list(ATTENTION))
def trunk(request):
    attention = resolve(ATTENTION.default(request.param))
    return Transformer(DIM, attention=attention, peg=PEGS.components["convolution"], depth=2).double().eval()


def test_in_pieces_without_gradients_nothing_changes(trunk, monkeypatch):
    monkeypatch.setattr(blocks, "PIECE", 48)
    x = torch.randn(2, 4, 8, 8, DIM, dtype=torch.double)
    expected = trunk(x)
    with torch.no_grad():
        torch.testing.assert_close(trunk(x), expected.detach(), rtol=0, atol=1e-10)


def test_layers_given_a_clip_piece_by_piece_give_what_they_give_of_the_whole(trunk):
    attention = trunk.layers[0].attention
    x = torch.randn(1, 7, 8, 8, DIM, dtype=torch.double)
    if attention.mixes != "space" and not attention.causal:
        with pytest.raises(ValueError, match="not causal"):
            trunk.extend(x, ())
        return
    past, found = (), []
    with torch.no_grad():
        for part in x.split([1, 2, 4], dim=1):
            y, past = trunk.extend(part, past)
            found.append(y)
        torch.testing.assert_close(torch.cat(found, dim=1), trunk(x), rtol=0, atol=1e-10)


def test_beside_an_attention_over_both_the_published_convolution_is_not_scrambled():
    x = torch.randn(1, 3, 4, 5, DIM)
    both, space, time = (PEGS.components["scrambled"](DIM, mixes) for mixes in ("both", "space", "time"))
    for other in (space, time):
        other.load_state_dict(both.state_dict())
    assert torch.equal(both(x), space(x)) and not torch.allclose(both(x), time(x))


def test_learned_positions_are_the_sum_of_three_tables():
    position = POSITIONS.components["learned"](DIM, frames=6, rows=4, columns=5)
    x = torch.randn(2, 3, 4, 5, DIM)
    found = position(x, start=2)
    for t, r, c in [(0, 0, 0), (2, 3, 4), (1, 2, 0)]:
        added = position.frames[2 + t] + position.rows[r] + position.columns[c]
        torch.testing.assert_close(found[:, t, r, c], x[:, t, r, c] + added)
    assert torch.equal(position(x)[:, :2], position(x[:, :2]))
    assert position(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("shape", "start", "said"),
    [
        ((3, 2, 2), 4, "frames=6 cannot place a latent grid of 7 frames"),
        ((1, 5, 2), 0, "rows=4 cannot place a latent grid of 5 rows"),
        ((1, 2, 6), 0, "columns=5 cannot place a latent grid of 6 columns"),
    ],
)
def test_a_grid_beyond_the_tables_is_refused_with_both_numbers(shape, start, said):
    with pytest.raises(ValueError, match=said):
        POSITIONS.components["learned"](DIM, frames=6, rows=4, columns=5)(torch.randn(1, *shape, DIM), start)
