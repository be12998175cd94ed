"""Reconcile and run: drop what is done, do the rest, never wait for a batch. Launching again resumes or does nothing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omnitok import runs, trial
from omnitok.spec import Fault, Mark, SpecError, near, plain
from omnitok.sweep.adopt import adopt
from omnitok.sweep.drive import Executor, InProcess, View, drive
from omnitok.sweep.file import read_sweep
from omnitok.sweep.group import Together
from omnitok.sweep.plan import Plan, plan, plan_one, to_json
from omnitok.sweep.pool import Pool
from omnitok.sweep.progress import Silent
from omnitok.sweep.stored import State, states, store
from omnitok.sweep.work import Work
from omnitok.training.evaluate import evaluation_digest, label_of
from omnitok.training.stage import StageRun

Cluster = Literal["debug", "local", "slurm"]


class Experimented(NamedTuple):
    """What running one experiment came to: the folder of each stage, first stage first."""

    folders: list[Path]
    trained: int
    interrupted: bool


class Launched(NamedTuple):
    """What a launch came to. ``trained`` and ``measured``: pieces of work done now, not before."""

    folder: Path
    states: list[State]
    trained: int
    measured: int
    interrupted: bool


def launch(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    cluster: Cluster = "debug",
    workers: int | None = None,
    view: View | None = None,
) -> Launched:
    """Plan a sweep, store the plan, run what is missing. Raises SpecError before anything runs; OSError where the
    runs' folder cannot be written."""
    asked, view = read_sweep(Path(path), sets), view or Silent()
    if cluster not in ("debug", "local"):
        known = near(cluster, ["debug", "local"])
        raise SpecError(
            [Fault(Mark(f"--cluster {cluster}"), "", f"jobs can be run in this process or in a pool{known}")]
        )
    if workers is not None and workers < 1:
        raise SpecError([Fault(Mark(f"--workers {workers}"), "", "there must be at least 1")])
    planned, root = plan(asked), runs.root()
    root.mkdir(parents=True, exist_ok=True)
    names, data = settle(root, planned)
    folder = store(root, asked, data)
    resources = asked.file.resources
    count = workers or resources.workers or max(1, (os.cpu_count() or 1) // resources.threads)
    every_s = resources.checkpoint_every_s
    executor: Executor
    if cluster == "debug":
        executor = InProcess(root, resources.threads, every_s, view)
    else:
        executor = Pool(root, count, resources.threads, every_s, folder / "logs")
    with _environment(resources.environment):
        trained, measured, interrupted = drive(works(root, planned, names, data), executor, view)
    return Launched(folder, states(folder), trained, measured, interrupted)


@contextmanager
def _environment(said: Mapping[str, str]) -> Iterator[None]:
    """Environment variables of this process, and of those that it starts, for a while."""
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_experiment(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    seed: int = 0,
    threads: int = 1,
    processes: int = 1,
    view: View | None = None,
) -> Experimented:
    """Train one experiment file with one seed, in this process, or in several that share every batch."""
    bound, _ = plan_one(Path(path), sets, seed)
    _refuse_shares(bound, processes)
    root, view = runs.root(), view or Silent()
    root.mkdir(parents=True, exist_ok=True)
    names = _created(root, bound)
    wanted = [_training(run, names, f"{run.name}/{seed}") for run in bound]
    executor: Executor = InProcess(root, threads, trial.CHECKPOINT_EVERY_S, view)
    if processes > 1:
        executor = Together(root, threads, trial.CHECKPOINT_EVERY_S, view, processes=processes)
    missing = [work for work in wanted if not _done(root, work)]
    trained, _, interrupted = drive(missing, executor, view)
    return Experimented([root / names[run.digest] for run in bound], trained, interrupted)


def _refuse_shares(bound: Sequence[StageRun], processes: int) -> None:
    """Raises SpecError where the processes cannot share every batch alike."""
    faults = [
        Fault(Mark(f"--processes {processes}"), f"stages.{run.name}.batch", f"batch={batch} must be a multiple of it")
        for run in bound
        if (batch := run.spec.get("batch", processes)) % processes
    ]
    if faults:
        raise SpecError(faults)


def settle(root: Path, planned: Plan) -> tuple[dict[str, str], dict[str, Any]]:
    """Make every folder, or find the old one that it is. -> ({digest: folder name}, the plan as stored)."""
    names = _created(root, list(planned.runs.values()))
    data = to_json(planned)
    data["stages"] = {names[digest]: facts for digest, facts in data["stages"].items()}
    for one in data["trials"]:
        one["stages"] = [names[digest] for digest in one["stages"]]
    lasts = {one["stages"][-1]: trial.on for one, trial in zip(data["trials"], planned.trials, strict=True)}
    data["evaluation_digests"] = {
        last: {
            m.name: {label_of(spec): evaluation_digest(last, m.spec, spec, m.seen) for spec in m.possible}
            for m in planned.measurements
            if on is None or m.name in on
        }
        for last, on in lasts.items()
    }
    return names, data


def works(root: Path, planned: Plan, names: dict[str, str], data: dict[str, Any]) -> list[Work]:
    """What is missing, parents before children, a stage before what is measured of it."""
    label: dict[str, str] = {}
    for one in planned.trials:
        for digest in one.stages:
            label.setdefault(digest, one.name if one.seed is None else f"{one.name}/{one.seed}")
    missing = [
        work
        for run in planned.runs.values()
        if not _done(root, work := _training(run, names, f"{run.name} {label[run.digest]}"))
    ]
    lasts = {one.stages[-1]: None for one in planned.trials}
    for digest in lasts:
        stage = names[digest]
        for m in planned.measurements:
            found = data["evaluation_digests"][stage].get(m.name, {}).values()
            if not all((root / stage / runs.EVALUATIONS / f"{one}.json").exists() for one in found):
                said = f"{m.name} of {label[digest]}"
                metrics = [plain(spec) for spec in m.possible]
                missing.append(Work(stage, said, 0, (stage,), {**plain(m.spec), "metrics": metrics}))
    return missing


def _created(root: Path, wanted: Sequence[StageRun]) -> dict[str, str]:
    adopted = adopt(root, [run.digest for run in wanted])
    for run in wanted:
        if run.digest not in adopted:
            trial.create(root, run)
    return {run.digest: (root / run.digest).resolve().name for run in wanted}


def _training(run: StageRun, names: dict[str, str], label: str) -> Work:
    after = tuple(names[parent] for parent in run.parents.values() if parent in names)
    return Work(names[run.digest], label, int(run.spec.get("steps", 1)), after, {})


def _done(root: Path, work: Work) -> bool:
    return (root / work.stage / runs.RESULT).exists()
