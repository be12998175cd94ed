"""One sweep as data frames, read once however many tables and figures are made of them."""

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from omnitok.results import collect
from omnitok.results.cited import Cited, read_cited
from omnitok.results.collect import ENDS, FIXED, Metric, Mirror, Stage, Sweep
from omnitok.results.pictures import Shown, shown
from omnitok.results.searched import Searches, searched
from omnitok.spec import near


def gathered(stored: Path, mirror: Mirror | None = None, beside: Path = Path()) -> "Results":
    """A stored sweep, in whatever state it is. ``beside``: the folder in which files of published numbers are looked for, which
    is that of the report file. Raises SpecError as ``collect.rows`` does."""
    sweep = collect.read(stored)
    known = collect.stages(sweep)
    return Results(sweep, known, collect.rows_of(sweep, known, mirror), beside)


class Results:
    """What exhibits are made of. ``rows``: a trial each, as ``omnitok.rows`` gives them.

    Other frames are read when they are first asked for; none of them is to be changed.
    """

    def __init__(self, sweep: Sweep, stages: Mapping[str, Stage], rows: pd.DataFrame, beside: Path = Path()) -> None:
        self.sweep, self.stages, self.rows, self.beside = sweep, stages, rows, beside
        self.name, self.slug = str(sweep.said["name"]), sweep.slug
        self._curves: dict[frozenset[str] | None, pd.DataFrame] = {}

    @functools.cached_property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(self.sweep.metrics)

    @functools.cached_property
    def factors(self) -> dict[str, list[str]]:
        """{path: labels in the order of the sweep}."""
        return self.sweep.factors

    @functools.cached_property
    def arms(self) -> dict[str, Mapping[str, str]]:
        """{arm: its labels by factor; a factor that is not named stands as the experiment says}, in the order of the plan."""
        return {trial["name"]: trial["arm"] for trial in self.sweep.plan["trials"] if trial["kind"] == "arm"}

    @functools.cached_property
    def awaited(self) -> tuple[str, ...]:
        """The arms that have no trials yet, as their search comes first."""
        return tuple(one["arm"] for one in self.sweep.plan.get("searches", ()) if one["arm"] not in self.arms)

    @functools.cached_property
    def baselines(self) -> tuple[str, ...]:
        return tuple(self.sweep.names("baseline"))

    @property
    def base(self) -> str | None:
        """The arm that others are held against where nobody says which: the experiment as it stands, else the first."""
        return next((name for name, labels in self.arms.items() if not labels), next(iter(self.arms), None))

    def trials(self, kind: str, name: str) -> pd.DataFrame:
        """The rows of one arm or baseline, without the columns of their choices and as plain objects: a frame of many columns and kinds is slow to divide."""
        found = self._trials.get((kind, name))
        return self.rows.iloc[:0] if found is None else found

    @functools.cached_property
    def _trials(self) -> dict[tuple[str, str], pd.DataFrame]:
        measured = [f"{metric.column}{end}" for metric in self.metrics for end in ("", *(f" {side}" for side in ENDS))]
        kept = [name for name in (*FIXED, *self.factors, *measured) if name in self.rows.columns]
        groups = self.rows[kept].astype(object).groupby(["kind", "arm"], sort=False)
        return {(str(kind), str(name)): one for (kind, name), one in groups}

    def curves(self, quantities: Collection[str] | None = None) -> pd.DataFrame:
        """Long form (arm, stage, seed, step, quantity, value); a stage that arms share stands there once."""
        key = None if quantities is None else frozenset(quantities)
        if key not in self._curves:
            self._curves[key] = collect.curves_of(self.sweep, self.stages, key)
        return self._curves[key]

    @functools.cached_property
    def items(self) -> pd.DataFrame:
        """Long form (kind, arm, seed, evaluation, metric, item, class, value) of every number that a metric has of an item."""
        return collect.items_of(self.sweep)

    def details(self, label: str) -> pd.DataFrame:
        """Long form (kind, arm, seed, evaluation, detail, value): what belongs to a metric's numbers."""
        return collect.details_of(self.sweep, label)

    def shown(self, evaluation: str) -> Sequence[Shown]:
        """What each arm and baseline can show of the items of one evaluation."""
        return shown(self.sweep, evaluation)

    def frames(self, evaluation: str) -> int:
        """Of an item of one evaluation; 1 is a picture."""
        return next(int(one["spec"]["frames"]) for one in self.sweep.plan["evaluations"] if one["name"] == evaluation)

    @functools.cached_property
    def evaluations(self) -> tuple[str, ...]:
        return tuple(one["name"] for one in self.sweep.plan["evaluations"])

    @functools.cached_property
    def claims(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self.sweep.said["claims"])

    def cited(self, file: str) -> Cited:
        """The published numbers of a file. Raises SpecError for what it says wrongly, LookupError where there is no such file."""
        path = self.beside / file
        if not path.is_file():
            known = sorted(one.name for one in path.parent.glob("*.yaml"))
            raise LookupError(f"no such file of published numbers: {file}{near(path.name, known)}")
        return read_cited(path)

    @functools.cached_property
    def searches(self) -> Searches | None:
        """How the searches of the arms went; None where nothing is searched."""
        return searched(self.sweep)
