"""A video on paper: all frames of one held-out clip, the original above what every arm made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from omnitok.exhibits.axes import short
from omnitok.exhibits.figures import STYLE, legible
from omnitok.results.pictures import Shown

FRAME, GAP, BETWEEN = 0.58, 0.03, 0.12  # inches: the width of a frame, between frames, between clips
LABEL, HEAD = 1.6, 0.35
ACROSS: Final = 9  # frames side by side; a longer clip goes on below
MOST: Final = 24  # rows


def contact_sheet(columns: Sequence[Shown], frames: int) -> Figure | None:
    """Of the first item that can be shown: a row (several of a long clip) the original and each arm and baseline, at most
    ``MOST`` of them; None where nothing can be shown."""
    first = next((column for column in columns if column.folder), None)
    originals = sorted(first.folder.glob("*-original.png")) if first and first.folder else []
    if not originals or first is None:
        return None
    original = originals[0]
    rows = [("original", original), *((column.name, _made(column, original)) for column in columns[:MOST])]
    shape = imread(original).shape
    tall = FRAME * shape[0] / (shape[1] / frames)
    across, down = min(frames, ACROSS), -(-frames // ACROSS)
    block = down * (tall + GAP) + BETWEEN
    width, height = LABEL + across * (FRAME + GAP), HEAD + len(rows) * block
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        page = figure.add_axes((0, 0, 1, 1))
        page.text(LABEL, height - 0.08, legible(_item(first, original)), va="top", fontsize=7.5)
        for i, (name, path) in enumerate(rows):
            top = height - HEAD - i * block
            page.text(LABEL - 0.08, top - block / 2 + BETWEEN / 2, short(name, 26), ha="right", va="center", fontsize=7)
            _clip(page, path, top, tall, frames)
        page.set(xlim=(0, width), ylim=(0, height), aspect="auto")
        page.set_axis_off()
        return figure


def _made(column: Shown, original: Path) -> Path | None:
    path = column.folder / original.name.replace("-original", "-reconstruction") if column.folder else None
    return path if path and path.exists() else None


def _item(column: Shown, original: Path) -> str:
    number = int(original.name.partition("-")[0])
    return column.items[number] if number < len(column.items) else f"item {number}"


def _clip(page: Axes, path: Path | None, top: float, tall: float, frames: int) -> None:
    """All frames, from ``top`` down; grey fields where there is no such file."""
    strip: Any = None if path is None else np.asarray(imread(path))
    for frame in range(frames):
        row, column = divmod(frame, ACROSS)
        left, bottom = LABEL + column * (FRAME + GAP), top - row * (tall + GAP) - tall
        place = (left, left + FRAME, bottom, bottom + tall)
        if strip is None:
            page.fill([left, left + FRAME, left + FRAME, left], [bottom, bottom, bottom + tall, bottom + tall],
                      color="#f0f0f0", linewidth=0)  # fmt: skip
            continue
        wide = strip.shape[1] // frames
        page.imshow(strip[:, frame * wide : (frame + 1) * wide], extent=place, interpolation="nearest", cmap="gray", vmin=0,
                    vmax=1, aspect="auto")  # fmt: skip
