"""Real services for the tests in this folder, each started once by whoever needs it first and stopped at the end.

With pytest-xdist each worker starts its own; ``--dist loadgroup`` sends all tests that use Slurm to one worker. Where
OMNITOK_REQUIRE_SERVICES=1, a test here that is skipped has failed.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import cloudpickle
import pytest
import tiny
from cluster import Cluster
from once import exactly_once
from packages import Missing, unavailable
from services import Mlflow, Postgres
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from omnitok import launch_sweep

HERE = Path(__file__).parent
SERVICES = {"cluster", "postgres", "mlflow_server"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            used = SERVICES & set(getattr(item, "fixturenames", ()))
            if used:
                item.add_marker(pytest.mark.service)
            if "cluster" in used:
                item.add_marker(pytest.mark.xdist_group("slurm"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("OMNITOK_REQUIRE_SERVICES") == "1":
        report.outcome, report.longrepr = "failed", f"OMNITOK_REQUIRE_SERVICES=1, but it was skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with Cluster(tmp_path_factory.mktemp("slurm")).used() as cluster:
            yield cluster
    except Missing as why:
        unavailable(why)


@pytest.fixture
def cluster(_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Four idle nodes with two GPUs each. What a test does to them is healed after it."""
    for name, value in _cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(SlurmJob, "_results_timeout_s", 2)  # 15 s more otherwise for each job without a result
    monkeypatch.setattr(SlurmJob, "watcher", SlurmInfoWatcher(delay_s=2))  # which remembers no other test's jobs
    yield _cluster
    _cluster.heal()


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="omnitok-postgres-") as name:
        Path(name).chmod(0o755)  # the server runs as another user than root
        try:
            with Postgres(Path(name)).used() as postgres:
                yield postgres
        except Missing as why:
            unavailable(why)


@pytest.fixture
def postgres(_postgres: Postgres) -> Iterator[Postgres]:
    """A PostgreSQL server, healed after the test."""
    yield _postgres
    _postgres.heal()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of a new empty database."""
    return postgres.create()


@pytest.fixture(scope="session")
def _mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with Mlflow(tmp_path_factory.mktemp("mlflow")).used() as server:
        yield server


@pytest.fixture
def mlflow_server(_mlflow_server: Mlflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mlflow]:
    """An MLflow server over SQLite, healed after the test; MLFLOW_TRACKING_URI names it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _mlflow_server.url)
    yield _mlflow_server
    _mlflow_server.heal()


@pytest.fixture(scope="session")
def empty_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making them takes longer than a small sweep."""
    from omnitok.tracking.store import opened

    folder = tmp_path_factory.mktemp("mirror")
    with opened(folder, f"sqlite:///{folder}/mlflow.db"):
        pass
    return folder / "mlflow.db"


@pytest.fixture
def mirror(empty_mirror: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new empty one for the runs of this test; MLFLOW_TRACKING_URI names it."""
    uri = f"sqlite:///{shutil.copy(empty_mirror, runs_root.parent / 'mirror.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_mirror: Path) -> Callable[[str, str], dict[str, str]]:
    """The numbers of a sweep, by the texts of its experiment and its own, that one process runs in peace."""
    known: dict[tuple[str, str], dict[str, str]] = {}

    def numbers(experiment: str, sweep: str) -> dict[str, str]:
        if (experiment, sweep) not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("OMNITOK_RUNS", str(folder / "runs"))
                patch.setenv("OMNITOK_DATA", str(folder / "data"))
                patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mirror, folder / 'mirror.db')}")
                path = tiny.write(folder, experiment, sweep)
                launch_sweep(path, cluster="debug")
                known[experiment, sweep] = exactly_once(path)
        return known[experiment, sweep]

    return numbers


@pytest.fixture(autouse=True)
def _by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """A job cannot import a test module: its functions travel whole."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)
