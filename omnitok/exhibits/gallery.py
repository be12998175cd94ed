"""The figure that eyes judge: held-out originals beside what every arm made of them, the same items in every column, and
below these where they are wrong."""

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from omnitok.exhibits.cells import chosen_arms, chosen_evaluations
from omnitok.exhibits.contract import PIXELS, Picture, Pieces
from omnitok.exhibits.figures import STYLE, legible
from omnitok.exhibits.sheet import MOST, contact_sheet
from omnitok.exhibits.shown import ordered, whose
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
Place = tuple[float, float, float, float]  # left, right, bottom, top, in inches
ERRORS: Final = "magma"  # dark is none; readable by the colour-blind and without colour
BRIGHT: Final = 0.99  # the share of errors that the scale tells apart; what is above is as bright as it gets
LEAST: Final = 1 / 255  # the smallest error that a picture can have
HEIGHT: Final = 0.14  # of the scale, in inches


class Line(NamedTuple):
    """A row of a gallery: a frame of an item, or where what was made of it is wrong."""

    original: Path
    frame: int
    error: bool = False


def gallery(
    results: Results,
    *,
    evaluations: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    errors: bool = True,
    sheet: bool = False,
    caption: str = "",
) -> Pieces:
    """Held-out items: the original beside what each arm and baseline made of it, the same items in every column.

    evaluations: which; all where none is said.
    arms: which, in this order; all where none is said.
    errors: whether below what was made of an item (of a clip, of its middle frame) stands its absolute error.
    sheet: whether all frames of one clip stand on a contact sheet, of evaluations of videos.
    caption: before what is usually said.
    """
    names, found = chosen_arms(results, arms), []
    for evaluation in chosen_evaluations(results, evaluations):
        frames, every = results.frames(evaluation), results.shown(evaluation)
        columns = ordered(every, names)
        drawn = galleries(columns, frames, errors)
        name = slug(evaluation, digest(evaluation))
        said = f"{caption} {_caption(evaluation, whose(columns, every), frames)}{_scale(columns, frames) if errors else ''}".strip()
        for i, figure in enumerate(drawn, start=1):
            part, number = (f" Part {i} of {len(drawn)}.", f"-{i}") if len(drawn) > 1 else ("", "")
            found.append(Picture(f"samples-{name}{number}", figure, said + part, PIXELS))
        if sheet and frames > 1 and (one := contact_sheet(columns, frames)):
            cut = f" The first {MOST} of {len(columns)} are shown." if len(columns) > MOST else ""
            said = f"{caption} A clip of {evaluation}, all {frames} frames: the original, and what was made of it.{cut}"
            found.append(Picture(f"sheet-{name}", one, said.strip(), PIXELS))
    return Pieces(found)


def _scale(columns: Sequence[Shown], frames: int) -> str:
    """What a caption says of errors; "" where there are none."""
    found = _judged(columns, _originals(columns, frames), frames)
    if found is None:
        return ""
    kind, bright = found
    of = f"{kind}'s" if sum(one.kind == kind and one.folder is not None for one in columns) == 1 else f"{kind}s'"
    where = " of the middle frame" if frames > 1 else ""
    return (
        f" Below it the absolute error{where}, the mean over channels where white is 1: black is 0, and the brightest is {bright:.2g} or more "
        f"({100 * BRIGHT:.0f} % of the {of} errors are less)."
    )


def brightest(columns: Sequence[Shown], originals: Sequence[Path], frames: int) -> float | None:
    """The error from which up a map is as bright as it gets: one for all columns, so that they can be compared, and of the
    arms, beside which a baseline may be far off. None where nothing can be shown."""
    found = _judged(columns, originals, frames)
    return found[1] if found else None


def _judged(columns: Sequence[Shown], originals: Sequence[Path], frames: int) -> tuple[str, float] | None:
    """Of which kind of column the brightest error is, and how much it is."""
    middle = _middle(frames)
    for kind in ("arm", "baseline"):
        paths = [(original, path) for original in originals for column in columns if column.kind == kind
                 if (path := _reconstruction(column, original))]  # fmt: skip
        maps = [found for original, path in paths if (found := error_map(original, path, middle, frames)) is not None]
        if maps:
            return kind, max(LEAST, float(np.quantile(np.concatenate([one.ravel() for one in maps]), BRIGHT)))
    return None


def error_map(original: Path, made: Path, frame: int, frames: int) -> Any:
    """|original - made|, the mean over channels, [h, w] in 0 to 1; None where the pictures differ in size."""
    a, b = (np.asarray(_picture(path, frame, frames), float) for path in (original, made))
    if a.shape != b.shape:
        return None
    return np.abs(a - b)[..., :3].mean(-1) if a.ndim == 3 else np.abs(a - b)


