"""What may be deleted of the runs' folder so that nothing is lost: every file that goes can be had again, or is of no use."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from omnitok import runs

STALE_S = 3600.0  # a half file that is younger may be being written


class Freed(NamedTuple):
    """One file that may go: how many bytes, and why."""

    path: Path
    size: int
    reason: str


class Collected(NamedTuple):
    """What may go, or is gone; what was left alone because somebody works there; bytes of weights and of checkpoints that
    stay, and runs that unfinished ones stand on."""

    files: tuple[Freed, ...]
    busy: tuple[str, ...]
    weights: int
    checkpoints: int
    parents: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(one.size for one in self.files)


def collect_garbage(root: Path, *, adversaries: bool = False, free: bool = False) -> Collected:
    """Checkpoints of finished runs, halves of files that a kill left, links to nothing; with ``adversaries`` also the
    discriminators of finished runs that no unfinished run takes over. ``free``: delete them, each under its run's lease.

    Weights stay, and of an unfinished run its checkpoint."""
    folders = sorted(path.parent for path in root.glob(f"*/{runs.EXPERIMENT}") if not path.parent.is_symlink())
    needed = _needed(root, folders)
    judged = {name for name, takes in needed.items() if takes}
    files: list[Freed] = [*_links(root), *_partials(root.glob("sweeps/*"))]
    busy = []
    if free:
        _delete(files)
    for folder in folders:
        try:
            files += _of(folder, adversaries and folder.name not in judged, free)
        except runs.Busy:
            busy.append(folder.name)
    kept = [path for folder in folders for path in folder.glob("*.safetensors")]
    checkpoints = [folder / runs.CHECKPOINT for folder in folders if not (folder / runs.RESULT).exists()]
    gone = {one.path for one in files}
    return Collected(tuple(files), tuple(busy), _sizes([path for path in kept if path not in gone]), _sizes(checkpoints),
                     tuple(sorted(needed)))  # fmt: skip


def _of(folder: Path, adversary: bool, free: bool) -> list[Freed]:
    """Of one run. Raises Busy where somebody works in it."""
    if runs.leased(folder):
        raise runs.Busy(folder.name)
    if not list(_useless(folder, adversary)):
        return []
    if not free:
        return list(_useless(folder, adversary))
    with runs.lease(folder) as held:
        files = list(_useless(folder, adversary))  # as it is now that nobody else can change it
        for one in files:
            held.remove(one.path)
        return files


def _useless(folder: Path, adversary: bool) -> Iterator[Freed]:
    done = (folder / runs.RESULT).exists()
    if done and (path := folder / runs.CHECKPOINT).exists():
        yield Freed(path, path.stat().st_size, "the run is finished")
    if done and adversary and (path := folder / runs.ADVERSARY).exists():
        yield Freed(path, path.stat().st_size, "no unfinished run takes it over")
    yield from _partials([folder, folder / runs.EVALUATIONS, *folder.glob(f"{runs.SAMPLES}/*")])


def _partials(folders: Iterable[Path]) -> Iterator[Freed]:
    for folder in folders:
        for path in sorted(folder.glob(".*.partial")):
            if time.time() - path.stat().st_mtime > STALE_S:
                yield Freed(path, path.stat().st_size, "half a file, left by a kill")


def _links(root: Path) -> Iterator[Freed]:
    for path in sorted(root.glob("*")):
        if path.is_symlink() and not path.exists():
            yield Freed(path, 0, "a link to a run that is gone")


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


def _delete(files: Sequence[Freed]) -> None:
    for one in files:
        one.path.unlink(missing_ok=True)


def _sizes(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())
