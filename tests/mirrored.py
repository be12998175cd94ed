"""Folders of runs and what MLflow holds of them, for tests of the mirror."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from omnitok import runs, tracking
from omnitok.tracking import store

CREATED = "2026-11-23T16:00:00+00:00"
PSNR = "embedded.test.1x64/psnr"


def migrate(folder: Path) -> Path:
    """An empty MLflow database: making one takes seconds, copying it none."""
    path = folder / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.QUIET.items():
            patch.setenv(name, value)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def fresh(migrated: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder with an empty database, which is the one that is asked."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = folder / "runs"
    root.mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    return root


def write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, data)


def line(step: int, **values: float) -> bytes:
    return runs.encode(runs.Record(step, {f"train/{name}": value for name, value in values.items()}))


def start(root: Path, digest: str, lines: bytes, stage: str = "joint", **spec: object) -> Path:
    """A stage run under way."""
    folder = root / digest
    experiment = {
        "kind": "stage",
        "task": "reconstruct",
        "stage": stage,
        "spec": {"task": "reconstruct", "model": {"quantizer": {"type": "fsq", "levels": [8, 5]}}, "steps": 2, **spec},
        "versions": {},
        "parents": {},
        "handover": {},
        "fingerprints": {},
        "seed": 3,
    }
    write(folder / runs.EXPERIMENT, experiment)
    write(folder / runs.PROVENANCE, {"commit": "c0ffee", "dirty": True, "host": "box", "created": CREATED})
    (folder / runs.RECORDS).write_bytes(lines)
    return folder


def evaluate(folder: Path, edigest: str, key: str, value: float | None, **more: object) -> None:
    write(folder / runs.EVALUATIONS / f"{edigest}.json", {"digest": edigest, "key": key, "value": value, **more})


def plan(root: Path, digest: str, name: str, **stages: list[str]) -> None:
    """A stored sweep whose arms are ``name=[stage digests]``."""
    folder = root / "sweeps" / digest
    write(folder / "sweep.json", {"name": name, "digest": digest, "question": "Which is better?"})
    trials = [
        {"kind": "arm", "name": arm, "arm": {"model.quantizer": arm}, "seed": 3, "stages": path, "parameters": 12}
        for arm, path in stages.items()
    ]
    asked = {path[-1]: {"photos": {"psnr": f"e-{path[-1]}"}} for path in stages.values()}
    evaluations = [{"name": "photos", "key": "embedded.test.1x64"}]
    write(folder / "plan.json", {"trials": trials, "evaluations": evaluations, "evaluation_digests": asked})


class Mlflow:
    """What MLflow holds, read with its own client."""

    def __init__(self, root: Path) -> None:
        self.client = MlflowClient(tracking.tracking_uri(root))
        found = self.client.get_experiment_by_name("omnitok")
        assert found is not None
        self.runs = self.client.search_runs([found.experiment_id])

    def run(self, name: str):  # noqa: ANN201
        (run,) = [run for run in self.runs if run.info.run_name == name]
        return run

    def curve(self, name: str, key: str) -> list[tuple[int, int, float]]:
        history = self.client.get_metric_history(self.run(name).info.run_id, key)
        return sorted((point.step, point.timestamp, point.value) for point in history)

    def rows(self) -> list[object]:
        """Everything that a person could see, but for ids."""
        return sorted(
            (
                run.info.run_name,
                run.info.status,
                sorted(run.data.params.items()),
                key,
                self.curve(run.info.run_name, key),
            )
            for run in self.runs
            for key in run.data.metrics
        )
