"""From the files of a stored sweep to rows: the only input of every table, figure and verdict."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
from pydantic_core import from_json

from omnitok import runs
from omnitok.results.stages import Stage, stage_of
from omnitok.spec import Fault, Mark, SpecError, flat
from omnitok.sweep.stored import PLAN, SWEEP, State, states

Mirror = Mapping[tuple[str, str], float]  # (stage digest, evaluation digest) -> what the tracker says

ENDS: Final = ("low", "high")  # after a metric's column: of the interval over items, where it has one
TOLERANCE: Final = 1e-9  # relative; a tracker stores doubles, so anything beyond rounding is another number


class Metric(NamedTuple):
    """One column of numbers: what is measured on which evaluation, in which unit, which direction is better."""

    evaluation: str
    label: str
    key: str
    unit: str
    better: str
    protocol: str
    missing: str = ""  # why nobody measured it, where the sweep leaves it out

    @property
    def column(self) -> str:
        return f"{self.evaluation}/{self.label}"


class Sweep(NamedTuple):
    """A stored sweep as it was launched last: what was said, and the plan that followed."""

    runs: Path
    said: dict[str, Any]
    plan: dict[str, Any]

    @property
    def slug(self) -> str:
        return slug(str(self.said["name"]), self.said["digest"])

    @property
    def stored(self) -> Path:
        return self.runs / "sweeps" / self.said["digest"]

    @property
    def factors(self) -> dict[str, list[str]]:
        return {path: list(labels) for path, labels in self.plan["factors"].items()}

    @property
    def metrics(self) -> list[Metric]:
        fields = ("label", "key", "unit", "better", "protocol", "missing")
        return [
            Metric(evaluation["name"], **{field: metric[field] for field in fields if field in metric})
            for evaluation in self.plan["evaluations"]
            for metric in evaluation["metrics"]
        ]

    def names(self, kind: str) -> list[str]:
        """The arms, or the baselines, in the order of the plan."""
        return list(dict.fromkeys(trial["name"] for trial in self.plan["trials"] if trial["kind"] == kind))


def read(stored: Path) -> Sweep:
    """``runs/sweeps/<digest>/`` as data. Raises SpecError where no sweep is stored."""
    try:
        return Sweep(stored.parent.parent, runs.read_json(stored / SWEEP), runs.read_json(stored / PLAN))
    except FileNotFoundError as error:
        sentence = f"no stored sweep here (no {Path(str(error.filename)).name}); launch it first"
        raise SpecError([Fault(Mark(str(stored)), "", sentence)]) from None


def slug(name: str, digest: str) -> str:
    """A name as a file name and a LaTeX label, not too long; where that loses something, six digits of what it names follow."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:48]
    return plain if plain == name else f"{plain or 'unnamed'}-{digest[:6]}"


def stages(sweep: Sweep) -> dict[str, Stage]:
    """Every stage run of the plan by digest, each read once however many arms share it."""
    digests = dict.fromkeys(digest for trial in sweep.plan["trials"] for digest in trial["stages"])
    return {digest: stage_of(sweep.runs / digest) for digest in digests}


def rows(stored: Path, mirror: Mirror | None = None) -> pd.DataFrame:
    """One row a trial: identity, status, cost, a column a factor (its label), a choice (of the last stage) and a metric.

    A factor's column holds its label, also where a choice has the same path, and nothing where an arm leaves the
    factor as the experiment says. Numbers come from the folders; from ``mirror`` only where a folder is out of reach.
    Raises SpecError where both have one evaluation and disagree.
    """
    sweep = read(stored)
    return rows_of(sweep, stages(sweep), mirror)


def rows_of(sweep: Sweep, known: Mapping[str, Stage], mirror: Mirror | None = None) -> pd.DataFrame:
    """``rows`` of what was read already."""
    found = [_row(sweep, state, [known[d] for d in state.trial["stages"]], mirror or {})
             for state in states(sweep.stored)]  # fmt: skip
    columns = [*FIXED, *sweep.factors]
    columns += [name for name in dict.fromkeys(name for row in found for name in row) if name not in columns]
    metrics = [metric.column for metric in sweep.metrics]
    frame = pd.DataFrame(found, columns=[name for name in columns if name not in metrics] + metrics)
    whole: pd.DataFrame = frame.convert_dtypes()
    counts = dict.fromkeys(("seed", "parameters", "flops"), "Int64")
    costs = ("bits_per_token", "seconds", "hours", "throughput", "memory")
    return whole.astype(counts | dict.fromkeys([*costs, *metrics], float))


