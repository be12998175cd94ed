"""Quality as a power law of what is spent."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from scipy.special import stdtrit

from omnitok.exhibits.axes import DECADE, Axis, axis, by_decades, numbers, quality, titled
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.exhibits.figures import COLOURS, STYLE, legible
from omnitok.exhibits.numbers import as_range, by_spread
from omnitok.results import Metric, Results
from omnitok.results.statistics import Interval

LEAST: Final = 3  # distinct x; through two any law goes
DECIBEL: Final = "dB"
WIDE, HIGH, BESIDE, BELOW = 3.6, 2.5, 0.7, 0.5  # inches


class Law(NamedTuple):
    """A line through (log10 x, v), v being log10 y, or y where that is in dB. ``df``: arms less two; ``noise``: sd of
    residuals; ``centre``, ``about``: mean of log10 x and the sum of squares about it."""

    at: float
    slope: float
    df: int
    noise: float
    centre: float
    about: float

    def interval(self) -> Interval:
        """Of the slope, 95 %, by Student's t."""
        half = self._t * self.noise / math.sqrt(self.about)
        return Interval(self.slope - half, self.slope + half, 0.95)

    def line(self, x: Any) -> tuple[Any, Any]:
        """v at log10 x, and half of the 95 % interval of the line there."""
        half = self._t * self.noise * np.sqrt(1 / (self.df + 2) + (x - self.centre) ** 2 / self.about)
        return self.at + self.slope * (x - self.centre), half

    @property
    def _t(self) -> float:
        return float(stdtrit(self.df, 0.975))


def scaling(results: Results, *, x: str = "parameters", y: str = "", caption: str = "") -> Pieces:
    """A power law y = a x^b with no constant term, as a line through logarithms by least squares (as Kaplan et al. 2020, arXiv
    2001.08361): a point an arm, by its means over seeds, so that what is not of the law counts as noise. The exponent b has a
    95 % t interval of the slope with n - 2 degrees of freedom, n arms; the band is that of the line.

    A metric in dB is ten logarithms already: PSNR is -10 log10 of the squared error, so a line of it over log10 x is the power law of
    that error, with b = -slope / 10. With fewer than three distinct x nothing can be fitted: that is
    refused where all runs are done, as is a number that is not positive, and nothing is drawn while some are to come.
    x: parameters, flops, bits_per_token, throughput, memory, hours, or the path of a factor or choice that is a number, as steps.
    y: a metric; where none is said the first that was measured.
    caption: in place of what is usually said.
    """
    of, across = quality(results, y, "y"), _numeric(axis(results, x, "x"))
    if of is None:
        return Pieces()
    points = _points(results, across, of)
    if len(set(points["x"])) < LEAST:
        if (results.rows["status"] != "done").any():
            return Pieces()
        raise Unfit("x", f"a power law needs {LEAST} distinct {across.path}, and the arms have {len(set(points['x']))}")
    for choice, name in (("x", across.path), ("y", of.column)):
        if (choice == "x" or of.unit != DECIBEL) and points[choice].min() <= 0:
            raise Unfit(choice, f"a power law needs positive numbers, and {name} has {points[choice].min():g}")
    law = fitted(points["x"], points["y"], of.unit == DECIBEL)
    return Pieces.of(Picture("scaling", _drawn(points, law, across, of), caption or _said(law, across, of)))


def fitted(x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series, decibels: bool) -> Law:
    """Least squares in logarithms; at least three points with two distinct x."""
    u = np.log10(np.asarray(x, float))
    v = np.asarray(y, float) if decibels else np.log10(np.asarray(y, float))
    centre, about = float(u.mean()), float(((u - u.mean()) ** 2).sum())
    slope = float(((u - centre) * (v - v.mean())).sum() / about)
    left = v - v.mean() - slope * (u - centre)
    df = len(u) - 2
    return Law(float(v.mean()), slope, df, math.sqrt(float((left**2).sum()) / df), centre, about)


def exponent(law: Law, decibels: bool) -> tuple[float, Interval]:
    """b with its 95 % interval; of a metric in dB that of the error behind it."""
    interval = law.interval()
    if not decibels:
        return law.slope, interval
    return -law.slope / 10, Interval(-interval.high / 10, -interval.low / 10, interval.level)


def _numeric(across: Axis) -> Axis:
    """Raises Unfit where labels are no numbers."""
    if not across.labels:
        return across
    found = numbers(across.values)
    if found is None:
        raise Unfit("x", f"the labels of {across.path} are no numbers: {', '.join(across.labels)}")
    return across._replace(values=found, labels=())


def _points(results: Results, across: Axis, of: Metric) -> pd.DataFrame:
    """x and y of the arms of which both are known: means over seeds."""
    frame = results.rows.loc[across.values.index, ["arm"]].assign(x=across.values.astype(float))
    frame["y"] = results.rows.loc[frame.index, of.column].astype(float)
    return frame.dropna().groupby("arm", sort=False)[["x", "y"]].mean()


def _said(law: Law, across: Axis, of: Metric) -> str:
    decibels = of.unit == DECIBEL
    b, interval = exponent(law, decibels)
    number = by_spread(b, interval.high - interval.low)
    what = f"{law.slope:.3g} dB a decade, a power law of the error behind it" if decibels else "a power law"
    return (
        f"{of.column} against {across.title}: {what}, with the exponent {number} (95 % t interval {as_range(interval)}, "
        f"n = {law.df + 2} arms, each by its mean over seeds). The band is the 95 % interval of the line."
    )


def _drawn(points: pd.DataFrame, law: Law, across: Axis, of: Metric) -> Figure:
    width, height = BESIDE + WIDE + 0.2, BELOW + HIGH + 0.15
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        panel = figure.add_axes((BESIDE / width, BELOW / height, WIDE / width, HIGH / height))
        _band(panel, points, law, decibels=of.unit == DECIBEL)
        panel.plot(points["x"], points["y"], "o", color=COLOURS[0], ms=4.5, zorder=3)
        panel.set(xscale="log", xlabel=legible(across.title), ylabel=legible(titled(of)))
        by_decades(panel.xaxis, points["x"].min(), points["x"].max())
        if of.unit != DECIBEL:
            panel.set_yscale("log")
            if points["y"].max() > DECADE * points["y"].min():
                by_decades(panel.yaxis, points["y"].min(), points["y"].max())
            else:
                panel.yaxis.set_major_locator(MaxNLocator(5))
                panel.yaxis.set_major_formatter(ScalarFormatter())
                panel.yaxis.set_minor_formatter(NullFormatter())
        return figure


def _band(panel: Axes, points: pd.DataFrame, law: Law, decibels: bool) -> None:
    low, high = np.log10(points["x"].min()), np.log10(points["x"].max())
    margin = 0.08 * (high - low)
    x = np.linspace(low - margin, high + margin, 100)
    line, half = law.line(x)
    some = [line, line - half, line + half]
    middle, under, over = some if decibels else [10.0**one for one in some]
    panel.fill_between(10**x, under, over, color=COLOURS[1], alpha=0.15, linewidth=0)
    panel.plot(10**x, middle, color=COLOURS[1], lw=1.3)
