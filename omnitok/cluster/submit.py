"""Reconcile, submit, and leave: what is done, waits or runs is dropped; the rest goes to Slurm in arrays."""

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from omnitok import provenance, runs
from omnitok.cluster import ledger
from omnitok.cluster.asked import SLURM, option_fault
from omnitok.cluster.asking import Unanswered, refuse
from omnitok.cluster.freeze import freeze
from omnitok.cluster.ledger import Entry, alone, attempts
from omnitok.cluster.piece import ACTIVE, Piece, Submitted
from omnitok.cluster.questions import UNKNOWN_S, Limits, elsewhere, limits, queue, submitted
from omnitok.cluster.sbatch import TIMEOUT_MIN, Refused, Unknown, options, setup, signal_s, submit_array
from omnitok.cluster.tokens import recover
from omnitok.spec import Fault, Mark, SpecError

WINNER: Final = "winner.json"  # in the folder of a search that is over
TOGETHER: Final = ("nodes", "tasks_per_node")  # what only a training can use
OWN: Final = ("environment", "pack")  # of what a piece is given, what is none of Slurm's


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
    """Jobs that are submitted as one array, each of one or several pieces: what all wait for (``afterok:12_3``), and what
    each is given."""

    jobs: list[list[Piece]]
    after: tuple[str, ...]
    given: dict[str, Any]


def submit(
    root: Path, folder: Path, pieces: Sequence[Piece], resources: Resources, *, spare: int = 0
) -> list[Submitted]:
    """Submit what is neither done nor with Slurm already, parents before children, and return at once.

    root: the runs' folder, shared by all nodes; folder: the sweep's in it, which keeps ``jobs.jsonl``. -> what was
    submitted now; pieces that share a job have its id. Where the site lets one user have so many jobs and no more, the
    rest is left for another launch. Raises SpecError where Slurm does not answer or refuses, Busy where another launcher
    is at it, Moving. ``spare``: jobs of that room that are left for others. What Slurm did not say whether it has it is
    written down: it counts as submitted until it is found, or for two minutes.
    """
    root, folder = root.resolve(), folder.resolve()
    with alone(folder.parent) as held:
        _recover(folder)
        queued = queue(folder)  # before the folders are looked at: what ends in between is seen as done
        jobs = {piece: one.job for piece, one in queued.items() if one.state in ACTIVE}
        wanted = [piece for piece in pieces if piece.id not in jobs and _open(root, piece)]
        if not wanted:
            return []
        site = room(limits(), submitted(), spare)
        code = freeze(root)
        others = elsewhere(folder, {one for piece in wanted for one in _open(root, piece)})
        at, found = _At(root, folder, code, attempts(folder), held), list[Submitted]()

        def hand(array: Array) -> dict[str, str]:
            entries = _submit(at, array, resources)
            found.extend(Submitted(entry.piece, entry.job) for entry in entries)
            return {entry.piece: entry.job for entry in entries}

        hand_out(wanted, Around(jobs, others), resources, site, hand)
        return found


