"""Reconcile and run: drop what is done, do the rest, never wait for a batch. Launching again resumes or does nothing."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch

from omnitok import runs, trial
from omnitok.runs import Failure, Record
from omnitok.spec import Fault, Mark, SpecError, plain
from omnitok.sweep.file import read_sweep
from omnitok.sweep.match import adopt
from omnitok.sweep.plan import Plan, plan, plan_one, to_json
from omnitok.sweep.pool import Pool
from omnitok.sweep.progress import Silent
from omnitok.sweep.stored import State, states, store
from omnitok.sweep.work import Outcome, Work, do
from omnitok.training.evaluate import evaluation_digest, metric_specs
from omnitok.training.stage import StageRun, fingerprints

Cluster = Literal["debug", "local", "slurm"]
BUSY_S = 0.5  # how long a folder that another launcher holds is left alone
LOOK_S = 0.25  # how often the view looks at the folders


class View(Protocol):
    """Whoever watches: told what there is, what began and what ended; asked to look now and then."""

    def begin(self, works: Sequence[Work]) -> None: ...
    def look(self, active: Sequence[Work]) -> None: ...
    def ended(self, work: Work, outcome: Outcome) -> None: ...
    def close(self) -> None: ...


class Executor(Protocol):
    """Whatever does the work: this process, or a pool of others."""

    @property
    def free(self) -> int: ...
    @property
    def active(self) -> list[Work]: ...
    def submit(self, work: Work) -> None: ...
    def wait(self, timeout_s: float) -> list[tuple[Work, Outcome]]: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


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
    if cluster == "slurm":
        raise SpecError([Fault(Mark("--cluster slurm"), "", "not built yet; use debug or local")])
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
    trained, measured, interrupted = drive(works(root, planned, names, data), executor, view)
    return Launched(folder, states(folder), trained, measured, interrupted)


def run_experiment(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    seed: int = 0,
    threads: int | None = None,
    view: View | None = None,
) -> Experimented:
    """Train one experiment file with one seed, in this process, on all cores unless ``threads`` says fewer."""
    bound, _ = plan_one(Path(path), sets, seed)
    root, view = runs.root(), view or Silent()
    root.mkdir(parents=True, exist_ok=True)
    names = _created(root, bound)
    wanted = [_training(run, names, f"{run.name}/{seed}") for run in bound]
    executor = InProcess(root, threads or os.cpu_count() or 1, trial.CHECKPOINT_EVERY_S, view)
    missing = [work for work in wanted if not _done(root, work)]
    trained, _, interrupted = drive(missing, executor, view)
    return Experimented([root / names[run.digest] for run in bound], trained, interrupted)


def settle(root: Path, planned: Plan) -> tuple[dict[str, str], dict[str, Any]]:
    """Make every folder, or find the old one that it is. -> ({digest: folder name}, the plan as stored)."""
    names = _created(root, list(planned.runs.values()))
    data = to_json(planned)
    data["stages"] = {names[digest]: facts for digest, facts in data["stages"].items()}
    for one in data["trials"]:
        one["stages"] = [names[digest] for digest in one["stages"]]
    lasts = dict.fromkeys(one["stages"][-1] for one in data["trials"])
    prints = [fingerprints(m.spec, planned.asked.said)["data"] for m in planned.measurements]
    data["evaluation_digests"] = {
        last: {
            m.name: {
                metric["label"]: evaluation_digest(last, m.spec, spec, fingerprint)
                for metric, spec in zip(data["evaluations"][i]["metrics"], metric_specs(m.spec), strict=True)
            }
            for i, (m, fingerprint) in enumerate(zip(planned.measurements, prints, strict=True))
        }
        for last in lasts
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
            found = data["evaluation_digests"][stage][m.name].values()
            if not all((root / stage / runs.EVALUATIONS / f"{one}.json").exists() for one in found):
                said = f"{m.name} of {label[digest]}"
                missing.append(Work(stage, said, 0, (stage,), plain(m.spec)))
    return missing


def drive(wanted: Sequence[Work], executor: Executor, view: View) -> tuple[int, int, bool]:
    """Do all work whose parents are done. -> (stages trained, evaluations measured, whether it was interrupted)."""
    waiting, dead = list(wanted), set[str]()
    open_stages = {work.stage for work in wanted if not work.evaluation}
    not_before: dict[Any, float] = {}
    counts = {True: 0, False: 0}
    view.begin(wanted)
    try:
        with _stoppable(executor) as stopping:
            while (waiting and not stopping()) or executor.active:
                for work in _startable(waiting, open_stages, dead, not_before, executor, stopping):
                    waiting.remove(work)
                    executor.submit(work)
                view.look(executor.active)
                for work, outcome in executor.wait(LOOK_S):
                    if outcome == "busy":
                        not_before[_key(work)] = time.monotonic() + BUSY_S
                        waiting.append(work)
                        continue
                    view.ended(work, outcome)
                    if outcome == "done":
                        counts[bool(work.evaluation)] += 1
                        open_stages -= {work.stage} if not work.evaluation else set()
                    elif isinstance(outcome, Failure):
                        dead.add(work.stage)
            return counts[False], counts[True], stopping()
    finally:
        executor.close()
        view.close()


class InProcess:
    """Everything here and now, one piece after another; the view looks after each record."""

    def __init__(self, root: Path, threads: int, every_s: float, view: View) -> None:
        self.root, self.every_s, self.view = root, every_s, view
        self.ended: list[tuple[Work, Outcome]] = []
        self.asked = False
        self.looked = 0.0
        torch.set_num_threads(threads)

    @property
    def free(self) -> int:
        return 0 if self.ended or self.asked else 1

    @property
    def active(self) -> list[Work]:
        return [work for work, _ in self.ended]

    def submit(self, work: Work) -> None:
        outcome = do(work, self.root, self.every_s, lambda: self.asked, lambda record: self._look(work, record))
        self.ended.append((work, outcome))

    def wait(self, timeout_s: float) -> list[tuple[Work, Outcome]]:
        if not self.ended:
            time.sleep(timeout_s / 5)
        ended, self.ended = self.ended, []
        return ended

    def stop(self) -> None:
        self.asked = True

    def close(self) -> None:
        return None

    def _look(self, work: Work, record: Record) -> None:
        if time.monotonic() - self.looked > LOOK_S:
            self.looked = time.monotonic()
            self.view.look([work])


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


def _key(work: Work) -> Any:
    return work.stage, str(work.evaluation)


def _startable(
    waiting: list[Work],
    open_stages: set[str],
    dead: set[str],
    not_before: dict[Any, float],
    executor: Executor,
    stopping: Callable[[], bool],
) -> list[Work]:
    """As much as there is room for; work that stands on a dead stage is dropped, its trial is blocked."""
    chosen: list[Work] = []
    for work in list(waiting):
        if any(parent in dead for parent in work.after):
            waiting.remove(work)
            if not work.evaluation:
                dead.add(work.stage)
        elif stopping() or len(chosen) >= executor.free:
            break
        elif not open_stages & set(work.after) and time.monotonic() >= not_before.get(_key(work), 0.0):
            chosen.append(work)
    return chosen


@contextmanager
def _stoppable(executor: Executor) -> Iterator[Callable[[], bool]]:
    """ctrl-C and SIGTERM: save and stop after the step. A second ctrl-C stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        executor.stop()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
