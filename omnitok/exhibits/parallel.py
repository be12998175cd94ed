"""Parallel coordinates: every arm as a line through what was set, ending in what came of it."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from omnitok.exhibits.axes import Axis, Tried, short, tried
from omnitok.exhibits.contract import Picture, Pieces
from omnitok.exhibits.figures import STYLE, legible
from omnitok.exhibits.table import UNSAID
from omnitok.results import Results

STEP, HIGH, LEFT, MOST = 1.15, 2.9, 1.2, 0.8  # inches between axes, of an axis, left of the first and right of the last
LINE: Final = 0.15  # inches that a label takes
LABEL: Final = 18  # characters of a label, and of a line of an axis's title
AWAY: Final = -0.12  # where a number that is not there stands, in heights of an axis
FEW, APART = 6, 0.06  # numbers that stand at an axis as they are, and heights between two of them
SCALE: Final = "viridis_r"  # dark is better; readable by the colour-blind and without colour


def parallel(results: Results, *, metric: str = "", axes: tuple[str, ...] = (), caption: str = "") -> Pieces:
    """A line an arm, by its mean over seeds, or a suggestion of a search: dark where the metric is better.

    Lines through one label lie side by side, the better ones above. Nothing is drawn where nothing is measured, or where
    nothing varies.
    metric: at the end; where none is said the first that was measured, of a search its objective.
    axes: factors and choices by their paths, and costs; the factors where none is said, of a search what was searched.
    caption: in place of what is usually said.
    """
    found = tried(results, metric, axes)
    if found is None:
        return Pieces()
    whole = _by_arm(found) if found.seed is not None else _with_arms(found)
    shown = whole._replace(axes=tuple(one for one in whole.axes if axes or one.varies))
    if not shown.axes:
        return Pieces()
    of = "an arm (the mean over its seeds)" if found.seed is not None else "a complete suggestion of the search"
    said = f"What was set and what came of it: a line is {of}, dark where {found.title} is better."
    if any(UNSAID in one.labels or (not one.labels and one.values.isna().any()) for one in shown.axes):
        said += f" {UNSAID}: as the experiment says, or not there."
    return Pieces.of(Picture("parallel", _drawn(shown), caption or said))


def _by_arm(found: Tried) -> Tried:
    """A row an arm, of what differs from seed to seed the mean."""
    whose = found.arm.to_numpy()
    axes = [one._replace(values=one.values.groupby(whose, sort=False).agg("first" if one.labels else "mean"))
            for one in found.axes]  # fmt: skip
    y = found.y.groupby(whose, sort=False).mean()
    return found._replace(axes=tuple(axes), y=y, arm=pd.Series(y.index, y.index))


def _with_arms(found: Tried) -> Tried:
    names = tuple(dict.fromkeys(found.arm))
    return found._replace(axes=(Axis("arm", "arm", found.arm, names), *found.axes)) if len(names) > 1 else found


def _drawn(found: Tried) -> Figure:
    better = found.y if found.better != "lower" else -found.y
    order = better.rank(method="first").astype(int) - 1
    end = Axis("", found.title, found.y)
    places = np.array([[*_places(one, order)] for one in (*found.axes, end)])
    tall = max(HIGH, LINE * max(len(one.labels) for one in found.axes) / 0.9)
    step = max(0.8, min(STEP, 5.8 / len(found.axes)))
    left, width = LEFT, LEFT + step * len(found.axes) + MOST
    height = tall + 0.75
    foot = AWAY if any(not one.labels and one.values.isna().any() for one in found.axes) else 0.0
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        page = figure.add_axes((left / width, 0.7 / height, (width - left) / width, (tall - 0.1) / height))
        page.set(xlim=(0, (width - left) / step), ylim=(foot - 0.03, 1.03))
        page.set_axis_off()
        colours = mpl.colormaps[SCALE](0.2 + 0.8 * _scaled(better))
        many = len(found.y)
        for row in np.argsort(order.to_numpy()):  # the best last, above the others
            page.plot(range(len(places)), places[:, row], color=colours[row], lw=1.6 if many <= 20 else 1.0, alpha=0.85,
                      solid_joinstyle="round", zorder=2)  # fmt: skip
        for i, one in enumerate((*found.axes, end)):
            _axis(page, i, one, foot, last=i == len(found.axes))
        return figure


def _scaled(values: pd.Series) -> np.ndarray[Any, Any]:
    low, high = values.min(), values.max()
    return ((values - low) / (high - low)).to_numpy() if high > low else np.full(len(values), 0.5)


def _places(one: Axis, order: pd.Series) -> Iterator[float]:
    """Heights from 0 to 1; lines through one label are spread over its band by the order of what came of them."""
    if one.labels:
        band = 1 / len(one.labels)
        ranks = order.groupby(one.values.to_numpy()).rank(method="first").to_numpy() - 1
        sizes = one.values.groupby(one.values.to_numpy()).transform("size").to_numpy()
        for label, rank, size in zip(one.values, ranks, sizes, strict=True):
            yield band * (one.labels.index(label) + 0.5 + 0.6 * ((rank + 0.5) / size - 0.5))
        return
    for value in one.values:
        yield AWAY if np.isnan(value) else _height(one, value)


def _height(one: Axis, value: float) -> float:
    known = one.values.dropna()
    low, high, at = (np.log(v) if one.log else v for v in (known.min(), known.max(), value))
    return float((at - low) / (high - low)) if high > low else 0.5


def _axis(page: Axes, x: int, one: Axis, foot: float, last: bool) -> None:
    page.plot([x, x], [0, 1], color="#444444", lw=0.8, zorder=3, clip_on=False)
    for height, text in _ticks(one):
        side, ha = (1, "left") if x else (-1, "right")
        page.plot([x, x + side * 0.03], [height, height], color="#444444", lw=0.8, zorder=3)
        page.text(x + side * 0.05, height, text, fontsize=7, va="center", ha=ha, zorder=4,
                  bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0})  # fmt: skip
    lines = textwrap.wrap(one.title.replace("_", "_ "), LABEL, max_lines=3, placeholder="…")
    words = "\n".join(legible(line.replace("_ ", "_")) for line in lines)
    page.text(x, foot - 0.06, words, ha="center", va="top", fontsize=7.5, fontweight="bold" if last else "normal")


def _ticks(one: Axis) -> Sequence[tuple[float, str]]:
    if one.labels:
        return [((i + 0.5) / len(one.labels), short(label, LABEL)) for i, label in enumerate(one.labels)]
    known = one.values.dropna()
    if not len(known):
        return []
    low, high = known.min(), known.max()
    some = sorted(set(known))
    heights = [_height(one, value) for value in some]
    if len(some) > FEW or any(b - a < APART for a, b in pairwise(heights)) or any(len(f"{v:.6g}") > 6 for v in some):
        some = _round(one, low, high)
    there = [(_height(one, value), f"{value:.6g}") for value in some if low <= value <= high]
    return [*there, (AWAY, UNSAID)] if one.values.isna().any() else there


def _round(one: Axis, low: float, high: float) -> list[float]:
    if low == high:
        return [low]
    locator = LogLocator(subs=(1.0, 3.0)) if one.log else MaxNLocator(5)
    return [float(value) for value in locator.tick_values(low, high)]
