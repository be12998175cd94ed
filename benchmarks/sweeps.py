"""What large sweeps cost whoever plans, enqueues, watches and mirrors them, and short trials on a real Slurm.

Processor time, each in a process of its own, where a machine's other work would else be in it; on a Slurm the clock on the
wall, in pairs.
"""

import json
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.commands import _finish
from benchmarks.measure import Row, python_json, seconds, times, workplace
from benchmarks.subjects import write_many, write_tiny
from omnitok import runs
from omnitok.runs import Record

SIZES = ((5, 4), (5, 12), (10, 5))  # (values, seeds) of write_many: 1,000, 3,000, 10,000 trials
FAKES = {
    "sbatch": 'echo "Submitted batch job $$"',
    "scontrol": "echo 'MaxArraySize = 100001'; echo 'MaxJobCount = 1000000'; echo 'SLURM_VERSION = 22.05.8'",
    "squeue": "exit 0",
    "sacct": "exit 0",
    "sacctmgr": "exit 0",
    "srun": "exit 0",
}


def enqueueing(
    repeats: int = 3,
    sizes: Sequence[tuple[int, int]] = SIZES,
    measured: Callable[[str, Path], dict[str, float]] | None = None,
) -> list[Row]:
    """A plan, and what a launch on Slurm does beside it, with commands that stand for Slurm's."""
    measured, rows, first = measured or fresh, [], 0.0
    for values, seeds in sizes:
        found = []
        for _ in range(repeats):
            with workplace() as folder, faked(folder / "bin"):
                found.append(measured("launch", write_many(folder, values, seeds)))
        trials = int(found[0]["trials"])
        planned = tuple(one["plan"] for one in found)
        rest = Row(
            f"enqueue {trials:,} planned cells, a cell",
            "processor time of all that `launch --cluster slurm` does beside the plan: a folder and an `experiment.json` on "
            "disk for each stage, the stored plan, pieces, frozen code, tasks, the ledger; `sbatch` and its like are "
            "scripts that answer at once",
            "ms", tuple(1e3 * (one["launch"] - one["plan"]) / trials for one in found),
        )  # fmt: skip
        first = first or rest.median
        rows += [
            Row(
                f"plan {trials:,} cells",
                "processor time of the first `plan_sweep` of a process, imports not counted; as in `planning`",
                "s", planned, 5.0 if trials >= 10_000 else None,
            ),
            rest._replace(ratio=times(rest.median, first, f"that of {2 * sizes[0][0] ** 3 * sizes[0][1]:,}")),
        ]  # fmt: skip
    return rows


def large_status(repeats: int = 5, values: int = 10, seeds: int = 5) -> list[Row]:
    """``omnitok status`` of a sweep that is done, and of one that has hardly begun."""
    with workplace() as folder:
        path = write_many(folder, values, seeds)
        begun = _settled(path)
        trials = 2 * values**3 * seeds
        command = ("-m", "omnitok.cli", "status", str(path))
        few = tuple(_processor(*command) for _ in range(repeats))
        _finish(runs.root(), *begun)
        done = tuple(_processor(*command) for _ in range(repeats))
    how = "processor time of the whole process, by the sweep's file; "
    return [
        Row(f"`omnitok status` of {trials:,} trials, all done", f"{how}empty files stand for results", "s", done, 2.0),
        Row(f"`omnitok status` of {trials:,} trials, none begun", f"{how}it lists 200 of them", "s", few, 2.0),
    ]


def syncing(repeats: int = 1, folders: int = 1000, points: int = 1000) -> list[Row]:
    """Everything at once into an MLflow store on SQLite that is there and empty."""
    whole, idle = [], []
    for _ in range(repeats):
        with workplace():
            _recorded(folders, points)
            found = fresh("sync", runs.root())
            whole.append(found["first"])
            idle.append(found["again"])
    return [
        Row(
            f"`sync` of {folders:,} runs x {points:,} values",
            "processor time of the first `sync` into SQLite, the tables already made, in a process of its own",
            "s", tuple(whole), 30.0 if folders * points >= 1e6 else None,
        ),
        Row("the same with nothing new", "processor time of `sync` right after", "s", tuple(idle)),
    ]  # fmt: skip