def items_of(sweep: Sweep) -> pd.DataFrame:
    """Long form (kind, arm, seed, evaluation, metric, item, class, value) of every number that a metric has of an item."""
    found = []
    for trial in sweep.plan["trials"]:
        for name, label, _, said in evaluations(sweep, trial["stages"][-1]):
            values = said["per_item"] if said is not None else ()
            if values and said is not None:
                classes = said.get("classes") or [None] * len(values)
                whose = (trial["kind"], trial["name"], trial["seed"], name, label)
                found += [(*whose, *one) for one in zip(said["items"], classes, values, strict=True)]
    columns = ["kind", "arm", "seed", "evaluation", "metric", "item", "class", "value"]
    return pd.DataFrame(found, columns=columns).astype({"seed": "Int64"})


def details_of(sweep: Sweep, label: str) -> pd.DataFrame:
    """Long form (kind, arm, seed, evaluation, detail, value) of the numbers that belong to one metric, as its file has them."""
    found = []
    for trial in sweep.plan["trials"]:
        for name, other, _, said in evaluations(sweep, trial["stages"][-1]):
            for detail, value in (said or {}).get("details", {}).items() if other == label else ():
                found.append((trial["kind"], trial["name"], trial["seed"], name, detail, float(value)))
    columns = ["kind", "arm", "seed", "evaluation", "detail", "value"]
    return pd.DataFrame(found, columns=columns).astype({"seed": "Int64"})


def curves(stored: Path, quantities: Collection[str] | None = None) -> pd.DataFrame:
    """Long form (arm, stage, seed, step, quantity, value) of all records, each stage run read once.

    A stage that several arms share stands there once, under the labels that these arms have in common.
    """
    sweep = read(stored)
    return curves_of(sweep, stages(sweep), quantities)


def curves_of(sweep: Sweep, known: Mapping[str, Stage], quantities: Collection[str] | None = None) -> pd.DataFrame:
    """``curves`` of what was read already."""
    whose: list[tuple[str, str, int, str]] = []
    lengths: list[int] = []
    steps: list[int] = []
    values: list[float] = []
    for digest, (name, seed) in series(sweep).items():
        for quantity, points in _series_of(sweep.runs / digest, quantities).items():
            whose.append((name, known[digest].name, seed, quantity))
            lengths.append(len(points))
            steps += [step for step, _ in points]
            values += [value for _, value in points]
    found = pd.DataFrame(
        whose, columns=["arm", "stage", "seed", "quantity"]
    )  # a line a curve: repeated at once, not by value
    found = found.loc[found.index.repeat(lengths)].reset_index(drop=True)
    found = found.assign(step=pd.Series(steps, dtype="int64"), value=pd.Series(values, dtype="float64"))
    return found[["arm", "stage", "seed", "step", "quantity", "value"]]


def _series_of(folder: Path, quantities: Collection[str] | None) -> dict[str, list[tuple[int, float]]]:
    """{quantity: (step, value) of each record that has it} of one stage run."""
    found: dict[str, list[tuple[int, float]]] = {}
    for values in _lines(folder / runs.RECORDS):
        step = int(values.pop("step"))
        for quantity, value in values.items():
            if quantities is None or quantity in quantities:
                found.setdefault(quantity, []).append((step, value))
    return found


def _lines(path: Path) -> list[dict[str, float]]:
    """All records of a file, parsed at once; one by one where a kill has torn a line."""
    if not path.exists():
        return []
    text = path.read_bytes()
    try:
        found: list[dict[str, float]] = from_json(b"[" + b",".join(text.splitlines()[: text.count(b"\n")]) + b"]")
    except ValueError:
        return [{"step": record.step, **record.values} for record in runs.records(path.parent)]
    return found


def series(sweep: Sweep) -> dict[str, tuple[str, int]]:
    """{stage digest: (what the arms that share it have in common, seed)}, arms only."""
    arms = {trial["name"]: trial["arm"] for trial in sweep.plan["trials"] if trial["kind"] == "arm"}
    users: dict[str, list[dict[str, Any]]] = {}
    for trial in sweep.plan["trials"]:
        for digest in trial["stages"] if trial["kind"] == "arm" else ():
            users.setdefault(digest, []).append(trial)
    shared = {digest: tuple(trial["name"] for trial in trials) for digest, trials in users.items()}
    titles = {names: _in_common(names, arms) for names in shared.values()}
    often = Counter(titles.values())
    unique = {names: title if often[title] == 1 else ", ".join(names)
              for names, title in titles.items()}  # fmt: skip
    return {digest: (unique[names], users[digest][0]["seed"]) for digest, names in shared.items()}


