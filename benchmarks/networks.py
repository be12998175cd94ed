"""Pretrained networks against what is used for the same numbers elsewhere: exactness, processor time, memory."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.measure import Row, python_json

Measure = Callable[..., Any]
PLAIN = "the same network written plainly (`benchmarks/published/networks.py`)"
SUBJECTS: Mapping[str, tuple[str, str]] = {
    "inception": ("FID features", "the TorchScript that the weights come in, as clean-fid runs one"),
    "i3d": ("FVD logits", PLAIN),
    "efficientnet": ("EfficientNet-Lite0 logits", PLAIN),
}
SIZES: Mapping[str, tuple[int, int, int]] = {
    "inception": (16, 1, 256),
    "i3d": (2, 16, 128),
    "efficientnet": (16, 1, 256),
}


def fresh(measure: str, /, **arguments: Any) -> Any:
    """In a process of its own."""
    return python_json("-m", "benchmarks.networks_child", measure, json.dumps(arguments))


def here(measure: str, /, **arguments: Any) -> Any:
    """In this process."""
    from benchmarks.networks_child import MEASURES

    return MEASURES[measure](**arguments)


def networks(
    *, repeats: int = 5, sizes: Mapping[str, tuple[int, int, int]] = SIZES, measured: Measure = fresh
) -> list[Row]:
    """From clips to features, ours in turn with the reference on the same weights."""
    rows = []
    for name, (items, frames, side) in sizes.items():
        what, peer = SUBJECTS[name]
        taken = measured("speeds", name=name, size=(items, frames, side), repeats=repeats)
        each = f"{items} pictures" if frames == 1 else f"{items} clips of {frames} frames"
        how = (
            f"{each} of {side}² from [-1, 1] on, the resize included, one thread, in turn with {peer} after our resize"
        )
        best = f"{1e3 * min(taken['ours']):.0f} ms, theirs {1e3 * min(taken['theirs']):.0f} ms at best"
        samples = tuple(a / b for a, b in zip(taken["ours"], taken["theirs"], strict=True))
        rows.append(Row(f"time of {what}", f"processor time of {how}", "of the reference's", samples, 1.0, best))
        far = f"the largest difference divided by the largest value, {taken['where']}"
        rows.append(Row(f"difference of {what}", far, "of the largest", (taken["difference"],), 2e-5))
        held = {side: measured("peak", name=name, side=side, size=sizes[name]) for side in ("ours", "theirs")}
        ratio = held["ours"] / max(held["theirs"], 1e-3)
        how = "the highest resident set above that with both networks loaded, a process each, otherwise likewise"
        least = f"{held['ours']:.0f} MiB, theirs {held['theirs']:.0f} MiB"
        rows.append(Row(f"memory of {what}", how, "of the reference's", (ratio,), None, least))
    return rows
