"""What a model costs: against formulas written down here, torch's profiler on real passes, and its own counter."""

from functools import partial

import pytest
import tiny
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from omnitok.attention import ATTENTION
from omnitok.attention.full import FullAttention
from omnitok.attention.temporal import TemporalAttention
from omnitok.attention.window import WindowAttention
from omnitok.model import MeanColour, Tokenizer, block
from omnitok.model import cost as model_cost
from omnitok.model.block import Transformer
from omnitok.model.cost import cost, counted, parameters
from omnitok.model.patch import ConvolutionPatches, LinearPatches
from omnitok.model.peg import ConvolutionPeg
from omnitok.quantizers import QUANTIZERS, FiniteScalarQuantizer
from omnitok.quantizers.gaussian import GaussianBottleneck
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.randomness import initialise
from omnitok.sweep import rehearse
from omnitok.sweep.plan import plan_sweep, to_json

D, Z, CODES = 24, 4, 32
FIRST, REST, SIDE = (
    16,
    16,
    4,
)  # tokens of the first frame and of the rest, for 3 frames of 16 x 16 in patches of 2 x 4 x 4
LINEAR = partial(LinearPatches, patch=4, temporal_patch=2)
CNN = partial(ConvolutionPatches, patch=4, temporal_patch=2)
FULL = partial(Transformer, attention=partial(FullAttention, heads=2))
WINDOW = partial(Transformer, attention=partial(WindowAttention, heads=2, window=2), depth=2)
TIME = partial(Transformer, attention=partial(TemporalAttention, heads=2))
PEG = partial(Transformer, attention=partial(FullAttention, heads=2), peg=ConvolutionPeg)
VQ = partial(VectorQuantizer, codebook_size=CODES, code_dim=Z)


def on(device: str, encoder, patches=LINEAR, quantizer=VQ) -> Tokenizer:
    with torch.device(device):
        made = Tokenizer(dim=D, patches=patches, encoder=encoder, decoder=(FULL,), quantizer=quantizer)
    if device != "meta":
        initialise(made, 0)
    return made


def product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def layer(tokens: int, pairs: int) -> int:
    """Of projections, a feed-forward network, and as many pairs of a query and a key, looked up and mixed."""
    inner = int(4 * D * 2 / 3)
    dense = (
        product(tokens, D, 3 * D) + product(tokens, D, D) + product(tokens, D, 2 * inner) + product(tokens, inner, D)
    )
    return dense + 2 * product(pairs, D, 1)


TOKENS = FIRST + REST
EMBED = product(FIRST, 3 * 16, D) + product(REST, 2 * 3 * 16, D)
DECODE = product(TOKENS, Z, D) + layer(TOKENS, 2 * 16 * 16) + product(FIRST, D, 3 * 16) + product(REST, D, 2 * 3 * 16)


@pytest.mark.parametrize(
    ("encoder", "of_blocks"),
    [
        ((FULL,), layer(TOKENS, 2 * 16 * 16)),
        ((WINDOW,), 2 * layer(TOKENS, 2 * 4 * 4 * 4)),
        ((TIME,), layer(TOKENS, 16 * (1 + 2))),  # only what a causal mask leaves visible
        ((PEG,), layer(TOKENS, 2 * 16 * 16) + (2 + 1) * product(16 * 9, 1, D)),  # a frame, and the one before it
    ],
    ids=["full", "window", "temporal", "peg"],
)
def test_a_model_costs_what_is_worked_out_by_hand(encoder, of_blocks):
    model = on("meta", encoder)
    found = cost(model, 3, 16)
    assert found.encode == EMBED + of_blocks + product(TOKENS, D, Z) + product(TOKENS, Z + 1, CODES)
    assert found.decode == DECODE and found.flops == found.encode + found.decode
    assert (found.tokens, found.bits_per_token, found.pixels) == (TOKENS, 5, 3 * 16 * 16)
    assert found.bits_per_pixel == TOKENS * 5 / (3 * 16 * 16)
    assert found.parameters == parameters(model) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def profiled(model: Tokenizer, clip: torch.Tensor) -> int:
    """What the profiler saw of products and of convolutions of pictures; it knows no others."""
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiler:
        model(clip)
    return sum(event.flops for event in profiler.key_averages() if event.key.endswith(("mm", "conv2d")))


