"""Runs that are there under another name or in another place: those of an older schema, and those of a pool.

A choice added since, which keeps behaviour at its default, must not orphan what was trained before it; and what somebody
else has trained need not be trained again.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from omnitok import provenance, runs
from omnitok.runs import pools
from omnitok.spec import Fault, Mark, SpecError, counted
from omnitok.training.stage import StageRun, from_json, restated

SOURCE = "OMNITOK_POOLS"


def adopt(root: Path, wanted: Sequence[StageRun]) -> dict[str, str]:
    """Folders that are, under today's schema, what is wanted. -> {wanted digest: name of the old folder}.

    An old folder is found by re-decoding what it stored; a link in its new name leads to it from then on.
    """
    missing = [run for run in wanted if not (root / run.digest).exists()]
    for run in missing:
        if (root / run.digest).is_symlink():  # to a folder that is gone
            (root / run.digest).unlink(missing_ok=True)
    adopted = _older(root, missing) if missing else {}
    for digest, folder in adopted.items():
        link = root / f".{digest}.{secrets.token_hex(4)}"
        link.symlink_to(folder)
        link.replace(root / digest)
    return adopted


def borrow(root: Path, wanted: Sequence[StageRun]) -> None:
    """Make links to the finished runs of pools where a wanted one is not done, in its folder, which is there.

    A borrowed run whose pool has gone counts as never trained. Raises SpecError where a run of a pool is damaged, or was
    changed since it was borrowed, and where a pool is not there.
    """
    faults: list[Fault] = []
    for run in wanted:
        _look_after((root / run.digest).resolve(), faults)
    for digest, (pool, name) in lendable(root, wanted).items():
        _take((root / digest).resolve(), pool / name, faults, measured=name == digest)
    if faults:
        raise SpecError(faults)


def lendable(root: Path, wanted: Sequence[StageRun]) -> dict[str, tuple[Path, str]]:
    """What is not done here and is in a pool: {wanted digest: (pool, name of the folder there)}. Nothing is made."""
    missing = {run.digest: run for run in wanted if not _done(root / run.digest)}
    found: dict[str, tuple[Path, str]] = {}
    for pool in _pools() if missing else ():
        rest = [run for digest, run in missing.items() if digest not in found]
        here = {run.digest: run.digest for run in rest if _done(pool / run.digest)}
        older = _older(pool, [run for run in rest if run.digest not in here])
        found |= {digest: (pool, name) for digest, name in (here | older).items() if _done(pool / name)}
    return found


def lendings(root: Path, wanted: Sequence[StageRun]) -> list[str]:
    """What a plan says of pools: how much is borrowed already, and how much a launch would borrow."""
    here = Counter(lent["pool"] for run in wanted if (lent := pools.borrowed(root / run.digest)))
    there = Counter(str(pool) for pool, _ in lendable(root, wanted).values())
    found = [f"{counted(count, 'stage is', 'stages are')} borrowed from {pool}" for pool, count in here.items()]
    words = [(counted(count, "stage is", "stages are"), pool) for pool, count in there.items()]
    return found + [f"{count} finished in {pool}: a launch borrows them" for count, pool in words]


def _pools() -> tuple[Path, ...]:
    try:
        return pools.pools()
    except ValueError as error:
        raise SpecError([Fault(Mark("environment"), "", str(error))]) from None


def _done(folder: Path) -> bool:
    return all((folder / name).exists() for name in (runs.EXPERIMENT, runs.RESULT, runs.WEIGHTS))


def _look_after(folder: Path, faults: list[Fault]) -> None:
    """Give a borrowed run back whose pool has gone; see whether its weights are still those that were borrowed."""
    if (said := pools.borrowed(folder)) is None:
        return
    if not all(path.exists() for path in pools.links(folder)):
        try:
            with runs.lease(folder) as held:
                pools.give_back(held)
        except runs.Busy:  # somebody trains it already
            return
    elif said["stood"] != _stood(folder) and said["weights"] != provenance.sha256(folder / runs.WEIGHTS):
        sentence = f"the weights in {said['pool']} changed since they were borrowed at {said['at']}; remove {folder}"
        faults.append(Fault(Mark(SOURCE), said["run"], sentence))


def _take(folder: Path, place: Path, faults: list[Fault], *, measured: bool) -> None:
    place = place.resolve()
    try:
        sum_ = provenance.sha256(place / runs.WEIGHTS)
        if why := _damage(place, sum_):
            faults.append(Fault(Mark(SOURCE), place.name, f"{place} is damaged: {why}; take it out of the pool"))
            return
        at = {"pool": str(place.parent), "run": place.name, "at": provenance.now()}
        with runs.lease(folder) as held:
            if not (folder / runs.RESULT).exists():
                said = {**at, "weights": sum_, "stood": _stood(place)}
                pools.borrow(held, place, said, measured=measured)
    except runs.Busy:  # somebody trains it here
        return
    except PermissionError as error:
        faults.append(Fault(Mark(SOURCE), place.name, f"{error.filename} cannot be read"))


def _stood(folder: Path) -> list[int]:
    """Length and time of last change of the weights: as long as they stay so they need not be read."""
    found = (folder / runs.WEIGHTS).stat()
    return [found.st_size, found.st_mtime_ns]


def _damage(place: Path, sum_: str) -> str:
    """Why a run of a pool is not what it says; empty where nothing is known against it."""
    said = from_json(runs.read_json(place / runs.EXPERIMENT))
    known = [attempt["weights"] for attempt in runs.attempts(place) if "weights" in attempt]
    if known and known[-1] != sum_:
        return f"its weights have the sha256 {sum_[:16]}, and {known[-1][:16]} were written"
    try:
        with safe_open(place / runs.WEIGHTS, framework="pt"):
            pass
    except SafetensorError as error:
        return f"its weights cannot be read ({error})"
    return "" if said.digest == place.name else f"its {runs.EXPERIMENT} is that of {said.digest}"


def _older(root: Path, wanted: Iterable[StageRun]) -> dict[str, str]:
    """{wanted digest: the real folder below ``root`` that has it under today's schema, and another name}."""
    kinds = {_unchanging(run) for run in wanted}
    digests = {run.digest for run in wanted}
    paths = root.glob(f"*/{runs.EXPERIMENT}") if digests else ()
    stored = {path.parent.name: from_json(runs.read_json(path)) for path in paths if not path.parent.is_symlink()}
    found: dict[str, str] = {}

    def now(name: str) -> str:
        if name not in stored:
            return now((root / name).resolve().name) if (root / name).is_symlink() else name
        if name not in found:
            parents = {role: now(parent) for role, parent in stored[name].parents.items()}
            try:
                found[name] = restated(stored[name], parents)
            except SpecError:
                found[name] = name
        return found[name]

    alike = [name for name, run in stored.items() if name not in digests and _unchanging(run) in kinds]
    return {digest: name for name in alike if (digest := now(name)) in digests}


def _unchanging(run: StageRun) -> str:
    """What no later schema restates: most old runs are told apart by it, without re-decoding them."""
    return json.dumps([run.task, run.seed, run.fingerprints, sorted(run.parents)], sort_keys=True)
