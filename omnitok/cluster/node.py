"""What a node finds of itself, its Python and the runs' folder; it runs there as a script and needs nothing of ours.

    python -I node.py FOLDER RANK TASKS

FOLDER: of the probe, shared by all nodes, with the file ``token``. Tasks with RANK 0 and 1 compete for a lock and hand
files to each other; each prints one line of JSON. What is not there is not measured and is missing from it.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MEET_S = 30.0  # how long the other task is waited for
COMPETE_S = 2.0  # how long two tasks compete for the lock
ROUNDS = 5  # in which a file is handed over and back
HAND_S = 70.0  # how long one hand-over may take: longer than any usual cache of a file system
REACH_S = 3.0


def look(folder: Path, rank: int, tasks: int) -> dict[str, Any]:
    """Everything, as data."""
    found: dict[str, Any] = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "torch": _version("torch"),
        "skew_s": _skew(folder, rank),
        "free": shutil.disk_usage(folder).free,
        "scratch": _scratch(),
        "submits": _submits(),
        **_services(),
    }
    if tasks > 1 and rank < 2:
        found["met"] = _meet(folder, rank)
        if found["met"]:
            found |= {"violations": _compete(folder, rank), "torn": _rename(folder, rank)}
            found["visible_s"] = _hand_over(folder, rank)
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _skew(folder: Path, rank: int) -> float:
    """Seconds by which the clock of the file system is ahead of this node's."""
    path = folder / f"clock.{rank}"
    before = time.time()
    path.write_bytes(b"now")
    return path.stat().st_mtime - (before + time.time()) / 2


def _scratch() -> dict[str, Any]:
    """Where a node keeps what nobody else needs, and how much it has room for."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"probe")
        place = tempfile.gettempdir()
        return {"folder": place, "free": shutil.disk_usage(place).free}
    except OSError as error:
        return {"folder": "", "why": str(error)}


def _submits() -> str:
    """Why a job on this node may not submit another; empty where it may. Nothing is submitted."""
    words = ["sbatch", "--test-only", "--chdir=/", "--output=/dev/null", "--wrap=true"]
    hidden = {name: value for name, value in os.environ.items() if name == "SLURM_CONF" or not name.startswith("SLURM")}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, env=hidden)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["sbatch fails"])[-1]


def _services() -> dict[str, str]:
    """Why named services cannot be reached from here; empty where they can."""
    found = {}
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        found["mlflow"] = _said(lambda: _ask(uri))
    study = urlsplit(os.environ.get("OMNITOK_STUDY", ""))
    if study.hostname:
        place = (study.hostname, study.port or 5432)
        found["study"] = _said(lambda: socket.create_connection(place, timeout=REACH_S).close())
    return found


def _ask(uri: str) -> None:
    """One that first asks who we are has answered."""
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health").geturl()
    try:
        urllib.request.urlopen(bare, timeout=REACH_S).close()
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise


def _said(reach: Callable[[], None]) -> str:
    try:
        reach()
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


# ---- with another node


def _appears(path: Path, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def _meet(folder: Path, rank: int) -> bool:
    (folder / f"here.{rank}").touch()
    return _appears(folder / f"here.{1 - rank}", MEET_S)


def _compete(folder: Path, rank: int) -> int:
    """How often this task had the lock while the other had it as well. A lock that holds lets nobody in."""
    violations = 0
    inside, until = folder / "inside", time.monotonic() + COMPETE_S
    while time.monotonic() < until:
        with (folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                violations += 1
                continue
            time.sleep(0.005)
            inside.unlink()
        time.sleep(0.001 * (1 + rank))  # or the same one has it always
    return violations


def _rename(folder: Path, rank: int) -> int:
    """How often a file that the other task replaces was not there or not whole."""
    path, done, torn = folder / "renamed", folder / "renamed.done", 0
    if rank == 0:
        for i in range(200):
            partial = folder / "renamed.partial"
            partial.write_bytes(bytes([i % 256]) * 8192)
            partial.replace(path)
        done.touch()
        return 0
    _appears(path, HAND_S)
    until = time.monotonic() + HAND_S
    while not done.exists() and time.monotonic() < until:
        try:
            content = path.read_bytes()
            torn += len(content) != 8192 or len(set(content)) != 1
        except OSError:
            torn += 1
    return torn


def _hand_over(folder: Path, rank: int) -> float | None:
    """The most seconds until one node saw what the other had written; None where it never did."""
    slowest = 0.0
    for i in range(ROUNDS):
        mine, other = folder / f"hand.{i}.{rank}", folder / f"hand.{i}.{1 - rank}"
        if rank and not _appears(other, HAND_S):
            return None
        begun = time.monotonic()
        mine.touch()
        if rank == 0:
            if not _appears(other, 2 * HAND_S):
                return None
            slowest = max(slowest, (time.monotonic() - begun) / 2)
    return slowest


if __name__ == "__main__":
    where, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    try:
        said = look(where, number, count)
    except OSError as error:
        said = {"broken": str(error)}
    print(json.dumps({"node": os.environ.get("SLURMD_NODENAME", ""), **said}), flush=True)
