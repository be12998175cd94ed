"""What is behind the numbers of an arm: its runs, the choices that set it apart, its curves, its samples."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from omnitok.exhibits.cells import WORDS
from omnitok.exhibits.curves import QUANTITIES
from omnitok.exhibits.numbers import full
from omnitok.exhibits.table import UNSAID
from omnitok.results import Results
from omnitok.results.collect import ENDS, FIXED, series
from omnitok.spec import flow

WIDE: Final = 320  # of a small plot, in its own units
TALL: Final = 96
POINTS: Final = 100  # of a curve in a small plot
SIDE: Final = 96  # pixels of a sample; larger ones are reduced
SHOWN: Final = 48  # samples of each evaluation on a page, over all arms; each arm has at most MOST
MOST: Final = 4

Trial = Mapping[str, Any]  # a row
Groups = Mapping[tuple[str, str, int, str], pd.DataFrame]  # (arm, stage, seed, quantity) -> its records


class Run(NamedTuple):
    """The trial behind one line of the details: its values as text, in the order of the metrics; ``page``: in MLflow."""

    seed: str
    status: str
    digest: str
    parents: tuple[str, ...]
    commit: str
    device: str
    values: tuple[str, ...]
    page: str = ""


class Difference(NamedTuple):
    """A choice of an arm that differs from the base arm's, each as text."""

    path: str
    base: str
    own: str


class Sketch(NamedTuple):
    """A small plot of one quantity: (whose, SVG path) a seed, where its stages end (x), its lowest and highest value, its
    stages and steps in words."""

    quantity: str
    lines: tuple[tuple[str, str], ...]
    ends: tuple[float, ...]
    low: str
    high: str
    along: str


class Sample(NamedTuple):
    """Held-out items of one evaluation, originals above what was made of them, as a PNG in a data URI; size in pixels."""

    evaluation: str
    data: str
    width: int
    height: int
    items: tuple[str, ...]


class Of(NamedTuple):
    """All that is behind the numbers of one arm or baseline. ``base``: the arm it is held against; "" where it is none."""

    kind: str
    name: str
    runs: tuple[Run, ...]
    base: str
    differences: tuple[Difference, ...]
    sketches: tuple[Sketch, ...]
    samples: tuple[Sample, ...]


def behind(results: Results, pages: Mapping[str, str]) -> tuple[Of, ...]:
    """Of the arms, then of the baselines. ``pages``: {stage digest: the address of its page in MLflow}."""
    names = [("arm", name) for name in results.arms] + [("baseline", name) for name in results.baselines]
    curves = results.curves(QUANTITIES)
    groups: dict[Any, pd.DataFrame] = {}
    for key, one in curves.groupby(["arm", "stage", "seed", "quantity"], sort=False):
        groups[key] = one
    lines: dict[tuple[str, str], list[Trial]] = {}
    for line in results.rows.to_dict(
        "records"
    ):  # once: what is asked of a frame line by line takes a second of each thousand
        lines.setdefault((line["kind"], line["arm"]), []).append({str(name): value for name, value in line.items()})
    titles, samples, choices = series(results.sweep), _samples(results), _choices(results)
    found = []
    for kind, name in names:
        trials = lines.get((kind, name), [])
        other = results.base if kind == "arm" and results.base != name else None
        found.append(Of(
            kind, name, _runs(results, trials, pages), other or "",
            _differences(results, choices, lines.get(("arm", other), []), trials) if other else (),
            tuple(_sketches(results, trials, groups, titles)), samples.get((kind, name), ()),
        ))  # fmt: skip
    return tuple(found)


def short(value: str) -> str:
    """A commit as people say it; other values as they are."""
    return value[:10] if len(value) == 40 and set(value) <= set("0123456789abcdef") else value


def _runs(results: Results, trials: Sequence[Trial], pages: Mapping[str, str]) -> tuple[Run, ...]:
    columns = [metric.column for metric in results.metrics]
    return tuple(
        Run(seed=_said(trial["seed"]), status=WORDS.get(trial["status"], str(trial["status"])),
            digest=trial["digest"], parents=trial["digests"][:-1], commit=short(_said(trial["commit"])),
            device=_said(trial["device"]),
            values=tuple("" if pd.isna(trial[column]) else full(trial[column]) for column in columns),
            page=pages.get(trial["digest"], ""))
        for trial in trials
    )  # fmt: skip


