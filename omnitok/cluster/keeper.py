"""Small jobs that wake when another job of a sweep ends badly, and see to it: nothing of ours stays alive elsewhere.

A keeper waits for any of several jobs to end (``afternotok:12_0?afternotok:12_1?afterany:13``). Where none of that can come
any more, as all have ended well, Slurm removes it; a job that the controller has forgotten wakes it. Tried with Slurm
22.05.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from omnitok import runs
from omnitok.cluster.asking import ask
from omnitok.cluster.ended import LOGS
from omnitok.cluster.sbatch import WHOLE, no_allocation
from omnitok.cluster.tokens import job_name

KEEPERS: Final = "keepers.jsonl"  # in a sweep's folder: a line a keeper, its job and the jobs that wake it
MOST: Final = 400  # jobs that one keeper waits for: some kilobytes of a dependency
MINUTES: Final = 60
MEMORY_MB: Final = 2048
AS_THE_SWEEP: Final = ("partition", "account", "qos", "reservation")

Wake = Literal["afternotok", "afterany"]


def name(folder: Path) -> str:
    """What the keepers of a sweep are called."""
    return f"{job_name(folder)}-keeper"


def waiting(folder: Path) -> list[str]:
    """The jobs of the keepers that wait. Raises Unanswered."""
    words = ("--noheader", "--states=PENDING", f"--name={name(folder)}", "--format=%i")
    return ask("squeue", *words).split()


def cover(
    folder: Path, code: Path, jobs: Mapping[str, Wake], given: Mapping[str, Any], *, room: bool = False
) -> list[str]:
    """Submit keepers for those of these jobs that no waiting keeper waits for. -> the keepers' jobs.

    folder: of the sweep; code: frozen, where they import from; jobs: {"12_0": what of it wakes}; given: what the sweep's
    jobs are given, of which a keeper has the partition and who pays. ``room``: one more wakes when a quarter of the jobs
    have ended, as the site had no room for all. Raises Unanswered where Slurm does not answer, or refuses.
    """
    waits = set(waiting(folder))
    seen = [one for one in _known(folder) if one["job"] in waits]
    covered = {job for one in seen for job in one["of"]}
    left = [job for job in jobs if job not in covered]
    chunks = [left[i : i + MOST] for i in range(0, len(left), MOST)]
    asked = [(chunk, "?".join(f"{jobs[job]}:{job}" for job in chunk)) for chunk in chunks]
    if room and jobs and not any(one.get("room") for one in seen):
        first = list(jobs)[: min(MOST, max(1, len(jobs) // 4))]
        asked.append(([], ",".join(f"afterany:{job}" for job in first)))
    found = []
    for chunk, dependency in asked:
        job = _submit(folder, code, dependency, given)
        runs.append_line(folder / KEEPERS, {"job": job, "of": chunk, "room": not chunk})
        found.append(job)
    return found


def _known(folder: Path) -> list[dict[str, Any]]:
    path, found = folder / KEEPERS, []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError):  # a kill has torn it; its keeper only wakes once more than it must
            found.append(json.loads(line))
    return found


def _submit(folder: Path, code: Path, dependency: str, given: Mapping[str, Any]) -> str:
    logs = folder / LOGS
    logs.mkdir(exist_ok=True)
    script = logs / "keeper.sh"
    runs.write(script, _script(folder, code).encode())
    words = [f"--{option}={value}" for option in AS_THE_SWEEP if (value := given.get(f"slurm_{option}"))]
    with no_allocation():
        said = ask(
            "sbatch", WHOLE, "--parsable", f"--job-name={name(folder)}",
            f"--dependency={dependency}", "--kill-on-invalid-dep=yes",
            "--ntasks=1", "--cpus-per-task=1", f"--mem={MEMORY_MB}M", f"--time={MINUTES}", "--requeue", "--open-mode=append",
            f"--output={str(logs).replace('%', '%%')}/keeper_%j.log", *words, str(script),
        )  # fmt: skip
    return said.strip().partition(";")[0]


def _script(folder: Path, code: Path) -> str:
    """Runs from the frozen code, on the same runs and the same data, wherever it is started."""
    data = Path(os.environ.get("OMNITOK_DATA") or "data").resolve()
    said: Sequence[tuple[str, object]] = [
        ("PYTHONPATH", f"{code}{os.pathsep}{path}" if (path := os.environ.get("PYTHONPATH")) else code),
        ("PYTHONSAFEPATH", 1), ("OMNITOK_RUNS", folder.parent.parent), ("OMNITOK_DATA", data), ("OMP_NUM_THREADS", 1),
    ]  # fmt: skip
    lines = [f"export {key}={shlex.quote(str(value))}" for key, value in said]
    words = [sys.executable, "-m", "omnitok.launching.keep", str(folder)]
    return "\n".join(["#!/bin/sh", *lines, f"exec {shlex.join(words)}", ""])
