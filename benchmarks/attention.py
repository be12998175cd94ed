"""The ways to compute an attention against each other: the plain products, and the fused kernel."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.attention_child import MEASURES
from benchmarks.measure import Row, python_json

Measure = Callable[..., Any]
Shape = Mapping[str, int]
THIRD = 1 / 3
LONG = {"sequences": 5, "tokens": 1024, "heads": 8, "width": 64}  # a clip of 17 x 256 x 256 in patches of 8 x 8
WINDOWS = {"sequences": 80, "tokens": 64, "heads": 8, "width": 64}  # the same in windows of 8 x 8 tokens
PASSES = {"forward": "forward", "training": "forward and backward"}


def fresh(name: str, **arguments: Any) -> Any:
    """In a process of its own."""
    return python_json("-m", "benchmarks.attention_child", name, json.dumps(arguments))


def here(name: str, **arguments: Any) -> Any:
    """In this process."""
    return MEASURES[name](**arguments)


def attending(
    *,
    repeats: int = 5,
    shapes: Sequence[Shape] = (LONG, WINDOWS),
    targets: Sequence[float | None] = (THIRD, None),
    measured: Measure = fresh,
) -> list[Row]:
    """Softmax attention with every way forced in turn by OMNITOK_ATTENTION."""
    rows = []
    for shape, below in zip(shapes, targets, strict=True):
        what = f"{shape['sequences']} x {shape['heads']} heads of {shape['tokens']} tokens, {shape['width']} wide"
        for biased, more in ((False, ""), (True, ", a learned bias")):
            taken = measured("times", **shape, biased=biased, repeats=repeats)
            target = None if biased else below
            rows += [_time(taken[passes], f"{what}{more}, {said}", target) for passes, said in PASSES.items()]
        rows.append(_memory(measured, shape, what))
    return rows


def _time(taken: dict[str, list[float]], what: str, below: float | None) -> Row:
    best = f"{1e3 * min(taken['sdpa']):.3g} ms, plain {1e3 * min(taken['manual']):.3g} ms at best"
    samples = tuple(a / b for a, b in zip(taken["sdpa"], taken["manual"], strict=True))
    how = "processor time of one thread, the fused kernel (sdpa) and plain products (manual) in turn, float32"
    return Row(f"attention, {what}", how, "of the plain time", samples, below and round(below, 3), best)


def _memory(measured: Measure, shape: Shape, what: str) -> Row:
    held = {way: measured("peak", **shape, way=way) for way in ("manual", "sdpa")}
    how = "the highest resident set in forward and backward less that before, a process each"
    least = f"{held['sdpa']:.0f} MiB, plain {held['manual']:.0f} MiB"
    share = held["sdpa"] / max(held["manual"], 1.0)
    return Row(f"memory of attention, {what}", how, "of the plain peak", (share,), None, least)