def _said(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _choices(results: Results) -> list[str]:
    """The columns of rows that are choices of the last stage."""
    measured = [metric.column for metric in results.metrics]
    left = {*FIXED, *measured, *results.factors, *(f"{column} {end}" for column in measured for end in ENDS)}
    return [str(path) for path in results.rows.columns if path not in left]


def _differences(
    results: Results, choices: Sequence[str], base: Sequence[Trial], trials: Sequence[Trial]
) -> tuple[Difference, ...]:
    """The labels of factors and the choices that differ in the first trial of each."""
    if not base or not trials:
        return ()
    pairs = {path: (_choice(base[0][path]), _choice(trials[0][path])) for path in (*results.factors, *choices)}
    known = all(
        any(pairs[path][side] != UNSAID for path in choices) for side in (0, 1)
    )  # a run says its own when it begins
    return tuple(
        Difference(path, *pair)
        for path, pair in pairs.items()
        if pair[0] != pair[1] and (known or path in results.factors)
    )


def _choice(value: Any) -> str:
    if isinstance(value, tuple):
        return flow(list(value))
    return UNSAID if pd.isna(value) else str(value)


def _sketches(
    results: Results, trials: Sequence[Trial], groups: Groups, titles: Mapping[str, tuple[str, int]]
) -> Iterable[Sketch]:
    """A plot a quantity: the stages of a path one after the other, a line a seed."""
    for quantity in QUANTITIES:
        paths = {}
        for trial in trials:
            stages = []
            for digest in trial["digests"]:
                key = (*titles.get(digest, ("", 0)), results.stages[digest].name)
                records = groups.get((key[0], key[2], key[1], quantity))
                if records is not None:
                    stages.append((key[2], records["step"].to_numpy(), records["value"].to_numpy(dtype=float)))
            if stages:
                paths[f"seed {trial['seed']}"] = stages
        if paths:
            yield _sketch(quantity, paths)


Stages = Sequence[tuple[str, np.ndarray, np.ndarray]]  # (name, steps, values) of each stage, in order


def _sketch(quantity: str, paths: Mapping[str, Stages]) -> Sketch:
    longest = max(paths.values(), key=len)
    lengths = [max(int(of[i][1].max()) + 1 for of in paths.values() if len(of) > i) for i in range(len(longest))]
    starts = [0, *np.cumsum(lengths).tolist()]
    values = np.concatenate([values for of in paths.values() for _, _, values in of])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    lines = []
    for whose, stages in paths.items():
        steps = np.concatenate([start + one[1] for start, one in zip(starts, stages, strict=False)])
        lines.append((whose, _path(steps / starts[-1], np.concatenate([one[2] for one in stages]), low, high)))
    along = ", then ".join(f"{one[0]} ({length} steps)" for one, length in zip(longest, lengths, strict=True))
    ends = tuple(round(WIDE * end / starts[-1], 1) for end in starts[1:-1])
    return Sketch(quantity, tuple(lines), ends, full(float(f"{low:.3g}")), full(float(f"{high:.3g}")), along)


def _path(along: np.ndarray, values: np.ndarray, low: float, high: float) -> str:
    """At most POINTS points as an SVG path: every k-th and the last; what is not finite breaks it."""
    keep = np.unique(np.linspace(0, len(along) - 1, min(POINTS, len(along))).round().astype(int))
    x, up = WIDE * along[keep], (values[keep] - low) / ((high - low) or 1.0)
    parts, pen = [], "M"
    for across, share in zip(x.tolist(), up.tolist(), strict=True):
        if not np.isfinite(share):
            pen = "M"
            continue
        parts.append(f"{pen}{across:.1f} {2 + (TALL - 4) * (1 - share):.1f}")
        pen = "L"
    return "".join(parts)


def _samples(results: Results) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """Of every arm and baseline that has some; the more there are, the fewer items each shows."""
    found: dict[tuple[str, str], tuple[Sample, ...]] = {}
    for evaluation in results.evaluations:
        many = min(MOST, SHOWN // max(1, len(results.arms) + len(results.baselines)))
        for column in results.shown(evaluation) if many else ():
            originals = sorted(column.folder.glob("*-original.png"))[:many] if column.folder else []
            if originals:
                items = tuple(_item(column.items, path) for path in originals)
                data, size = _sheet(originals, results.frames(evaluation))
                key = column.kind, column.name
                found[key] = (*found.get(key, ()), Sample(evaluation, data, *size, items))
    return found


def _item(items: Sequence[str], original: Path) -> str:
    number = int(original.name.partition("-")[0])
    return items[number] if number < len(items) else f"item {number}"


def _sheet(originals: Sequence[Path], frames: int) -> tuple[str, tuple[int, int]]:
    """Two rows of first frames, an item a column; its size on the page, where small pictures are enlarged."""
    rows = [originals, [path.with_name(path.name.replace("-original", "-reconstruction")) for path in originals]]
    pictures = [[_first(path, frames) for path in row] for row in rows]
    wide = max(one.width for row in pictures for one in row)
    tall = max(one.height for row in pictures for one in row)
    sheet = Image.new("RGB", (wide * len(originals), 2 * tall))
    for down, row in enumerate(pictures):
        for across, one in enumerate(row):
            sheet.paste(one, (across * wide, down * tall))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    times = max(1, SIDE // max(wide, tall))
    data = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return data, (times * sheet.width, times * sheet.height)


def _first(path: Path, frames: int) -> Image.Image:
    """The first of the frames side by side, no larger than SIDE; a grey field where there is no such file."""
    if not path.exists():
        return Image.new("RGB", (1, 1), "#808080")
    with Image.open(path) as strip:
        one = strip.convert("RGB").crop((0, 0, strip.width // frames, strip.height))
    one.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return one