def on_slurm(repeats: int = 2, cases: Sequence[tuple[int, int]] = ((20, 1), (20, 5))) -> list[Row]:
    """Sweeps of so many short trials, so many a job, on a real cluster, in turn with bare arrays of as many tasks."""
    tests = Path(__file__).parent.parent / "tests"
    sys.path[:0] = [str(tests / "slurm"), str(tests)]
    from cluster import Cluster  # type: ignore[import-not-found]
    from packages import Missing  # type: ignore[import-not-found]

    try:
        with workplace() as folder, Cluster(folder / "cluster").used() as cluster, mock.patch.dict(os.environ):
            os.environ |= cluster.environment
            pairs = {(n, pack): [_pair(folder, n, pack, i) for i in range(repeats)] for n, pack in cases}
    except Missing as why:
        print(f"not measured on a Slurm: {why}", file=sys.stderr)
        return []
    rows = []
    for (n, pack), found in pairs.items():
        ours, bare, trained = (tuple(one) for one in zip(*found, strict=True))
        said = f", {pack} a job" if pack > 1 else ""
        whole = f"{Row('', '', 's', ours).median:.3g} s"
        for what, tasks, other, below in (
            ("", "python -c 'import torch'", bare, None),
            (
                " beyond training",
                "python -c 'import torch; trial.run(folder)', which trains the same trials,",
                trained,
                1.2,
            ),
        ):
            rows.append(
                Row(
                    f"{n} short trials on Slurm{said}{what}",
                    f"from `launch --cluster slurm` to the last result, of trials of 3 steps, held against a bare `sbatch --array` of "
                    f"{n} tasks `{tasks}` in turn with it, from sbatch to an empty queue; 4 nodes on this machine",
                    "of the bare array's time", tuple(a / b for a, b in zip(ours, other, strict=True)), below,
                    f"{whole}, bare {Row('', '', 's', other).median:.3g} s",
                )
            )  # fmt: skip
    return rows


def sweeps() -> list[Row]:
    """All of it; what needs a Slurm only where one can run."""
    return [*enqueueing(), *large_status(), *syncing(), *on_slurm()]


def fresh(what: str, path: Path) -> dict[str, float]:
    """``here`` in a process of its own."""
    found: dict[str, float] = python_json("-m", "benchmarks.sweeps", what, str(path))
    return found


def here(what: str, path: Path) -> dict[str, float]:
    """Seconds of this process's processor."""
    return {"launch": _launched, "sync": _synced}[what](path)


def _launched(path: Path) -> dict[str, float]:
    from omnitok.launching import launch as room

    spent: list[float] = []
    plan = room.plan

    def clocked(asked: object) -> object:
        begun = time.process_time()
        planned = plan(asked)  # type: ignore[arg-type]
        spent.append(time.process_time() - begun)
        return planned

    begun = time.process_time()
    with mock.patch.object(room, "plan", clocked):
        done = room.launch(path, cluster="slurm")
    whole = time.process_time() - begun
    if done.jobs is None or not done.jobs.submitted:
        raise RuntimeError("nothing was submitted")
    return {"trials": len(done.states), "plan": spent[0], "launch": whole}


def _synced(root: Path) -> dict[str, float]:
    from omnitok.tracking import sync

    empty = root / "empty"
    empty.mkdir()
    (root / "mlflow.db").unlink(missing_ok=True)
    sync(empty, f"sqlite:///{root.resolve() / 'mlflow.db'}")  # its tables take a while, once
    found = []
    for _ in range(2):
        begun = time.process_time()
        sync(root, f"sqlite:///{root.resolve() / 'mlflow.db'}")
        found.append(time.process_time() - begun)
    return dict(zip(("first", "again"), found, strict=True))


