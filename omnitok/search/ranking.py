"""What the trials of a study come to: a line each, how the search stands, which one wins."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from omnitok import runs
from omnitok.search.asked import Search
from omnitok.search.patching import plain_values, shown
from omnitok.search.prepare import Prepared
from omnitok.search.standing import STANDING, TRIALS, WINNER, Standing

NUMBERS: Final = re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?")  # a sentence that differs in these alone says the same
SAME: Final = 5  # how many trials in a row may fail alike before an arm is given up
SUGGESTED: Final = ("nan", "out_of_memory")  # failures that come of what was suggested
NOTES: Final = "ended"  # the attribute of a trial with all that is known at its end, told in one write
STATES: Final = {
    TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    TrialState.RUNNING: "running", TrialState.WAITING: "running",
}  # fmt: skip


def row_of(search: Search, one: FrozenTrial) -> dict[str, Any]:
    """A trial as data; ``feasible``: whether it keeps every constraint that is known of it."""
    said = one.user_attrs | one.user_attrs.get(NOTES, {})
    metrics = [objective.metric for objective in search.objective]
    values = dict(zip(metrics, one.values, strict=True)) if one.state == TrialState.COMPLETE and one.values else {}
    return {
        "number": one.number,
        "state": "infeasible" if said.get("infeasible") else STATES[one.state],
        "labels": one.params,
        "objectives": {**said.get("values", {}), **values},
        "feasible": all(amount <= 0 for amount in one.constraints.values()),
        "broken": {name: amount for name, amount in one.constraints.items() if amount > 0},
        "runs": said.get("runs", []),
        "attempts": said.get("attempts", 0),
        "seconds": said.get("seconds", 0.0),
        "deviations": said.get("deviations", []),
        "reason": said.get("reason", ""),
        "warm": said.get("warm", ""),
    }


def best(search: Search, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row that wins: of those that are complete, feasible and this search's own, as the rule says; of equals the first."""
    found = [one for one in rows if one["state"] == "complete" and one["feasible"] and not one["warm"]]
    if not found:
        return None
    costs = [_costs(search, one) for one in found]
    if search.winner.by != "knee":
        return found[min(range(len(found)), key=lambda i: (costs[i], i))]
    front = [i for i, cost in enumerate(costs) if not any(_dominates(other, cost) for other in costs)]
    low = [min(costs[i][k] for i in front) for k in range(len(costs[0]))]
    wide = [max(costs[i][k] for i in front) - low[k] or 1.0 for k in range(len(low))]

    def distance(i: int) -> float:
        return float(sum(((costs[i][k] - low[k]) / wide[k]) ** 2 for k in range(len(low))))

    return found[min(front, key=lambda i: (distance(i), i))]


def given_up(rows: Sequence[dict[str, Any]], since: int) -> str:
    """Why nothing more is tried of an arm before its target: the last ``SAME`` trials that ended failed alike, whatever was
    suggested; nothing where they did not. ``rows``: the search's own that ended, of which those from number ``since`` on
    count. What is of a suggestion may come often: a loss that is no number, too little memory."""
    last = [one for one in rows[-SAME:] if one["state"] == "failed" and one["number"] >= since]
    alike = {NUMBERS.sub("#", one["reason"]) for one in last}
    if len(last) < SAME or len(alike) > 1 or last[-1]["reason"].partition(":")[0] in SUGGESTED:
        return ""
    return f"{SAME} trials in a row failed alike: {last[-1]['reason']}"


class Board:
    """What is written of a study beside it. What has ended does not change, so its line is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: dict[int, tuple[dict[str, Any], bytes]] = {}
        self.rows: list[dict[str, Any]] = []

    def publish(self, prepared: Prepared, every: Sequence[FrozenTrial], held: runs.Held, last: bool) -> None:
        """Write ``trials.jsonl`` and ``standing.json``; what is not the ``last`` need not outlive a power failure."""
        told = [self._told(prepared.search, one) for one in every]
        self.rows = [row for row, _ in told]
        stands = json.dumps(standing_of(prepared.search, self.rows)._asdict(), indent=1, sort_keys=True).encode()
        for name, content in [(TRIALS, b"".join(line for _, line in told)), (STANDING, stands + b"\n")]:
            if last:
                held.write(self.folder / name, content)
            else:
                draft = held.place / name
                draft.write_bytes(content)
                draft.rename(self.folder / name)

    def crown(self, prepared: Prepared, held: runs.Held) -> None:
        """Write ``winner.json``, from what was published."""
        said = _crowned(prepared, self.rows)
        path = self.folder / WINNER
        if not path.exists() or runs.read_json(path) != said:
            held.write_json(path, said)

    def _told(self, search: Search, one: FrozenTrial) -> tuple[dict[str, Any], bytes]:
        if one.number not in self.ended:
            found = row_of(search, one)
            told = found, json.dumps(found, sort_keys=True).encode() + b"\n"
            if not one.state.is_finished():
                return told
            self.ended[one.number] = told
        return self.ended[one.number]


def standing_of(search: Search, rows: Sequence[dict[str, Any]]) -> Standing:
    own = [one for one in rows if not one["warm"]]
    counts = Counter(one["state"] for one in own)
    first = best(search, rows)
    reasons = Counter(one["reason"] for one in own if one["state"] == "failed")
    return Standing(
        target=search.trials,
        complete=counts["complete"],
        pruned=counts["pruned"],
        failed=counts["failed"],
        infeasible=counts["infeasible"],
        running=counts["running"],
        warm=len(rows) - len(own),
        seconds=sum(one["seconds"] for one in own),
        best={one.metric: first["objectives"][one.metric] for one in search.objective} if first else {},
        best_trial=first["number"] if first else None,
        reasons=dict(reasons.most_common(5)),
    )


def _crowned(prepared: Prepared, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    search = prepared.search
    known = {"study": prepared.study, "target": search.trials, "hours": search.hours}
    own = [one for one in rows if not one["warm"]]
    stopped = given_up(own, prepared.since) if len(own) < search.trials else ""
    first = None if stopped else best(search, rows)
    if first is None:
        why = stopped or f"of {len(rows)} trials none came to an end that keeps every constraint"
        return {
            "trial": None,
            "values": {},
            "labels": {},
            "label": "",
            "objectives": {},
            "runs": [],
            "reason": why,
            "stopped": bool(stopped),
        } | known
    labels = first["labels"]
    return {
        "trial": first["number"],
        "values": plain_values(search, prepared.said, labels),
        "labels": labels,
        "label": shown(labels),
        "objectives": {one.metric: first["objectives"][one.metric] for one in search.objective},
        "runs": first["runs"],
        "reason": "",
        "stopped": False,
    } | known


def _costs(search: Search, one: dict[str, Any]) -> list[float]:
    """The objectives, each so that less is better."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in search.directions]
    return [sign * one["objectives"][objective.metric] for sign, objective in zip(signs, search.objective, strict=True)]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
