"""The figure that eyes judge: held-out originals beside what every arm made of them, the same items in every column."""

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from omnitok.exhibits.cells import chosen_arms, chosen_evaluations
from omnitok.exhibits.contract import PIXELS, Picture, Pieces
from omnitok.exhibits.figures import STYLE, legible
from omnitok.results import Results
from omnitok.results.collect import slug
from omnitok.results.pictures import Shown
from omnitok.spec import digest

CELL: Final = 1.0  # inches
GAP: Final = 0.04
LABEL: Final = 1.15
LINE: Final = 0.13
ITEMS: Final = {True: 2, False: 4}  # how many clips, how many photos
FRAMES: Final = 3
COLUMNS: Final = 8


def gallery(
    results: Results, *, evaluations: tuple[str, ...] = (), arms: tuple[str, ...] = (), caption: str = ""
) -> Pieces:
    """Held-out items: the original beside what each arm and baseline made of it, the same items in every column.

    evaluations: which; all where none is said.
    arms: which, in this order; all where none is said.
    caption: before what is usually said.
    """
    names, found = set(chosen_arms(results, arms)), []
    for evaluation in chosen_evaluations(results, evaluations):
        frames = results.frames(evaluation)
        columns = [column for column in results.shown(evaluation) if column.kind != "arm" or column.name in names]
        said = f"{caption} {_caption(evaluation, columns, frames)}".strip()
        drawn = galleries(columns, frames)
        for i, figure in enumerate(drawn, start=1):
            part, number = (f" Part {i} of {len(drawn)}.", f"-{i}") if len(drawn) > 1 else ("", "")
            stem = f"samples-{slug(evaluation, digest(evaluation))}{number}"
            found.append(Picture(stem, figure, said + part, PIXELS))
    return Pieces(found)


def _caption(evaluation: str, columns: Sequence[Shown], frames: int) -> str:
    seeds = sorted({column.seed for column in columns if column.seed is not None and column.folder})
    whose = f"every arm (seed {', '.join(map(str, seeds))}) and every baseline"
    said = f"Held-out items of {evaluation}: the original beside what {whose} made of it."
    return said + (" Three frames a clip." if frames > 1 else "")


def galleries(columns: Sequence[Shown], frames: int) -> list[Figure]:
    """Figures of at most ``COLUMNS`` columns each, all with the same originals; none where nothing can be shown."""
    first = next((column for column in columns if column.folder), None)
    if first is None or first.folder is None:
        return []
    originals = sorted(first.folder.glob("*-original.png"))[: ITEMS[frames > 1]]
    size = -(-len(columns) // -(-len(columns) // COLUMNS))
    parts = [columns[i : i + size] for i in range(0, len(columns), size)]
    return [_gallery(part, originals, first.items, frames) for part in parts] if originals else []


def _gallery(columns: Sequence[Shown], originals: Sequence[Path], items: Sequence[str], frames: int) -> Figure:
    """Rows are held-out items (of a clip, three of its frames), columns the original and what each arm made of it."""
    rows = [(original, frame) for original in originals for frame in _frames(frames)]
    sizes = [_picture(original, frame, frames).shape for original, frame in rows]
    heights = [CELL * size[0] / size[1] for size in sizes]
    gaps = [GAP + (0.12 if i and frame == 0 and frames > 1 else 0.0) for i, (_, frame) in enumerate(rows)]
    titles = [["original"], *[_title(column) for column in columns]]
    head = LINE * max(map(len, titles)) + 0.08
    lefts = _lefts(columns)
    width, height = lefts[-1] + CELL + 0.05, head + sum(heights) + sum(gaps) + 0.05
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        page = figure.add_axes((0, 0, 1, 1))  # one for all, in inches: an axes a picture is ten times slower
        for left, title in zip(lefts, titles, strict=True):
            page.text(left + CELL / 2, height - head + 0.05, "\n".join(title), ha="center", va="bottom", fontsize=7.5)
        top = height - head
        for (original, frame), tall, gap in zip(rows, heights, gaps, strict=True):
            top -= tall + gap
            label = _label(items, original, frame, frames)
            page.text(LABEL - 0.08, top + tall / 2, label, ha="right", va="center", fontsize=7)
            paths = [original, *[_reconstruction(column, original) for column in columns]]
            for left, path in zip(lefts, paths, strict=True):
                _panel(page, (left, left + CELL, top, top + tall), path, frame, frames)
        page.set(xlim=(0, width), ylim=(0, height), aspect="auto")
        page.set_axis_off()
        return figure


def _frames(frames: int) -> list[int]:
    """First, middle and last frame."""
    return sorted({round(i * (frames - 1) / (FRAMES - 1)) for i in range(FRAMES)})


def _picture(path: Path, frame: int, frames: int) -> Any:
    """One frame of a horizontal strip."""
    strip = imread(path)
    wide = strip.shape[1] // frames
    return strip[:, frame * wide : (frame + 1) * wide]


def _lefts(columns: Sequence[Shown]) -> list[float]:
    """Where columns begin, with air after the original and before the baselines."""
    lefts, kinds = [LABEL], ["original", *[column.kind for column in columns]]
    for before, kind in pairwise(kinds):
        lefts.append(lefts[-1] + CELL + (GAP if before == kind else 0.12))
    return lefts


def _title(column: Shown) -> list[str]:
    words = legible(column.name.replace("+", "+ ").replace("_", "_ "))
    lines = textwrap.wrap(words, 15, max_lines=6, placeholder="…")
    return [line.replace("+ ", "+").replace("_ ", "_") for line in lines]


def _label(items: Sequence[str], original: Path, frame: int, frames: int) -> str:
    number = int(original.name.partition("-")[0])
    name = items[number] if number < len(items) else f"item {number}"
    lines = textwrap.wrap(legible(name), 17, max_lines=3, placeholder="…") if frame == 0 else []
    return "\n".join([*lines, f"frame {frame}"] if frames > 1 else lines)


def _reconstruction(column: Shown, original: Path) -> Path | None:
    if column.folder is None:
        return None
    path = column.folder / original.name.replace("-original", "-reconstruction")
    return path if path.exists() else None


def _panel(page: Axes, place: tuple[float, float, float, float], path: Path | None, frame: int, frames: int) -> None:
    """One picture, or a grey field where there is none, in ``place`` = left, right, bottom, top."""
    left, right, bottom, top = place
    if path is None:
        page.fill([left, right, right, left], [bottom, bottom, top, top], color="#f0f0f0", linewidth=0)
        page.text((left + right) / 2, (bottom + top) / 2, "no sample", ha="center", va="center", color="#666666")
        return
    picture = np.asarray(_picture(path, frame, frames))
    page.imshow(picture, extent=place, interpolation="nearest", cmap="gray", vmin=0, vmax=1, aspect="auto")
