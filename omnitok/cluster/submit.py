"""Reconcile, submit, and leave: what is done, waits or runs is dropped; the rest goes to Slurm in arrays."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from omnitok import provenance, runs
from omnitok.cluster.freeze import freeze
from omnitok.cluster.ledger import Entry, add, alone, attempts
from omnitok.cluster.piece import ACTIVE, Piece, Submitted
from omnitok.cluster.questions import elsewhere, job_name, limits, queue, submitted
from omnitok.spec import Fault, Mark, SpecError, near

LOGS: Final = "jobs"  # below a sweep's folder: 12_3_0_log.out and .err, and what submitit keeps
WINNER: Final = "winner.json"  # in the folder of a search that is over
TIMEOUT_MIN: Final = 240  # where nobody says: a job that takes longer is requeued and goes on
SIGNAL_S: Final = 90  # before its end a job is told to save
TIMEOUTS: Final = 1000  # how often a job may be requeued; a preemption of a short job counts, too


class Resources(Protocol):
    """What a sweep says of how it is run. ``job``: by submitit's names, such as timeout_min, mem_gb, slurm_partition."""

    @property
    def threads(self) -> int: ...
    @property
    def checkpoint_every_s(self) -> float: ...
    @property
    def max_parallel(self) -> int | None: ...
    @property
    def environment(self) -> dict[str, str]: ...
    @property
    def job(self) -> dict[str, Any]: ...


class Array(NamedTuple):
    """Pieces that are submitted as one array: what all wait for (``afterok:12_3``), and what each is given."""

    pieces: list[Piece]
    after: tuple[str, ...]
    given: dict[str, Any]


def submit(root: Path, folder: Path, pieces: Sequence[Piece], resources: Resources) -> list[Submitted]:
    """Submit what is neither done nor with Slurm already, parents before children, and return at once.

    root: the runs' folder, shared by all nodes; folder: the sweep's in it, which keeps ``jobs.jsonl``. -> what was
    submitted now. Where the site lets one user have so many jobs and no more, the rest is left for another launch. Raises
    SpecError where Slurm does not answer or refuses, Busy where another launcher is at it, Moving.
    """
    root, folder = root.resolve(), folder.resolve()
    with alone(folder.parent):
        queued = queue(folder)  # before the folders are looked at: what ends in between is seen as done
        jobs = {piece: one.job for piece, one in queued.items() if one.state in ACTIVE}
        wanted = [piece for piece in pieces if piece.id not in jobs and _open(root, piece)]
        if not wanted:
            return []
        site = limits()
        room = site.submitted - submitted()
        code = freeze(root)
        others = elsewhere(folder, {one for piece in wanted for one in _open(root, piece)})
        before, found = attempts(folder), list[Submitted]()
        while len(found) < room and (arrays := _ready(wanted, jobs, others, resources)):
            for array in _split(arrays, site.array, room - len(found)):
                tasks = [_task(piece, resources, array.given) for piece in array.pieces]
                ids = _submit(root, folder, code, array, tasks)
                at = provenance.now()
                for piece, job in zip(array.pieces, ids, strict=True):
                    tries = before[piece.id] + 1
                    add(folder, Entry(at, piece.id, piece.folders, job, tries, code.name, array.given))
                    jobs[piece.id] = job
                    found.append(Submitted(piece.id, job))
            wanted = [piece for piece in wanted if piece.id not in jobs]
        return found


def _open(root: Path, piece: Piece) -> list[str]:
    """The folders in which a piece has something to do. What is measured is in those that are said to be missing; a
    search is over when its winner is known."""
    if piece.search:
        return [] if (root / piece.search / WINNER).exists() else [piece.search]
    measured = {folder for folder, _ in piece.evaluations}
    return [one for one in piece.folders if one in measured or not (root / one / runs.RESULT).exists()]


def _ready(
    wanted: Sequence[Piece], jobs: Mapping[str, str], others: Mapping[str, set[str]], resources: Resources
) -> list[Array]:
    """The pieces whose parents are done or with Slurm; together those that wait for the same and are given the same.

    A folder in which another sweep's job works is waited for, however that ends; what is done there then is found done.
    """
    missing = {piece.id for piece in wanted}
    alike: dict[str, Array] = {}
    for piece in wanted:
        if missing.isdisjoint(piece.after):
            busy = sorted(set().union(*(others.get(one, ()) for one in piece.folders)))
            parents = [f"afterok:{jobs[parent]}" for parent in piece.after if parent in jobs]
            after = (*parents, *(f"afterany:{job}" for job in busy))
            given = {**resources.job, **piece.resources}
            key = json.dumps([after, given], sort_keys=True, default=str)
            alike.setdefault(key, Array([], after, given)).pieces.append(piece)
    return list(alike.values())


