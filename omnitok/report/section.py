"""Everything that a report says of one sweep, gathered once: both the page and the Markdown are printed from it."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, get_args

import pandas as pd

from omnitok import provenance, runs
from omnitok.exhibits.cells import WORDS, above_arms
from omnitok.exhibits.claims import Status, Verdict, answer, verdicts
from omnitok.exhibits.contract import Piece
from omnitok.exhibits.numbers import count, duration
from omnitok.report.behind import Of, behind, short
from omnitok.report.prepared import preparations
from omnitok.results import Metric, Results
from omnitok.results.collect import Stage, Sweep
from omnitok.results.searched import open_searches
from omnitok.spec import counted, digest
from omnitok.sweep.stored import TEXTS

NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})


class Hole(NamedTuple):
    """Trials of one arm that have no result, for one reason."""

    name: str
    status: str
    seeds: str
    reason: str


class Section(NamedTuple):
    """One sweep's part of a report, in the order in which it is read."""

    title: str
    slug: str
    text: str
    banner: tuple[str, ...]
    question: str
    answer: str
    progress: str
    scale: str
    verdicts: tuple[Verdict, ...]
    metrics: tuple[Metric, ...]
    pieces: tuple[Piece, ...]
    holes: tuple[Hole, ...]
    details: tuple[Of, ...]
    protocols: tuple[tuple[str, str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    notices: tuple[str, ...]
    frame: pd.DataFrame
    suggestions: pd.DataFrame | None

    @property
    def tally(self) -> str:
        """How its claims ended, "1 supported, 14 inconclusive"; nothing where it states none."""
        counts = Counter(verdict.status for verdict in self.verdicts)
        return ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])

    def anchor(self, whose: tuple[str, str] | None) -> str:
        """Where the runs of an arm or baseline are on the page; nothing where there are none."""
        names = [(of.kind, of.name) for of in self.details]
        return f"runs-{self.slug}-{names.index(whose) + 1}" if whose in names else ""


class Asked(NamedTuple):
    """What a report says of a section beside its sweep: a title in place of the sweep's name, words, exhibits that were made.

    ``file``: the report file, where there is one.
    """

    title: str = ""
    text: str = ""
    pieces: tuple[Piece, ...] = ()
    file: str = ""


NOTHING: Final = Asked()


