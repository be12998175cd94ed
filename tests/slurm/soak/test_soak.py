"""The long campaigns of ``make soak``, with fixed seeds: they look for what happens once in a thousand times."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from cluster import Cluster
from faulted import finish, kills, long, text
from once import exactly_once
from search_campaign import campaign

from omnitok import launch_sweep, runs

KILLS, SEED = 50, 50
TRIALS, WORKERS = 1000, 8


def test_fifty_kills_at_random_moments_lose_and_double_nothing(
    cluster: Cluster, runs_root: Path, tmp_path: Path, undisturbed: Callable[[str, str], dict[str, str]], mirror: str
) -> None:
    """In sweeps of two seeds each, one after another, at most ten kills in each: whichever process, at whichever moment."""
    draw, killed, number = random.Random(SEED), 0, 0
    while killed < KILLS:
        experiment, said = long(300), text(seeds=f"[{2 * number}, {2 * number + 1}]")
        sweep = tiny.write(tmp_path, experiment, said)
        launch_sweep(sweep, cluster="slurm")
        killed += kills(sweep, cluster, draw, min(10, KILLS - killed))
        finish(sweep, cluster)
        assert exactly_once(sweep, cluster=cluster) == undisturbed(experiment, said)
        number += 1
    assert len(list(runs.root().glob("sweeps/*/plan.json"))) == number


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
