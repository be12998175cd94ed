"""Figures of a paper from rows of numbers and sample pictures: the same input gives the same bytes."""

import functools
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok import runs

# Okabe and Ito's palette without its yellow, which is lost on white
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: Final[tuple[Any, ...]] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
BANDS: Final = 12  # with more curves in a panel only their means are drawn: bands would hide each other
NAMED: Final = 40  # with more curves in a panel none is named: nobody could tell them apart
POINTS: Final = 100  # a curve is drawn with at most so many points, each the mean of the steps that it stands for

STYLE: Final[Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "legend.fontsize": 8,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.3, "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "legend.frameon": False, "svg.hashsalt": "omnitok",
    "svg.fonttype": "path", "pdf.fonttype": 42, "figure.dpi": 150, "savefig.facecolor": "white",
    "axes.formatter.useoffset": False, "image.composite_image": False,
}  # fmt: skip

QUIET: Final[Mapping[str, Any]] = {
    "png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}  # fmt: skip

Looks = Mapping[str, tuple[str, Any]]


def looks(arms: Mapping[str, Mapping[str, str]], factors: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, Any]]:
    """{arm, or label of the first factor: (colour, dash)}. Of two factors the first is the colour, the second the dash.

    Otherwise, and where an arm does not name both, arms go through the colours first and through the dashes then.
    """
    if len(factors) == 2 and all(len(arm) == 2 for arm in arms.values()):
        (one, first), (two, second) = factors.items()
        if len(first) <= len(COLOURS) and len(second) <= len(DASHES):
            found = {label: (COLOURS[i], DASHES[0]) for i, label in enumerate(first)}
            return found | {name: (COLOURS[first.index(arm[one])], DASHES[second.index(arm[two])])
                            for name, arm in arms.items()}  # fmt: skip
    return {name: _look(i) for i, name in enumerate(arms)}


class Order(NamedTuple):
    """In which order stages stand side by side, and series are named; of an empty one that in which they are met."""

    stages: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


MET: Final = Order()


def learning_curves(curves: pd.DataFrame, looks: Looks, order: Order = MET) -> Figure | None:
    """A row a quantity, a column a stage: the mean over seeds, with a band from the lowest to the highest seed. A stage that
    has nothing of a quantity has no panel there, and what has no finite value is not drawn or named.

    A stage of more than ``BANDS`` curves has no bands, one of more than ``NAMED`` no names. ``curves``: as ``collect.curves`` gives it. None where there are none.
    """
    curves = curves[np.isfinite(curves["value"].astype(float))]
    curves = curves.astype(
        dict.fromkeys(("arm", "stage", "quantity"), "category")
    )  # what is repeated is compared by number
    there = set(curves["stage"].unique())
    stages, quantities = (
        [one for one in order.stages or curves["stage"].unique() if one in there],
        sorted(curves["quantity"].unique()),
    )
    if not stages:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(layout="constrained")
        panels = figure.subplots(len(quantities), len(stages), sharex="col", squeeze=False)
        lines = [_stage(list(panels[:, i]), curves[curves["stage"] == stage], order.names, quantities, looks)
                 for i, stage in enumerate(stages)]  # fmt: skip
        figure.set_size_inches(max(3.6, 3.3 * len(stages)), 0.65 + 1.7 * len(quantities) + 0.17 * max(lines))
        return figure


def save(figure: Figure, stem: Path) -> dict[str, bytes]:
    """Write ``stem``.png (150 dpi), .pdf and .svg without dates or versions; gives their bytes by suffix."""
    written = {}
    for suffix in QUIET:
        written[suffix] = encoded(figure, suffix)
        figure.set_layout_engine("none")  # all formats have the layout of the first
        runs.write(stem.with_name(f"{stem.name}.{suffix}"), written[suffix])
    return written


def encoded(figure: Figure, suffix: str) -> bytes:
    """The figure as a file of one of the kinds in ``QUIET``."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=suffix, dpi=150, metadata=QUIET[suffix])
    return buffer.getvalue()


def legible(text: str) -> str:
    """Text as matplotlib prints it literally: no mathematics, and a box for what its font does not have."""
    known = _glyphs()
    return "".join(c if ord(c) in known else "□" for c in " ".join(text.split())).replace("$", r"\$")


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(STYLE["font.family"][0])).get_charmap())


def _look(i: int) -> tuple[str, Any]:
    return COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]


def _stage(
    panels: Sequence[Axes], curves: pd.DataFrame, order: Sequence[str], quantities: Sequence[str], looks: Looks
) -> int:
    """One column of panels and, below it, the names of the series in it; gives the lines that the names take."""
    known, stage = dict.fromkeys(curves["arm"].unique()), str(curves["stage"].iloc[0])
    names = [name for name in order if name in known] or list(known)
    handles: dict[str, Any] = {}
    for panel, quantity in zip(panels, quantities, strict=True):
        binned = _binned(curves[curves["quantity"] == quantity])
        there = {str(name): one for name, one in binned.groupby(level="arm")}
        for i, name in enumerate(names):
            if name in there:
                line = _curve(panel, there[name], looks.get(name, _look(i)), band=len(names) <= BANDS)
                handles.setdefault(name, line)
        panel.set_ylabel(_label(quantity))
        panel.margins(x=0.01)
        if not there:
            panel.set_axis_off()
    shown = [panel for panel in panels if panel.axison]
    shown[0].set_title(f"stage {legible(stage)}", loc="left", fontweight="bold")
    shown[-1].set_xlabel("step")
    shown[-1].tick_params(labelbottom=True)  # also where the panels below are not there
    if len(handles) > NAMED:
        return 0
    titles = [legible(name if len(name) <= 40 else f"{name[:19]}…{name[-20:]}") for name in handles]
    columns = 1 if max(map(len, titles)) > 18 else 2
    panels[-1].legend(list(handles.values()), titles, loc="upper center", bbox_to_anchor=(0.5, -0.3), borderaxespad=0,
                      ncols=columns, handlelength=2.6)  # fmt: skip
    return -(-len(titles) // columns)


def _label(quantity: str) -> str:
    """What an axis is called: its quantity as records name it, or a PSNR with its unit and which way is better."""
    said = re.fullmatch("val/psnr(?:_(.+))?", quantity)
    if said is None:
        return legible(quantity)
    return f"PSNR{f' of {legible(said[1])}' if said[1] else ''} (dB),\nhigher is better"


def _binned(curves: pd.DataFrame) -> pd.DataFrame:
    """By arm and bin of steps: the mean step, and over seeds the mean, lowest and highest of their means."""
    wide = curves.groupby("arm")["step"].transform(_wide)
    seeds = curves.assign(at=curves["step"] // wide).groupby(["arm", "at", "seed"])[["step", "value"]].mean()
    return seeds.groupby(["arm", "at"]).agg(
        step=("step", "mean"), mean=("value", "mean"), low=("value", "min"), high=("value", "max")
    )


def _wide(steps: pd.Series) -> int:
    """The width of a bin: a multiple of the distance between measured steps, so that none falls between two of them."""
    known = np.unique(steps.to_numpy())
    return max(1, -(-len(known) // POINTS)) * (int(np.diff(known).min()) if len(known) > 1 else 1)


def _curve(panel: Axes, curve: pd.DataFrame, look: tuple[str, Any], band: bool) -> Any:
    """Draw one series; gives the line."""
    x, (colour, dash) = curve["step"].to_numpy(), look
    if band:
        panel.fill_between(x, curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0)
    return panel.plot(x, curve["mean"], color=colour, linestyle=dash, marker="o" if len(x) == 1 else "", ms=3)[0]
