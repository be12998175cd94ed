"""On a GPU: a tokenizer of the paper's size against the published computation, attentions, networks, memory."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.attention_child import parts
from benchmarks.measure import Row, seconds
from benchmarks.published import PAPER
from benchmarks.tokenizer_child import clip_of, corrected, ours, reference, through
from benchmarks.tokenizer_steps import learning
from omnitok.attention.backends import mixed
from omnitok.networks.i3d import I3D
from omnitok.networks.inception import Inception
from omnitok.training.step import Precision

Options = Mapping[str, Any]
WARM = 3
OF_TIME = "of the published time"
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
LONG = {"sequences": 40, "tokens": 1024, "heads": 8, "width": 64}  # 8 clips of 17 x 256 x 256 in patches of 8 x 8
WINDOWS = {"sequences": 640, "tokens": 64, "heads": 8, "width": 64}  # the same in windows of 8 x 8 tokens


def gpu(
    *,
    repeats: int = 10,
    where: str = "cuda",
    options: Options = PAPER,
    shapes: Sequence[tuple[int, int, int]] = ((1, 17, 256), (8, 17, 128), (32, 1, 256)),
    attentions: Sequence[Mapping[str, int]] = (LONG, WINDOWS),
    networks: tuple[int, int] = (64, 8),
    width: int = 64,
    trained_at: Sequence[Precision] = ("float32", "bfloat16"),
) -> list[Row]:
    """``shapes``: clips, frames, side. ``networks``: pictures for Inception, clips for I3D."""
    with _exact():
        rows = [row for shape in shapes for row in coding(options, shape, repeats, where)]
        for precision in trained_at:
            rows += [row for shape in shapes for row in training(options, shape, repeats, where, (width, precision))]
        rows += [row for shape in attentions for row in attending(shape, repeats, where)]
    return [*rows, *features(networks, repeats, where)]


@contextmanager
def _exact() -> Iterator[None]:
    """Products of float32 in float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def in_turn(calls: Mapping[str, Callable[[], object]], repeats: int, where: str) -> dict[str, list[float]]:
    """Seconds of each call, all in turn, each waited for."""

    def waited(call: Callable[[], object]) -> float:
        if where == "cuda":
            torch.cuda.synchronize()
        return seconds(lambda: (call(), torch.cuda.synchronize() if where == "cuda" else None))

    for call in list(calls.values()) * WARM:
        call()
    taken = [{name: waited(call) for name, call in calls.items()} for _ in range(repeats)]
    return {name: [one[name] for one in taken] for name in calls}


def _rounded(call: Callable[[], object], where: str, dtype: torch.dtype | None) -> Callable[[], object]:
    def rough() -> object:
        with torch.autocast(where, dtype=dtype):
            return call()

    return call if dtype is None else rough


def _against(taken: Mapping[str, list[float]], what: str, of: str, how: str) -> list[Row]:
    """Each but the one called ``of`` as a part of its time, sample by sample."""
    best = f"{1e3 * min(taken[of]):.3g} ms at best"
    return [
        Row(f"{what}, {name}", how, f"of the time of {of}", tuple(a / b for a, b in zip(found, taken[of], strict=True)),
            None, f"{1e3 * min(found):.3g} ms, {of} {best}")
        for name, found in taken.items() if name != of
    ]  # fmt: skip


def _said(shape: tuple[int, int, int]) -> str:
    count, frames, side = shape
    return f"{count} x {frames} x {side}²"


@torch.inference_mode()
def coding(options: Options, shape: tuple[int, int, int], repeats: int, where: str) -> list[Row]:
    """Encode + decode."""
    clip = clip_of(*shape[1:]).repeat(shape[0], 1, 1, 1, 1).to(where)
    theirs = reference(options).to(where)
    mine = {"ours": ours(options).to(where), "corrected": corrected(options).to(where)}
    calls = {"published": lambda: theirs.decode(theirs.encode(clip / 2))}
    calls |= {name: _through(tokenizer, clip) for name, tokenizer in mine.items()}
    rows = []
    for precision, dtype in PRECISIONS.items():
        rough = {name: _rounded(call, where, dtype) for name, call in calls.items()}
        taken = in_turn(rough, repeats, where)
        how = "the paper's size, random weights, all in one process and in turn, each call waited for"
        rows += _against(taken, f"encode + decode {_said(shape)}, {precision}", "published", how)
    return rows


def _through(tokenizer: Any, clip: Tensor) -> Callable[[], object]:
    return lambda: through(tokenizer, clip)


def training(
    options: Options, shape: tuple[int, int, int], repeats: int, where: str, judge: tuple[int, Precision]
) -> list[Row]:
    """A training step with perceptual loss and a discriminator of a width, and what it holds."""
    width, precision = judge
    clip = clip_of(*shape[1:]).repeat(shape[0], 1, 1, 1, 1).to(where)
    mine = {"ours": ours(options).to(where), "corrected": corrected(options).to(where)}
    calls = learning(reference(options).to(where), mine, clip, width, precision)
    how = "a step of the published training and ours with the same terms (LPIPS by random weights), in turn"
    rows = _against(in_turn(calls, repeats, where), f"training step {_said(shape)}, {precision}", "published", how)
    return [*rows, *_held(calls, f"{_said(shape)}, {precision}", where)]


def _held(calls: Mapping[str, Callable[[], object]], what: str, where: str) -> Iterator[Row]:
    """GiB that are allocated at the height of a step, weights and optimizer states of all three tokenizers included."""
    if where != "cuda":
        return
    for name, call in calls.items():
        torch.cuda.reset_peak_memory_stats()
        call()
        held = torch.cuda.max_memory_allocated() / 2**30
        how = "torch.cuda.max_memory_allocated over a step; the weights of all three tokenizers are in it"
        yield Row(f"memory of a training step {what}, {name}", how, "GiB", (held,))


def attending(shape: Mapping[str, int], repeats: int, where: str) -> list[Row]:
    """The ways to compute an attention, forced in turn."""
    rows = []
    for precision, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        q, k, v = (part.detach().to(where, dtype).requires_grad_() for part in parts(**shape, gradient=False))
        gradient = torch.ones_like(q)

        def forced(way: str, q: Tensor = q, k: Tensor = k, v: Tensor = v, g: Tensor = gradient) -> Callable[[], object]:
            def call() -> object:
                with mock.patch.dict(os.environ, {"OMNITOK_ATTENTION": way}):
                    return torch.autograd.grad(mixed(q, k, v), (q, k, v), g)

            return call

        taken = in_turn({way: forced(way) for way in ("manual", "sdpa")}, repeats, where)
        what = f"attention, {shape['sequences']} x {shape['heads']} heads of {shape['tokens']} tokens, {precision}"
        rows += _against(
            taken, f"{what}, forward and backward", "manual", "plain products and the fused kernel in turn"
        )
    return rows


@torch.inference_mode()
def features(counts: tuple[int, int], repeats: int, where: str) -> list[Row]:
    """Items a second through the networks of FID and FVD."""
    torch.manual_seed(0)
    pictures, clips = torch.rand(counts[0], 3, 299, 299).to(where), torch.rand(counts[1], 3, 16, 224, 224).to(where)
    rows = []
    for what, network, given in (("Inception pictures", Inception(), pictures), ("I3D clips", I3D(), clips)):
        made = network.eval().to(where)
        [taken] = in_turn({what: lambda made=made, given=given: made(given)}, repeats, where).values()
        how = "float32 as torch computes it where nothing is said, random weights, one batch"
        rows.append(Row(f"{what} of {len(given)}", how, "a second", tuple(len(given) / one for one in taken)))
    return rows
