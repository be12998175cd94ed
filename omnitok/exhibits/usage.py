"""How evenly codebooks are used: a bar an arm, in shares of the codebook."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok.exhibits.axes import short
from omnitok.exhibits.cells import chosen_arms, chosen_evaluations
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.exhibits.figures import STYLE
from omnitok.results import Results
from omnitok.spec import near

METRIC: Final = "codebook_usage"
UNUSED: Final = "unused"
POWER: Final = "used 2^"  # before the power of two from which up codes were used, against equal use
SHADES: Final[tuple[tuple[str, float, str], ...]] = (  # what it is called, the power below which it ends, its colour
    ("under 1/8", -3, "#cfe1f2"),
    ("1/8 to 1/2", -1, "#93c3df"),
    ("1/2 to 2", 1, "#4b97c9"),
    ("2 to 8", 3, "#1764ab"),
    ("8 and more", float("inf"), "#08306b"),
)
MOST: Final = 40  # arms, where nobody says which
GREY: Final = "#d9d9d9"
NAMES, WIDE, BAR, BELOW, ABOVE = (
    1.9,
    4.2,
    0.24,
    0.5,
    0.3,
)  # inches: left of a panel, of a panel, of a bar, below and above


class Bar(NamedTuple):
    """Of an arm: mean shares of the codebook, unused first, then as ``SHADES``; sd of the unused over seeds; how many seeds."""

    arm: str
    shares: tuple[float, ...]
    sd: float | None
    n: int


def usage(
    results: Results, *, evaluations: tuple[str, ...] = (), arms: tuple[str, ...] = (), caption: str = ""
) -> Pieces:
    """How many codes were used how often, against the use that all would have if they were used alike: a bar an arm, the
    mean over seeds of shares of the codebook. Nothing where runs do not say it.

    evaluations: which; all that measure codebook_usage where none is said.
    arms: which, in this order; the first 40 where none is said.
    caption: in place of what is usually said.
    """
    names, found = chosen_arms(results, arms), results.details(METRIC)
    names = names if arms else names[:MOST]
    wanted = chosen_evaluations(results, evaluations)
    having = [metric.evaluation for metric in results.metrics if metric.label == METRIC]
    for name in evaluations:
        if name not in having:
            raise Unfit("evaluations", f"{name} does not measure {METRIC}{near(name, having)}")
    panels = {name: some for name in wanted if (some := bars(found[found["evaluation"] == name], names))}
    if not panels:
        return Pieces()
    said = caption or (
        "Codebook usage: which share of the codebook was never used, and which how often against equal use (1: as often as if all "
        "codes were used alike), the mean over seeds"
    )
    spread = any(bar.sd is not None for some in panels.values() for bar in some)
    said += "" if caption else ". The line is the standard deviation of what is unused." if spread else "."
    said += f" The first {MOST} of {len(results.arms)} arms." if not arms and len(results.arms) > MOST else ""
    return Pieces.of(Picture("usage", _drawn(panels), said))


def bars(details: pd.DataFrame, arms: Sequence[str]) -> list[Bar]:
    """Of the arms that have a histogram, in their order. ``details``: those of one evaluation."""
    known = details[(details["kind"] == "arm") & (details["detail"].map(_shade).notna())]
    found = []
    for arm in arms:
        of = known[known["arm"] == arm]
        wide = of.assign(shade=of["detail"].map(_shade)).pivot_table(
            index="seed", columns="shade", values="value", aggfunc="sum"
        )
        if not len(wide):
            continue
        wide = wide.reindex(columns=range(len(SHADES) + 1)).fillna(0.0)
        shares = wide.div(wide.sum(axis=1), axis=0)
        sd = float(shares[0].std(ddof=1)) if len(shares) > 1 else None
        found.append(Bar(arm, tuple(float(share) for share in shares.mean()), sd, len(shares)))
    return found


def _shade(detail: str) -> int | None:
    """0 is unused, 1 and up are ``SHADES``; None of what is no count of codes."""
    if detail == UNUSED:
        return 0
    power = detail.removeprefix(POWER)
    if power == detail or not power.lstrip("-").isdigit():
        return None
    return 1 + next(i for i, (_, end, _) in enumerate(SHADES) if int(power) < end)


def _drawn(panels: Mapping[str, Sequence[Bar]]) -> Figure:
    heights = [BAR * len(some) + ABOVE + BELOW for some in panels.values()]
    width, height = NAMES + WIDE + 0.2, sum(heights) + 0.3
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        top = height - 0.3
        for (name, some), tall in zip(panels.items(), heights, strict=True):
            place = (NAMES / width, (top - tall + BELOW) / height, WIDE / width, BAR * len(some) / height)
            panel = figure.add_axes(place)
            _panel(panel, some)
            panel.set_title(short(name), loc="left")
            top -= tall
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(NAMES / width, 1 - 0.03 / height), borderaxespad=0,
                      ncols=len(labels), fontsize=7, handlelength=0.9, handleheight=0.9, handletextpad=0.4, columnspacing=1.0,
                      borderpad=0)  # fmt: skip
        return figure


def _panel(panel: Axes, some: Sequence[Bar]) -> None:
    left, places = [0.0] * len(some), range(len(some))
    for i, (title, colour) in enumerate([(UNUSED, GREY), *((title, colour) for title, _, colour in SHADES)]):
        shares = [bar.shares[i] for bar in some]
        panel.barh(places, shares, 0.7, left=left, color=colour, label=title, linewidth=0)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    for place, bar in zip(places, some, strict=True):
        if bar.sd:
            panel.errorbar(bar.shares[0], place, xerr=bar.sd, color="#333333", lw=0.9, capsize=2)
    panel.set_yticks(places, [short(bar.arm, 28) for bar in some])
    panel.set(xlim=(0, 1), ylim=(len(some) - 0.5, -0.5), xlabel="share of the codebook")
    panel.grid(visible=False)