def section(
    results: Results, asked: Asked = NOTHING, notices: Sequence[str] = (), pages: Mapping[str, str] = NOWHERE
) -> Section:
    """One sweep as a section, whatever state it is in; its banner ends with the notices.

    ``pages``: {digest of a stage run: the address of its page in MLflow}, where it has one.
    """
    sweep, known = results.sweep, results.stages
    found, question = verdicts(results), str(sweep.said["question"])
    return Section(
        title=asked.title or results.name, slug=results.slug, text=asked.text,
        banner=(*banner(sweep, known), *_going(sweep, results.rows), *_above_arms(results), *notices), question=question, answer=answer(question, found),
        progress=_progress(sweep, results.rows), scale=_scale(results.rows) if any(verdict.pairs for verdict in found) else "", verdicts=tuple(found),
        metrics=results.metrics, pieces=asked.pieces, holes=tuple(_holes(sweep, results.rows)),
        details=behind(results, pages),
        protocols=tuple(_protocols(sweep)), provenance=tuple(_provenance(results)),
        commands=commands(sweep, known, asked.file), notices=tuple(sweep.plan.get("notices", ())), frame=results.rows,
        suggestions=results.searches.trials if results.searches else None,
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
            said = ", ".join(f"{short(value)} ({counted(n, 'run')})" for value, n in counts.items())
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


def _going(sweep: Sweep, frame: pd.DataFrame) -> Iterable[str]:
    """What was still going on when this was rendered, so that the report is older than its runs will be."""
    running = int((frame["status"] == "running").sum())
    if running:
        yield f"{counted(running, 'trial')} {'was' if running == 1 else 'were'} still running when this was rendered"
    if searching := [arm for arm, status, _ in open_searches(sweep) if status == "searching"]:
        yield f"{', '.join(searching)} still had to be searched when this was rendered"


def _above_arms(results: Results) -> Iterable[str]:
    """Which baselines are better than every arm, in what: a best arm is then the best of what was trained, and no more."""
    for name in results.baselines:
        trials = results.trials("baseline", name)
        means = [(metric, trials[metric.column].mean()) for metric in results.metrics]
        if found := [metric.column for metric, mean in means if above_arms(results, metric, mean)]:
            yield f"the baseline {name} is better than the mean of every arm on {', '.join(found)}"


def commands(sweep: Sweep, known: Mapping[str, Stage], file: str = "") -> tuple[str, ...]:
    """What to type to have the same runs and the same report again. ``file``: the report file that asks for it."""
    commits = _tally(stage.provenance.get("commit") for stage in known.values() if stage.provenance)
    checkout = [f"git checkout {next(iter(commits))}"] if len(commits) == 1 and "none" not in commits else []
    what = " ".join([shlex.quote(sweep.said["file"]), *(f"--set {shlex.quote(said)}" for said in sweep.said["set"])])
    lacks = _uncommitted(sweep, next(iter(commits))) if checkout else []
    kept = f"# that commit has no {', '.join(lacks)} as launched; what is kept of it: omnitok launch {sweep.said['digest']}"
    return (
        *checkout,
        *preparations(sweep, known),
        f"omnitok launch {what}",
        f"omnitok report {shlex.quote(file) if file else what}",
        *([kept] if lacks else []),
    )


def _uncommitted(sweep: Sweep, commit: str) -> list[str]:
    """The files of a launch that a commit does not have as they were then."""
    if not (sweep.stored / TEXTS).exists():
        return []
    kept = runs.read_json(sweep.stored / TEXTS)
    found = []
    for name, text in kept["texts"].items():
        file = Path(name)
        said = file.relative_to(kept["folder"]) if file.is_relative_to(kept["folder"]) else Path(file.name)
        there = (
            file if file.parent.is_dir() else Path.cwd() / said
        )  # the checkout that it was launched from may be gone
        if not provenance.committed(commit, there, text):
            found.append(str(said))
    return found


def _tally(values: Iterable[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        text = "none" if value is None else str(value)
        counts[text] = counts.get(text, 0) + 1
    return dict(sorted(counts.items()))


def _progress(sweep: Sweep, frame: pd.DataFrame) -> str:
    going = [arm for arm, _, _ in open_searches(sweep)]
    said = f"No trials yet of {', '.join(going)}, where the search comes first. " if going else ""
    return said + (_trials(frame) if len(frame) else "")


def _trials(frame: pd.DataFrame) -> str:
    counts = {status: int(n) for status, n in frame["status"].value_counts().items()}
    if counts.get("done", 0) == len(frame):
        return f"All {len(frame)} trials are done." if len(frame) > 1 else "The one trial is done."
    order = ("done", "failed", "blocked", "running", "cancelled", "interrupted", "unevaluated", "planned")
    words = [f"{counts[status]} {WORDS.get(status, status)}" for status in order if status in counts]
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


def _holes(sweep: Sweep, frame: pd.DataFrame) -> Iterable[Hole]:
    yield from (Hole(arm, WORDS.get(status, status), "none", why) for arm, status, why in open_searches(sweep))
    missing = frame[frame["status"] != "done"]
    for key, trials in missing.groupby(["arm", "status", "reason"], sort=False):
        name, status, reason = map(str, key)
        seeds = ", ".join(str(seed) for seed in trials["seed"].dropna())
        yield Hole(name, WORDS.get(status, status), seeds or "none", reason)


def _protocols(sweep: Sweep) -> Iterable[tuple[str, str, str]]:
    """(column, protocol, what it was measured on) of every metric."""
    for evaluation in sweep.plan["evaluations"]:
        said = evaluation["spec"]
        told = [name for name in ("split", "frames", "resolution", "weights") if name in said]
        where = ", ".join(f"{name} {said[name]}" for name in told)
        for metric in evaluation["metrics"]:
            yield f"{evaluation['name']}/{metric['label']}", metric["protocol"], f"{evaluation['key']} ({where})"


def _provenance(results: Results) -> Iterable[tuple[str, str]]:
    sweep, frame, known = results.sweep, results.rows, results.stages
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
    yield "tuning", _tuning(results)


def _tuning(results: Results) -> str:
    """What was spent on the choices of each arm before it was trained on all seeds."""
    tuned = results.searches.tuned if results.searches else {}
    said = [f"{name}: {tuned.get(name, 'not tuned')}" for name in results.arms]
    return ", ".join(said) if tuned else "no arm was tuned: all have the choices of the sweep's files"


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
