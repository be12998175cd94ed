"""MLflow or the study's database away for a while on a real cluster."""

import subprocess
import time
from pathlib import Path
from subprocess import PIPE

import pytest
import tiny
from daemons import until
from faulted import OMNITOK, long, text, trains
from once import exactly_once
from services import Mlflow, Postgres

from omnitok import launch_sweep, runs, search, sync
from omnitok.tracking import TrackingError


def test_a_mirror_that_is_away_holds_nobody_up_and_is_complete_afterwards(
    runs_root: Path, mlflow_server: Mlflow, tmp_path: Path
) -> None:
    """Gone while the sweep runs, killed while it is filled."""
    sweep = tiny.write(tmp_path, long(30), text(seeds="[0, 1]"))
    mlflow_server.stop()
    launch_sweep(sweep, cluster="local", workers=2)
    with pytest.raises(TrackingError, match="cannot mirror the runs into"):
        sync()
    mlflow_server.start()
    with subprocess.Popen([*OMNITOK, "sync"], stderr=subprocess.PIPE, text=True) as syncing:
        until(lambda: _mirrored(mlflow_server) > 2, 60, "some runs are there", pause=0.05)
        mlflow_server.crash()
        said = syncing.communicate(timeout=120)[1]
    assert syncing.returncode and "Traceback" not in said, said
    mlflow_server.start()
    exactly_once(sweep)


def _mirrored(server: Mlflow) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    found = client.get_experiment_by_name("omnitok")
    return len(client.search_runs([found.experiment_id])) if found else 0


SEARCH = """\
search:
  space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}}
  objective: val/psnr
  trials: 6
"""


def test_a_study_whose_database_is_away_for_a_while_is_complete_afterwards(
    mirror: str, postgres: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", database)
    sweep = tiny.write(tmp_path, long(60), text(shares="[0.25, 0.5]") + SEARCH)
    with subprocess.Popen(
        [*OMNITOK, "launch", str(sweep), "--workers", "2"], stdout=PIPE, stderr=PIPE, text=True
    ) as one:
        trains(runs.root(), 100)
        postgres.crash()
        time.sleep(3)
        postgres.start()
        said = one.communicate(timeout=400)
    assert one.returncode == 0, said
    exactly_once(sweep)
    for folder in runs.root().glob("sweeps/*/search/*"):
        told = [(one["number"], one["state"]) for one in search.trials(folder)]
        assert told == [(number, "complete") for number in range(6)], told
    assert len(list(runs.root().glob("sweeps/*/search/*/winner.json"))) == 2
