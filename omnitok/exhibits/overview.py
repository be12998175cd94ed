"""The picture of a plan: every distinct whole run at a glance, its stages side by side. The same plan, the same bytes."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from omnitok import runs
from omnitok.exhibits.figures import COLOURS, DASHES, QUIET, STYLE, encoded, legible
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.picture import PANELS, Stretch, Whole

MOST: Final = 12  # whole runs in one picture; of more the first are drawn
COLUMNS: Final = 3
PARTS: Final = ("encoder", "quantizer", "decoder")
HEIGHTS: Final = (0.42, 0.55, 0.75, 0.75, 0.95, 1.15)  # of what learns, then of PANELS
PALE: Final = "#d4d4d4"
LEAST: Final = 0.6  # of an equal share of the width: what a short stage has at least

Ends = list[tuple[float, float]]


def refuse_file(file: Path) -> None:
    """Raises SpecError where the picture could not be written there or as that kind of file."""
    if file.suffix.removeprefix(".") not in QUIET:
        known = ", ".join(f".{suffix}" for suffix in QUIET)
        raise SpecError([Fault(Mark("--plot"), "", f"{str(file)!r} must end in one of {known}")])
    if not file.parent.is_dir():
        raise SpecError([Fault(Mark("--plot"), "", f"{str(file)!r}: there is no folder {str(file.parent)!r}")])


def write_overview(file: Path, name: str, found: Sequence[Whole]) -> None:
    """Draw ``found`` into ``file``, in the format that its suffix says. ``name``: of the sweep."""
    refuse_file(file)
    runs.write(file, encoded(overview(name, found), file.suffix.removeprefix(".")))


def overview(name: str, found: Sequence[Whole]) -> Figure:
    """A block of panels a run, at most ``MOST`` blocks, under a title that says how many there are."""
    drawn = found[:MOST]
    columns = min(COLUMNS, max(1, len(drawn)))
    rows = max(1, -(-len(drawn) // columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4 * columns, (sum(HEIGHTS) + 1.5) * rows + 0.35), layout="constrained")
        said = "" if len(drawn) == len(found) else f", the first {len(drawn)} of {len(found)} distinct ones"
        figure.suptitle(f"{legible(name)}: what is trained when{said}", fontsize=10, x=0.01, ha="left")
        blocks = figure.subfigures(rows, columns, squeeze=False)
        for block, whole in zip(blocks.flat, drawn, strict=False):
            _block(block, whole)
        return figure


def _block(block: SubFigure, whole: Whole) -> None:
    arms = ", ".join(whole.arms[:2]) + (f" and {len(whole.arms) - 2} more" if len(whole.arms) > 2 else "")
    block.suptitle(legible(arms if len(arms) <= 70 else f"{arms[:69]}…"), fontsize=8.5, fontweight="bold")
    axes: list[Axes] = list(block.subplots(len(HEIGHTS), 1, sharex=True, height_ratios=HEIGHTS))
    ends = _ends([stretch.steps for stretch in whole.stretches])
    _parts(axes[0], whole.stretches, ends)
    for panel, what in zip(axes[1:], PANELS, strict=True):
        _panel(panel, what, whole.stretches, ends)
    for panel in axes:
        panel.set_xlim(0, 1)
        panel.grid(visible=False, axis="x")
        for left, _ in ends[1:]:
            panel.axvline(left, color="#808080", linewidth=0.7, zorder=1)
    _names(axes[0], whole.stretches, ends)
    counts = [0]
    for stretch in whole.stretches:
        counts.append(counts[-1] + stretch.steps)
    near = min(right - left for left, right in ends) < 0.15
    tilt: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if near else {}
    axes[-1].set_xticks([0.0, *(right for _, right in ends)], [_short(count) for count in counts], **tilt)
    wider = any(
        (right - left) * counts[-1] > 1.01 * s.steps for s, (left, right) in zip(whole.stretches, ends, strict=True)
    )
    axes[-1].set_xlabel("optimizer steps" + (", with short stages drawn wider than they are" if wider else ""))


def _ends(steps: Sequence[int]) -> Ends:
    """Where each stage begins and ends between 0 and 1: by its steps, but none too narrow to be seen."""
    wide = [max(count / sum(steps), LEAST / len(steps)) for count in steps]
    edges = [sum(wide[:i]) / sum(wide) for i in range(len(wide) + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _names(panel: Axes, stretches: Sequence[Stretch], ends: Ends) -> None:
    """Above the panels; aslant where one is too long for its stage."""
    aslant = any(
        len(stretch.stage) > (right - left) * 50 for stretch, (left, right) in zip(stretches, ends, strict=True)
    )
    place: dict[str, Any] = {"rotation": 25, "ha": "left"} if aslant else {"ha": "center"}
    for stretch, (left, right) in zip(stretches, ends, strict=True):
        x = left if aslant else (left + right) / 2
        panel.text(x, 1.08, legible(stretch.stage), transform=panel.get_xaxis_transform(), va="bottom", **place)


def _parts(panel: Axes, stretches: Sequence[Stretch], ends: Ends) -> None:
    """A bar a part of the tokenizer where it learns, a pale one where it is frozen."""
    for row, part in enumerate(PARTS):
        for stretch, (left, right) in zip(stretches, ends, strict=True):
            if stretch.panels:
                colour = PALE if part in stretch.frozen else COLOURS[0]
                panel.broken_barh([(left, right - left)], (row - 0.36, 0.72), linewidth=0, color=colour)
    panel.set_yticks(range(len(PARTS)), PARTS)
    panel.set_ylim(len(PARTS) - 0.5, -0.5)
    panel.tick_params(length=0)
    panel.grid(visible=False)
    frozen = any(stretch.frozen for stretch in stretches)
    panel.text(1.02, 0.5, "grey: frozen" if frozen else "all learn", transform=panel.transAxes, va="center", fontsize=7)


def _panel(panel: Axes, what: str, stretches: Sequence[Stretch], ends: Ends) -> None:
    names = list(dict.fromkeys(name for stretch in stretches for name in stretch.panels.get(what, {})))
    same: dict[str, list[str]] = {}  # lines that are one are drawn once, with all their names
    for name in names:
        key = str([stretch.panels.get(what, {}).get(name) for stretch in stretches])
        same.setdefault(key, []).append(name)
    for i, alike in enumerate(same.values()):
        look = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        label = "every batch" if alike == ["smallest", "largest"] else "\n".join(alike)
        for stretch, (left, right) in zip(stretches, ends, strict=True):
            if values := stretch.panels.get(what, {}).get(alike[0]):
                x = [left, *(left + (right - left) * (step + 0.5) / stretch.steps for step in stretch.at), right]
                panel.plot(x, [values[0], *values, values[-1]], label=label, **look)
                label = "_"
    panel.set_ylabel(textwrap.fill(what, 11))
    _scale(panel, what, [max(line) for s in stretches for line in s.panels.get(what, {}).values() if max(line)])
    if any(names):
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.2, fontsize=7, borderaxespad=0.4)


def _scale(panel: Axes, what: str, tops: Sequence[float]) -> None:
    """From nothing upwards; by powers of ten where some line would else lie on the ground. ``tops``: of the lines."""
    most, least = max(tops, default=1.0), min(tops, default=1.0)
    if what == PANELS[0]:
        panel.set_ylim(-0.05, 1.05)
        panel.set_yticks([0, 0.5, 1])
        return
    if what in PANELS[3:] and most >= 10 * least:
        panel.set_yscale("log", nonpositive="mask")
        panel.set_ylim(least / 10, most * 2)
        return
    panel.set_ylim(-0.05 * most, 1.1 * most)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=what in PANELS[1:3]))
    if what == PANELS[3]:
        panel.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)


def _short(count: int) -> str:
    """A number of steps in a few signs."""
    for size, sign in ((10**6, "M"), (10**3, "k")):
        if count >= 10 * size or (count >= size and count % (size // 10) == 0):
            return f"{count / size:.4g}{sign}"
    return str(count)
