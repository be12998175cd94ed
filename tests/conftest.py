"""One thread: tiny tensors lose more to threads than they gain, and CI shares its cores."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def runs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder of this test's own, also for the processes that it starts."""
    root = tmp_path / "runs"
    monkeypatch.setenv("OMNITOK_RUNS", str(root))
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root
