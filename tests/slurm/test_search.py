"""A search on a real Slurm: by several workers at once, one of which is killed; then its winner, while nobody is logged in."""

import json
import sys
from pathlib import Path

import pytest
from cluster import Cluster
from daemons import until
from once import at_rest

from omnitok import launch_sweep, render_report, runs, sweep_states
from omnitok.search import standing, trials, winner
from omnitok.tracking import sync

sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny

EXPERIMENT = tiny.EXPERIMENT.partition("  joint:")[0].replace("steps: 5", "steps: 60").replace("every: 2", "every: 20")
SWEEP = """\
question: Which learning rate?
experiment: tiny.yaml
vary: {}
search:
  space:
    optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
    batch: {type: choice, of: [2, 3]}
  objective: val/psnr
  trials: 8
  sampler: random
  pruner: {type: median, startup: 3}
seeds: [0, 1]
evaluate:
  - {name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}
resources: {timeout_min: 60, mem_gb: 1, slurm_partition: all, search_workers: 3}
"""
MINUTES = 420  # a loaded machine takes its time


def logs(folder: Path) -> str:
    found = [*folder.glob("jobs/*log*"), *folder.glob("jobs/**/*.out"), *folder.glob("*/*/attempts.jsonl")]
    return "\n".join(f"{path}:\n{path.read_text()[-1500:]}" for path in sorted(set(found)))


def goes_on(cluster: Cluster, folder: Path, sweep: Path) -> None:
    """Until everything is done, launched again whenever nothing is left that could do it."""

    def done() -> bool:
        states = sweep_states(sweep)
        if states and all(state.status == "done" for state in states) and not unfinished(folder):
            return True
        if not cluster.ask("squeue", "--noheader", strict=False):
            launch_sweep(sweep, cluster="slurm")
        return False

    try:
        until(done, MINUTES, "the search and its winner are done", pause=1)
    except Exception:
        print(cluster.ask("squeue", strict=False), logs(folder), sep="\n")
        raise


def unfinished(folder: Path) -> bool:
    return winner(folder / "search" / "base") is None


def test_three_workers_search_one_is_killed_and_the_winner_is_trained_on_every_seed(
    cluster: Cluster, runs_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny.write(tmp_path, EXPERIMENT, SWEEP)
    done = launch_sweep(sweep, cluster="slurm")
    assert done.jobs is not None and len(done.jobs.submitted) == 3
    search = done.folder / "search" / "base"
    assert "searching" in {state.status for state in sweep_states(sweep)}
    until(lambda: list(runs_root.glob(f"*/{runs.RECORDS}")), MINUTES, "a worker trains", pause=0.2)
    tasks = [one for one in cluster.tasks() if one.name().startswith("python")]
    tasks[-1].kill()
    goes_on(cluster, done.folder, sweep)
    at_rest(runs_root, cluster)
    found = trials(search)
    assert [one["number"] for one in found] == list(range(8))
    stands = standing(search)
    assert (stands.complete + stands.pruned, stands.running, stands.failed) == (8, 0, 0)
    won = winner(search)
    assert won is not None and won["trial"] in range(8)
    best = max(one["objectives"]["val/psnr"] for one in found if one["state"] == "complete")
    assert won["objectives"]["val/psnr"] == best
    plan = runs.read_json(done.folder / "plan.json")
    assert [(one["seed"], one["searched"]) for one in plan["trials"]] == [(0, won["values"]), (1, won["values"])]
    assert plan["trials"][0]["stages"] == won["runs"]
    report = render_report(sweep, out=tmp_path / "report")
    assert report.complete and "What was searched" in report.page.read_text()
    suggested = {one["runs"][-1] for one in found}
    assert sync(runs_root).stages == len(suggested) + 1
    for one in suggested:
        steps = [record.step for record in runs.records(runs_root / one)]
        assert steps == sorted(set(steps)), json.dumps(steps)


def test_a_search_is_watched_to_its_end_with_its_winner(cluster: Cluster, runs_root: Path, tmp_path: Path) -> None:
    text = SWEEP.replace("trials: 8", "trials: 2").replace("search_workers: 3", "search_workers: 2, keeper: false")
    sweep = tiny.write(
        tmp_path, EXPERIMENT.replace("steps: 60", "steps: 5"), text.replace("seeds: [0, 1]", "seeds: [3]")
    )
    done = launch_sweep(sweep, cluster="slurm", wait=True)
    assert [(state.trial["name"], state.trial["seed"], state.status) for state in done.states] == [("base", 3, "done")]
    assert not done.interrupted and len(trials(done.folder / "search" / "base")) == 2
    at_rest(runs_root, cluster)
