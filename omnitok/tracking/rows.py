"""What ``log_batch`` of MLflow's client says of a run, as rows of MLflow's own tables: the same in a tenth of the time.

The client makes an object of each value, which takes longer than to write it. A database that knows no upsert, and a
server, get what they got: see ``of``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from sqlalchemy.orm import Session

MOST: Final = 10_000  # values that are given at once
AT_ONCE: Final = 100_000  # values that are written in one transaction
CACHE_KIB: Final = 262_144  # of an SQLite file that is kept in memory; 2,000 unless somebody says so


class Info(NamedTuple):
    """What MLflow's ``RunInfo`` says of a run, as far as anybody here asks."""

    run_id: str
    status: str
    start_time: int


class Data(NamedTuple):
    """What MLflow's ``RunData`` says of a run; of a metric its newest value."""

    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


class Kept(NamedTuple):
    """A run as the client's ``search_runs`` gives it."""

    info: Info
    data: Data


class Rows:
    """A database behind MLflow: its store, its kind of insert, its tables by name; and what is still to be written."""

    def __init__(self, store: Any, insert: Any, tables: Mapping[str, Any]) -> None:
        self.store, self.insert, self.tables = store, insert, tables
        self.pending: dict[str, list[dict[str, Any]]] = {}
        self.stands: dict[str, Mapping[str, Any]] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is something to be flushed."""
        return bool(self.stands) or any(self.pending.values())

    def runs(self, experiment: str) -> list[Kept]:
        """Every run of an experiment that is not deleted, the latest first, in four questions for all of them."""
        from sqlalchemy import select

        runs = self.tables["runs"].c
        wanted = (runs.experiment_id == int(experiment), runs.lifecycle_stage == "active")
        columns = (runs.run_uuid, runs.status, runs.start_time)
        with self.store.ManagedSessionMaker(read_only=True) as session:
            asked = select(*columns).where(*wanted).order_by(runs.start_time.desc(), runs.run_uuid)
            found = {one[0]: Kept(Info(*one), Data({}, {}, {})) for one in session.execute(asked)}
            for name, of in (("latest_metrics", "metrics"), ("params", "params"), ("tags", "tags")):
                table = self.tables[name]
                is_nan = [table.c.is_nan] if of == "metrics" else []
                asked = select(table.c.run_uuid, table.c.key, table.c.value, *is_nan)
                asked = asked.join(self.tables["runs"], runs.run_uuid == table.c.run_uuid).where(*wanted)
                for one, key, value, *nan in session.execute(asked):
                    getattr(found[one].data, of)[key] = math.nan if any(nan) else value
        return list(found.values())

    def batch(
        self,
        run_id: str,
        metrics: "Sequence[Metric]" = (),
        params: "Sequence[Param]" = (),
        tags: "Sequence[RunTag]" = (),
        stands: Mapping[str, Any] | None = None,
    ) -> None:
        """What is there already is not doubled; a tag is written over. ``stands``: the run's status and end_time, where they
        are to be said. Written at the latest by ``flush``, and all of it or nothing. Raises MlflowException."""
        _validate(metrics, params, tags)
        said = {
            "metrics": [self._point(run_id, metric) for metric in metrics],
            "params": [{"run_uuid": run_id, "key": one.key, "value": one.value} for one in params],
            "tags": [{"run_uuid": run_id, "key": one.key, "value": one.value} for one in tags],
        }
        for name, rows in said.items():
            self.pending.setdefault(name, []).extend(rows)
        if stands:
            self.stands[run_id] = stands
        if len(self.pending["metrics"]) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write it, in one transaction, so that a kill leaves all of it or nothing: a value costs the more the fewer are
        written together, as the index of all values is written all over."""
        pending, stands = self.pending, self.stands
        self.pending, self.stands = {}, {}
        points = sorted(pending.get("metrics", ()), key=lambda point: (point["key"], point["timestamp"]))
        newest = {(tag["run_uuid"], tag["key"]): tag for tag in pending.get("tags", ())}
        with self.store.ManagedSessionMaker(read_only=False) as session:
            if self.store.engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._put(session, "metrics", points)
            self._put(session, "latest_metrics", self._newest(session, points), over=True)
            self._put(session, "params", pending.get("params", []))
            self._put(session, "tags", list(newest.values()), over=True)
            runs = self.tables["runs"]
            for run_id, said in stands.items():
                session.execute(runs.update().where(runs.c.run_uuid == run_id).values(**said))

    def _point(self, run_id: str, metric: "Metric") -> dict[str, Any]:
        is_nan, value = self.store.sanitize_metric_value(metric.value)
        return {
            "run_uuid": run_id, "key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step,
            "is_nan": is_nan,
        }  # fmt: skip

    def _newest(self, session: "Session", points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The last value of each run's metric, by step, then time, then value, where it is later than what is there."""
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        for point in points:
            at = point["run_uuid"], point["key"]
            if at not in newest or _when(point) > _when(newest[at]):
                newest[at] = point
        table, known = self.tables["latest_metrics"], dict[tuple[str, str], tuple[Any, ...]]()
        for run_id in {run_id for run_id, _ in newest}:
            there = session.execute(table.select().where(table.c.run_uuid == run_id)).mappings()
            known |= {(run_id, row["key"]): _when(row) for row in there}
        return [point for at, point in newest.items() if at not in known or _when(point) > known[at]]

    def _put(self, session: "Session", name: str, rows: list[dict[str, Any]], *, over: bool = False) -> None:
        if rows:
            table = self.tables[name]
            said = self.insert(table)
            keys = [column.name for column in table.primary_key]
            free = {column.name: said.excluded[column.name] for column in table.c if column.name not in keys}
            said = said.on_conflict_do_update(keys, set_=free) if over else said.on_conflict_do_nothing()
            if session.get_bind().dialect.name != "sqlite":
                session.execute(said, rows)
                return
            # a million values: that SQLAlchemy looks at each takes longer than to write it
            done = said.values(dict.fromkeys(rows[0])).compile(dialect=session.get_bind().dialect)
            order = done.positiontup
            session.connection().exec_driver_sql(str(done), [tuple(row[key] for key in order) for row in rows])


def of(client: "MlflowClient") -> Rows | None:
    """The database that a client writes into by itself; None of a server and of other databases."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.dialects import postgresql, sqlite

    store = client._tracking_client.store
    inserts = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    if not isinstance(store, SqlAlchemyStore) or store.engine.dialect.name not in inserts:
        return None
    tables = {one.__tablename__: one.__table__ for one in (SqlMetric, SqlLatestMetric, SqlParam, SqlRun, SqlTag)}
    return Rows(store, inserts[store.engine.dialect.name], tables)


def _when(point: Any) -> tuple[Any, ...]:
    return point["step"], point["timestamp"], point["value"]


def _validate(metrics: "Sequence[Metric]", params: "Sequence[Param]", tags: "Sequence[RunTag]") -> None:
    """As the client does, but of each metric's points one."""
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    for metric in {one.key: one for one in metrics}.values():
        _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
    for param in params:
        _validate_param(param.key, param.value)
    for tag in tags:
        _validate_tag(tag.key, tag.value)
