"""Reconcile and run, or submit: drop what is done, do the rest, never wait for a batch. Launching again resumes or does
nothing."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from omnitok import runs, trial
from omnitok.launching.drive import Executor, InProcess, View, drive
from omnitok.launching.enqueue import ALL, Jobs, Wish, enqueue
from omnitok.launching.group import Together
from omnitok.launching.pool import Pool
from omnitok.launching.progress import Silent
from omnitok.launching.queued import asked_states
from omnitok.launching.searching import (
    on_cluster,
    refuse_storage,
    search_here,
    tell,
    try_stopped_again,
    unfinished,
    wait_for_searches,
)
from omnitok.launching.settled import Settled, created, settle, training, works
from omnitok.launching.trying import Trying
from omnitok.launching.verdicts import go_on, stop
from omnitok.launching.watch import watch
from omnitok.search.storage import refuse_silent
from omnitok.spec import Fault, Mark, SpecError, near
from omnitok.sweep.file import Asked
from omnitok.sweep.plan import plan, plan_one
from omnitok.sweep.stored import State, find_asked, store
from omnitok.sweep.unfit import refuse_unfit
from omnitok.training.stage import StageRun

Cluster = Literal["debug", "local", "slurm"]
CLUSTERS = get_args(Cluster)


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
    jobs: Jobs | None = None


def launch(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    cluster: Cluster = "debug",
    workers: int | None = None,
    wait: bool = False,
    view: View | None = None,
    told: Callable[[Jobs], None] = lambda jobs: None,
) -> Launched:
    """Plan a sweep (its file; or its name or digest, as it was launched last), store the plan, run what is missing; or
    submit it, and watch it to the end if told to ``wait``.

    ``told``: hears what was submitted, before it is watched. Raises SpecError before anything runs; OSError where the
    runs' folder cannot be written."""
    _refuse_cluster(cluster, workers)
    return launch_asked(
        find_asked(runs.root(), str(path), sets), cluster=cluster, workers=workers, wait=wait, view=view, told=told
    )


def launch_asked(
    asked: Asked,
    *,
    cluster: Cluster,
    workers: int | None = None,
    wait: bool = False,
    view: View | None = None,
    told: Callable[[Jobs], None] = lambda jobs: None,
    wish: Wish = ALL,
) -> Launched:
    """``launch`` of what was read already: from its files, or from a stored sweep by ``stored.asked_of``."""
    _refuse_cluster(cluster, workers)
    view, root = view or Silent(), runs.root()
    if wish.by_hand and wish.only is None:
        try_stopped_again(root, asked)
    folder, settled = prepared(root, asked, by_hand=wish.by_hand)
    with _environment(asked.file.resources.environment):
        if cluster == "slurm":
            if wish.by_hand:
                refuse_unfit(settled.planned, root)
            return _submitted(root, folder, settled, view if wait else None, told, wish=wish)
        return _here(root, folder, settled, 0 if cluster == "debug" else _count(asked, workers), view, wish=wish)


def prepared(root: Path, asked: Asked, *, by_hand: bool = True) -> tuple[Path, Settled]:
    """Plan, make every folder, store the plan and what is searched. -> (the stored sweep's folder, what is in it).

    Raises SpecError before anything is stored, also where the study of a search cannot be reached."""
    planned = plan(asked)
    root.mkdir(parents=True, exist_ok=True)
    if by_hand and unfinished(planned):
        refuse_silent()  # workers that run already wait for an hour; who launches hears it at once
    names, data = settle(root, planned)
    folder = store(root, asked, data, by_hand=by_hand)
    tell(planned)
    return folder, Settled(planned, names, data)


def _count(asked: Asked, workers: int | None) -> int:
    resources = asked.file.resources
    return workers or resources.workers or max(1, (os.cpu_count() or 1) // resources.threads)


def _here(root: Path, folder: Path, settled: Settled, workers: int, view: View, *, wish: Wish) -> Launched:
    """On this machine: search, and train what won with all else. ``workers``: processes, 0: in this one."""
    asked = settled.planned.asked
    resources = asked.file.resources
    if searching := unfinished(settled.planned):
        refuse_storage(settled.planned, min(workers, resources.search_workers or workers))
        if search_here(root, searching, resources, workers, view):
            return Launched(folder, asked_states(folder), 0, 0, interrupted=True)
        folder, settled = prepared(root, asked)
    executor: Executor
    if workers:
        executor = Pool(root, workers, resources.threads, resources.checkpoint_every_s, folder / "logs")
    else:
        executor = InProcess(root, resources.threads, resources.checkpoint_every_s, view)
    trying = Trying(asked.file.failures)
    go_on(folder)
    missing = [work for work in works(root, *settled) if wish.only is None or work.stage in wish.only]
    driven = drive(missing, executor, view, trying)
    if trying.stopped:
        stop(folder, trying.stopped)
    return Launched(folder, asked_states(folder), *driven)


def _submitted(
    root: Path, folder: Path, settled: Settled, view: View | None, told: Callable[[Jobs], None], *, wish: Wish
) -> Launched:
    """To Slurm; with a ``view`` watched to the end, and what has won then too."""
    policed = wish._replace(by_hand=False)
    refuse_storage(settled.planned, on_cluster(settled.planned.asked.file.resources))
    jobs = enqueue(root, folder, settled, wish)
    told(jobs)
    if view is None:
        return Launched(folder, asked_states(folder), 0, 0, interrupted=False, jobs=jobs)
    if unfinished(settled.planned):
        here = settled
        if wait_for_searches(root, folder, here.planned, view, lambda: enqueue(root, folder, here, policed)):
            return Launched(folder, asked_states(folder), 0, 0, interrupted=True, jobs=jobs)
        folder, settled = prepared(root, settled.planned.asked)
        jobs = enqueue(root, folder, settled, policed)
        told(jobs)
    driven = watch(root, folder, jobs, view, lambda: enqueue(root, folder, settled, policed))
    return Launched(folder, asked_states(folder), *driven, jobs)


def _refuse_cluster(cluster: str, workers: int | None) -> None:
    """Raises SpecError where nothing can be run there."""
    said = ""
    if cluster not in CLUSTERS:
        said = f"jobs can be run in this process, in a pool, or by Slurm{near(cluster, CLUSTERS)}"
    elif cluster == "slurm" and shutil.which("sbatch") is None:
        said = "there is no sbatch on this machine; launch where Slurm's commands are, or with --cluster local"
    if said:
        raise SpecError([Fault(Mark(f"--cluster {cluster}"), "", said)])
    if workers is not None and workers < 1:
        raise SpecError([Fault(Mark(f"--workers {workers}"), "", "there must be at least 1")])


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
    names = created(root, bound)
    wanted = [training(run, names, f"{run.name}/{seed}") for run in bound]
    executor: Executor = InProcess(root, threads, trial.CHECKPOINT_EVERY_S, view)
    if processes > 1:
        executor = Together(root, threads, trial.CHECKPOINT_EVERY_S, view, processes=processes)
    missing = [work for work in wanted if not (root / work.stage / runs.RESULT).exists()]
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
