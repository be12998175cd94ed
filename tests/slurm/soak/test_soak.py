"""The long campaigns of ``make soak``, with fixed seeds: they look for what happens once in a thousand times."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from cluster import Cluster
from once import exactly_once
from search_campaign import campaign
from test_faults import finish, kill, long, text

from omnitok import launch_sweep, runs

KILLS, ROUNDS, SEED = 50, 5, 50
TRIALS, WORKERS = 1000, 8


def test_fifty_kills_at_random_moments_lose_and_double_nothing(
    cluster: Cluster, runs_root: Path, tmp_path: Path, undisturbed: Callable[[str, str], dict[str, str]], mirror: str
) -> None:
    """In five sweeps, one after another, of two seeds each: whichever process of a job, at whichever moment."""
    draw, killed = random.Random(SEED), 0
    for number in range(ROUNDS):
        experiment, said = long(300), text(seeds=f"[{2 * number}, {2 * number + 1}]")
        sweep = tiny.write(tmp_path, experiment, said)
        launch_sweep(sweep, cluster="slurm")
        for _ in range(KILLS // ROUNDS):
            time.sleep(draw.uniform(0, 2))
            killed += kill(cluster, draw)
            if not cluster.ask("squeue", "--noheader", strict=False):
                launch_sweep(sweep, cluster="slurm")
        finish(sweep, cluster)
        assert exactly_once(sweep, cluster=cluster) == undisturbed(experiment, said)
    assert killed > KILLS // 2, "most moments were such that nobody was there"
    assert len(list(runs.root().glob("sweeps/*/plan.json"))) == ROUNDS


@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_a_thousand_trials_by_eight_workers_are_told_once_each(
    storage: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whom fifty are killed."""
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path))
    monkeypatch.delenv("OMNITOK_STUDY", raising=False)
    if storage == "postgresql":
        monkeypatch.setenv("OMNITOK_STUDY", request.getfixturevalue("database"))
    seconds = campaign(tmp_path, count=TRIALS, workers=WORKERS, kills=KILLS, seed=SEED)
    print(f"{TRIALS} trials over {storage}: {seconds:.0f} s")