def _caption(evaluation: str, made_by: str, frames: int) -> str:
    said = f"Held-out items of {evaluation}: the original beside what {made_by} made of it."
    return said + (" Three frames a clip." if frames > 1 else "")


def galleries(columns: Sequence[Shown], frames: int, errors: bool = False) -> list[Figure]:
    """Figures of at most ``COLUMNS`` columns each, all with the same originals; none where nothing can be shown."""
    originals = _originals(columns, frames)
    if not originals:
        return []
    items = next(column.items for column in columns if column.folder)
    bright = brightest(columns, originals, frames) if errors else None
    size = -(-len(columns) // -(-len(columns) // COLUMNS))
    parts = [columns[i : i + size] for i in range(0, len(columns), size)]
    return [_gallery(part, originals, items, frames, bright) for part in parts]


def _originals(columns: Sequence[Shown], frames: int) -> list[Path]:
    folder = next((column.folder for column in columns if column.folder), None)
    return sorted(folder.glob("*-original.png"))[: ITEMS[frames > 1]] if folder else []


def _gallery(
    columns: Sequence[Shown], originals: Sequence[Path], items: Sequence[str], frames: int, bright: float | None
) -> Figure:
    """Rows are held-out items (of a clip, three of its frames), columns the original and what each arm made of it;
    with errors, where one is as bright as it gets at ``bright``, below a row."""
    lines = _lines(originals, frames, bright is not None)
    sizes = [_picture(line.original, line.frame, frames).shape for line in lines]
    heights = [CELL * size[0] / size[1] for size in sizes]
    gaps = [GAP + (0.12 if i and line.frame == 0 and not line.error and len(lines) > len(originals) else 0.0)
            for i, line in enumerate(lines)]  # fmt: skip
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
        for line, tall, gap in zip(lines, heights, gaps, strict=True):
            top -= tall + gap
            label = "error" if line.error else _label(items, line.original, line.frame, frames)
            page.text(LABEL - 0.08, top + tall / 2, label, ha="right", va="center", fontsize=7)
            places = [(left, left + CELL, top, top + tall) for left in lefts]
            _row(page, places, line, columns, frames=frames, bright=bright or 1.0)
        page.set(xlim=(0, width), ylim=(0, height), aspect="auto")
        page.set_axis_off()
        return figure


def _lines(originals: Sequence[Path], frames: int, errors: bool) -> list[Line]:
    found = []
    for original in originals:
        for frame in _frames(frames):
            found.append(Line(original, frame))
            if errors and frame == _middle(frames):
                found.append(Line(original, frame, error=True))
    return found


def _middle(frames: int) -> int:
    return _frames(frames)[len(_frames(frames)) // 2]


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


def _row(
    page: Axes, places: Sequence[Place], line: Line, columns: Sequence[Shown], *, frames: int, bright: float
) -> None:
    """The original, or the scale of errors, and what each column has."""
    if line.error:
        _legend(page, places[0], bright)
    else:
        _panel(page, places[0], _picture(line.original, line.frame, frames))
    for place, column in zip(places[1:], columns, strict=True):
        path = _reconstruction(column, line.original)
        if path is None or not line.error:
            _panel(page, place, None if path is None else _picture(path, line.frame, frames))
            continue
        found = error_map(line.original, path, line.frame, frames)
        _panel(page, place, found, white=bright, colours=ERRORS, hole="another size")


def _legend(page: Axes, place: Place, bright: float) -> None:
    """The scale of errors, in the place below an original."""
    left, right, bottom, top = place
    middle, some = (bottom + top) / 2, np.linspace(0, 1, 64)[None]
    page.imshow(
        some, extent=(left + 0.1, right - 0.1, middle, middle + HEIGHT), cmap=ERRORS, vmin=0, vmax=1, aspect="auto"
    )
    page.text(left + 0.1, middle - 0.03, "0", ha="left", va="top", fontsize=6.5)
    page.text(right - 0.1, middle - 0.03, f"{bright:.2g}", ha="right", va="top", fontsize=6.5)


def _panel(
    page: Axes, place: Place, picture: Any, *, white: float = 1.0, colours: str = "gray", hole: str = ""
) -> None:
    """One picture, or a grey field where there is none."""
    left, right, bottom, top = place
    if picture is None:
        page.fill([left, right, right, left], [bottom, bottom, top, top], color="#f0f0f0", linewidth=0)
        page.text(
            (left + right) / 2, (bottom + top) / 2, hole or "no sample", ha="center", va="center", color="#666666"
        )
        return
    page.imshow(
        np.asarray(picture), extent=place, interpolation="nearest", cmap=colours, vmin=0, vmax=white, aspect="auto"
    )
