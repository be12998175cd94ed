"""A tokenizer of the paper's size against the published computation: time, memory, precision, long clips, training."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, python_json
from benchmarks.published import PAPER
from benchmarks.tokenizer_child import MEASURES, THREADS

Options = Mapping[str, Any]
Measure = Callable[..., Any]
FASTER, FASTER_BFLOAT16, TWICE, LESS_MEMORY, NO_LONGER = 1 / 1.5, 1 / 4, 1 / 2, 0.6, 1.3
OF_TIME, OF_PEAK = "of the published time", "of the published peak"
PAIRED = (
    f"batch 1, {THREADS} threads that do not spin, the paper's size (width 512, 53.7 M parameters, 8192 codes), random "
    "weights and a clip of noise, in one process, in turn with the reference in `benchmarks/published`, which is written "
    "from the description of the authors' code and held to their golden data"
)


def fresh(name: str, **arguments: Any) -> Any:
    """In a process of its own."""
    return python_json("-m", "benchmarks.tokenizer_child", name, json.dumps(arguments))


def here(name: str, **arguments: Any) -> Any:
    """In this process."""
    return MEASURES[name](**arguments)


def coding(
    *,
    repeats: int = 3,
    shapes: Sequence[tuple[int, int]] = ((17, 256), (1, 256), (1, 128)),
    options: Options = PAPER,
    measured: Measure = fresh,
) -> list[Row]:
    """Encode + decode of (frames, side), the first of which has targets."""
    rows = []
    for i, (frames, side) in enumerate(shapes):
        found = measured("speeds", options=options, frames=frames, side=side, repeats=repeats)
        rows += _coded(found, f"{frames} x {side}²" if frames > 1 else f"an image of {side}²", targets=i == 0)
    frames, side = shapes[0]
    return [*rows, *_memory(measured, options, frames, side, repeats - 1 or 1)]


def _coded(found: dict[str, Any], what: str, targets: bool) -> list[Row]:
    same = (
        f"{found['codes_equal']:,} of {found['codes']:,} codes are equal, pixels from equal codes differ by at most "
        f"{found['largest_error']:.1e} where the largest is {found['largest_pixel']:.1f}"
    )
    rough = (
        f"{found['bfloat16_codes_equal']:,} of {found['codes']:,} codes are those of float32; the target holds where the "
        "processor has AMX"
    )
    fast = FASTER_BFLOAT16 if targets and has_amx() else None
    return [
        _against(found, "ours", f"encode + decode {what}, float32", f"{PAIRED}: the same weights under `load_official`; {same}", FASTER if targets else None),
        _against(found, "corrected", "the same, corrected components", "as many layers of the same widths without the known defects, in turn with the same reference"),
        _against(found, "bfloat16", f"encode + decode {what}, bfloat16", f"under `torch.autocast`, against the reference in float32, in turn; {rough}", fast),
        _against(found, "corrected_bfloat16", "the same, corrected components, bfloat16", "likewise"),
        Row(f"bfloat16 pixels against float32, {what}", "PSNR from the same codes, the peak being the range of the float32 pixels", "dB", (found["bfloat16_psnr"],)),
    ]  # fmt: skip


def _against(found: dict[str, Any], which: str, what: str, how: str, below: float | None = None) -> Row:
    pairs = list(zip(found[which], found["published"], strict=True))
    best = f"{_quick(min(a for a, _ in pairs))} s, published {_quick(min(b for _, b in pairs))} s at best"
    return Row(what, how, OF_TIME, tuple(a / b for a, b in pairs), below and round(below, 3), best)


def _memory(measured: Measure, options: Options, frames: int, side: int, repeats: int) -> list[Row]:
    names = {"ours": ", float32", "corrected": ", corrected components", "bfloat16": ", bfloat16"}
    taken = [
        {
            which: measured("peak", options=options, which=which, frames=frames, side=side)
            for which in ("published", *names)
        }
        for _ in range(repeats)
    ]
    how = "the highest resident set in encode + decode less that with the weights loaded, a process each"
    rows = []
    for which, name in names.items():
        least = f"{min(one[which] for one in taken):.0f} MiB, published {min(one['published'] for one in taken):.0f} MiB at least"
        samples = tuple(one[which] / one["published"] for one in taken)
        target = LESS_MEMORY if which == "ours" else None
        rows.append(Row(f"memory above the weights, {frames} x {side}²{name}", how, OF_PEAK, samples, target, least))
    return rows


def streaming(
    *,
    lengths: tuple[int, int] = (33, 257),
    side: int = 256,
    context: int = 8,
    chunk: int = 4,
    options: Options = PAPER,
    measured: Measure = fresh,
) -> list[Row]:
    """A long clip against a short one, both in chunks."""
    short, long = (
        measured("stream", options=options, frames=frames, side=side, context=context, chunk=chunk)
        for frames in lengths
    )
    how = (
        f"`encode_chunk` and `decode_chunk` of the corrected components, {chunk} latent frames at a time, context "
        f"{context}; each chunk of noise is made, coded and dropped, so that only caches are kept; above the weights"
    )
    return [
        Row(
            f"memory to stream {lengths[1]} frames of {side}²", how, f"of that of {lengths[0]}",
            (long["peak"] / short["peak"],), NO_LONGER, f"{long['peak']:.0f} MiB, {lengths[0]} frames {short['peak']:.0f} MiB",
        ),
        Row("the caches of both halves, a latent frame", f"their size after that, divided by {context}", "MiB", (long["cache"],)),
    ]  # fmt: skip


def training(
    *,
    repeats: int = 3,
    shapes: Sequence[tuple[int, int]] = ((1, 128), (5, 128)),
    width: int = 64,
    options: Options = PAPER,
    measured: Measure = fresh,
) -> list[Row]:
    """The published step (two whole forward passes, LPIPS on a frame, a discriminator, its features matched) and ours."""
    rows = []
    for frames, side in shapes:
        found = measured("trained", options=options, frames=frames, side=side, repeats=repeats, width=width)
        what = f"{frames} x {side}²" if frames > 1 else f"an image of {side}²"
        how = (
            f"{PAIRED}. Terms of both: L1, commitment, LPIPS (random weights, which cost the same) of one frame, GAN and "
            "feature matching of one discriminator; clipping and Adam of both sides. The published step makes its "
            "forward pass twice; ours is `shared`"
        )
        rows += [
            _against(found, "ours", f"training step, {what}, the published tokenizer", how, TWICE),
            _against(found, "corrected", f"training step, {what}, corrected components", "likewise"),
        ]
    return rows


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in tiles."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and " amx_bf16" in info.read_text()


def _quick(value: float) -> str:
    return f"{value:.3g}"
