"""What a mirror cannot do is said in a sentence, and where it lies is one rule."""

import subprocess
import sys
from pathlib import Path

import pytest
from mirrored import fresh, line, migrate, start

from omnitok import runs, tracking


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrate(tmp_path_factory.mktemp("template"))


@pytest.fixture
def root(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fresh(migrated, tmp_path, monkeypatch)


def test_importing_tracking_loads_neither_torch_nor_mlflow_and_syncing_no_torch(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0))
    code = (
        "import sys, pathlib; from omnitok import tracking; assert not {'torch', 'mlflow'} & set(sys.modules);"
        "tracking.sync(pathlib.Path(sys.argv[1])); assert 'torch' not in sys.modules and 'mlflow' in sys.modules;"
        "from mlflow.telemetry.utils import is_telemetry_disabled; assert is_telemetry_disabled()"
    )
    subprocess.run([sys.executable, "-c", code, root], check=True)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("sqlite:////proc/nowhere/mlflow.db", "/proc/nowhere"),
        ("sqlite:///{root}/garbage.db", "not a database"),
        ("postgresql+nodriver://me:secret@127.0.0.1:1/x", r"me:\*\*\*@"),
        ("postgresql://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x: .*refused"),
        ("nowhere://x", "nowhere"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, uri: str, sentence: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (root / "garbage.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(tracking.TrackingError, match=sentence) as caught:
        tracking.sync(root, uri.format(root=root))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_folder_of_runs_or_no_lock_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(tracking.TrackingError, match="no folder of runs at .*absent"):
        tracking.sync(tmp_path / "absent")
    (tmp_path / "mlflow.lock").mkdir()
    with pytest.raises(tracking.TrackingError, match="cannot lock"):
        tracking.sync(tmp_path)


def test_a_broken_run_file_is_named(root: Path) -> None:
    (start(root, "aa" * 8, line(0, loss=1.0)) / runs.EXPERIMENT).write_text("{")
    with pytest.raises(tracking.TrackingError, match="experiment.json is not JSON"):
        tracking.sync(root)


def test_a_moved_folder_says_how_to_make_the_mirror_again(root: Path) -> None:
    tracking.sync(root)
    moved = root.rename(root.parent / "moved")
    with pytest.raises(tracking.TrackingError, match="remove it and sync again"):
        tracking.sync(moved)


def test_the_store_is_the_one_asked_for_then_the_environment_then_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.tracking_uri(tmp_path, "sqlite:///x.db") == "sqlite:///x.db"
    assert tracking.tracking_uri(tmp_path) == tracking.ui_command(tmp_path) == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me@127.0.0.1/x")
    assert tracking.tracking_uri(tmp_path) == "postgresql+psycopg2://me@127.0.0.1/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert f"ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db --host 127.0.0.1" in tracking.ui_command(tmp_path)
