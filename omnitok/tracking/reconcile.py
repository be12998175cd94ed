"""Makes MLflow say what the folders say: only the difference is written, so it may run as often as one likes."""

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from omnitok import runs
from omnitok.spec import counted, hidden
from omnitok.tracking.curves import cursor_of, rewritten, unpushed
from omnitok.tracking.store import Said, Store, is_server, opened, tracking_uri
from omnitok.tracking.wanted import EVALUATION, Wanted, metric_name, stage_run, stages, sweeps, trial_run

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

    from omnitok.tracking.rows import Kept

T = TypeVar("T")

CURSOR: Final = "omnitok.records"  # the tag that says how much of records.jsonl is here
KEYS: Final = ("omnitok.digest", "omnitok.trial")


class Synced(NamedTuple):
    """What one sync found and did."""

    uri: str
    stages: int  # stage runs mirrored
    trials: int  # light runs, one an arm and seed
    created: int
    replaced: int  # made anew, as their stage began again
    points: int  # metric values pushed
    pictures: int  # folders of samples pushed
    writes: int  # calls that changed MLflow; 0 where it said all this already

    def __str__(self) -> str:
        done = (
            f"{counted(self.created, 'run')} new, {self.replaced} made anew, {counted(self.points, 'value')}, "
            f"{counted(self.pictures, 'picture folder')}"
        )
        what = done if self.writes else "nothing to do"
        return f"{counted(self.stages, 'stage run')} and {counted(self.trials, 'trial')} in {hidden(self.uri)}: {what}"


def sync(root: Path, uri: str | None = None) -> Synced:
    """Mirrors every run folder and stored sweep under ``root`` into MLflow, under a lock that other syncs wait for.

    Whatever was killed in the middle is completed by the next sync; a second one right away writes nothing.
    Raises TrackingError.
    """
    uri = tracking_uri(root, uri)
    with opened(root, uri) as store:
        mirrored = _Sync(store)
        plans = sweeps(root)
        known = {}
        for folder in stages(root):
            wanted = stage_run(folder, plans)
            known[folder.name] = wanted, mirrored.stage(wanted, folder)
        trials = 0
        for plan in plans:
            for trial in plan.trials:
                begun = {digest: known[digest] for digest in trial["stages"] if digest in known}
                if begun:
                    mirrored.run(trial_run(root, plan, trial, begun))
                    trials += 1
        made = mirrored.created, mirrored.replaced, mirrored.points, mirrored.pictures
        return Synced(uri, len(known), trials, *made, store.writes)


def mirror(root: Path, uri: str | None, digests: Collection[str]) -> dict[tuple[str, str], float]:
    """{(stage run's digest, evaluation's digest): value} as MLflow has them.

    Of evaluations that share a metric's key MLflow has the newest. Raises TrackingError.
    """
    with opened(root, tracking_uri(root, uri)) as store:
        return {
            (run.data.tags[KEYS[0]], tag.removeprefix(EVALUATION)): run.data.metrics[name]
            for run in store.runs()
            if run.data.tags.get(KEYS[0]) in digests
            for tag, name in run.data.tags.items()
            if tag.startswith(EVALUATION)
        }


def pages(root: Path, uri: str | None, digests: Collection[str]) -> dict[str, str]:
    """{stage run's digest: the address of its page}, of a tracking server; nothing of a database, which has no pages of its
    own. An address has neither name nor password. Raises TrackingError.
    """
    uri = tracking_uri(root, uri)
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return {}
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
    with opened(root, uri) as store:
        found = {run.data.tags.get(KEYS[0], ""): store.link(run) for run in store.runs()}
    return {digest: f"{address}/{link}" for digest, link in found.items() if digest in digests}


def ui_command(root: Path, uri: str | None = None) -> str:
    """The command that opens MLflow's page on this machine alone; of a tracking server, its address."""
    uri = tracking_uri(root, uri)
    if is_server(uri):
        return uri
    beside = Path(sys.executable).with_name("mlflow")
    mlflow = "mlflow" if shutil.which("mlflow") == str(beside) else os.path.relpath(beside)
    return shlex.join([mlflow, "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", "5000"])


class _Sync:
    """One sync under way: what MLflow held at its start, and counts of what it did."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found = {key: run for run in store.runs() for key in run.data.tags.items() if key[0] in KEYS}
        self.created = self.replaced = self.points = self.pictures = 0

    def stage(self, wanted: Wanted, folder: Path) -> str:
        """One stage run with its curves and pictures; returns the link to it."""
        found = self.found.get(wanted.key)
        cursor = cursor_of(found.data.tags.get(CURSOR) if found else None)
        run = self._run(wanted, stale=rewritten(folder, cursor))
        self._curves(run, folder)
        self._samples(run, folder)
        self._finish(run, wanted)
        return self.store.link(run)

    def run(self, wanted: Wanted) -> None:
        """A run without curves."""
        self._finish(self._run(wanted), wanted)

    def _run(self, wanted: Wanted, stale: bool = False) -> "Run | Kept":
        """The run of that key; made anew where it is stale, for MLflow takes nothing back."""
        run = self.found.get(wanted.key)
        if run is None:
            self.created += 1
        elif stale or _differs(wanted.params, run.data.params) or _differs(wanted.finals, run.data.metrics):
            self.store.delete(run.info.run_id)
            self.replaced += 1
            run = None
        return run or self.store.create(wanted.name, wanted.start, dict([wanted.key]))

    def _curves(self, run: "Run | Kept", folder: Path) -> None:
        """A value's time is the run's start plus its step: pushed twice it is the same row."""
        cursor = cursor_of(run.data.tags.get(CURSOR))
        for records, after in unpushed(folder, cursor, self.store.most):
            points = [
                _metric(metric_name(name), value, run.info.start_time, record.step)
                for record in records
                for name, value in record.values.items()
            ]
            self.store.metrics(run.info.run_id, points, {CURSOR: str(after)})
            self.points += len(points)

    def _samples(self, run: "Run | Kept", folder: Path) -> None:
        for path in sorted(folder.glob(f"{runs.SAMPLES}/*/")):
            tag, content = f"omnitok.samples.{metric_name(path.name)}", _fingerprint(path.iterdir())
            if run.data.tags.get(tag) != content:
                self.store.pictures(run.info.run_id, path, f"{runs.SAMPLES}/{path.name}")
                self.store.tags(run.info.run_id, {tag: content})
                self.pictures += 1

    def _finish(self, run: "Run | Kept", wanted: Wanted) -> None:
        finals = _missing(wanted.finals, run.data.metrics)
        points = [_metric(name, value, run.info.start_time, 0) for name, value in finals.items()]
        params, tags = _missing(wanted.params, run.data.params), _missing(wanted.tags, run.data.tags)
        status = wanted.status if run.info.status != wanted.status else ""
        self.store.finish(run.info.run_id, Said(params, tags, status, wanted.end), points)
        self.points += len(points)


def _missing(wanted: Mapping[str, T], found: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def _differs(wanted: Mapping[str, T], found: Mapping[str, T]) -> bool:
    return any(name in found and found[name] != value for name, value in wanted.items())


def _metric(name: str, value: float, start: int, step: int) -> "Metric":
    from mlflow.entities import Metric

    return Metric(name, value, start + step, step)


def _fingerprint(files: Iterable[Path]) -> str:
    text = "\n".join(sorted(f"{path.name} {path.stat().st_size}" for path in files if path.suffix == ".png"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
