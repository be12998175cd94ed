"""What the report of a large sweep costs, once MLflow is up to date: the usual exhibits, with every curve."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Row, seconds, workplace
from benchmarks.subjects import write_many
from omnitok import runs
from omnitok.runs import Record

POINTS = 250  # records of a stage run, each of four values


class Spent(NamedTuple):
    """What one process took: seconds on the wall, of the processor, and MiB at its peak."""

    wall: float
    processor: float
    memory: float


def reporting(repeats: int = 3, values: int = 5, seeds: int = 4, points: int = POINTS) -> list[Row]:
    """``omnitok report`` of a sweep that is done."""
    with workplace() as folder:
        path = write_many(folder, values, seeds)
        trials, stages = _done(path, points)
        subprocess.run([sys.executable, "-m", "omnitok.cli", "sync"], check=True, stdout=subprocess.DEVNULL)
        found = [_reported(path, folder / "out") for _ in range(repeats)]
    how = (
        f"`omnitok report` of {trials:,} trials ({stages:,} stage runs with {points * 4:,} values of curves each), MLflow "
        "up to date, the usual exhibits"
    )
    large = trials >= 1000
    return [
        Row(f"report of {trials:,} trials", f"{how}: the process's time on the wall", "s",
            tuple(one.wall for one in found), 10.0 if large else None),
        Row("the same, processor time", "of that process, with its children", "s", tuple(one.processor for one in found)),
        Row("the same, memory", "peak resident memory of that process", "MiB",
            tuple(one.memory for one in found), 1024.0 if large else None),
    ]  # fmt: skip


def _reported(path: Path, out: Path) -> Spent:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks: list[float] = []

    def report() -> None:
        child = subprocess.Popen(
            [sys.executable, "-m", "omnitok.cli", "report", str(path), "--out", str(out)], stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"omnitok report ended with {child.returncode}")
        peaks.append(used.ru_maxrss / 1024)

    wall = seconds(report)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, spent, peaks[0])


def _done(path: Path, points: int) -> tuple[int, int]:
    """Stored as launched, with everything that a finished sweep has but weights. -> (trials, stage runs)."""
    from omnitok.launching.settled import settle
    from omnitok.sweep.plan import plan_sweep
    from omnitok.sweep.stored import store

    planned = plan_sweep(path)
    runs.root().mkdir(exist_ok=True)
    data = settle(runs.root(), planned)[1]
    store(runs.root(), planned.asked, data)
    metrics = {
        (one["name"], metric["label"]): (one["key"], metric) for one in data["evaluations"] for metric in one["metrics"]
    }
    for i, digest in enumerate(data["stages"]):
        folder = runs.root() / digest
        _ran(folder, i, points)
        for name, wanted in data["evaluation_digests"].get(digest, {}).items():
            (folder / runs.EVALUATIONS).mkdir(exist_ok=True)
            for label, one in wanted.items():
                key, metric = metrics[name, label]
                _measured(folder, one, key, metric, 20 + i % 97 / 50)
    return len(data["trials"]), len(data["stages"])


def _ran(folder: Path, i: int, points: int) -> None:
    ran = {"commit": "c0ffee" * 6 + "cafe", "dirty": False, "code": "abcd", "device": "cpu", "threads": 1, "host": "here",
           "versions": {"python": "3.11", "torch": "2.13.0"}, "created": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    runs.write_json(folder / runs.PROVENANCE, ran)
    values = ({"train/loss": 1 / (step + i % 7 + 2), "train/lr": 1e-3, "train/l1": 0.5, "val/psnr": 20 + step / points}
              for step in range(points))  # fmt: skip
    runs.write(folder / runs.RECORDS, b"".join(runs.encode(Record(step, one)) for step, one in enumerate(values)))
    runs.append_line(folder / runs.ATTEMPTS, {"seconds": 60.0, "from_step": 0, "to_step": points, "ended": "done"})
    runs.write_json(folder / runs.RESULT, {"steps": points})


def _measured(folder: Path, digest: str, key: str, metric: dict[str, Any], value: float) -> None:
    said = {"digest": digest, "stage": folder.name, "label": metric["label"], "key": metric["key"], "unit": metric["unit"],
            "value": value, "protocol": metric["protocol"], "better": metric["better"], "per_item": [value] * 8,
            "items": [f"{key}-{i}" for i in range(8)], "pictures": [], "samples": None}  # fmt: skip
    runs.write_json(folder / runs.EVALUATIONS / f"{digest}.json", said)