def room(site: Limits, taken: int, spare: int) -> Limits:
    """The limits with what one user still may have, where so many jobs are ``taken`` and some are left to others: at most a
    quarter of what there is."""
    left = max(0, site.submitted - taken)
    return site._replace(submitted=left - min(spare, left // 4))


class Around(NamedTuple):
    """What is with Slurm already: {a piece of this sweep: its job}, {a folder: the jobs of other sweeps in it}."""

    jobs: Mapping[str, str]
    others: Mapping[str, set[str]]


def hand_out(
    wanted: Sequence[Piece],
    around: Around,
    resources: Resources,
    site: Limits,
    hand: Callable[[Array], Mapping[str, str]],
) -> list[Piece]:
    """Give arrays away by ``hand``, parents before children; it says {piece: its job}. -> pieces for which ``site``, with what
    is left of it, has no room, or whose parents nobody is sure of."""
    jobs, left, free = dict(around.jobs), list(wanted), site.submitted
    shared = {parent for piece in wanted for parent in piece.after}
    while free > 0 and (arrays := _ready(left, jobs, around.others, resources, shared)):
        for array in _split(arrays, site.array, free):
            free -= len(array.jobs)
            jobs |= hand(array)
        left = [piece for piece in left if piece.id not in jobs]
    return left


def _recover(folder: Path) -> None:
    try:
        recover(folder, UNKNOWN_S)
    except Unanswered as error:
        refuse(error)


def _open(root: Path, piece: Piece) -> list[str]:
    """The folders in which a piece has something to do. What is measured is in those that are said to be missing; a
    search is over when its winner is known."""
    if piece.search:
        return [] if (root / piece.search / WINNER).exists() else [piece.search]
    measured = {folder for folder, _ in piece.evaluations}
    return [one for one in piece.folders if one in measured or not (root / one / runs.RESULT).exists()]


def _ready(
    wanted: Sequence[Piece],
    jobs: Mapping[str, str],
    others: Mapping[str, set[str]],
    resources: Resources,
    shared: Iterable[str],
) -> list[Array]:
    """The pieces whose parents are done or with Slurm; together those that wait for the same and are given the same.

    A folder in which another sweep's job works is waited for, however that ends; what is done there then is found done.
    What others wait for (``shared``) has a job of its own, which fails for no fault of a neighbour's.
    """
    missing = {piece.id for piece in wanted}
    alike: dict[str, Array] = {}
    for piece in wanted:
        # the job of a parent that nobody is sure of cannot be waited for yet
        if missing.isdisjoint(piece.after) and all(jobs.get(parent, "there") for parent in piece.after):
            busy = sorted(set().union(*(others.get(one, ()) for one in piece.folders)))
            parents = [f"afterok:{jobs[parent]}" for parent in piece.after if parent in jobs]
            after = (*parents, *(f"afterany:{job}" for job in busy))
            given = _given(piece, resources)
            pack = 1 if piece.search or piece.id in shared else given["pack"]
            array = alike.setdefault(json.dumps([after, given], sort_keys=True), Array([], after, given))
            if array.jobs and len(array.jobs[-1]) < pack and array.jobs[-1][0].id not in shared:
                array.jobs[-1].append(piece)
            else:
                array.jobs.append([piece])
    return list(alike.values())


def _given(piece: Piece, resources: Resources) -> dict[str, Any]:
    """The sweep's, over it the piece's. Only stages are trained by several processes."""
    given = {"pack": 1, **resources.job, **piece.resources}
    given["environment"] = {**resources.environment, **given.get("environment", {})}
    together = piece.stages and not piece.search
    return {name: value for name, value in given.items() if together or name not in TOGETHER}


def _split(arrays: Iterable[Array], most: int, room: int) -> Iterator[Array]:
    """No array of more tasks than the site allows: its limit is that of an index, and each array begins at 0. ``room``:
    of all of them together."""
    for array in arrays:
        jobs = array.jobs[:room]
        room -= len(jobs)
        for start in range(0, len(jobs), most):
            yield array._replace(jobs=jobs[start : start + most])


class _At(NamedTuple):
    """The runs' folder, the sweep's, the frozen code's, how often each piece was submitted before, and the lease that
    keeps other launchers out."""

    root: Path
    folder: Path
    code: Path
    before: Mapping[str, int]
    held: runs.Held


def _submit(at: _At, array: Array, resources: Resources) -> list[Entry]:
    """Submit one array, written down before and after. -> its entries. Raises SpecError where Slurm, or submitit, refuses
    what was asked for, or Slurm does not answer; Fenced where another launcher has taken over."""
    token, now, size = uuid.uuid4().hex, provenance.now(), len(array.jobs)
    given = {name: value for name, value in array.given.items() if name not in OWN}
    wrong = {name: option_fault(name, value) for name, value in given.items() if name.startswith(SLURM)}
    if faults := [Fault(Mark("resources"), name, said) for name, said in wrong.items() if said]:
        raise SpecError(faults)
    how = _how(resources, array.given)
    asked = options(at.folder, given, how, array.after, size)
    tasks = [[piece._asdict() for piece in job] for job in array.jobs]
    said = {"root": str(at.root), "timeout_min": asked["timeout_min"], "resources": how, "tasks": tasks}
    entries = [
        Entry(
            now,
            piece.id,
            piece.folders,
            "",
            at.before.get(piece.id, 0) + 1,
            at.code.name,
            array.given,
            token,
            index,
            size,
        )
        for index, job in enumerate(array.jobs)
        for piece in job
    ]
    at.held.check()
    ledger.intend(at.folder, entries)
    label = array.jobs[0][0].label
    try:
        ids = submit_array(at.folder, token, asked, said, setup(at.code, how["threads"], asked["cpus_per_task"]))
    except (Refused, SpecError) as error:
        ledger.settle(at.folder, token, [])
        if isinstance(error, SpecError):
            raise
        raise SpecError([Fault(Mark("--cluster slurm"), "", f"Slurm refuses {label}: {error}")]) from None
    except Unknown as error:
        sentence = f"{error}; whether it has {label} is not known: launch again in two minutes, and it is found"
        raise SpecError([Fault(Mark("--cluster slurm"), "", sentence)]) from None
    ledger.settle(at.folder, token, ids)
    return [entry._replace(job=ids[entry.task]) for entry in entries]


def _how(resources: Resources, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the task itself reads, as plain data: nothing of it is left to what the node's shell says."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("OMNITOK_")}
    environment["OMNITOK_DATA"] = str(Path(environment.get("OMNITOK_DATA") or "data").resolve())
    return {
        "environment": {**environment, **given["environment"]},
        "threads": resources.threads,
        "checkpoint_every_s": resources.checkpoint_every_s,
        "save_s": 0.6 * signal_s(given),  # Slurm looks at the clock twice a minute
        "max_parallel": resources.max_parallel,
        "timeout_min": given.get("timeout_min", TIMEOUT_MIN),
    }