def _settled(path: Path) -> tuple[dict[str, object], dict[str, dict[str, dict[str, str]]]]:
    """Stored as launched. -> its stages, and what is to be measured of them."""
    from omnitok.launching.settled import settle
    from omnitok.sweep.plan import plan_sweep
    from omnitok.sweep.stored import store

    planned = plan_sweep(path)
    runs.root().mkdir(exist_ok=True)
    data = settle(runs.root(), planned)[1]
    store(runs.root(), planned.asked, data)
    return data["stages"], data["evaluation_digests"]


def _recorded(folders: int, points: int) -> None:
    """As many runs, each with so many values of four metrics."""
    for i in range(folders):
        folder = runs.root() / f"{i:016x}"
        folder.mkdir(parents=True)
        spec = {f"choice{k}": k for k in range(40)}
        said = {"stage": "images", "task": "reconstruct", "seed": i, "parents": {}, "spec": spec}
        runs.write_json(folder / runs.EXPERIMENT, said)
        ran = {"commit": "c0ffee", "dirty": False, "host": "here", "created": "2026-01-01T00:00:00+00:00"}
        runs.write_json(folder / runs.PROVENANCE, ran)
        lines = (Record(step, {f"train/value{k}": step / (k + 7) for k in range(4)}) for step in range(points // 4))
        (folder / runs.RECORDS).write_bytes(b"".join(map(runs.encode, lines)))
        runs.write_json(folder / runs.RESULT, {})


def _processor(*words: str) -> float:
    """Seconds of processor time of a Python process, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _pair(folder: Path, n: int, pack: int, repeat: int) -> tuple[float, float, float]:
    """Seconds of a sweep of n new trials, of a bare array of n tasks, and of one whose tasks train as many trials."""
    first = 1000 * repeat + 100 * n + 10 * pack
    given = "slurm_partition: all, mem_gb: 1, timeout_min: 60, keeper: false" + (f", pack: {pack}" if pack > 1 else "")
    words = ["--set", f"seeds={list(range(first, first + n // 2))}", "--set", f"resources={{{given}}}"]
    path = write_tiny(folder)
    command = [sys.executable, "-m", "omnitok.cli", "launch", str(path), *words, "--cluster", "slurm", "--wait"]
    ours = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    bare = _array(n, [sys.executable, "-c", "import torch"])
    return ours, bare, _trained(folder, path, n, 100 + first)


def _trained(folder: Path, path: Path, n: int, first: int) -> float:
    """Seconds of a bare array each of whose tasks trains one trial in a folder that was made before."""
    from omnitok.launching.settled import settle
    from omnitok.sweep.plan import plan_sweep

    root = folder / f"bare-{first}"
    root.mkdir()
    settle(root, plan_sweep(path, [f"seeds={list(range(first, first + n // 2))}"]))
    names = json.dumps(sorted(one.parent.name for one in root.glob(f"*/{runs.EXPERIMENT}")))
    code = (
        "import torch, os, pathlib; torch.set_num_threads(1); from omnitok import trial; "
        f"trial.run(pathlib.Path({str(root)!r}) / {names}[int(os.environ['SLURM_ARRAY_TASK_ID'])])"
    )
    return _array(n, [sys.executable, "-c", code])


def _array(n: int, command: Sequence[str]) -> float:
    """Seconds of a bare array of n tasks that do the same."""
    bare = ["sbatch", "--wait", "--parsable", "--partition=all", "--mem=1G", "--output=/dev/null", f"--array=0-{n - 1}"]
    wrapped = f"--wrap={shlex.join(command)}"
    return seconds(lambda: subprocess.run([*bare, wrapped], check=True, stdout=subprocess.DEVNULL))


@contextmanager
def faked(folder: Path) -> Iterator[None]:
    """Commands of Slurm that answer at once, before all others."""
    folder.mkdir()
    for name, answer in FAKES.items():
        (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / name).chmod(0o755)
    with mock.patch.dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"):
        yield


if __name__ == "__main__":
    import torch._dynamo  # noqa: F401 - torch does so at its first operation on the meta device

    print(json.dumps(here(sys.argv[1], Path(sys.argv[2]))))