def _split(arrays: Iterable[Array], most: int, room: int) -> Iterator[Array]:
    """No array of more tasks than the site allows: its limit is that of an index, and each array begins at 0. ``room``:
    of all of them together."""
    for array in arrays:
        pieces = array.pieces[:room]
        room -= len(pieces)
        for start in range(0, len(pieces), most):
            yield array._replace(pieces=pieces[start : start + most])


def _task(piece: Piece, resources: Resources, given: Mapping[str, Any]) -> dict[str, Any]:
    """The piece as JSON, with what the task itself reads: nothing of it is left to what the node's shell says."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("OMNITOK_")}
    environment["OMNITOK_DATA"] = str(Path(environment.get("OMNITOK_DATA") or "data").resolve())
    how = {
        "environment": {**environment, **resources.environment},
        "threads": resources.threads,
        "checkpoint_every_s": resources.checkpoint_every_s,
        "save_s": 0.6 * _signal_s(given),  # Slurm looks at the clock twice a minute
        "max_parallel": resources.max_parallel,
    }
    found: dict[str, Any] = json.loads(json.dumps({**piece._asdict(), "resources": how}))
    return found


def _signal_s(given: Mapping[str, Any]) -> int:
    return int(given.get("slurm_signal_delay_s") or min(SIGNAL_S, 30 * given.get("timeout_min", TIMEOUT_MIN)))


def _submit(root: Path, folder: Path, code: Path, array: Array, tasks: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of the jobs that now are in Slurm. Raises SpecError where it, or submitit, refuses what was asked for."""
    import submitit
    from submitit.core.utils import FailedJobError

    from omnitok.cluster.job import Job

    made = submitit.AutoExecutor(
        folder=folder / LOGS, cluster="slurm", slurm_python=python(), slurm_max_num_timeout=TIMEOUTS
    )
    try:
        made.update_parameters(**_options(folder, code, array, tasks[0]["resources"]))
        with no_allocation(), made.batch():
            jobs = [made.submit(Job(str(root), task)) for task in tasks]
        return [job.job_id for job in jobs]
    except NameError as error:
        known = [f"slurm_{name}" for name in submitit.SlurmExecutor._valid_parameters()]
        wrong = [name for name in array.given if name.startswith("slurm_") and name not in known]
        said = [Fault(Mark("resources"), name, f"no option of a Slurm job{near(name, known)}") for name in wrong]
        raise SpecError(said or [Fault(Mark("resources"), "", str(error))]) from None
    except FailedJobError as error:
        said_by = (str(error).strip().splitlines() or ["sbatch failed"])[-1]
        raise SpecError(
            [Fault(Mark("--cluster slurm"), "", f"Slurm refuses {array.pieces[0].label}: {said_by}")]
        ) from None


def _options(folder: Path, code: Path, array: Array, how: Mapping[str, Any]) -> dict[str, Any]:
    """What AutoExecutor is told: what was asked for, over what nobody need ask for."""
    given = dict(array.given)
    more, setup = given.pop("slurm_additional_parameters", {}), given.pop("slurm_setup", [])
    cores = how["threads"] + int(how["environment"].get("OMNITOK_DATA_WORKERS", 0))
    waits = [*array.after, *([given.pop("slurm_dependency")] if "slurm_dependency" in given else [])]
    options = {
        "timeout_min": TIMEOUT_MIN,
        "cpus_per_task": cores,
        "slurm_signal_delay_s": _signal_s(given),
        "slurm_comment": str(folder),
        "slurm_array_parallelism": how["max_parallel"] or len(array.pieces),
        **given,
        "slurm_job_name": job_name(folder),
        "slurm_setup": [*setup, *setup(code, how["threads"], given.get("cpus_per_task", cores))],
        "slurm_additional_parameters": {"requeue": True, "kill-on-invalid-dep": "yes", **more},
    }
    return {**options, "slurm_dependency": ",".join(waits)} if waits else options


def python() -> str:
    """What runs a task. A signal that comes before submitit's handler is there is not to kill it: ignored, until handled."""
    return f"""sh -c 'trap "" USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""


def setup(code: Path, threads: int, cores: int) -> list[str]:
    """Lines of the batch script, for what must stand before Python begins."""
    path = f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    numbers = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "SRUN_CPUS_PER_TASK": cores}
    # the folder that somebody submitted from must not come before the frozen code
    return [path, "export PYTHONSAFEPATH=1", *(f"export {name}={number}" for name, number in numbers.items())]


@contextmanager
def no_allocation() -> Iterator[None]:
    """Submitted from inside a job, a job must not inherit what is said of that one; where Slurm's file is, it must."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [name for name in os.environ if name.startswith(("SLURM_", "SRUN_", "SUBMITIT_")) and name != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in names if inside}
    try:
        yield
    finally:
        os.environ.update(hidden)
