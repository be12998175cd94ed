"""The one look at every byte of a user's folder, before any training: names what is broken, writes the manifest."""

import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omnitok.data import pictures, videos
from omnitok.data.contract import DataError, Split
from omnitok.data.manifest import FILE, Broken, Entry, Manifest
from omnitok.spec import Fault, Mark, SpecError

SPLITS: tuple[Split, ...] = ("train", "val", "test")
SHARE = 0.1  # of a class's files that are held out for val, and again for test
FEWEST = 3  # files of a kind and class: one a split


class Checked(NamedTuple):
    """What a check found; the manifest is written. ``ignored``: files whose ending is no picture's and no video's."""

    folder: Path
    manifest: Manifest
    ignored: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint


def check_folder(
    folder: Path, skip_broken: bool = False, progress: Callable[[int, int], None] = lambda *_: None
) -> Checked:
    """Decode every file of ``folder`` to its end and write its manifest; the same files give the same fingerprint.

    With train/, val/ and test/ at the top these are the splits; else each class is split by the hashes of its paths,
    a tenth each for val and test, at least one. Files with the same bytes are never in different splits.
    ``progress`` hears (files done, files in all). Raises SpecError with a fault a file and writes nothing:
    broken files (unless ``skip_broken`` lists them in the manifest instead), links out of the folder, no files,
    too few of a class.
    """
    if not folder.is_dir():
        raise SpecError([Fault(Mark(str(folder)), "", "no such folder")])
    found = list(_walk(folder))
    names = [name for name in found if Path(name).suffix.lower() in _SUFFIXES]
    if not names:
        raise SpecError([Fault(Mark(str(folder)), "", f"holds no picture and no video ({', '.join(_SUFFIXES)})")])
    given = _given_splits(folder, names)
    facts: dict[str, dict[str, Any]] = {}
    broken = []
    for done, name in enumerate(names, 1):
        try:
            facts[name] = _survey(folder, name)
        except DataError as error:
            broken.append(Broken(path=_shown(name), reason=str(error).removeprefix(f"{name}: ")))
        progress(done, len(names))
    if broken and not skip_broken:
        raise SpecError(Fault(Mark(str(folder / file.path)), "", file.reason) for file in broken)
    placed = _placed(folder, facts, given)
    entries = [Entry.model_validate(facts[name] | placed[name]) for name in facts]
    manifest = Manifest(files=tuple(entries), broken=tuple(broken))
    try:
        manifest.save(folder)
    except OSError as error:
        raise SpecError([Fault(Mark(str(folder / FILE)), "", f"cannot be written: {error.strerror}")]) from None
    return Checked(folder, manifest, tuple(map(_shown, sorted(set(found) - set(names)))))


_SUFFIXES = (*pictures.SUFFIXES, *videos.SUFFIXES)


def _walk(folder: Path) -> Iterator[str]:
    """The paths below ``folder`` that are not hidden, in the order of their names. Raises SpecError for links out."""
    home, faults, names = folder.resolve(), [], []
    for here, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*folders, *files]:
            path = Path(here, name)
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                faults.append(Fault(Mark(str(path)), "", f"is a link out of the folder, to {path.resolve()}"))
            elif path.is_symlink() and path.is_dir():
                faults.append(Fault(Mark(str(path)), "", "is a link to a folder; these are not followed"))
            elif name in files and not name.startswith(".") and name != FILE:
                names.append(path.relative_to(folder).as_posix())
    if faults:
        raise SpecError(sorted(faults))
    yield from sorted(names)


def _shown(name: str) -> str:
    """A name as text that any file and terminal takes, even where the name itself is not UTF-8."""
    return name.encode(errors="replace").decode()


def _refuse_unreadable(error: OSError) -> None:
    raise SpecError([Fault(Mark(str(error.filename)), "", f"cannot be read: {error.strerror}")])


