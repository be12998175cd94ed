"""How a run stands, read off its files, so that it cannot disagree with them."""

import os
from pathlib import Path
from typing import Any, Literal

from omnitok.runs.leases import leased
from omnitok.runs.names import ATTEMPTS, ERROR, PROVENANCE, RECORDS, RESULT
from omnitok.runs.writing import lines, read_json

Status = Literal["planned", "running", "interrupted", "failed", "done"]


def root() -> Path:
    """Where runs live: OMNITOK_RUNS, or ``runs`` in the working folder."""
    return Path(os.environ.get("OMNITOK_RUNS") or "runs")


def status(folder: Path) -> Status:
    """Costs a few questions to the file system, and changes nothing."""
    if (folder / RESULT).exists():
        return "done"
    if leased(folder):
        return "running"
    if (folder / ERROR).exists():
        return "failed"
    return "interrupted" if (folder / RECORDS).exists() else "planned"


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Every start that came to an end it could write down."""
    return lines(folder / ATTEMPTS)


def last_attempt(folder: Path) -> dict[str, Any]:
    """The newest of them, empty where there is none."""
    return (attempts(folder) or [{}])[-1]


def seconds(folder: Path) -> float:
    """How long all attempts took together."""
    return float(sum(attempt.get("seconds", 0.0) for attempt in attempts(folder)))


def deviations(folder: Path) -> list[str]:
    """In what its starts were not given what was asked for, where that could change its result: "recompute=true after
    out_of_memory"."""
    try:
        return list(read_json(folder / PROVENANCE).get("deviations", ()))
    except FileNotFoundError:
        return []
