"""What may be deleted of the runs' folder so that nothing is lost: every file that goes can be had again, or is of no use."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.cluster.site import SCRATCH
from omnitok.inspection.freed import STALE_S, Freed, delete, size_of, sizes
from omnitok.inspection.leftovers import of_sweeps, pruned
from omnitok.runs.pools import borrowed


class Collected(NamedTuple):
    """What may go, or is gone; what was left alone because somebody works there; bytes of weights and of checkpoints that
    stay, and runs that unfinished ones stand on. ``kept``: what was asked for and has to stay, in sentences."""

    files: tuple[Freed, ...]
    busy: tuple[str, ...]
    weights: int
    checkpoints: int
    parents: tuple[str, ...]
    kept: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(one.size for one in self.files)


class Extra(NamedTuple):
    """What is only collected where somebody asks for it: discriminators of finished runs that no unfinished run takes
    over; checkpoints of runs that a search stopped early; logs of jobs and workers of finished sweeps."""

    adversaries: bool = False
    stopped: bool = False
    logs: bool = False


def collect_garbage(
    root: Path, *, adversaries: bool = False, stopped: bool = False, logs: bool = False, free: bool = False
) -> Collected:
    """Checkpoints of finished runs, what dead attempts and probes left, halves of files, links to nothing, frozen code that
    no unfinished sweep was submitted with; and what ``Extra`` has. ``free``: delete them, each under its lease.

    Weights stay, and of an unfinished run its checkpoint. Nothing of a pool is touched: a borrowed run is links."""
    extra = Extra(adversaries, stopped, logs)
    folders = sorted(path.parent for path in root.glob(f"*/{runs.EXPERIMENT}") if not path.parent.is_symlink())
    needed = _needed(root, folders)
    judged = {name for name, takes in needed.items() if takes}
    ended = pruned(root) - needed.keys() if extra.stopped else set()
    files: list[Freed] = [*_links(root), *_probes(root), *_partials(root.glob("sweeps/*"))]
    busy = []
    if free:
        delete(files)
    for folder in (*folders, *_of_searches(root)):
        try:
            files += _of(folder, extra.adversaries and folder.name not in judged, folder.name in ended, free)
        except runs.Busy:
            busy.append(str(folder.relative_to(root)))
    more, kept = of_sweeps(root, extra.logs, free)
    files += more
    gone = {one.path for one in files}
    weights = [path for folder in folders for path in folder.glob("*.safetensors") if not path.is_symlink()]
    checkpoints = [folder / runs.CHECKPOINT for folder in folders if not (folder / runs.RESULT).exists()]
    return Collected(
        tuple(files),
        tuple(busy),
        sizes(path for path in weights if path not in gone),
        sizes(path for path in checkpoints if path not in gone),
        tuple(sorted(needed)),
        tuple(kept),
    )


def _of_searches(root: Path) -> Iterator[Path]:
    """The folders of searches in which somebody may hold a lease: the search, its one worker, each suggestion."""
    for folder in sorted(path for path in root.glob("sweeps/*/search/*") if path.is_dir()):
        yield from (folder, *(path for path in (folder / "worker", *folder.glob("trials/*")) if path.is_dir()))


def _of(folder: Path, adversary: bool, stopped: bool, free: bool) -> list[Freed]:
    """Of one run, or of a search. Raises Busy where somebody works in it."""
    if runs.leased(folder):
        raise runs.Busy(folder.name)
    dead = [Freed(path, size_of(path), "left by an attempt that died") for path in _dead(folder)]
    if not free or not (dead or list(_useless(folder, adversary, stopped))):
        return [*dead, *_useless(folder, adversary, stopped)]
    with runs.lease(folder) as held:  # whoever enters deletes what dead attempts left
        files = list(_useless(folder, adversary, stopped))  # as it is now that nobody else can change it
        for one in files:
            held.remove(one.path)  # by the lease: this may be the one that is late
    return [*(one for one in dead if not one.path.exists()), *files]


def _dead(folder: Path) -> Iterator[Path]:
    """What is of a lease in a folder that nobody holds."""
    for path in sorted(folder.iterdir()):
        if runs.of_lease(path) and time.time() - path.stat().st_mtime > runs.STALE_S:
            yield path


def _useless(folder: Path, adversary: bool, stopped: bool) -> Iterator[Freed]:
    done, checkpoint = (folder / runs.RESULT).exists(), folder / runs.CHECKPOINT
    if (done or stopped) and checkpoint.exists():
        yield Freed(
            checkpoint, size_of(checkpoint), "the run is finished" if done else "a search stopped the run early"
        )
    if done and adversary and borrowed(folder) is None and (path := folder / runs.ADVERSARY).exists():
        yield Freed(path, size_of(path), "no unfinished run takes it over")
    yield from _partials([folder, folder / runs.EVALUATIONS, *folder.glob(f"{runs.SAMPLES}/*")])


def _partials(folders: Iterable[Path]) -> Iterator[Freed]:
    for folder in folders:
        for path in sorted(folder.glob(".*.partial")):
            if time.time() - path.lstat().st_mtime > STALE_S:
                yield Freed(path, size_of(path), "half a file, left by a kill")


def _links(root: Path) -> Iterator[Freed]:
    for path in sorted(root.glob("*")):
        if path.is_symlink() and not path.exists():
            yield Freed(path, 0, "a link to a run that is gone")


def _probes(root: Path) -> Iterator[Freed]:
    for path in sorted(root.glob(f"{SCRATCH}*")):
        if time.time() - path.stat().st_mtime > STALE_S:
            yield Freed(path, size_of(path), "left by a probe of the site that was killed")


def _needed(root: Path, folders: Sequence[Path]) -> dict[str, bool]:
    """The runs that an unfinished one stands on, by folder, and whether one takes over their discriminators."""
    found: dict[str, bool] = {}
    for folder in folders:
        said = runs.read_json(folder / runs.EXPERIMENT)
        for parent in () if (folder / runs.RESULT).exists() else said["parents"].values():
            name = (root / parent).resolve().name
            if (root / name).is_dir():
                found[name] = found.get(name, False) or said["handover"].get("adversary", "fresh") != "fresh"
    return found
