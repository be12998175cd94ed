"""Whether all that a sweep asks for is there once: in its folders, in MLflow, in its report; and nothing is left running."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from cluster import Cluster
from daemons import until

import omnitok
from omnitok import runs
from omnitok.spec import SpecError
from omnitok.sweep.stored import PLAN, locate
from omnitok.tracking import sync
from omnitok.tracking.store import EXPERIMENT, tracking_uri

CURVE = "train/"  # every task that trains records something below it
OURS = re.compile(r"(from )?(omnitok|submitit)\b|.*/omnitok$")  # a word of the command line of what we start


def exactly_once(sweep: Path, sets: Sequence[str] = (), cluster: Cluster | None = None) -> dict[str, str]:
    """Every planned trial is once in result, MLflow and report, nothing is lost or doubled, and no process is left.

    -> {"arm/seed/metric": the number as the report has it}, for campaigns that are to be equal.
    """
    root = runs.root()
    at_rest(root, cluster)
    stored = locate(root, str(sweep), sets)
    plan = runs.read_json(stored / PLAN)
    states = omnitok.sweep_states(sweep, sets)
    assert {state.status for state in states} == {"done"}, [state for state in states if state.status != "done"]
    for digest, facts in plan["stages"].items():
        _trained_once(root / digest, facts["steps"])
    for digest, wanted in plan["evaluation_digests"].items():
        for found in (one for metrics in wanted.values() for one in metrics.values()):
            assert runs.read_json(root / digest / runs.EVALUATIONS / f"{found}.json")["digest"] == found
    _mirrored_once(root, stored.name, plan)
    return _reported_once(root, sweep, sets, plan)


def at_rest(root: Path, cluster: Cluster | None = None) -> None:
    """Nobody works below ``root`` any more, neither here nor as a job. Raises Failed where that takes too long."""
    if cluster is not None:
        until(lambda: not cluster.ask("squeue", "--noheader"), 120, "the queue is empty", pause=0.3)
        until(lambda: not cluster.tasks(), 60, "no task is left on any node", pause=0.3)
    until(lambda: not workers(root), 60, f"nobody works in {root}: {workers(root)}", pause=0.3)
    held = [path.parent.name for path in root.glob(f"*/{runs.EXPERIMENT}") if runs.leased(path.parent)]
    assert not held, f"leases that nobody can hold any more: {held}"


def workers(root: Path) -> list[str]:
    """The command lines of all other processes that were started for these runs and are not those that started us."""
    mine, found = {os.getpid(), *(process.pid for process in psutil.Process().parents())}, []
    for process in psutil.process_iter():
        try:
            words, asked = process.cmdline(), process.environ().get("OMNITOK_RUNS")
            dead = process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        ours = str(root) in words or (asked == str(root) and any(map(OURS.match, words)))
        if process.pid not in mine and not dead and ours:
            found.append(" ".join(words))
    return found


def _trained_once(folder: Path, steps: int) -> None:
    """Each step is recorded once and in order, the run ended well at most once, and says nothing of a death."""
    assert (folder / runs.RESULT).exists() and not (folder / runs.ERROR).exists(), folder
    assert [record.step for record in runs.records(folder)] == list(range(steps)), folder
    ends = [attempt.get("ended") for attempt in runs.attempts(folder)]
    assert ends.count("done") <= 1, (folder, ends)
    assert (folder / runs.WEIGHTS).exists(), folder


def _mirrored_once(root: Path, sweep: str, plan: dict[str, Any]) -> None:
    """One MLflow run a stage and one a trial, with every point of every curve once; and a second sync has nothing to do."""
    from mlflow import MlflowClient

    sync(root)
    assert sync(root).writes == 0
    client = MlflowClient(tracking_uri(root))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=10_000)
    stages = Counter(run.data.tags.get("omnitok.digest") for run in found)
    trials = Counter(run.data.tags.get("omnitok.trial") for run in found)
    assert all(stages[digest] == 1 for digest in plan["stages"]), stages
    assert all(count == 1 for digest, count in stages.items() if digest), stages  # suggestions of searches, too
    keys = [f"{sweep}/{trial['name']}/{trial['seed']}" for trial in plan["trials"]]
    assert all(trials[key] == 1 for key in keys), trials
    assert sum(count for key, count in trials.items() if key and key.startswith(f"{sweep}/")) == len(keys), trials
    for run in found:
        digest = run.data.tags.get("omnitok.digest")
        if digest in plan["stages"]:
            assert run.info.status == "FINISHED"
            curve = next((name for name in sorted(run.data.metrics) if name.startswith(CURVE)), None)
            if curve:
                told = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, curve)]
                said = [(one.step, one.values[curve]) for one in runs.records(root / digest) if curve in one.values]
                assert sorted(told) == said, (digest, curve)


def _reported_once(root: Path, sweep: Path, sets: Sequence[str], plan: dict[str, Any]) -> dict[str, str]:
    """One row a trial, whose numbers are those of its files."""
    out = root.parent / "report"
    rendered = omnitok.render_report(sweep, sets, out)
    assert rendered.complete
    with (out / "data" / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = Counter((trial["name"], str("" if trial["seed"] is None else trial["seed"])) for trial in plan["trials"])
    assert Counter((row["arm"], row["seed"].removesuffix(".0")) for row in rows) == asked
    assert max(asked.values()) == 1
    numbers = {}
    for row in rows:
        for name, wanted in plan["evaluation_digests"].get(row["digest"], {}).items():
            for label, digest in wanted.items():
                said = runs.read_json(root / row["digest"] / runs.EVALUATIONS / f"{digest}.json")["value"]
                shown = row[f"{name}/{label}"]
                assert (said is None and shown == "") or float(shown) == said, (row["arm"], name, label)
                numbers[f"{row['arm']}/{row['seed']}/{name}/{label}"] = shown
    return numbers


def appended(root: Path) -> list[Path]:
    """Every file below ``root`` that grows by lines: what a kill or a full disk can tear."""
    found = []
    for path in sorted({*root.rglob("*.jsonl"), *root.rglob("journal.log*")}):
        lines = path.read_bytes().splitlines() if path.is_file() and "code" not in path.parts else []
        if lines and _is_json(lines[0]):
            found.append(path)
    return found


def tear(path: Path) -> None:
    """Half of a line at its end, as a kill in the middle of a write leaves it."""
    last = path.read_bytes().splitlines()[-1]
    with path.open("ab") as file:
        file.write(last[: max(1, len(last) // 2)])


def settled(sweep: Path, sets: Sequence[str] = ()) -> bool:
    """Whether every trial is done; a controller that is away for a moment is none that says no."""
    try:
        return all(state.status == "done" for state in omnitok.sweep_states(sweep, sets))
    except SpecError:
        return False


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
