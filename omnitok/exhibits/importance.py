"""How much of what differs between runs each choice explains by itself."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok.exhibits.axes import Axis, Tried, short, tried
from omnitok.exhibits.contract import Picture, Pieces
from omnitok.exhibits.figures import COLOURS, STYLE
from omnitok.results import Results

FORESTS: Final = 5  # random forests, of seeds 0 and up, whose importances are averaged
TREES, DEPTH = 16, 8  # of a forest; a thousand trials take seconds so, and minutes with trees as deep as they like
SETTINGS: Final = 4  # with fewer distinct settings no forest can tell choices apart
SEED: Final = "training seed"
WIDE, NAMES, BAR, BELOW = 3.6, 1.9, 0.24, 0.5  # inches: a panel, left of it, of a bar, below it


class Share(NamedTuple):
    """Of a choice: the share of the variance that it explains by itself, over forests the mean, lowest and highest."""

    title: str
    mean: float
    low: float
    high: float


def importance(results: Results, *, metric: str = "", axes: tuple[str, ...] = (), caption: str = "") -> Pieces:
    """The importance of each factor or choice for one metric, by fANOVA (Hutter et al. 2014) as Optuna has it: the share of
    the variance over the whole space that a choice explains by itself; what is lacking to 1 is what choices do together.

    The study is made of rows, so enumerated sweeps have one like searched ones. Every seed is a trial of its own and the
    seed a parameter like the others: means over seeds would leave as many trials as arms and hide the noise, and so the bar
    of the seed is what chance alone reaches. PED-ANOVA, which Optuna takes by default, compares the best tenth with the rest, which
    of a dozen arms is one. A forest is random: it is grown from five fixed seeds. Nothing is drawn where fewer than two
    choices vary, or where there are fewer than four settings. A search has a panel an arm; a choice that is there only under another is left out.
    metric: which; where none is said the first that was measured, of a search its objective.
    axes: factors and choices by their paths, and costs; the factors where none is said, of a search what was searched.
    caption: in place of what is usually said.
    """
    found = tried(results, metric, axes)
    panels = {name: shares for name, some in _studies(found) if (shares := shares_of(some))} if found else {}
    if found is None or not panels:
        return Pieces()
    runs = ", ".join(
        f"{sum(found.arm == name) if name else len(found.y)}{f' of {name}' if name else ''}" for name in panels
    )
    said = (
        f"Importance for {found.title.rstrip(' ↑↓')}: the share of the variance that a choice explains by itself (fANOVA by Optuna, the mean of "
        f"{FORESTS} forests of {TREES} trees, the bar from the lowest to the highest), from {runs} {'runs' if found.seed is not None else 'suggestions'}."
    )
    if any(share.title == SEED for shares in panels.values() for share in shares):
        said += " What the training seed explains is chance: a choice that explains no more has shown nothing."
    return Pieces.of(Picture("importance", _drawn(panels), caption or said))


def shares_of(found: Tried) -> list[Share]:
    """By importance; none where fewer than two choices vary or there are fewer than ``SETTINGS`` settings."""
    axes = [one for one in found.axes if one.varies and not (not one.labels and one.values.isna().any())]
    settings = pd.DataFrame({i: one.values for i, one in enumerate(axes)}).drop_duplicates()
    if len(axes) < 2 or len(settings) < SETTINGS or found.y.nunique() < 2:
        return []
    if found.seed is not None and found.seed.nunique() > 1:
        axes.append(Axis("seed", SEED, found.seed.astype(str), tuple(dict.fromkeys(found.seed.astype(str)))))
    drawn = _evaluated(axes, found.y)
    made = [Share(one.title, *_ends([forest[str(i)] for forest in drawn])) for i, one in enumerate(axes)]
    return sorted(made, key=lambda share: -share.mean)


def _studies(found: Tried) -> Iterator[tuple[str, Tried]]:
    """One of all arms; of a search one an arm, with what is searched there."""
    if found.seed is not None:
        yield "", found
        return
    for name in dict.fromkeys(found.arm):
        rows = found.arm == name
        axes = (one._replace(values=one.values[rows]) for one in found.axes)
        there = tuple(_without_holes(one) for one in axes if one.values.notna().any())
        yield str(name), found._replace(axes=there, y=found.y[rows], arm=found.arm[rows])


def _without_holes(one: Axis) -> Axis:
    return one._replace(labels=tuple(label for label in one.labels if (one.values == label).any()))


def _evaluated(axes: Sequence[Axis], y: pd.Series) -> list[Mapping[str, float]]:
    """Of each forest {place of an axis: its share}. A number that spans decades is told by its logarithm."""
    import optuna  # 0.2 s that only this exhibit takes
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator

    columns = [one.values if not one.log else one.values.map(math.log10) for one in axes]
    ranges: dict[str, BaseDistribution] = {str(i): CategoricalDistribution(one.labels) if one.labels else
              FloatDistribution(float(column.min()), float(column.max()))
              for i, (one, column) in enumerate(zip(axes, columns, strict=True))}  # fmt: skip
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials([
            optuna.trial.create_trial(params={str(i): column.iloc[row] for i, column in enumerate(columns)},
                                      distributions=ranges, value=float(value))
            for row, value in enumerate(y)
        ])  # fmt: skip
        made = (FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed) for seed in range(FORESTS))
        return [one.evaluate(study) for one in made]
    finally:
        optuna.logging.set_verbosity(level)


def _ends(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.mean(values)), float(min(values)), float(max(values))


def _drawn(panels: Mapping[str, Sequence[Share]]) -> Figure:
    heights = [BAR * len(shares) + (0.25 if name else 0.05) for name, shares in panels.items()]
    width, height = NAMES + WIDE + 0.3, sum(heights) + BELOW * len(panels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        top = height
        for (name, shares), tall in zip(panels.items(), heights, strict=True):
            high = BAR * len(shares)
            top -= tall
            panel = figure.add_axes((NAMES / width, top / height, WIDE / width, high / height))
            _bars(panel, shares)
            panel.set_title(short(name), loc="left")
            top -= BELOW
        return figure


def _bars(panel: Axes, shares: Sequence[Share]) -> None:
    places = range(len(shares))
    colours = ["#a8a8a8" if share.title == SEED else COLOURS[0] for share in shares]
    ends: Any = np.array([[share.mean - share.low, share.high - share.mean] for share in shares]).T
    panel.barh(places, [share.mean for share in shares], 0.65, color=colours, xerr=ends.clip(0),
               error_kw={"lw": 0.9, "capsize": 2, "ecolor": "#333333"})  # fmt: skip
    for place, share in zip(places, shares, strict=True):
        panel.text(share.high + 0.015, place, f"{share.mean:.2f}", va="center", fontsize=7)
    panel.set_yticks(places, [short(share.title, 28) for share in shares])
    panel.set(ylim=(len(shares) - 0.5, -0.5), xlim=(0, 1.1), xlabel="share of the variance")
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1])
    panel.grid(axis="y", visible=False)