def _given_splits(folder: Path, names: Iterable[str]) -> bool:
    """Whether the folder is split already. Raises SpecError where it is so in part."""
    there = [split for split in SPLITS if (folder / split).is_dir()]
    if not there:
        return False
    if len(there) < len(SPLITS):
        missing = " and ".join(f"{split}/" for split in SPLITS if split not in there)
        held = " and ".join(f"{split}/" for split in there)
        raise SpecError([Fault(Mark(str(folder)), "", f"has {held} but not {missing}; have all three or none")])
    outside = [name for name in names if name.split("/")[0] not in SPLITS]
    if outside:
        raise SpecError(Fault(Mark(str(folder / name)), "", "lies outside train/, val/ and test/") for name in outside)
    return True


def _survey(folder: Path, name: str) -> dict[str, Any]:
    """What the manifest says of one file, save its place in the data set. Raises DataError."""
    path, suffix = folder / name, Path(name).suffix.lower()
    try:
        name.encode()
        size, sha256 = _hashed(path, name)
        facts = {"path": name, "sha256": sha256, "bytes": size}
        if suffix in pictures.SUFFIXES:
            height, width = pictures.survey_picture(path.read_bytes(), name, suffix)
            return facts | {"kind": "photo", "height": height, "width": width, "frames": 1, "fps": None}
        return facts | {"kind": "clip", **videos.survey_video(path, name, suffix)._asdict()}
    except UnicodeEncodeError:
        raise DataError(f"{name}: its name is not UTF-8") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None


def _hashed(path: Path, name: str) -> tuple[int, str]:
    if not path.is_file():  # a pipe would wait for ever
        raise DataError(f"{name}: is no regular file, or a link to nothing")
    size = path.stat().st_size
    if not size:
        raise DataError(f"{name}: is empty (0 bytes)")
    with path.open("rb") as file:
        return size, hashlib.file_digest(file, "sha256").hexdigest()


def _placed(folder: Path, facts: dict[str, dict[str, Any]], given: bool) -> dict[str, dict[str, str]]:
    """{path: its split and class}. Raises SpecError."""
    places = {name: _given_place(name) if given else _own_place(name) for name in facts}
    first: dict[str, str] = {}
    for name in facts:
        first.setdefault(facts[name]["sha256"], name)
    twin = {name: first[facts[name]["sha256"]] for name in facts}
    if given:
        faults = [
            Fault(Mark(str(folder / name)), "", f"has the bytes of {twin[name]}, which is in another split")
            for name in facts
            if places[name]["split"] != places[twin[name]]["split"]
        ]
        empty = [split for split in SPLITS if all(place["split"] != split for place in places.values())]
        faults += [Fault(Mark(str(folder / split)), "", "holds no usable file") for split in empty]
        if faults:
            raise SpecError(faults)
        return places
    groups = defaultdict(list)
    for name in set(twin.values()):
        groups[places[name]["class"], facts[name]["kind"]].append(name)
    splits = _divided(folder, groups)
    return {name: {"class": places[name]["class"], "split": splits[twin[name]]} for name in facts}


def _divided(folder: Path, groups: dict[tuple[str, str], list[str]]) -> dict[str, str]:
    """{path: split}: per class and kind the last tenth by hash is test, the tenth before it val."""
    faults = [
        Fault(Mark(str(folder / label)), "", f"has {len(names)} usable {kind}(s); a class needs {FEWEST} of a kind")
        for (label, kind), names in sorted(groups.items())
        if len(names) < FEWEST
    ]
    if faults:
        raise SpecError(faults)
    splits: dict[str, str] = {}
    for names in groups.values():
        ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        held = max(1, math.floor(len(ranked) * SHARE))
        train = len(ranked) - 2 * held
        splits |= dict.fromkeys(ranked[:train], "train")
        splits |= dict.fromkeys(ranked[train : train + held], "val")
        splits |= dict.fromkeys(ranked[train + held :], "test")
    return splits


def _given_place(name: str) -> dict[str, str]:
    split, _, rest = name.partition("/")
    return {"split": split, **_own_place(rest)}


def _own_place(name: str) -> dict[str, str]:
    return {"class": name.partition("/")[0] if "/" in name else ""}
