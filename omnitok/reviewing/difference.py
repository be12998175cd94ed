"""What a launch would do now: a plan against its folders and against what is on the cluster. Nothing is changed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.cluster import Piece, Queued, queue
from omnitok.cluster.ledger import LEDGER, newest
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import elsewhere
from omnitok.cluster.submit import Around
from omnitok.launching.enqueue import lacking
from omnitok.launching.searching import search_pieces
from omnitok.launching.settled import Settled, found, wanted
from omnitok.reviewing.estimate import statuses
from omnitok.sweep.adopt import lendable
from omnitok.sweep.plan import Plan
from omnitok.sweep.stored import SWEEP, folder_of


class Item(NamedTuple):
    """A piece of work. ``label``: "joint fsq+ramp/0"; ``job``: the newest of it, empty where there is none or where that has
    done its work, as of a search that is to go on; ``why``: how that stands, or how it died."""

    piece: str
    label: str
    job: str
    why: str


class Difference(NamedTuple):
    """``submit``: what a launch would hand out now, parents first. ``queued``, ``running``: what a cluster has already, and
    what runs here. ``failed``: of what is to be handed out, what has died before, and how. ``unwanted``: jobs of this sweep,
    or of one of its name, that wait or run for nothing that it asks for now; a launch leaves them alone. ``done``: pieces
    of work that are done, of ``total``. ``arms``: of every arm, how many of its stages stand how."""

    submit: tuple[Item, ...]
    queued: tuple[Item, ...]
    running: tuple[Item, ...]
    failed: tuple[Item, ...]
    unwanted: tuple[Item, ...]
    done: int
    total: int
    arms: dict[str, dict[str, int]]
    pieces: tuple[Piece, ...]  # those to be submitted
    around: Around  # what is queued or running of this sweep, and beside those


def difference(root: Path, plan: Plan) -> Difference:
    """``root``: the runs' folder. Raises SpecError where jobs were submitted and Slurm does not answer."""
    settled = found(root, plan)
    missing, trained = lacking(root, settled, lendable(root, list(plan.runs.values())))
    pieces = [*trained, *search_pieces(root, plan)]
    folder = folder_of(root, plan.asked.digest)
    jobs = queue(folder) if (folder / LEDGER).exists() else {}
    active = {piece: job for piece, job in jobs.items() if job.state in ACTIVE}
    here = {
        piece.id for piece in pieces if piece.id not in active and any(runs.leased(root / one) for one in piece.stages)
    }
    open_ = [piece for piece in pieces if piece.id not in active and piece.id not in here]
    waiting = [piece for piece in pieces if piece.id in active and active[piece.id].state != "running"]
    busy = [piece for piece in pieces if piece.id in here or (piece.id in active and piece not in waiting)]
    others = elsewhere(folder, {one for piece in open_ for one in piece.folders})
    total = sum(1 for _ in wanted(settled))
    return Difference(
        submit=tuple(_item(piece, jobs)._replace(why=_waits(piece, others)) for piece in open_),
        queued=tuple(_item(piece, jobs) for piece in waiting),
        running=tuple(_item(piece, jobs) for piece in busy),
        failed=tuple(_failed(root, open_, jobs)),
        unwanted=tuple(_unwanted(root, settled, folder, active)),
        done=total - len(missing),
        total=total,
        arms=_arms(root, settled, {one: "queued" for piece in waiting for one in piece.stages}
                   | {one: "running" for piece in busy for one in piece.stages}),
        pieces=tuple(open_),
        around=Around({piece: job.job for piece, job in active.items()}, others),
    )  # fmt: skip


def _item(piece: Piece, jobs: Mapping[str, Queued]) -> Item:
    job = jobs.get(piece.id)
    return Item(
        piece.id,
        piece.label,
        job.job if job and job.state != "done" else "",
        job.reason if job and job.state in ACTIVE else "",
    )


def _waits(piece: Piece, others: Mapping[str, set[str]]) -> str:
    """The jobs of other sweeps, or of this one as it was, that work in the same folders and are waited for."""
    jobs = sorted(set().union(*(others.get(one, ()) for one in piece.folders)))
    return f"waits for {', '.join(jobs)}, which another sweep has there" if jobs else ""


def _failed(root: Path, pieces: Iterable[Piece], jobs: Mapping[str, Queued]) -> Iterator[Item]:
    """What has an ``error.txt``, or a job that has ended badly."""
    for piece in pieces:
        job = jobs.get(piece.id)
        died = next((one for stage in piece.stages if (one := runs.failure(root / stage))), None)
        if died:
            yield Item(piece.id, piece.label, job.job if job else "", f"{died.kind}: {died.sentence}")
        elif job and job.state not in (*ACTIVE, "done"):
            yield Item(piece.id, piece.label, job.job, f"{job.kind or job.state}: {job.reason}")


def _unwanted(root: Path, settled: Settled, folder: Path, active: Mapping[str, Queued]) -> Iterator[Item]:
    """Jobs that wait or run, for this sweep or for what its name stood for before, in folders that it does not ask for."""
    asked = set(settled.names.values()) | {str(one.folder.relative_to(root)) for one in settled.planned.searches}
    name = settled.planned.asked.name
    for path in sorted((root / "sweeps").glob(f"*/{LEDGER}")):
        other = path.parent
        if other != folder and (not (other / SWEEP).exists() or runs.read_json(other / SWEEP)["name"] != name):
            continue
        jobs = active if other == folder else queue(other)
        for entry, _ in newest(other):
            job = jobs.get(entry.piece)
            if job is not None and job.state in ACTIVE and asked.isdisjoint(entry.stages):
                label = _label(root, entry.stages) or entry.piece
                yield Item(entry.piece, label, job.job, f"{job.state}; cancel it with: scancel {job.job}")


def _label(root: Path, stages: Iterable[str]) -> str:
    """What the stages of a job are called: their names and folders."""
    paths = [root / stage / runs.EXPERIMENT for stage in stages]
    return " ".join(f"{runs.read_json(path)['stage']} {path.parent.name}" for path in paths if path.exists())


def _arms(root: Path, settled: Settled, active: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """How the stages of every trial of an arm stand; a stage counts for each trial that stands on it."""
    stands: dict[str, str] = {}
    for name, status in statuses(root, settled.names.values()).items():
        stands[name] = status if status in ("done", "running") else active.get(name, status)
    found: dict[str, Counter[str]] = {}
    for trial in settled.planned.trials:
        found.setdefault(trial.name, Counter()).update(_word(stands[settled.names[digest]]) for digest in trial.stages)
    return {name: dict(counts) for name, counts in found.items()}


def _word(status: str) -> str:
    return "missing" if status in ("planned", "interrupted") else status
