"""What was measured, as points: a panel a metric, a line an arm or baseline, a ring a seed, a dot their mean."""

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok.exhibits.cells import chosen
from omnitok.exhibits.contract import Picture, Pieces
from omnitok.exhibits.figures import COLOURS, STYLE, legible
from omnitok.results import Metric, Results

ACROSS: Final = 3  # panels side by side
MOST: Final = 40  # lines in a panel; with more nobody can read them
BETTER: Final = {"higher": "higher is better", "lower": "lower is better"}
NAMES, WIDE, GAP, AROUND = 1.8, 2.0, 0.35, 0.85  # inches: names, a panel, beside it, above and below it
LONGEST: Final = 28  # characters of an arm's name beside its line


def points(results: Results, *, metrics: tuple[str, ...] = (), caption: str = "") -> Pieces:
    """Every seed of every arm and baseline, a panel a metric.

    metrics: which; all where none is said.
    caption: in place of what is usually said.
    """
    of = chosen(results, metrics)
    figure = measured(results.rows, of)
    several = (results.rows.groupby("arm")[[metric.column for metric in of]].count() > 1).any(axis=None)
    said = f"What was measured, arm by arm: a ring is a seed{', a dot the mean over seeds' if several else ''}."
    return Pieces.of(Picture("points", figure, caption or said) if figure else None)


def measured(frame: pd.DataFrame, metrics: Sequence[Metric]) -> Figure | None:
    """``frame``: rows as ``collect.rows_of`` gives them. None where nothing is measured, or there are too many lines."""
    known = [metric for metric in metrics if frame[metric.column].notna().any()]
    names = list(dict.fromkeys(frame["arm"]))
    if not known or len(names) > MOST:
        return None
    across = min(ACROSS, len(known))
    down = -(-len(known) // across)
    arms = list(dict.fromkeys(frame.loc[frame["kind"] == "arm", "arm"]))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(arms)}
    tall = 0.2 * len(names)
    width, height = NAMES + across * (WIDE + GAP), down * (tall + AROUND)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for i, metric in enumerate(known):
            row, column = divmod(i, across)
            left, top = NAMES + column * (WIDE + GAP), height - row * (tall + AROUND) - 0.3
            place = (left / width, (top - tall) / height, WIDE / width, tall / height)
            _panel(figure.add_axes(place), frame, metric, names, colours)
            figure.axes[-1].tick_params(axis="y", labelleft=column == 0)
        return figure


def _panel(panel: Axes, frame: pd.DataFrame, metric: Metric, names: Sequence[str], colours: Mapping[str, str]) -> None:
    for line, name in enumerate(names):
        values = frame.loc[frame["arm"] == name, metric.column].dropna().astype(float)
        colour = colours.get(name, "black")
        panel.plot(values, [line] * len(values), "o", mfc="none", mec=colour, ms=4, mew=0.8)
        if len(values) > 1:
            panel.plot([values.mean()], [line], "o", color=colour, ms=5)
    panel.set_title(legible(metric.column), loc="left")
    panel.set_xlabel(legible(", ".join(filter(None, (metric.unit, BETTER.get(metric.better))))))
    said = [legible(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…") for name in names]
    panel.set_yticks(range(len(names)), said)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.margins(x=0.08)
    panel.locator_params(axis="x", nbins=4)
