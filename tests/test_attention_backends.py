"""The ways to compute an attention: equal numbers and gradients, biases and masks included."""

import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch.nn.attention import flex_attention

from omnitok.attention import ATTENTION
from omnitok.attention.backends import BACKENDS, LONG, SHORT, asked, chosen, mixed
from omnitok.attention.masks import FrameCausal, Mask, Neighbourhood, added, dense
from omnitok.attention.places import PLACES
from omnitok.spec import choices, resolve
from omnitok.sweep.file import Resources

DIM = 8
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
MASKS = [
    None,
    FrameCausal(80, 80),
    FrameCausal(80, 80, context=9),
    FrameCausal(3, 80, context=70),
    FrameCausal(80, 80, block=7, first=3),
    FrameCausal(8, 8, tokens=10),
    FrameCausal(3, 8, tokens=10, context=3, block=2, first=1),
    Neighbourhood(9, 10, 3),
    Neighbourhood(16, 6, 5),
    Neighbourhood(3, 30, 7),
]


@pytest.fixture(autouse=True)
def _untraced(monkeypatch):
    """FlexAttention on a CPU as it is written: to trace it takes seconds a shape."""
    monkeypatch.setattr(flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True, raising=False)


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("backend", ["auto", "manual", "sdpa", "flex"])
def test_every_way_to_mix_gives_the_same_numbers_and_gradients(backend, biased, mask, monkeypatch):
    n, m = (mask.queries, mask.keys) if mask else (70, 80)
    q = torch.randn(2, 3, n, 4, dtype=torch.double, requires_grad=True)
    k, v = (torch.randn(2, 3, m, 4, dtype=torch.double, requires_grad=True) for _ in range(2))
    bias = torch.randn(3, n, m, dtype=torch.double, requires_grad=True) if biased else None
    leaves = [q, k, v, bias] if biased else [q, k, v]
    logits = 8.0 * q @ k.mT + (bias if biased else 0)
    if mask:
        query, key = torch.cartesian_prod(torch.arange(n), torch.arange(m)).T
        logits = logits.masked_fill(~mask.sees(query, key).view(n, m), float("-inf"))
    expected = logits.softmax(-1) @ v
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, gradient)
    monkeypatch.setenv("OMNITOK_ATTENTION", backend)
    found = mixed(q, k, v, bias, scale=8.0, mask=mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for one, other in zip(torch.autograd.grad(found, leaves, gradient), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("tokens", [5, SHORT, SHORT + 1])
def test_short_and_long_sequences_are_mixed_alike(tokens):
    q, k, v = torch.randn(3, 2, 3, tokens, 4, dtype=torch.double)
    torch.testing.assert_close(mixed(q, k, v), (q @ k.mT / 2).softmax(-1) @ v)


@pytest.mark.parametrize("backend", ["sdpa", "flex"])
@pytest.mark.parametrize("name", list(ATTENTION))
def test_no_attention_changes_with_the_way_it_is_computed(name, backend, monkeypatch):
    more = {"places": PLACES.components["continuous_bias"]} if "places" in choices(ATTENTION.components[name]) else {}
    attention = resolve(ATTENTION.default(name))(DIM, **more).double()
    x = torch.randn(1, 4, 8, 8, DIM, dtype=torch.double, requires_grad=True)
    leaves, gradient = [x, *attention.parameters()], torch.randn(x.shape, dtype=torch.double)
    found = []
    for way in ("manual", backend):
        monkeypatch.setenv("OMNITOK_ATTENTION", way)
        y = attention(x)
        found.append([y, *torch.autograd.grad(y, leaves, gradient)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_an_unknown_way_is_refused_with_those_that_there_are(monkeypatch):
    monkeypatch.setenv("OMNITOK_ATTENTION", "flash")
    with pytest.raises(ValueError, match="OMNITOK_ATTENTION=flash must be one of auto, manual, sdpa, flex"):
        mixed(*torch.randn(3, 1, 1, 2, 4))


def test_the_way_is_chosen_by_shape_and_device(monkeypatch):
    monkeypatch.delenv("OMNITOK_ATTENTION", raising=False)
    assert asked() == "auto"

    class OnGpu(torch.Tensor):
        is_cpu = False

    def way(keys, mask, kind=torch.Tensor, dtype=torch.float32):
        x = torch.empty(1, 1, keys, 4, dtype=dtype).as_subclass(kind)
        return chosen(x, x, mask)

    near, past = Neighbourhood(32, LONG // 32, 5), FrameCausal(LONG, LONG)
    assert [way(SHORT, None), way(SHORT + 1, None), way(LONG, near)] == ["manual", "sdpa", "sdpa"]
    assert [way(5, None, OnGpu), way(LONG, past, OnGpu), way(LONG, near, OnGpu)] == ["sdpa", "sdpa", "flex"]
    assert way(LONG, near, OnGpu, torch.float64) == "sdpa"
    monkeypatch.setenv("OMNITOK_ATTENTION", "sdpa")
    assert way(5, None) == "sdpa"


@pytest.mark.parametrize("mask", MASKS[1:], ids=str)
def test_a_mask_counts_its_pairs_and_its_parts_cover_them(mask):
    seen = dense(mask, torch.device("cpu"))
    assert seen.any(1).all() and mask.pairs == int(seen.sum())
    put = added(mask, torch.device("cpu"), torch.float32)[0]
    assert torch.equal(put == 0, seen) and torch.equal(put == float("-inf"), ~seen)
    assert dense(mask, torch.device("cpu")) is seen and hash(mask) == hash(mask)
    parts, covered, row = mask.parts(), torch.zeros_like(seen), 0
    for (start, stop), (first, last), within in parts:
        assert start == row and (within is None or (within.queries, within.keys) == (stop - start, last - first))
        covered[start:stop, first:last] = True if within is None else dense(within, torch.device("cpu"))
        assert within is None or within.pairs == int(dense(within, torch.device("cpu")).sum())
        row = stop
    assert not parts or (row == mask.queries and torch.equal(covered, seen))


def test_parts_leave_out_most_of_what_is_hidden():
    for mask, share in ((Neighbourhood(32, 32, 5), 0.3), (FrameCausal(5, 5, tokens=64), 0.61)):
        pairs = sum((stop - start) * (last - first) for (start, stop), (first, last), _ in mask.parts())
        assert mask.pairs <= pairs < share * mask.queries * mask.keys


def test_masks_can_be_compared_so_that_what_is_made_of_one_is_made_once():
    assert FrameCausal(4, 4) == FrameCausal(4, 4) != FrameCausal(4, 4, context=2)
    assert isinstance(Neighbourhood(2, 2, 3), Mask) and len({Neighbourhood(2, 2, 3), Neighbourhood(2, 2, 3)}) == 1


def test_a_bias_is_taken_by_the_fused_kernel_and_not_dropped(monkeypatch):
    """The published defect: a bias that is computed and never passed on."""
    q, k, v = torch.randn(3, 1, 2, 70, 4)
    bias = torch.randn(2, 70, 70)
    monkeypatch.setenv("OMNITOK_ATTENTION", "sdpa")
    assert not torch.allclose(mixed(q, k, v, bias), mixed(q, k, v))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        mixed(q, k, v, bias)
        mixed(q, k, v, bias, mask=FrameCausal(70, 70))
    names = [event.name for event in profile.events()]
    assert sum("flash_attention_for_cpu" in name for name in names) >= 2 and not any("softmax" in n for n in names)


COMPILED = """
import os, torch, warnings
from omnitok.attention.backends import mixed
from omnitok.attention.masks import FrameCausal
warnings.simplefilter("ignore")
q, k, v = torch.randn(3, 1, 2, 70, 4)
bias, mask, found = torch.randn(2, 70, 70), FrameCausal(70, 70, context=3), []
for way in ("manual", "sdpa", "flex"):
    os.environ["OMNITOK_ATTENTION"] = way
    found.append(mixed(q, k, v, bias, mask=mask))
os.environ["OMNITOK_ATTENTION"] = "sdpa"
found.append(torch.compile(lambda q, k, v: mixed(q, k, v, bias, mask=mask), backend="eager")(q, k, v))
for one in found[1:]:
    torch.testing.assert_close(one, found[0])
"""


@pytest.mark.service
def test_traced_it_gives_the_same_numbers():
    """In a process of its own: the checks of shapes that tests have in every function cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILED], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_way_is_a_resource_and_reaches_processes_by_their_environment():
    known = get_args(get_args(Resources.model_fields["attention"].annotation)[0])
    assert known == ("auto", *BACKENDS)
    assert Resources(attention="sdpa", compile=True).environment == {
        "OMNITOK_ATTENTION": "sdpa",
        "OMNITOK_COMPILE": "1",
    }
    assert Resources().environment == {}
    with pytest.raises(ValueError, match="Input should be 'auto', 'manual', 'sdpa' or 'flex'"):
        Resources(attention="flash")
