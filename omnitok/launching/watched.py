"""A launched sweep at a glance: how its trials stand, what runs and how fast, its jobs, its hours. Loads no torch."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.cluster import Queued
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.launching.queued import asked_states
from omnitok.sweep.stored import SEARCHES, SWEEP, State, locate, plan_of

GOING = ("running", "queued")  # nothing need be done for these to come to an end


class Running(NamedTuple):
    """A stage that somebody trains now: its folder, "joint fsq/0", steps done and in all, and steps a second, where there
    is something to tell it by."""

    run: str
    label: str
    step: int
    total: int
    pace: float | None

    @property
    def left_s(self) -> float | None:
        """Seconds to its end."""
        return (self.total - self.step) / self.pace if self.pace else None


class Hours(NamedTuple):
    """Of training: ``used`` by all attempts, and ``left`` by what like stages of this sweep took, but for ``unknown`` steps."""

    used: float
    left: float
    unknown: int


class Glance(NamedTuple):
    """``jobs``: those that wait or run, by what they do. ``busy``: whether anything comes without anybody's doing."""

    sweep: str
    states: list[State]
    running: list[Running]
    jobs: dict[str, Queued]
    hours: Hours
    busy: bool

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(state.status for state in self.states))

    @property
    def arms(self) -> dict[str, Counter[str]]:
        """Of each arm how many of its trials stand how."""
        found: dict[str, Counter[str]] = {}
        for state in self.states:
            found.setdefault(state.trial["name"], Counter())[state.status] += 1
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "counts": self.counts,
            "hours": self.hours._asdict(),
            "running": [{**one._asdict(), "left_s": one.left_s} for one in self.running],
            "jobs": {name: one._asdict() for name, one in self.jobs.items()},
            "trials": [
                {**{key: state.trial[key] for key in ("kind", "name", "seed", "stages")},
                 "status": state.status, "reason": state.reason}
                for state in self.states
            ],
        }  # fmt: skip


class Watch:
    """Looks again and again; what is done once is not read again."""

    def __init__(self, reference: str, sets: Sequence[str] = ()) -> None:
        """Raises SpecError where no such sweep was launched."""
        self.folder = locate(runs.root(), reference, sets)
        self.root = self.folder.parent.parent
        self.name = str(runs.read_json(self.folder / SWEEP)["name"])
        self.spent: dict[str, tuple[float, float]] = {}  # a stage that is done -> its hours, its seconds a step
        self.first: dict[str, tuple[int, float]] = {}  # a stage that runs -> its step when it was first seen, and when

    def look(self) -> Glance:
        jobs: dict[str, Queued] = {}

        def ask(folder: Path) -> dict[str, Queued]:
            jobs.update(queue(folder))
            return jobs

        states = asked_states(self.folder, ask)
        labels = _labels(states)
        stages = plan_of(self.folder)["stages"]
        done = {one for state in states if state.status == "done" for one in state.trial["stages"]}
        going = dict.fromkeys(one for state in states if state.status in GOING for one in state.trial["stages"])
        running = [self._running(one, stages[one], labels[one]) for one in going if self._trains(one)]
        active = {_said(name, stages, labels): job for name, job in jobs.items() if job.state in ACTIVE}
        busy = bool(active) or any(map(self._works, states)) or self._searching(states, jobs)
        return Glance(self.name, states, running, active, self._hours(stages, done, running), busy)

    def _works(self, state: State) -> bool:
        """Whether somebody trains or measures it."""
        measured = state.status == "unevaluated" and runs.leased(self.root / state.trial["stages"][-1])
        return measured or state.status == "running"

    def _trains(self, stage: str) -> bool:
        return runs.status(self.root / stage) == "running"

    def _searching(self, states: Iterable[State], jobs: Mapping[str, Queued]) -> bool:
        """Whether an arm is searched here; on a cluster its workers' jobs say so."""
        from omnitok.search import standing

        arms = [state.trial["name"] for state in states if state.status == "searching"] if not jobs else []
        return any(standing(self.folder / SEARCHES / arm).running for arm in arms)

    def _running(self, stage: str, facts: Mapping[str, Any], label: str) -> Running:
        folder, now = self.root / stage, time.monotonic()
        record = runs.last_record(folder)
        step = record.step + 1 if record else 0
        before, since = self.first.setdefault(stage, (step, now))
        if step < before:  # it began again
            before, since = self.first[stage] = step, now
        pace = (step - before) / (now - since) if step > before else _pace(folder, step)
        return Running(stage, f"{facts['stage']} {label}", step, facts["steps"], pace)

    def _hours(self, stages: Mapping[str, Any], done: Iterable[str], running: Iterable[Running]) -> Hours:
        for stage in done:
            if stage not in self.spent:
                self.spent[stage] = _spent(self.root / stage)
        open_ = [stage for stage in stages if stage not in self.spent]
        used = (
            sum(hours for hours, _ in self.spent.values()) + sum(runs.seconds(self.root / one) for one in open_) / 3600
        )
        took: dict[str, list[float]] = {}
        for stage, (_, pace) in self.spent.items():
            if pace:
                took.setdefault(stages[stage]["stage"], []).append(pace)
        like = {name: statistics.median(found) for name, found in took.items()}
        at = {one.run: one for one in running}
        left, unknown = 0.0, 0
        for stage in open_:
            name, steps = stages[stage]["stage"], stages[stage]["steps"] - (at[stage].step if stage in at else 0)
            own = at[stage].pace if stage in at else None
            a_step = 1 / own if own else like.get(name)
            left, unknown = (left + steps * a_step, unknown) if a_step else (left, unknown + steps)
        return Hours(used, left / 3600, unknown)


def _labels(states: Iterable[State]) -> dict[str, str]:
    """{a stage: the first trial that uses it}."""
    found: dict[str, str] = {}
    for state in states:
        seed = state.trial["seed"]
        for stage in state.trial["stages"]:
            found.setdefault(stage, state.trial["name"] + (f"/{seed}" if seed is not None else ""))
    return found


def _said(piece: str, stages: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What a piece is called, for people."""
    stage = piece.partition(".")[0]
    return (
        f"{stages[stage]['stage']} {labels.get(stage, '')}{piece[len(stage) :]}".strip() if stage in stages else piece
    )


def _pace(folder: Path, step: int) -> float | None:
    """Steps a second since this attempt began, by the clock of its machine and of the file system."""
    try:
        begun = datetime.fromisoformat(json.loads((folder / runs.PROVENANCE).read_bytes())["created"]).timestamp()
        took = (folder / runs.RECORDS).stat().st_mtime - begun
    except (FileNotFoundError, ValueError):  # it begins just now
        return None
    steps = step - int(runs.last_attempt(folder).get("to_step", 0))
    return steps / took if steps > 0 and took > 0 else None


def _spent(folder: Path) -> tuple[float, float]:
    """(hours of all attempts, seconds a step) of a stage that is done."""
    tries = runs.attempts(folder)
    seconds = sum(one.get("seconds", 0.0) for one in tries)
    steps = sum(max(0, one.get("to_step", 0) - one.get("from_step", 0)) for one in tries)
    return seconds / 3600, seconds / steps if steps else 0.0