MODELS = {
    "vq": {"encoder": (WINDOW, PEG)},
    "cnn": {"encoder": (FULL,), "patches": CNN, "quantizer": FiniteScalarQuantizer},
    "gaussian": {"encoder": (WINDOW,), "quantizer": partial(GaussianBottleneck, latent_channels=Z)},
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("kind", MODELS)
def test_the_count_is_what_a_profiler_sees_of_real_passes(kind, frames, gradients, monkeypatch):
    monkeypatch.setattr(block, "PIECE", 8)  # without gradients layers work in pieces, which changes nothing
    real, clip = on("cpu", **MODELS[kind]).eval(), torch.rand(1, 3, frames, 16, 16) * 2 - 1
    with torch.set_grad_enabled(gradients):
        seen = profiled(real, clip)
        with FlopCounterMode(display=False) as counter:
            real(clip)
    if kind == "cnn":  # convolutions whose kernel is their stride, there and back
        seen += 2 * (product(FIRST, 3 * 16, D) + (product(REST, 2 * 3 * 16, D) if frames > 1 else 0))
    assert cost(on("meta", **MODELS[kind]), frames, 16).flops == seen == counter.get_total_flops()


@pytest.mark.parametrize("name", list(ATTENTION))
def test_every_attention_is_counted_as_torch_counts_it(name):
    with torch.device("meta"):
        made = ATTENTION.components[name](24).requires_grad_(False)
        x = torch.empty(1, 5, 8, 8, 24)
    with FlopCounterMode(display=False) as counter:
        made(x)
    assert counted(lambda: made(x))[0] == counter.get_total_flops() > product(5 * 64, 24, 3 * 24)


@pytest.mark.parametrize("name", list(QUANTIZERS))
def test_every_quantizer_is_counted_as_torch_counts_it(name):
    with torch.device("meta"):
        made = QUANTIZERS.components[name]().requires_grad_(False).eval()
        x = torch.empty(1, 2, 8, 8, made.in_channels)
    with FlopCounterMode(display=False) as counter:
        made(x)
    assert counted(lambda: made(x))[0] == counter.get_total_flops()


def test_the_search_for_the_nearest_code_counts():
    with torch.device("meta"):
        made = VQ().eval()
        flops, _ = counted(lambda: made(torch.empty(1, 2, 8, 8, Z)))
    assert flops == product(2 * 64, Z + 1, CODES)  # a code's length is one channel more


def test_a_count_leaves_the_model_as_it_was_and_does_not_depend_on_who_asks():
    model = on("meta", (WINDOW, TIME))
    model.encoder[0].eval()
    before = [module.training for module in model.modules()]
    found = cost(model, 3, 16)
    assert [module.training for module in model.modules()] == before
    with torch.inference_mode():
        assert cost(model, 3, 16) == found


def test_what_does_not_fit_is_refused_and_a_baseline_computes_nothing():
    with pytest.raises(ValueError, match="patch=4 must divide the frame, which is 18 x 18"):
        cost(on("meta", (FULL,)), 3, 18)
    with torch.device("meta"):
        found = cost(MeanColour(), 1, 16)
    assert (found.flops, found.parameters, found.bits_per_pixel) == (0, 0, 0)


def test_a_plan_has_what_its_arms_cost_and_counts_each_model_once(tmp_path, runs_root, monkeypatch):
    asked = []

    def noted(model, frames, resolution):
        asked.append((id(model), frames, resolution))
        return cost(model, frames, resolution)

    monkeypatch.setattr(rehearse, "cost", noted)
    planned = plan_sweep(tiny.write(tmp_path))
    trial = to_json(planned)["trials"][0]
    shape = trial["largest"]
    assert shape == "3x16" and sorted(trial["flops"]) == ["3x16"] and trial["flops"][shape]["encode"] > 0
    assert len(asked) == len(set(asked)) == 3  # two quantizers and the baseline, whatever the seeds and schedules


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_kept_of_operations_changes_neither_counts_nor_shapes_nor_refusals(kind, monkeypatch):
    found, clip = [], torch.empty(1, 3, 3, 16, 16, device="meta")
    monkeypatch.setattr(model_cost, "_KNOWN", known := {})
    for _ in range(2):
        model = on("meta", **MODELS[kind]).eval()
        flops, (back, quantized) = counted(lambda model=model: model(clip))
        outlines = [(one.shape, one.stride(), one.dtype, one.device.type) for one in (back, *quantized[:2])]
        found.append((flops, outlines, len(known)))
    assert found[0] == found[1] and known
    x = torch.empty(2, 3, device="meta")
    assert [counted(lambda n=n: x @ torch.empty(3, n, device="meta"))[0] for n in (5, 7, 5)] == [60, 84, 60]
    for _ in range(2):
        with pytest.raises(RuntimeError):
            counted(lambda: x + torch.empty(4, device="meta"))


def test_numbers_views_and_what_is_written_into_are_never_kept(monkeypatch):
    monkeypatch.setattr(model_cost, "_KNOWN", known := {})

    def work():
        real = torch.arange(3.0)
        return [float((real * factor).sum()) for factor in (1, 2)] + [real.add_(1).view(3)[0].item()]

    assert counted(work)[1] == [3.0, 6.0, 1.0] and not known
