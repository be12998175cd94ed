"""Quality against what it costs: which arms no other arm beats in both."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok.exhibits.axes import DECADE, Axis, axis, by_decades, quality, short, titled
from omnitok.exhibits.cells import COSTS, one_metric
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.exhibits.figures import COLOURS, STYLE
from omnitok.results import Metric, Results
from omnitok.results.statistics import Summary, summary
from omnitok.spec import near

WIDE, HIGH, BELOW, LEFT = 3.4, 2.5, 0.5, 0.65  # inches: a panel, below it, left of it
LINE, LETTER = 0.14, 0.062  # inches between two names, of a letter of one
MOST: Final = 40  # names; of a longer front they are of arms at even distances
FEW: Final = 12  # arms that are all named, whether they are on the front or not
PALE, GREY = "#a8a8a8", "#6b6b6b"  # points and names of arms that are not on the front


class Point(NamedTuple):
    """An arm: both numbers over its seeds."""

    arm: str
    x: Summary
    y: Summary


def pareto(results: Results, *, x: str = "parameters", y: str = "", caption: str = "") -> Pieces:
    """A point an arm: the mean over seeds, with its standard deviation where two seeds or more were measured. The steps are
    the Pareto front of these means: the arms that no other one equals or beats in both and beats in one.
    Of at most 12 arms all are named, of more those on the front.

    x: parameters, flops, bits_per_token, throughput, memory, hours, or a metric; of a cost less is better, of throughput more.
    y: a metric; where none is said the first that was measured.
    caption: in place of what is usually said.
    """
    of, across = quality(results, y, "y"), _across(results, x)
    better_x = across.better if x not in COSTS or across.better != "neither" else "lower"
    if of is None:
        return Pieces()
    for choice, name, better in (("y", of.column, of.better), ("x", across.path, better_x)):
        if better == "neither":
            raise Unfit(choice, f"neither direction of {name} is better, so it has no front")
    points = _points(results, across, of)
    if not points:
        return Pieces()
    best = front([(one.x.mean, one.y.mean) for one in points], better_x, of.better)
    figure = _drawn(points, best, across, titled(of), (better_x, of.better))
    spread = ", a bar its standard deviation" if any(any(_bars(one, across)) for one in points) else ""
    said = caption or (
        f"{of.column} against {across.title}: a point is the mean of an arm over its seeds{spread}. "
        f"The steps are the Pareto front of the means; {_how_many(best, len(points))}."
    )
    return Pieces.of(Picture("pareto", figure, said))


def front(points: Sequence[tuple[float, float]], better_x: str, better_y: str) -> list[int]:
    """Which points no other equals or beats in both and beats in one, from the best x to the worst."""
    signs = (1 if better_x == "higher" else -1, 1 if better_y == "higher" else -1)
    signed = [(signs[0] * x, signs[1] * y) for x, y in points]
    top = -math.inf
    found: list[int] = []
    for i in sorted(range(len(signed)), key=lambda i: (-signed[i][0], -signed[i][1], i)):
        if signed[i][1] > top or (found and signed[i] == signed[found[-1]]):
            found.append(i)
            top = signed[i][1]
    return found


def _how_many(best: Sequence[int], count: int) -> str:
    on = f"{len(best)} of {count} arms {'is' if len(best) == 1 else 'are'} on it"
    if len(best) < count <= FEW:
        return f"{on}, the rest is named in grey"
    named = "is" if len(best) == 1 else "are" if len(best) <= MOST else f"{MOST} of them are"
    return f"{on}, and {named} named"


def _named(best: Sequence[int], count: int) -> list[int]:
    """All of few arms; of more the ends of the front and those between, at most ``MOST``."""
    if count <= FEW:
        return list(range(count))
    if len(best) <= MOST:
        return list(best)
    return [best[round(i * (len(best) - 1) / (MOST - 1))] for i in range(MOST)]


def _across(results: Results, name: str) -> Axis:
    """Raises Unfit."""
    if name in COSTS:
        return axis(results, name, "x")
    if not any(name in (metric.column, metric.label) for metric in results.metrics):
        known = [*COSTS, *(metric.column for metric in results.metrics)]
        raise Unfit("x", f"{name} is no cost and no metric{near(name, known)}")
    of = one_metric(results, name, "x")
    return Axis(
        of.column, titled(of).removesuffix(" ↑").removesuffix(" ↓"), results.rows[of.column], (), of.better, True
    )


def _points(results: Results, across: Axis, of: Metric) -> list[Point]:
    """The arms of which both are known."""
    found = []
    for arm in results.arms:
        trials = results.trials("arm", arm)
        xs = across.values[across.values.index.intersection(trials.index)].astype(float)
        x, y = summary(xs[trials.loc[xs.index, of.column].notna()]), summary(trials[of.column].dropna().astype(float))
        if x.n and y.n:
            found.append(Point(arm, x, y))
    return found


def _drawn(points: Sequence[Point], best: Sequence[int], across: Axis, title: str, better: tuple[str, str]) -> Figure:
    named = _named(best, len(points))
    high = max(HIGH, LINE * len(named) + 0.2)
    names = 0.25 + LETTER * max(len(short(points[i].arm)) for i in named)
    width, height = LEFT + WIDE + names, high + BELOW + 0.15
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        panel = figure.add_axes((LEFT / width, BELOW / height, WIDE / width, high / height))
        xs = [one.x.mean for one in points]
        if min(xs) > 0 and max(xs) > DECADE * min(xs):
            panel.set_xscale("log")
            by_decades(panel.xaxis, min(xs), max(xs))
        for i, one in enumerate(points):
            on = i in best
            bars = _bars(one, across)
            panel.errorbar(one.x.mean, one.y.mean, bars[1], bars[0], "o", color=COLOURS[0] if on else PALE, zorder=3 if on else 2,
                           ms=5 if on else 4, lw=0.9, capsize=2)  # fmt: skip
        arrow = "→" if better[0] == "higher" else "←"
        panel.set(xlabel=f"{across.title}  {arrow} better", ylabel=short(title))
        panel.margins(0.08, 0.1)
        if panel.get_xscale() != "log":
            panel.locator_params(axis="x", nbins=6)
        _steps(panel, [points[i] for i in best], better)
        _names(panel, [(points[i], "black" if i in best else GREY) for i in named], high)
        return figure


def _bars(one: Point, across: Axis) -> tuple[float | None, float | None]:
    """The standard deviations of x and y; None where there is no spread, or x is not measured."""
    return one.x.sd if across.measured and one.x.sd else None, one.y.sd or None


def _steps(panel: Axes, best: Sequence[Point], better: tuple[str, str]) -> None:
    """The best that is to be had of y for so much of x, from the edge of the panel to its other edge."""
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    worst_x = left if better[0] == "higher" else right
    x: list[float] = []
    y: list[float] = []
    before = bottom if better[1] == "higher" else top
    for one in best:
        x += [one.x.mean, one.x.mean]
        y += [before, one.y.mean]
        before = one.y.mean
    panel.plot([*x, worst_x], [*y, before], color=COLOURS[0], lw=1.6, alpha=0.4, zorder=1)
    panel.set(xlim=(left, right), ylim=(bottom, top))


def _names(panel: Axes, named: Sequence[tuple[Point, str]], high: float) -> None:
    """Right of the panel, each at the height of its point as far as there is room, with a line to it."""
    bottom, top = panel.get_ylim()
    order = sorted(named, key=lambda one: (one[0].y.mean, one[0].x.mean))
    at = spread([high * (one.y.mean - bottom) / (top - bottom) for one, _ in order], LINE, high)
    for (one, colour), place in zip(order, at, strict=True):
        panel.annotate(
            short(one.arm), (one.x.mean, one.y.mean), xytext=(1.03, place / high), textcoords="axes fraction", va="center",
            fontsize=7, color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "lw": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float, high: float) -> list[float]:
    """Ascending places at least ``gap`` apart within 0 to ``high``, as near to those wanted as pushing makes them."""
    found: list[float] = []
    for place in wanted:
        found.append(max(place, found[-1] + gap if found else gap / 2))
    ceiling = high - gap / 2
    for i in range(len(found) - 1, -1, -1):
        found[i] = min(found[i], ceiling)
        ceiling = found[i] - gap
    return found
