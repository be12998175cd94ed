"""What factors do by themselves and what they do together."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnitok.exhibits.axes import Axis, axis, quality, short, titled
from omnitok.exhibits.cells import one_factor
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.exhibits.figures import COLOURS, DASHES, STYLE, legible
from omnitok.exhibits.numbers import as_range, by_spread, with_unit
from omnitok.results import Metric, Results
from omnitok.results.statistics import Summary, by_seed, summary
from omnitok.spec import counted

ACROSS: Final = 3  # panels side by side
PAIRS: Final = 6  # with more nobody looks
LABEL: Final = 16
WIDE, HIGH, LINE, LETTER = 1.75, 1.55, 0.145, 0.06  # inches: a panel, a line of names, a letter
AIR, BESIDE, ABOVE = 0.4, 0.65, 0.3  # between panels, left of the first, above a row


class Panel(NamedTuple):
    """Of one factor, or of one by another: labels of x, {label of the other or "": {label of x: over seeds}}.

    ``together``: the difference of differences over seeds, where there are two labels by two."""

    x: Axis
    by: Axis | None
    lines: Mapping[str, Mapping[str, Summary]]
    together: Summary | None = None


def interactions(results: Results, *, metric: str = "", factors: tuple[str, ...] = (), caption: str = "") -> Pieces:
    """First the main effect of each factor, then a panel a pair: a line a label of the second over the labels of the first.
    Lines that are not parallel are an interaction.

    A dot is the mean over seeds, of each seed first over whatever else varies, with its 95 % interval by Student's t;
    one seed has none, and a seed that lacks one of the arms of a mean is left out of it. Where arms leave the experiment in one factor each, an effect is held against the experiment, and
    there are no pairs. Of two labels by two the difference of differences is said, paired by seed.
    metric: which; where none is said the first that was measured.
    factors: which; all where none is said, and at most six pairs of them.
    caption: in place of what is usually said.
    """
    of = quality(results, metric, "metric")
    paths = list(dict.fromkeys(one_factor(results, name, "factors") for name in factors)) or list(results.factors)
    if factors and len(paths) == 1:
        raise Unfit("factors", f"an interaction is between two factors (known: {', '.join(results.factors)})")
    if of is None:
        return Pieces()
    frame = results.rows[(results.rows["kind"] == "arm") & results.rows[of.column].notna()]
    axes = [one for path in paths if (one := _axis_of(results, path, frame)).varies]
    effects = [_effect(frame, one, of, list(results.factors)) for one in axes]
    crossed = [pair for pair in itertools.combinations(axes, 2) if _crossed(frame, *pair)]
    pairs = [_pair(frame, x, by, of) for x, by in crossed[:PAIRS]]
    if not effects:
        return Pieces()
    said = caption or (
        f"{of.column}: the main effect of each factor{', then pairs of factors' if pairs else ''}. A dot is the mean over seeds, a bar its 95 % interval. "
        f"{'Lines that are not parallel are an interaction.' if pairs else 'No two factors were crossed.'}"
    )
    said += "".join(_in_words(panel, of) for panel in pairs)
    if len(crossed) > PAIRS:
        said += f" Of {len(crossed)} pairs the first {PAIRS} are shown."
    if lacking := [name for name in results.arms if name not in set(frame["arm"])]:
        said += f" Arms without a number are in no mean: {', '.join(lacking)}."
    return Pieces.of(Picture("interactions", _drawn(effects, pairs, titled(of)), said))


def _axis_of(results: Results, path: str, frame: pd.DataFrame) -> Axis:
    whole = axis(results, path, "factors")
    values = whole.values[frame.index]
    return whole._replace(values=values, labels=tuple(label for label in whole.labels if (values == label).any()))


def _effect(frame: pd.DataFrame, one: Axis, of: Metric, factors: Sequence[str]) -> Panel:
    """Over all arms; where each arm names one factor at most, over those that name no other."""
    alone = frame[factors].notna().sum(axis=1).max() <= 1 < len(factors)
    rows = frame[frame[[path for path in factors if path != one.path]].isna().all(axis=1)] if alone else frame
    return Panel(one, None, {"": _means(rows, one, of)})


def _means(rows: pd.DataFrame, one: Axis, of: Metric) -> dict[str, Summary]:
    labels = one.values[rows.index]
    return {label: found for label in one.labels
            if (found := summary(_seeds(rows[labels == label], of).values())).n}  # fmt: skip


def _seeds(rows: pd.DataFrame, of: Metric) -> dict[int, float]:
    """{seed: mean over its arms}, of the seeds that have all arms: what one lacks would look like an effect."""
    whole = rows.groupby("seed")["arm"].transform("nunique") == rows["arm"].nunique()
    return by_seed(rows[whole], of.column)


def _crossed(frame: pd.DataFrame, x: Axis, by: Axis) -> bool:
    """Whether two labels of one were seen under two of the other."""
    seen = pd.crosstab(x.values, by.values) > 0
    return any(int((seen[a] & seen[b]).sum()) > 1 for a, b in itertools.combinations(seen.columns, 2))


def _pair(frame: pd.DataFrame, x: Axis, by: Axis, of: Metric) -> Panel:
    lines = {label: _means(frame[by.values == label], x, of) for label in by.labels}
    return Panel(x, by, lines, _together(frame, x, by, of) if len(x.labels) == len(by.labels) == 2 else None)


def _together(frame: pd.DataFrame, x: Axis, by: Axis, of: Metric) -> Summary:
    """The difference of differences over the seeds that all four have."""
    cells = {(a, b): _seeds(frame[(x.values == a) & (by.values == b)], of) for a in x.labels for b in by.labels}
    (a, c), (b, d) = x.labels, by.labels
    seeds = set.intersection(*(set(cell) for cell in cells.values()))
    return summary(
        cells[c, d][seed] - cells[a, d][seed] - cells[c, b][seed] + cells[a, b][seed] for seed in sorted(seeds)
    )


def _short(found: Summary | None) -> str:
    """What stands above a panel."""
    if found is None or not found.n:
        return ""
    interval = found.interval()
    width = interval.high - interval.low if interval else None
    return f"interaction {by_spread(found.mean, width)}" + (f" ({as_range(interval)})" if interval else "")


def _in_words(panel: Panel, of: Metric) -> str:
    """The sentence of a caption that says what a difference of differences is, and how large."""
    found, by = panel.together, panel.by
    if found is None or by is None or not found.n:
        return ""
    (a, c), (b, d), interval = panel.x.labels, by.labels, found.interval()
    amount = with_unit(by_spread(found.mean, interval.high - interval.low if interval else None), of.unit)
    ends = f"95 % interval {as_range(interval)}, " if interval else ""
    return (
        f" The interaction of {panel.x.title} and {by.title}, ({c} − {a}) at {d} less ({c} − {a}) at {b}, is {amount} "
        f"({ends}n = {counted(found.n, 'seed')})."
    )


def _drawn(effects: Sequence[Panel], pairs: Sequence[Panel], title: str) -> Figure:
    rows = [some[i : i + ACROSS] for some in (effects, pairs) for i in range(0, len(some), ACROSS)]
    below = [0.1 + max(_ticks(panel) + _names(panel) for panel in row) for row in rows]
    across = max(map(len, rows))
    width, height = BESIDE + across * (WIDE + AIR), sum(ABOVE + HIGH + one for one in below)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        top, first = height, None
        for row, tall in zip(rows, below, strict=True):
            top -= ABOVE + HIGH
            for i, panel in enumerate(row):
                left = BESIDE + i * (WIDE + AIR)
                place = (left / width, top / height, WIDE / width, HIGH / height)
                axes = figure.add_axes(place, sharey=first)
                first = first or axes
                _panel(axes, panel)
                axes.tick_params(axis="y", labelleft=i == 0)
                axes.set_ylabel(legible(title) if i == 0 else "")
            top -= tall
        return figure


def _slanted(panel: Panel) -> bool:
    """Whether labels do not fit beside each other."""
    longest = max(len(label[:LABEL]) for label in panel.x.labels) + 1
    return LETTER * longest * len(panel.x.labels) > WIDE


def _ticks(panel: Panel) -> float:
    """Inches below a panel that its labels take."""
    return 0.15 + (0.5 * LETTER * max(len(label[:LABEL]) for label in panel.x.labels) if _slanted(panel) else 0.05)


def _names(panel: Panel) -> float:
    """Inches below these that the names of both factors and of the lines take."""
    return 0.3 + LINE * (len(panel.lines) + 1) if panel.by else 0.0


def _panel(axes: Axes, panel: Panel) -> None:
    places = {label: i for i, label in enumerate(panel.x.labels)}
    for i, (name, line) in enumerate(panel.lines.items()):
        shift = 0.05 * (i - (len(panel.lines) - 1) / 2) if panel.by else 0.0
        x = [places[label] + shift for label in line]
        y = [found.mean for found in line.values()]
        bars = [interval.high - found.mean if (interval := found.interval()) else 0 for found in line.values()]
        axes.errorbar(x, y, bars if any(bars) else None, fmt="o", color=COLOURS[i % len(COLOURS)], ms=3.5, lw=1, capsize=2,
                      linestyle=DASHES[i // len(COLOURS) % len(DASHES)], label=short(name, 30) or None)  # fmt: skip
    many = _slanted(panel)
    axes.set_xticks(range(len(places)), [short(label, LABEL) for label in places], rotation=30 if many else 0,
                    ha="right" if many else "center", rotation_mode="anchor" if many else None)  # fmt: skip
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.grid(axis="x", visible=False)
    axes.set_title(
        short(panel.x.title, 26) if not panel.by else short(_short(panel.together), 44),
        loc="left",
        fontsize=8 if not panel.by else 7,
    )
    if panel.by:
        axes.set_xlabel(short(panel.x.title, 26))
        axes.legend(title=short(panel.by.title, 26), loc="upper left", bbox_to_anchor=(-0.05, -(_ticks(panel) + 0.25) / HIGH), borderaxespad=0, fontsize=7,
                    title_fontsize=7, alignment="left", handlelength=2.2, labelspacing=0.25)  # fmt: skip
