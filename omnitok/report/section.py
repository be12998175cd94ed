"""Everything that a report says of one sweep, gathered once: both the page and the Markdown are printed from it."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from omnitok import provenance, runs
from omnitok.report import figures, galleries, points, tables
from omnitok.report.claims import Verdict, answer, verdicts
from omnitok.report.collect import Metric, Mirror, Stage, Sweep, curves_of, read, rows_of, series, slug, stages
from omnitok.report.numbers import count, duration, full
from omnitok.report.searched import Searches, open_searches, searched
from omnitok.spec import counted, digest
from omnitok.sweep.stored import TEXTS

QUANTITIES = ("train/loss", "val/psnr", "val/psnr_clips")


class Picture(NamedTuple):
    """A figure as it was drawn, its file's stem, and what it shows in words."""

    stem: str
    figure: Any
    caption: str


class Hole(NamedTuple):
    """Trials of one arm that have no result, for one reason."""

    name: str
    status: str
    seeds: str
    reason: str


class Run(NamedTuple):
    """The trial behind one line of the details: its values as text, in the order of the table's metrics."""

    seed: str
    status: str
    digest: str
    parents: tuple[str, ...]
    commit: str
    device: str
    values: tuple[str, ...]


class Section(NamedTuple):
    """One sweep's part of a report, in the order in which it is read."""

    name: str
    slug: str
    banner: tuple[str, ...]
    question: str
    answer: str
    progress: str
    scale: str
    verdicts: tuple[Verdict, ...]
    table: tables.Table
    metrics: tuple[Metric, ...]
    points: Picture | None
    curves: Picture | None
    samples: tuple[Picture, ...]
    holes: tuple[Hole, ...]
    details: tuple[tuple[tables.Row, tuple[Run, ...]], ...]
    protocols: tuple[tuple[str, str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    notices: tuple[str, ...]
    frame: pd.DataFrame
    searches: Searches | None


def section(stored: Path, mirror: Mirror | None = None, notices: Sequence[str] = ()) -> Section:
    """One stored sweep as a section, whatever state it is in; its banner ends with the notices.

    Raises SpecError as ``collect.rows`` does.
    """
    sweep = read(stored)
    known, name = stages(sweep), str(sweep.said["name"])
    frame = rows_of(sweep, known, mirror)
    table = tables.ablation(sweep, frame)
    found = verdicts(sweep, frame)
    question = str(sweep.said["question"])
    return Section(
        name=name, slug=sweep.slug, banner=(*banner(sweep, known), *notices), question=question, answer=answer(question, found),
        progress=_progress(sweep, frame), scale=_scale(frame), verdicts=tuple(found), table=table,
        metrics=tuple(sweep.metrics), points=_points(sweep, frame), curves=_curves(sweep, known), samples=tuple(_samples(sweep)),
        holes=tuple(_holes(sweep, frame)), details=tuple((row, _runs(sweep, frame, row)) for row in table.rows),
        protocols=tuple(_protocols(sweep)), provenance=tuple(_provenance(sweep, frame, known)),
        commands=commands(sweep, known), notices=tuple(sweep.plan.get("notices", ())), frame=frame,
        searches=searched(sweep),
    )  # fmt: skip


def banner(sweep: Sweep, known: Mapping[str, Stage]) -> tuple[str, ...]:
    """What a reader must know before any number: runs that are not comparable as they stand, claims made afterwards."""
    trained = dict.fromkeys(one for trial in sweep.plan["trials"] if trial["kind"] == "arm" for one in trial["stages"])
    ran = [known[digest] for digest in trained if known[digest].provenance]
    found = []
    for words, values in (
        ("at different commits", [stage.provenance.get("commit") for stage in ran]),
        ("on different devices", [stage.provenance.get("device") for stage in ran]),
        ("with different numbers of threads", [stage.provenance.get("threads") for stage in ran]),
        ("with different versions of torch", [stage.provenance.get("versions", {}).get("torch") for stage in ran]),
    ):
        counts = _tally(values)
        if len(counts) > 1:
            said = ", ".join(f"{_short(value)} ({counted(n, 'run')})" for value, n in counts.items())
            found.append(f"arms ran {words}: {said}")
    dirty = sum(1 for stage in ran if stage.provenance.get("dirty"))
    if dirty:
        found.append(f"{counted(dirty, 'run')} of {len(ran)} had uncommitted changes (a dirty tree)")
    for said, n in _tally(one for stage in ran for one in stage.provenance.get("deviations", ())).items():
        found.append(f"{counted(n, 'run')} of {len(ran)} deviated from what the sweep says: {said}")
    first = sweep.said.get("claims_first")
    if first and first["sha256"] != digest(sweep.said["claims"]):
        found.append(f"post hoc: the claims were edited after the first launch ({first['at']})")
    return tuple(found)


def commands(sweep: Sweep, known: Mapping[str, Stage]) -> tuple[str, ...]:
    """What to type to have the same runs and the same report again."""
    commits = _tally(stage.provenance.get("commit") for stage in known.values() if stage.provenance)
    checkout = [f"git checkout {next(iter(commits))}"] if len(commits) == 1 and "none" not in commits else []
    what = " ".join([shlex.quote(sweep.said["file"]), *(f"--set {shlex.quote(said)}" for said in sweep.said["set"])])
    lacks = _uncommitted(sweep, next(iter(commits))) if checkout else []
    kept = f"# that commit has no {', '.join(lacks)} as launched; what is kept of it: omnitok launch {sweep.said['digest']}"
    return (*checkout, f"omnitok launch {what}", f"omnitok report {what}", *([kept] if lacks else []))


def _uncommitted(sweep: Sweep, commit: str) -> list[str]:
    """The files of a launch that a commit does not have as they were then."""
    if not (sweep.stored / TEXTS).exists():
        return []
    texts = runs.read_json(sweep.stored / TEXTS)["texts"]
    return [Path(name).name for name, text in texts.items() if not provenance.committed(commit, Path(name), text)]


def _tally(values: Iterable[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        text = "none" if value is None else str(value)
        counts[text] = counts.get(text, 0) + 1
    return dict(sorted(counts.items()))


def _short(value: str) -> str:
    """A commit as people say it; other values as they are."""
    return value[:10] if len(value) == 40 and set(value) <= set("0123456789abcdef") else value


def _progress(sweep: Sweep, frame: pd.DataFrame) -> str:
    going = [arm for arm, _, _ in open_searches(sweep)]
    said = f"No trials yet of {', '.join(going)}, where the search comes first. " if going else ""
    return said + (_trials(frame) if len(frame) else "")


def _trials(frame: pd.DataFrame) -> str:
    counts = {status: int(n) for status, n in frame["status"].value_counts().items()}
    if counts.get("done", 0) == len(frame):
        return f"All {len(frame)} trials are done." if len(frame) > 1 else "The one trial is done."
    order = ("done", "failed", "blocked", "running", "cancelled", "interrupted", "unevaluated", "planned")
    words = [f"{counts[status]} {tables.WORDS.get(status, status)}" for status in order if status in counts]
    return f"Of {counted(len(frame), 'trial')}: {', '.join(words)}."


def _scale(frame: pd.DataFrame) -> str:
    """At which scale the verdicts were reached: no larger claim follows from them."""
    arms = frame[frame["kind"] == "arm"]
    known = arms["parameters"].dropna()
    sizes = [count(int(size)) for size in (known.min(), known.max())] if len(known) else []
    said = [" to ".join(dict.fromkeys(sizes)) + " parameters"] if sizes else []
    for column, unit in (("steps", "steps in the last stage"), ("resolution", "px")):
        if column in arms and pd.api.types.is_numeric_dtype(arms[column]) and arms[column].notna().any():
            ends = dict.fromkeys([str(arms[column].min()), str(arms[column].max())])
            said.append(f"{' to '.join(ends)} {unit}")
    return ", ".join(said)


def _points(sweep: Sweep, frame: pd.DataFrame) -> Picture | None:
    figure = points.measured(frame, sweep.metrics)
    caption = "What was measured, arm by arm: a ring is a seed, a dot the mean over seeds."
    return Picture("points", figure, caption) if figure else None


def _arms(sweep: Sweep) -> dict[str, Mapping[str, str]]:
    return {trial["name"]: trial["arm"] for trial in sweep.plan["trials"] if trial["kind"] == "arm"}


def _curves(sweep: Sweep, known: Mapping[str, Stage]) -> Picture | None:
    order = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in series(sweep).values()))}
    found = curves_of(sweep, known, QUANTITIES)
    found = found.sort_values("arm", key=lambda arm: arm.map(order), kind="stable")
    found = found.sort_values("stage", key=lambda stage: stage.map(_places(sweep, known)), kind="stable")
    figure = figures.learning_curves(found, figures.looks(_arms(sweep), sweep.factors))
    caption = "Learning curves: the mean over seeds, with a band from the lowest to the highest seed"
    if found.groupby("stage")["arm"].nunique().max() > figures.BANDS:
        caption += f" where a stage has {figures.BANDS} curves or fewer"
    return Picture("curves", figure, f"{caption}. A stage that arms share is drawn once.") if figure else None


def _places(sweep: Sweep, known: Mapping[str, Stage]) -> dict[str, int]:
    """{stage name: its place in the longest path}."""
    places: dict[str, int] = {}
    for trial in sweep.plan["trials"]:
        for i, one in enumerate(trial["stages"]):
            places[known[one].name] = max(i, places.get(known[one].name, 0))
    return places


def _samples(sweep: Sweep) -> Iterable[Picture]:
    for evaluation in sweep.plan["evaluations"]:
        name, frames = evaluation["name"], int(evaluation["spec"]["frames"])
        columns = galleries.shown(sweep, name)
        seeds = sorted({column.seed for column in columns if column.seed is not None and column.folder})
        whose = f"every arm (seed {', '.join(map(str, seeds))}) and every baseline"
        caption = f"Held-out items of {name}: the original beside what {whose} made of it."
        caption += " Three frames a clip." if frames > 1 else ""
        for i, figure in enumerate(found := galleries.galleries(columns, frames), start=1):
            part = f" Part {i} of {len(found)}." if len(found) > 1 else ""
            yield Picture(f"samples-{slug(name, digest(name))}{f'-{i}' if part else ''}", figure, caption + part)


def _holes(sweep: Sweep, frame: pd.DataFrame) -> Iterable[Hole]:
    yield from (Hole(arm, tables.WORDS.get(status, status), "none", why) for arm, status, why in open_searches(sweep))
    missing = frame[frame["status"] != "done"]
    for key, trials in missing.groupby(["arm", "status", "reason"], sort=False):
        name, status, reason = map(str, key)
        seeds = ", ".join(str(seed) for seed in trials["seed"].dropna())
        yield Hole(name, tables.WORDS.get(status, status), seeds or "none", reason)


def _runs(sweep: Sweep, frame: pd.DataFrame, row: tables.Row) -> tuple[Run, ...]:
    trials = frame[(frame["kind"] == row.kind) & (frame["arm"] == row.name)]
    columns = [metric.column for metric in sweep.metrics]
    return tuple(
        Run(seed=_said(trial["seed"]), status=tables.WORDS.get(trial["status"], trial["status"]),
            digest=trial["digest"], parents=trial["digests"][:-1], commit=_short(_said(trial["commit"])),
            device=_said(trial["device"]),
            values=tuple("" if pd.isna(trial[column]) else full(trial[column]) for column in columns))
        for _, trial in trials.iterrows()
    )  # fmt: skip


def _said(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _protocols(sweep: Sweep) -> Iterable[tuple[str, str, str]]:
    """(column, protocol, what it was measured on) of every metric."""
    for evaluation in sweep.plan["evaluations"]:
        said = evaluation["spec"]
        told = [name for name in ("split", "frames", "resolution", "weights") if name in said]
        where = ", ".join(f"{name} {said[name]}" for name in told)
        for metric in evaluation["metrics"]:
            yield f"{evaluation['name']}/{metric['label']}", metric["protocol"], f"{evaluation['key']} ({where})"


def _provenance(sweep: Sweep, frame: pd.DataFrame, known: Mapping[str, Stage]) -> Iterable[tuple[str, str]]:
    ran = [stage for stage in known.values() if stage.provenance]
    yield "sweep", f"{sweep.said['file']} (digest {sweep.said['digest']}), launched {sweep.said['launched']}"
    total = duration(math.fsum(stage.seconds for stage in known.values()))
    yield "runs", f"{counted(len(known), 'stage run')} in {counted(len(frame), 'trial')}, {total} in all"
    for title, values in (
        ("commits", [stage.provenance.get("commit") for stage in ran]),
        ("sources", [stage.provenance.get("code") for stage in ran]),
        ("devices", [stage.provenance.get("device") for stage in ran]),
        ("versions", [_versions(stage) for stage in ran]),
        ("threads", [stage.provenance.get("threads") for stage in ran]),
        ("other packages", [said for stage in ran if (said := _packages(stage))]),
        ("deviations", [said for stage in ran for said in stage.provenance.get("deviations", ())]),
        ("borrowed from", [stage.pool for stage in ran if stage.pool]),
    ):
        if values:
            yield title, _listed(values)


def _versions(stage: Stage) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(stage.provenance.get("versions", {}).items()))


def _packages(stage: Stage) -> str:
    """Whose components a stage had, beside ours."""
    said = stage.provenance.get("packages", {}).items()
    return ", ".join(f"{name} {one['version']} (commit {one['commit'] or 'none'})" for name, one in sorted(said))


def _listed(values: Sequence[Any]) -> str:
    counts = _tally(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({counted(n, 'run')})" for value, n in counts.items())
