"""Which split each file is in: as its layout says, or by hashes, so that it depends on nothing but what it is called."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from omnitok.data.columns import SPLITS
from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Listed
from omnitok.data.manifest import Broken
from omnitok.data.survey import Facts
from omnitok.spec import Fault, Mark, SpecError, counted

SHARE = 0.1  # of a class's files that are held out for val, and again for test, where nobody said any splits
FEWEST = 3  # files of a kind and class then: one a split
HELD = 0.02  # of the groups of an official train that are held out for val

Placed = tuple[Mapping[str, Split], Sequence[Broken]]


def placed(folder: Path, files: Sequence[Listed], facts: Mapping[str, Facts], held: bool) -> Placed:
    """({title: its split}, copies that are left out). Files with the same bytes are never in different splits: of given
    splits the copy in train gives way to one in val, and this to one in test. ``held``: val is held out of train. Raises
    SpecError: an empty split, too few of a class."""
    if any(file.split is None for file in files):
        return _divided(folder, files, facts), ()
    splits = {file.title: file.split for file in files if file.split is not None}
    if held:
        splits |= dict.fromkeys(_held(files), "val")
    copies = _copies(splits, facts)
    if held:  # the split is ours, so that the copies of what is held out go with it
        moved = [title for title, first in copies.items() if splits[first] == "val"]
        splits |= dict.fromkeys(moved, "val")
        copies = {title: first for title, first in copies.items() if title not in set(moved)}
    found = {split for title, split in splits.items() if title not in copies}
    if empty := [split for split in SPLITS if split not in found]:
        raise SpecError(Fault(Mark(str(folder / split)), "", "holds no usable file") for split in empty)
    said = "has the bytes of {}, which is in another split ({})"
    return splits, [Broken(path=title, reason=said.format(first, splits[first])) for title, first in copies.items()]


def _held(files: Sequence[Listed]) -> list[str]:
    """The files of train that are held out: their group's hash is in the first share of all that there can be."""
    train = [(_rank(file.group or file.title), file.title) for file in files if file.split == "train"]
    if not train:
        return []
    bound = max(format(int(HELD * 2**64), "016x"), min(train)[0][:16])
    return [title for rank, title in train if rank[:16] <= bound]


def _copies(splits: Mapping[str, Split], facts: Mapping[str, Facts]) -> dict[str, str]:
    """{file: the first with the same bytes of a split that goes before its own}."""
    first: dict[str, str] = {}
    for split in reversed(SPLITS):
        for title in splits:
            if splits[title] == split:
                first.setdefault(facts[title].sha256, title)
    twins = {title: first[facts[title].sha256] for title in splits}
    return {title: twin for title, twin in twins.items() if splits[twin] != splits[title]}


def _divided(folder: Path, files: Sequence[Listed], facts: Mapping[str, Facts]) -> dict[str, Split]:
    """Per class and kind the last tenth of the groups by hash is test, the tenth before it val."""
    first: dict[str, Listed] = {}
    for file in files:
        first.setdefault(facts[file.title].sha256, file)
    units = {file.title: (file.label, file.group or file.title) for file in first.values()}
    kinds: dict[tuple[str, str], str] = {}  # of a unit, which is what is in one split
    for title, unit in units.items():
        kinds.setdefault(unit, facts[title].kind)
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for unit, kind in kinds.items():
        groups[unit[0], kind].append(unit)
    _refuse_few(folder, groups, {file.label for file in files if first[facts[file.title].sha256] != file})
    splits: dict[tuple[str, str], Split] = {}
    for members in groups.values():
        ranked = sorted(members, key=lambda unit: _rank(unit[1]))
        held = max(1, math.floor(len(ranked) * SHARE))
        train = len(ranked) - 2 * held
        splits |= dict.fromkeys(ranked[:train], "train")
        splits |= dict.fromkeys(ranked[train : train + held], "val")
        splits |= dict.fromkeys(ranked[train + held :], "test")
    return {file.title: splits[units[first[facts[file.title].sha256].title]] for file in files}


def _refuse_few(folder: Path, groups: Mapping[tuple[str, str], Sequence[tuple[str, str]]], twice: Set[str]) -> None:
    """Raises SpecError with every class and kind of which there are not enough. ``twice``: classes that have copies."""
    faults = []
    for (label, kind), members in sorted(groups.items()):
        if len(members) < FEWEST:
            once = ", as files with the same bytes count once" if label in twice else ""
            said = f"has {counted(len(members), f'usable {kind}')}{once}; a class needs {FEWEST} of a kind"
            faults.append(Fault(Mark(str(folder / label)), "", said))
    if faults:
        raise SpecError(faults)


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
