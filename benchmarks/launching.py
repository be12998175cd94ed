"""What a launch costs a trial beyond its training, in this process and in a warm pool; and what a neighbour costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest import mock

import submitit

from benchmarks.measure import Row, seconds, times, workplace
from benchmarks.subjects import write_tiny
from benchmarks.watch import watched
from omnitok import runs
from omnitok.launching import launch as room
from omnitok.launching.pool import Pool
from omnitok.trial import CHECKPOINT_EVERY_S


def in_process(repeats: int = 7, seeds: int = 15, jobs: int = 40) -> list[Row]:
    """The ``debug`` cluster beside submitit's."""
    beyond, strict, neighbour = [], [], []
    with workplace() as folder:
        path = write_tiny(folder)
        _launch(path, range(1), "debug", 1)
        for repeat in range(repeats):
            asked = range(1 + repeat * seeds, 1 + (repeat + 1) * seeds)
            with watched() as seen:
                wall, training = _launch(path, asked, "debug", 1)
            beyond.append(1e3 * (wall - training) / (2 * seeds))
            strict.append(1e3 * (wall - sum(seen.inside)) / (2 * seeds))
            executor = submitit.AutoExecutor(folder / "submitit", cluster="debug")
            neighbour.append(1e3 * seconds(lambda executor=executor: _jobs(executor, jobs)) / jobs)  # type: ignore[misc]
    row = Row(
        "launch, per trial beyond its training: debug",
        f"the wall time of `launch` of {2 * seeds} new trials of 3 steps in a process that has launched before, less the "
        "seconds that `attempts.jsonl` gives to training, a trial. Planning, folders, provenance and states are in it",
        "ms", tuple(beyond), 100.0,
    )  # fmt: skip
    more = Row(
        "the same, beyond the steps alone",
        "less only what was spent inside `Reconstruct.train`: opening records, writing weights and result count too",
        "ms", tuple(strict), 100.0,
    )  # fmt: skip
    beside = Row(
        "submitit's debug executor, per job",
        f"submit and await {jobs} jobs of `abs(-3)`, in turn with it; it writes a log and nothing else",
        "ms", tuple(neighbour),
    )  # fmt: skip
    return [row._replace(ratio=times(row.median, beside.median, "submitit's debug")), more, beside]


def in_pool(repeats: int = 7, seeds: int = 15, jobs: int = 5, most: int = 2) -> list[Row]:
    """The ``local`` cluster with warm workers, beside submitit's, which starts a process a job."""
    alone, *more = [_pooled(repeats, seeds, workers) for workers in range(1, most + 1)]
    with workplace() as folder:
        executor = submitit.AutoExecutor(folder, cluster="local")
        executor.update_parameters(timeout_min=5)
        neighbour = tuple(1e3 * seconds(lambda: _jobs(executor, 1)) for _ in range(jobs))
    row = Row(
        "launch, per trial beyond its training: warm local pool",
        f"the same of `launch --cluster local` with one worker, {2 * seeds} trials, the worker kept from one launch to "
        "the next and warmed by a trial: the start of the process is not in it. One worker, so that wall time less "
        "training time is what the launch adds",
        "ms", alone, 50.0,
    )  # fmt: skip
    others = [
        Row(
            f"the same with {workers} workers",
            f"{workers} processes: {workers} times the wall time less all training time, a trial; the wait for the last "
            "trial is in it",
            "ms", samples,
        )
        for workers, samples in enumerate(more, start=2)
    ]  # fmt: skip
    beside = Row(
        "submitit's local executor, per job",
        "submit and await one job of `abs(-3)`: it starts a process a job, and looks once a second whether it is done",
        "ms", neighbour,
    )  # fmt: skip
    return [row._replace(ratio=times(row.median, beside.median, "submitit's local")), *others, beside]


def _pooled(repeats: int, seeds: int, workers: int) -> tuple[float, ...]:
    samples = []
    with workplace() as folder, _kept_pool(folder, workers):
        path = write_tiny(folder)
        _launch(path, range(1), "local", workers)
        for repeat in range(repeats):
            asked = range(1 + repeat * seeds, 1 + (repeat + 1) * seeds)
            wall, training = _launch(path, asked, "local", workers)
            samples.append(1e3 * (workers * wall - training) / (2 * seeds))
    return tuple(samples)


@contextmanager
def _kept_pool(folder: Path, workers: int) -> Iterator[None]:
    """Every launch inside gets the same pool, and leaves it running."""
    pool = Pool(runs.root(), workers, 1, CHECKPOINT_EVERY_S, folder / "logs")
    with mock.patch.object(room, "Pool", lambda *_: pool), mock.patch.object(pool, "close", lambda: None):
        yield
    pool.close()


def _launch(path: Path, seeds: range, cluster: Literal["debug", "local"], workers: int) -> tuple[float, float]:
    """(wall seconds, seconds that the trials' attempts took)."""
    found: list[room.Launched] = []
    wall = seconds(lambda: found.append(room.launch(path, [f"seeds={list(seeds)}"], cluster=cluster, workers=workers)))
    stages = {stage for state in found[0].states for stage in state.trial["stages"]}
    if found[0].trained != len(stages):
        raise RuntimeError(f"{found[0].trained} of {len(stages)} stages were trained: {found[0].states}")
    return wall, sum(runs.seconds(runs.root() / stage) for stage in stages)


def _jobs(executor: submitit.AutoExecutor, count: int) -> None:
    for _ in range(count):
        if executor.submit(abs, -3).result() != 3:
            raise RuntimeError("submitit's job gave a wrong result")
