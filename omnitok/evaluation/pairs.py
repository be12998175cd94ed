"""Measuring pairs of folders: originals, and what somebody else's tokenizer made of them."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnitok import runs
from omnitok.data import DataError, as_clip
from omnitok.evaluation.asked import foreign, foreign_run, metrics_of, refusing, results
from omnitok.metrics import Identity, Metric, Pair
from omnitok.spec import Fault, Mark, Spec, SpecError, identity, plain, resolve, versions
from omnitok.training.devices import OnDevice, decoding, device
from omnitok.training.evaluate import (
    Evaluation,
    Seen,
    batch_size,
    locate_networks,
    measured,
    measured_by,
    refuse_unfit,
)
from omnitok.training.loader import prefetched
from omnitok.training.recorded import Recorded, exported, fingerprint_of, members, read_frames, refuse_other_size
from omnitok.trial.measure import Found, Wanted, write_measured

SHOWN = 3  # names that a refusal repeats


class Pairs(NamedTuple):
    """Originals and their reconstructions by name, and the size that all of them have: frames, height, width."""

    before: dict[str, Path]
    after: dict[str, Path]
    size: tuple[int, int, int]


class Group(NamedTuple):
    """Pairs of one size, and what is to be measured of them."""

    pairs: Pairs
    wanted: Wanted


def evaluate_pairs(originals: Path, reconstructions: Path, metrics: str | Sequence[str]) -> list[dict[str, Any]]:
    """The metrics asked for of ``reconstructions``, which is a run by the hash of what it holds, as their files say them.
    Pictures, videos and folders ``NAME.frames`` are matched by their names without endings and taken as they are. Where
    items were exported into sub-folders of ``originals``, each is measured with its like of ``reconstructions``.

    Raises SpecError: partners that are missing, other sizes or numbers of frames, what a metric or its weights refuse;
    Busy. What is refused leaves no run.
    """
    specs = metrics_of(metrics)
    with refusing("evaluate"):
        members(originals)  # is refused first where it is not there
        baseline = {"folder": str(reconstructions), "fingerprint": fingerprint_of(reconstructions)}
        codec = OnDevice(Recorded(**baseline))
        run = {"type": "recorded", **baseline}
        folder = runs.root() / foreign_run(run).digest
        groups = [_group(folder.name, *sides, specs) for sides in _sides(originals, reconstructions)]
        for group in groups:
            if missing := group.wanted.missing(folder):
                found = _measured(group.pairs, tuple(missing.values()), codec)
                with runs.lease(foreign(run)) as held:
                    write_measured(held, group.wanted, missing, found)
    return results(folder, [digest for group in groups for digest in group.wanted.metrics])


def _sides(originals: Path, reconstructions: Path) -> list[tuple[Path, Path]]:
    """Originals and their reconstructions, by folders of one export each, else as they are."""
    groups = [group for group in exported(originals) if group != originals]
    theirs = [reconstructions / group.name for group in groups]
    return [
        (before, after if after.is_dir() else reconstructions) for before, after in zip(groups, theirs, strict=True)
    ] or [(originals, reconstructions)]


def _group(run: str, originals: Path, reconstructions: Path, specs: Sequence[Spec]) -> Group:
    """Raises ValueError where a metric does not fit, and what ``read_pairs`` does."""
    pairs = read_pairs(originals, reconstructions)
    frames, height, width = pairs.size
    for spec in specs:
        metric = resolve(spec)(Identity())
        try:
            refuse_unfit(metric, frames, min(height, width), len(pairs.before))
        except ValueError as error:
            raise ValueError(f"{originals}: {error}") from None
        locate_networks(metric)
    seen = Seen(fingerprint_of(originals), f"as is {frames}x{height}x{width}", len(pairs.before))
    said = {"data": {"type": "files", "fingerprint": seen.fingerprint}, "frames": frames, "resolution": height}
    key = f"{originals.resolve().name}-{seen.fingerprint[:4]}.{frames}x{height}x{width}"
    return Group(pairs, Wanted(key, said, seen, {_digest(run, spec, seen): spec for spec in specs}))


def _measured(pairs: Pairs, specs: Sequence[Spec], codec: OnDevice) -> Found:
    begun = time.perf_counter()
    fed: list[Metric] = [resolve(spec)(codec) for spec in specs]
    evaluated = measured(_fed(pairs), fed, len(pairs.before))
    return Found(evaluated, fed, time.perf_counter() - begun)


def read_pairs(originals: Path, reconstructions: Path) -> Pairs:
    """Raises DataError for a folder without anything, SpecError with a fault a side where partners are missing."""
    before, after = members(originals), members(reconstructions)
    faults = [
        Fault(Mark(str(folder)), "", f"has no partner of {_some(missing)} of {other}")
        for folder, other, missing in (
            (reconstructions, originals, before.keys() - after.keys()),
            (originals, reconstructions, after.keys() - before.keys()),
        )
        if missing
    ]
    if faults:
        raise SpecError(faults)
    frames, height, width, _ = read_frames(next(iter(before.values()))).shape
    return Pairs(before, {name: after[name] for name in before}, (frames, height, width))


def _some(names: set[str]) -> str:
    first = sorted(names)[:SHOWN]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _fed(pairs: Pairs) -> Iterator[tuple[Sequence[str], Pair]]:
    with closing(prefetched(_batches(pairs), 1)) as batches:
        for names, before, after in batches:
            codes = torch.empty((len(names), 1, 1, 1, 0), dtype=torch.long)
            yield names, Pair(before, after, codes, device())


def _batches(pairs: Pairs) -> Iterator[tuple[Sequence[str], Tensor, Tensor]]:
    frames, height, width = pairs.size
    size, names = batch_size(frames * height * width), list(pairs.before)
    with ThreadPoolExecutor(decoding()) as pool:
        for start in range(0, len(names), size):
            some = names[start : start + size]
            before, after = zip(*pool.map(partial(_clips, pairs), some), strict=True)
            yield some, torch.stack(before), torch.stack(after)


def _clips(pairs: Pairs, name: str) -> tuple[Tensor, Tensor]:
    before = as_clip(read_frames(pairs.before[name]))
    if before.shape[1:] != pairs.size:
        first, sizes = next(iter(pairs.before.values())), [before.shape[1:], pairs.size]
        said = [" x ".join(map(str, size)) for size in sizes]
        raise DataError(f"{pairs.before[name]}: is {said[0]}, and {first.name} is {said[1]}; all must be of one size")
    after = as_clip(read_frames(pairs.after[name]))
    refuse_other_size(pairs.after[name], after, before)
    return before, after


def _digest(stage: str, metric: Spec, seen: Seen) -> str:
    known = versions(metric) | {"evaluation": Evaluation.version}
    return identity({"data": "files", "metric": plain(metric)}, known, stage=stage, **measured_by(metric, seen))
