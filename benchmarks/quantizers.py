"""Quantizers against vector-quantize-pytorch: exactness, processor time, memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.measure import Row, python_json

Measure = Callable[..., Any]
SHAPE = (4, 5, 32, 32)
CODES = 8192
STEP, WITH_GRADIENT = "a training forward pass", "a training step with its gradient"
SUBJECTS: Mapping[str, tuple[str, str, str, float, float | None]] = {  # what, the peer, of what, time and memory below
    "vq": ("VQ, moving average, unit length", "VectorQuantize(use_cosine_sim=True)", STEP, 0.1, 0.025),
    "vq_learned": ("VQ, learned codebook", "VectorQuantize(learnable_codebook=True)", STEP, 0.1, 0.025),
    "simvq": ("SimVQ", "SimVQ", STEP, 1 / 3, None),
    "fsq": ("FSQ, 12,800 codes", "FSQ", STEP, 1.0, None),
    "lfq": ("LFQ, 13 bits, entropies", "LFQ", WITH_GRADIENT, 0.1, 0.1),
    "bsq": ("BSQ, 13 bits, entropies", "LFQ(spherical=True)", WITH_GRADIENT, 0.1, 0.1),
    "residual": ("residual VQ, 4 x 1024 codes", "ResidualVQ", STEP, 1 / 3, None),
}  # fmt: skip


def fresh(measure: str, /, **arguments: Any) -> Any:
    """In a process of its own."""
    return python_json("-m", "benchmarks.quantizers_child", measure, json.dumps(arguments))


def here(measure: str, /, **arguments: Any) -> Any:
    """In this process."""
    from benchmarks.quantizers_child import MEASURES

    return MEASURES[measure](**arguments)


def searching(*, shape: Sequence[int] = SHAPE, codes: int = CODES, measured: Measure = fresh) -> list[Row]:
    """Whether the nearest code is the nearest."""
    found = measured("wrong", codes=codes, shape=shape)
    how = f"of {found['tokens']:,} random tokens and {codes:,} codes of unit length, 8 wide; float64 by brute force"
    return [Row("codes that are not those of float64", how, "tokens", (found["wrong"],), 1.0)]


def quantizing(
    *,
    repeats: int = 3,
    shape: Sequence[int] = SHAPE,
    codes: int = CODES,
    names: Sequence[str] = tuple(SUBJECTS),
    measured: Measure = fresh,
) -> list[Row]:
    """Each quantizer in training against its peer."""
    rows = []
    for name in names:
        what, peer, step, time_below, memory_below = SUBJECTS[name]
        taken = measured("speeds", name=name, codes=codes, shape=shape, repeats=repeats)
        how = (
            f"{step} on a batch of {' x '.join(map(str, shape))} tokens, one thread, in turn with `{peer}` of "
            "vector-quantize-pytorch"
        )
        best = f"{1e3 * min(taken['ours']):.3g} ms, theirs {1e3 * min(taken['theirs']):.4g} ms at best"
        samples = tuple(a / b for a, b in zip(taken["ours"], taken["theirs"], strict=True))
        rows.append(Row(f"time of {what}", f"processor time of {how}", "of the peer's", samples, time_below, best))
        held = {side: measured("peak", name=name, side=side, codes=codes, shape=shape) for side in ("ours", "theirs")}
        least = f"{held['ours']:.0f} MiB, theirs {held['theirs']:.0f} MiB"
        how = f"the highest resident set above that before {step}, a process each, otherwise likewise"
        ratio = held["ours"] / max(held["theirs"], 1e-3)
        rows.append(Row(f"memory of {what}", how, "of the peer's", (ratio,), memory_below, least))
    return rows
