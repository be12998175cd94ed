"""One MLflow store and one writer: opened under a lock, written in batches, silent, every failure one sentence."""

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from omnitok.spec import hidden
from omnitok.tracking import rows
from omnitok.tracking.rows import Kept

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT: Final = "omnitok"
MAX_METRICS: Final = 1000  # a batch, as MLflow's REST interface limits it
MAX_PARAMS: Final = 100
MAX_TAGS: Final = 100
PAGE: Final = 1000

# MLflow by default reports its use over the network, talks, and waits minutes for a server that is not there.
QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}


class TrackingError(Exception):
    """MLflow cannot be reached, read or written: one sentence that says which store and why."""


def tracking_uri(root: Path, uri: str | None = None) -> str:
    """Which store: the one asked for, MLFLOW_TRACKING_URI, or SQLite beside the runs. A PostgreSQL that names no driver is
    spoken to by the one that is installed with omnitok: SQLAlchemy since 2.1 would look for another."""
    said = uri or os.environ.get("MLFLOW_TRACKING_URI") or beside(root)
    return re.sub("^postgresql://", "postgresql+psycopg2://", said)


def beside(root: Path) -> str:
    return f"sqlite:///{root.resolve() / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    return not urlsplit(uri).scheme.startswith(("sqlite", "postgresql", "mysql", "mssql"))


class Said(NamedTuple):
    """What of a run is not in MLflow yet. ``status``: empty where it is; ``end``: Unix milliseconds."""

    params: dict[str, str]
    tags: dict[str, str]
    status: str
    end: int

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "SCHEDULED")


class Store:
    """The experiment ``omnitok`` of one MLflow store. ``writes`` counts the calls that changed something; ``most``: values
    that one of them may have."""

    def __init__(self, client: "MlflowClient", experiment: str) -> None:
        self.client, self.experiment, self.writes = client, experiment, 0
        self.rows = rows.of(client)
        self.most = MAX_METRICS if self.rows is None else rows.MOST

    def runs(self) -> "Iterator[Run | Kept]":
        """Every run that is not deleted, with its newest metrics: of a database in four questions, else in few requests."""
        if self.rows is not None:
            yield from self.rows.runs(self.experiment)
            return
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def create(self, name: str, start: int, tags: Mapping[str, str]) -> "Run":
        self.writes += 1
        return self.client.create_run(self.experiment, start_time=start, tags=dict(tags), run_name=name)

    def link(self, run: "Run | Kept") -> str:
        """Where the MLflow page shows a run, relative to the page."""
        return f"#/experiments/{self.experiment}/runs/{run.info.run_id}"

    def delete(self, run_id: str) -> None:
        self.writes += 1
        self.client.delete_run(run_id)

    def metrics(self, run_id: str, points: "Sequence[Metric]", tags: Mapping[str, str] | None = None) -> None:
        """Points that are there already, to the same millisecond, are not doubled; the tags are written last."""
        from mlflow.entities import RunTag

        after = [RunTag(name, value) for name, value in (tags or {}).items()]
        chunks = _chunks(points, self.most) or [[]]
        for chunk in chunks:
            self._batch(run_id, metrics=chunk, tags=after if chunk is chunks[-1] else ())

    def finish(self, run_id: str, said: "Said", points: "Sequence[Metric]") -> None:
        """What a run is beside its curves: in one write where a database is written into."""
        from mlflow.entities import Param, RunTag

        params = [Param(*item) for item in said.params.items()]
        tags = [RunTag(*item) for item in said.tags.items()]
        if self.rows is not None:
            stands = said.status and {"status": said.status} | ({"end_time": said.end} if said.ended else {})
            if params or points or tags or stands:
                self._batch(run_id, metrics=points, params=params, tags=tags, stands=stands)
            return
        for chunk in _chunks(params, MAX_PARAMS):
            self._batch(run_id, params=chunk)
        if points:
            self.metrics(run_id, points)
        for chunk in _chunks(tags, MAX_TAGS):
            self._batch(run_id, tags=chunk)
        if said.status:
            self.writes += 1
            if said.ended:
                self.client.set_terminated(run_id, said.status, said.end)
            else:
                self.client.update_run(run_id, status=said.status)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        for chunk in _chunks([RunTag(*item) for item in tags.items()], MAX_TAGS):
            self._batch(run_id, tags=chunk)

    def pictures(self, run_id: str, folder: Path, path: str) -> None:
        self.writes += 1
        self.client.log_artifacts(run_id, str(folder), path)

    def _batch(self, run_id: str, **parts: Any) -> None:
        self.writes += 1
        if self.rows is None:
            self.client.log_batch(run_id, **parts)
        else:
            self.rows.batch(run_id, **parts)


@contextmanager
def opened(root: Path, uri: str) -> Iterator[Store]:
    """The store, held by this process alone until the end. Raises TrackingError for whatever fails inside."""
    if not root.is_dir():
        raise TrackingError(f"there is no folder of runs at {root}")
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        lock = (root / "mlflow.lock").open("ab")
    except OSError as error:
        raise TrackingError(f"cannot lock the MLflow store: {error}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _explained(uri):
            client = _client(uri)
            store = Store(client, _experiment(client, root, uri))
            yield store
            if store.rows is not None and store.rows.waiting:
                store.rows.flush()


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """MLflow's and its libraries' failures in one sentence."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, OSError, ModuleNotFoundError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TrackingError(f"cannot mirror the runs into {hidden(uri)}: {reason}") from error


def _client(uri: str) -> "MlflowClient":
    import mlflow.store.db.utils
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    mlflow.store.db.utils.MAX_RETRY_COUNT = 3  # ten tries take 100 s to say that a database is not there
    return MlflowClient(tracking_uri=uri)


def _experiment(client: "MlflowClient", root: Path, uri: str) -> str:
    """The id of the experiment, made once; pictures lie beside the runs unless a server keeps them."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        place = None if is_server(uri) else (root.resolve() / "mlflow-artifacts").as_uri()
        return client.create_experiment(EXPERIMENT, artifact_location=place)
    if found.lifecycle_stage != "active":
        raise TrackingError(f"the MLflow experiment {EXPERIMENT!r} was deleted; restore it in MLflow")
    made_at = Path(unquote(urlsplit(found.artifact_location).path)).parent
    if uri == beside(root) and not made_at.exists():
        raise TrackingError(f"{root / 'mlflow.db'} was made at {made_at}, which is gone; remove it and sync again")
    return found.experiment_id


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
