"""What is installed, reachable and writable here, and how many accelerators."""

import http.client
import os
import shutil
import sqlite3
import sys
import urllib.error
import urllib.request
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from omnitok import provenance, runs
from omnitok.cluster import site
from omnitok.cluster.site import Site
from omnitok.spec import SpecError, hidden, near, slots_below

NEEDED = (
    "torch", "optuna", "mlflow", "submitit", "einops", "scikit-image", "scikit-learn", "sk-video", "pandas", "pydantic",
    "PyYAML", "click", "jinja2", "matplotlib", "scipy", "rich", "jaxtyping", "av", "pillow", "safetensors",
)  # fmt: skip


SERVER_S: Final = 2.0  # how long a tracking server may take to say that it is well


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
    findings += [_environment(), _runs(), _data(), _embedded(), _weights(), _tracking(), _study()]
    findings += [_accelerators(), _slurm(), _commit()]
    return findings + _plugins()


def examine_site(root: Path, *, probe: bool, nodes: int, partition: str, seconds: float) -> Site:
    """The site that jobs go to, as Slurm says and, with ``probe``, as two short jobs find it; kept in ``root``. What an
    earlier probe found stays where there is none. Raises SpecError where Slurm does not answer or refuses."""
    found, before = site.asked(), site.read(root)
    if probe:
        from omnitok.cluster.probe import Asked
        from omnitok.cluster.probe import probe as probed

        found = probed(root, found, Asked(nodes, partition, seconds))
    elif before is not None:
        found = found._replace(nodes=before.nodes, free=before.free)
    site.write(root, found)
    return found


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"missing; run: pip install {name}")


def _environment() -> Finding:
    """What our variables say, or what is wrong with them."""
    from omnitok.training.environment import check_environment, said

    try:
        check_environment()
    except SpecError as error:
        return Finding("environment", False, "; ".join(fault.sentence for fault in error.faults))
    return Finding("environment", True, " ".join(f"{name}={value}" for name, value in said().items()) or "as usual")


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


def _weights() -> Finding:
    """What is missing is no fault: only some losses and metrics need any."""
    from omnitok.networks.weights import listed

    kept = listed()
    said = [one.fault or f"{one.name} {'here' if one.found else 'missing'}" for one in kept]
    return Finding("pretrained weights", not any(one.fault for one in kept), ", ".join(said))


def _tracking() -> Finding:
    from omnitok.tracking import tracking_uri

    uri = tracking_uri(runs.root())
    said = "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "the default, beside the runs"
    if uri.startswith(("http://", "https://")):
        fine, seen = _server(uri)
    elif uri.startswith("sqlite:///"):
        fine, seen = _database(Path(uri.removeprefix("sqlite:///").partition("?")[0]))
    else:
        fine, seen = True, "not tried"
    return Finding("tracking", fine, f"{hidden(uri)} ({said}): {seen}")


def _study() -> Finding:
    """Whether the studies of searches can be kept where OMNITOK_STUDY says."""
    from omnitok.search.storage import refuse_silent
    from omnitok.training.studies import study_url

    try:
        refuse_silent()
        url = study_url()
    except (SpecError, ValueError) as error:
        said = error.faults[0].sentence if isinstance(error, SpecError) else str(error)
        return Finding("study", False, said)
    return Finding("study", True, f"{hidden(url)}: answers" if url else "a journal file beside each search")


def _server(uri: str) -> tuple[bool, str]:
    """Whether an MLflow server answers; one that first asks who we are does."""
    try:
        parts = urlsplit(uri)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health").geturl()
        with urllib.request.urlopen(bare, timeout=SERVER_S):
            return True, "answers"
    except urllib.error.HTTPError as error:
        with error:
            return error.code in {401, 403}, f"answers {error.code} to /health"
    except urllib.error.URLError as error:
        return False, f"cannot be reached: {error.reason}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return False, f"cannot be reached: {error}"


def _database(path: Path) -> tuple[bool, str]:
    """Whether a SQLite file can be read; one that is not there yet is made by the first sync."""
    if not path.exists():
        return path.parent.is_dir(), "made by the first sync" if path.parent.is_dir() else f"no folder {path.parent}"
    try:
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=SERVER_S)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        return False, f"cannot be opened: {error}"
    return True, "opens"


def _plugins() -> list[Finding]:
    """What other packages add, or why they do not: a finding a package."""
    from omnitok.spec.plugins import claims
    from omnitok.training import EVALUATIONS, TASKS

    slots = {slot.group: slot for slot in slots_below(TASKS, EVALUATIONS).values() if slot.group}
    seen: dict[str, list[tuple[bool, str]]] = {}
    for claim in claims():
        slot = slots.get(claim.group)
        said = f"{slot.slot} {claim.name}" if slot else f"no slot reads {claim.group!r}{near(claim.group, slots)}"
        fault = slot.refused.get(claim.name) if slot else said
        seen.setdefault(str(claim.origin), []).append((not fault, fault or said))
    return [
        Finding(f"package {name}", all(fine for fine, _ in found), "; ".join(said for _, said in found))
        for name, found in seen.items()
    ]


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