def evaluations(sweep: Sweep, digest: str) -> Iterator[tuple[str, str, str, dict[str, Any] | None]]:
    """(evaluation, metric label, its digest, what its file says or None) of all that is wanted of one stage run.

    Raises SpecError where a file has another protocol than its column."""
    protocols = {(metric.evaluation, metric.label): metric.protocol for metric in sweep.metrics}
    for name, wanted in sweep.plan["evaluation_digests"].get(digest, {}).items():
        for label, evaluation in wanted.items():
            path = sweep.runs / digest / runs.EVALUATIONS / f"{evaluation}.json"
            said = runs.read_json(path) if path.exists() else None
            if said is not None and said["protocol"] != (planned := protocols[name, label]):
                sentence = f"{path.name} was measured by {said['protocol']}, and its column has {planned}"
                raise SpecError([Fault(Mark(f"runs/{digest}"), f"{name}/{label}", sentence)])
            yield name, label, evaluation, said


FIXED: Final = ("sweep", "kind", "arm", "seed", "digest", "digests", "status", "reason", "tuned", "parameters", "flops",
                 "bits_per_token", "seconds", "hours", "throughput", "memory", "commit", "dirty", "device", "notes")  # fmt: skip


def _row(sweep: Sweep, state: State, path: list[Stage], mirror: Mirror) -> dict[str, Any]:
    trial, last = state.trial, path[-1]
    values, missing, notes = _values(sweep, last, mirror)
    mirrored = not last.reachable and values and not missing
    status, reason = ("done", "") if mirrored else (state.status, state.reason)
    fixed = {
        "sweep": sweep.said["name"], "kind": trial["kind"], "arm": trial["name"], "seed": trial["seed"],
        "digest": last.digest, "digests": tuple(stage.digest for stage in path), "status": status, "reason": reason,
        "tuned": trial.get("searched") is not None,
        "parameters": trial.get("parameters"), "flops": _flops(trial), "bits_per_token": trial.get("bits_per_token"),
        "seconds": math.fsum(stage.seconds for stage in path), "hours": math.fsum(stage.hours for stage in path),
        "throughput": last.throughput, "memory": last.memory,
        "commit": last.provenance.get("commit"), "dirty": last.provenance.get("dirty"),
        "device": last.provenance.get("device"), "notes": tuple(notes),
    }  # fmt: skip
    choices = {name: tuple(value) if isinstance(value, list) else value for name, value in flat(last.spec).items()}
    return {**choices, **fixed, **dict.fromkeys(sweep.factors), **trial["arm"], **values}


def _flops(trial: Mapping[str, Any]) -> int | None:
    """Of one clip of the largest shape that was trained on, there and back."""
    return sum(trial["flops"][trial["largest"]].values()) if trial.get("flops") else None


def _values(sweep: Sweep, stage: Stage, mirror: Mirror) -> tuple[dict[str, float], list[str], list[str]]:
    """{metric column: number}, the columns that are wanted and not there, and why numbers are NaN, as their files say
    ("photos/codebook_usage: nothing is discrete")."""
    values, missing, notes = dict[str, float](), list[str](), list[str]()
    for name, label, evaluation, said in evaluations(sweep, stage.digest):
        column, mirrored = f"{name}/{label}", mirror.get((stage.digest, evaluation))
        if said is not None:
            value = None if said["value"] is None else float(said["value"])
            values[column] = math.nan if value is None else value
            notes += [f"{column}: {said['note']}"] if value is None and said.get("note") else []
            ends = said.get("interval") or ()
            values |= {f"{column} {side}": float(end) for side, end in zip(ENDS, ends, strict=False)}
            _agree(stage.digest, column, value, mirrored)
        elif mirrored is not None and not stage.reachable:
            values[column] = float(mirrored)
        else:
            missing.append(column)
    return values, missing, notes


def _agree(digest: str, column: str, said: float | None, mirrored: float | None) -> None:
    if mirrored is None or (said is not None and math.isclose(said, mirrored, rel_tol=TOLERANCE)):
        return
    sentence = f"the tracker says {mirrored!r} for {column}, the run's folder says {said!r}; sync, or mend the folder"
    raise SpecError([Fault(Mark(f"runs/{digest}"), column, sentence)])


def _in_common(names: tuple[str, ...], arms: Mapping[str, Mapping[str, str]]) -> str:
    if len(names) == 1:
        return names[0]
    if set(names) == set(arms):
        return "all arms"
    common = [label for path, label in arms[names[0]].items() if all(arms[name].get(path) == label for name in names)]
    return "+".join(common) or ", ".join(names)
