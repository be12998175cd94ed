"""The sweeps of the repository: they plan, they are the runs that they were, and each axis has a twin for two cores."""

import json
from pathlib import Path

import pytest

from omnitok.networks import weights
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan_sweep

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
AXES = ["quantizer", "spatial_attention", "temporal_attention", "position", "schedule"]
GOLDEN = json.loads((ROOT / "tests" / "golden.json").read_text())


@pytest.fixture(autouse=True)
def fetched(monkeypatch, tmp_path):
    """Weights are there, for a plan that only asks whether they are."""
    monkeypatch.setattr(weights, "locate", lambda name: tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_changed_default_or_version_is_seen(path, runs_root):
    planned = plan_sweep(path)
    assert planned.trials
    assert sorted(planned.runs) == GOLDEN[f"sweeps/{path.name}"], (
        "a changed default or version changes what runs are: if it is meant, update tests/golden.json"
    )


def test_no_sweep_is_forgotten():
    paper = (ROOT / "sweeps" / "paper").glob("*.yaml")  # which test_paper_sweeps.py plans
    assert set(GOLDEN) == {path.relative_to(ROOT).as_posix() for path in [*FILES, *paper]}


@pytest.mark.parametrize("axis", AXES)
def test_an_axis_and_its_twin_ask_the_same_of_the_same_arms(axis):
    large, mini = (read_sweep(ROOT / "sweeps" / f"{name}.yaml") for name in (axis, f"{axis}_mini"))
    (factor, arms), (same, others) = (next(iter(asked.said["vary"].items())) for asked in (large, mini))
    assert (factor, list(arms)) == (same, list(others))
    assert large.said["claims"] == mini.said["claims"] and len(mini.file.seeds) >= 3
    assert all(claim.source for claim in mini.file.claims)
