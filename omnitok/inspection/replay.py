"""Whether a run can be had again: its stage is trained anew from its folder, elsewhere, and held to what was recorded."""

import contextlib
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from omnitok import runs, trial
from omnitok.runs import Record
from omnitok.spec import Fault, Map, Mark, SpecError, flat, versions
from omnitok.training.devices import threads
from omnitok.training.handover import weights_of
from omnitok.training.stage import StageRun, fingerprints, from_json, spec_of

TOLERANCE = 1e-3  # relative; rounding grows in training, so it is generous beside that of one step
RAN_ON = ("commit", "dirty", "diff_sha256", "code", "versions", "packages", "device", "processor", "threads")

Verdict = Literal["bitwise equal", "within tolerance", "diverges"]


class Replayed(NamedTuple):
    """What a replay came to.

    ``steps``: how many were held against the records, of ``total``. ``first``: the first step that is not equal to the
    bit; ``diverged``: the first that is beyond the tolerance; of it, ``worst`` is (quantity, as recorded, as replayed).
    ``weights``: whether all weights are equal to the bit; None where they were not compared. ``differs``: what it ran on
    and stood on, (then, now), where that is not the same.
    """

    folder: Path
    steps: int
    total: int
    verdict: Verdict
    first: int | None
    diverged: int | None
    worst: tuple[str, float, float] | None
    weights: bool | None
    differs: dict[str, tuple[Any, Any]]


def replay(
    folder: Path,
    *,
    steps: int | None = None,
    tolerance: float = TOLERANCE,
    on_record: Callable[[Record], None] = lambda record: None,
) -> Replayed:
    """Train the stage of ``folder`` again, with as many threads as then, in a folder that is deleted afterwards; at most
    ``steps`` steps. Nothing of the run is touched.

    Raises SpecError where nothing was recorded, or where what it stands on is not here; and whatever training raises.
    """
    folder = folder.resolve()
    said = from_json(runs.read_json(folder / runs.EXPERIMENT))
    then = {record.step: record.values for record in runs.records(folder)}
    wanted = min(steps or len(then), len(then))
    if not wanted:
        raise SpecError([Fault(Mark(folder.name), "", "this run has no records to be held against")])
    count = int(runs.last_attempt(folder).get("threads", torch.get_num_threads()))
    with tempfile.TemporaryDirectory(prefix="omnitok-replay-") as scratch, threads(count):
        again = _copied(folder, said, Path(scratch))
        now: dict[int, dict[str, float]] = {}

        def note(record: Record) -> None:
            now[record.step] = record.values
            on_record(record)

        with contextlib.suppress(trial.Stopped):
            trial.run(again, stop=lambda: len(now) >= wanted, on_record=note)
        whole = (again / runs.RESULT).exists() and (folder / runs.RESULT).exists()
        weights = _same_weights(folder, again) if whole else None
        differs = _differs(folder, again, said)
    off = {step: _off(then[step], now.get(step, {})) for step in sorted(then)[:wanted]}
    total = int(said.spec.get("steps", 1))
    return Replayed(folder, len(off), total, *_judged(off, weights, tolerance), weights, differs)


def _judged(
    off: Mapping[int, "_Off"], weights: bool | None, tolerance: float
) -> tuple[Verdict, int | None, int | None, tuple[str, float, float] | None]:
    """The verdict, the first step that is not equal to the bit, the first beyond the tolerance, and the worst of it."""
    first = next((step for step, one in off.items() if one.by > 0), None)
    diverged = next((step for step, one in off.items() if one.by > tolerance), None)
    equal = first is None and weights is not False
    verdict: Verdict = "diverges" if diverged is not None else "bitwise equal" if equal else "within tolerance"
    return verdict, first, diverged, None if first is None else off[first if diverged is None else diverged].worst


class _Off(NamedTuple):
    """How far a step is off: the largest relative difference of its quantities, and that quantity then and now."""

    by: float
    worst: tuple[str, float, float] | None


def _off(then: Mapping[str, float], now: Mapping[str, float]) -> _Off:
    found = _Off(0.0, None)
    for name in then.keys() | now.keys():
        a, b = then.get(name, math.nan), now.get(name, math.nan)
        same = a == b or (math.isnan(a) and math.isnan(b) and name in then and name in now)
        by = 0.0 if same else abs(a - b) / max(abs(a), abs(b)) if math.isfinite(a) and math.isfinite(b) else math.inf
        if by > found.by:
            found = _Off(by, (name, a, b))
    return found


def _copied(folder: Path, said: StageRun, scratch: Path) -> Path:
    """The folder of a run with nothing trained, beside links to the runs that it stands on. Raises SpecError where one is
    not here."""
    for parent in said.parents.values():
        if not parent.startswith("sha256:"):
            if not (folder.parent / parent / runs.WEIGHTS).exists():
                raise SpecError([Fault(Mark(folder.name), "", f"the weights of its parent {parent} are not here")])
            (scratch / parent).symlink_to((folder.parent / parent).resolve())
    again = scratch / folder.name
    again.mkdir()
    runs.write(again / runs.EXPERIMENT, (folder / runs.EXPERIMENT).read_bytes())
    return again


def _same_weights(folder: Path, again: Path) -> bool:
    """Whether every file of weights has the same tensors, to the bit."""
    names = {path.name for place in (folder, again) for path in place.glob("*.safetensors")}
    there = [(folder / name, again / name) for name in sorted(names)]
    whole = [(a, b) for a, b in there if a.exists() and b.exists()]  # an adversary may have been let go since
    return all(_equal(weights_of(a), weights_of(b)) for a, b in whole)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype
        and value.shape == other[name].shape
        and torch.equal(_bits(value), _bits(other[name]))
        for name, value in one.items()
    )


def _bits(value: Tensor) -> Tensor:
    return value.reshape(-1).view(torch.uint8)


def _differs(folder: Path, again: Path, said: StageRun) -> dict[str, tuple[Any, Any]]:
    """What a result may hang on beside the choices: what it ran on, versions of components, bytes of the data."""
    then, now = (
        runs.read_json(place / runs.PROVENANCE) if (place / runs.PROVENANCE).exists() else {}
        for place in (folder, again)
    )
    pairs = {name: (then.get(name), now.get(name)) for name in RAN_ON}
    spec = spec_of(said)
    pairs["components"] = said.versions, versions(spec)
    pairs["data"] = said.fingerprints, fingerprints(spec, Map({}, Mark(folder.name), {}))
    sides = [flat({name: pair[side] for name, pair in pairs.items()}) for side in (0, 1)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    return {
        name: (sides[0].get(name), sides[1].get(name)) for name in names if sides[0].get(name) != sides[1].get(name)
    }
