"""Sweeps that train for long enough to be disturbed, processes that are killed, and a person who launches again until all is done."""

import contextlib
import random
import re
import sys
import time
from pathlib import Path

import psutil
import tiny
from cluster import Cluster
from daemons import Failed, until
from once import settled

from omnitok import launch_sweep, runs

OMNITOK = [sys.executable, "-u", "-m", "omnitok.cli"]


def text(seeds: str = "[0]", shares: str = "[0.0, 0.5]", **resources: object) -> str:
    """A fork: a shared first stage, two arms, a baseline."""
    said = {"timeout_min": 60, "mem_gb": 1, "slurm_partition": "all", "checkpoint_every_s": 0.5, **resources}
    lines = [
        "question: Does it survive?",
        "experiment: tiny.yaml",
        f"vary: {{stages.joint.schedule.image_share: {shares}}}",
        f"seeds: {seeds}",
        "baselines: [mean_colour]",
        "evaluate: [{name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}]",
        f"resources: {{{', '.join(f'{name}: {value}' for name, value in said.items())}}}",
    ]
    return "\n".join([*lines, ""])


def long(steps: int) -> str:
    """The tiny experiment with so many steps a stage."""
    grown = re.sub(r"steps: \d+", f"steps: {steps}", tiny.EXPERIMENT)
    return grown.replace("validate_every: 2", f"validate_every: {steps}")


def steps(root: Path) -> int:
    """How far all runs have come together."""
    lasts = [runs.last_record(path.parent) for path in root.glob(f"*/{runs.EXPERIMENT}")]
    return sum(last.step + 1 for last in lasts if last)


def trains(root: Path, least: int = 20) -> None:
    until(lambda: steps(root) >= least, 120, "it trains", pause=0.1)


def finish(sweep: Path, cluster: Cluster, seconds: float = 600) -> None:
    """Wait until all is done, and launch again, as a person would, whenever nothing is left in the queue."""
    end = time.monotonic() + seconds
    while not settled(sweep):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {cluster.ask('squeue', strict=False)}\n{_logs()}")
        if not cluster.ask("squeue", "--noheader", strict=False):
            launch_sweep(sweep, cluster="slurm")
        time.sleep(0.5)


def _logs() -> str:
    return "\n".join(
        f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(runs.root().glob("sweeps/*/jobs/*_log.*"))
    )


def kills(sweep: Path, cluster: Cluster, draw: random.Random, most: int) -> int:
    """So many processes of jobs are killed, unless the sweep is done before. It is launched again, as a person would,
    whenever nothing is left in the queue."""
    killed = 0
    while killed < most and not settled(sweep):
        time.sleep(draw.uniform(0.2, 3))
        killed += kill(cluster, draw)
        if not cluster.ask("squeue", "--noheader", strict=False):
            launch_sweep(sweep, cluster="slurm")
    return killed


def kill(cluster: Cluster, draw: random.Random) -> bool:
    """One of the processes of jobs; False where there is none."""
    tasks = sorted(cluster.tasks(), key=lambda task: task.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        if tasks:
            draw.choice(tasks).kill()
            return True
    return False
