"""The one look at every byte of a dataset's files, before any training: names what is broken, writes the manifest."""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omnitok.data.columns import KINDS, SPLITS, Columns
from omnitok.data.contract import DataError, Split
from omnitok.data.journal import Journal, forget
from omnitok.data.layouts import LAYOUTS, Listed, Listing, Tree
from omnitok.data.layouts.contract import shown
from omnitok.data.manifest import FILE, Broken, Files, Manifest
from omnitok.data.splitting import placed
from omnitok.data.survey import Facts, survey
from omnitok.spec import Fault, Mark, Spec, SpecError, decode, resolve

CHUNK = 16  # files that a process is given at once
MOST = 100  # faults that are said one by one; Kinetics always misses thousands of videos


class Checked(NamedTuple):
    """What a check found; the manifest is written. ``ignored``: files that belong to no dataset, by the layout."""

    folder: Path
    manifest: Manifest
    ignored: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint


def check_folder(
    folder: Path,
    skip_broken: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
    *,
    layout: Any = "plain",
    workers: int | None = 1,
    into: Path | None = None,
) -> Checked:
    """Decode every file of a dataset to its end and write its manifest; the same files give the same fingerprint.

    ``layout``: how it lies, a name or a mapping with choices, see ``LAYOUTS``. ``progress`` hears (files done, files in
    all). ``workers``: processes, None: as many as there are processors. ``into``: the folder of the manifest, for files
    that lie where nobody may write; None: ``folder``. What was found is kept beside the manifest until that is written,
    so that a check that was interrupted goes on. Raises SpecError with a fault a file and writes no manifest: broken
    files, files that the official lists name and that are not there, and copies in two splits (unless ``skip_broken``
    lists them in the manifest instead); links out of the folder; lists that are wrong; no files; too few of a class.
    """
    spec: Spec = layout if isinstance(layout, Spec) else decode(LAYOUTS, layout)
    tree = Tree(folder)
    component = resolve(spec)()
    listing: Listing = component.read(tree)
    listing = listing._replace(files=_once(tree, listing.files))
    place = folder if into is None else _made(into)
    look = functools.partial(_look, folder, component.by_content)
    facts, broken = _surveyed(
        listing, look, Journal(folder, place, component.by_content), progress, workers or _processors()
    )
    broken = [*listing.absent, *listing.broken, *broken]
    _refuse(folder, broken, skip_broken)
    usable = [file for file in listing.files if file.title in facts]
    try:
        splits, copies = placed(folder, usable, facts, listing.held)
    except SpecError as error:  # what is left out may be why
        raise SpecError([*error.faults, *_faults(folder, broken)]) from None
    _refuse(folder, copies, skip_broken)
    left = {one.path for one in copies}
    columns = _columns([file for file in usable if file.title not in left], facts, splits, listing.classes)
    every = sorted([*broken, *copies], key=lambda one: one.path)
    home = "" if place.resolve() == folder.resolve() else str(folder.resolve())
    manifest = Manifest(Files(columns), every, spec.model_dump(mode="json"), home)
    try:
        manifest.save(place)
    except OSError as error:
        raise SpecError([Fault(Mark(str(place / FILE)), "", f"cannot be written: {error.strerror}")]) from None
    forget(place)
    named = {file.path for file in listing.files} | {one.path for one in broken} | tree.lists
    return Checked(place, manifest, tuple(shown(name) for name in tree.names if name not in named))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError([Fault(Mark(str(folder)), "", f"cannot be made: {error.strerror}")]) from None
    return folder


def _refuse(folder: Path, broken: Sequence[Broken], skip: bool) -> None:
    """Raises SpecError with the first ones, unless they are to be left out."""
    if broken and not skip:
        raise SpecError(_faults(folder, broken))


def _faults(folder: Path, broken: Sequence[Broken]) -> list[Fault]:
    faults = [Fault(Mark(str(folder / one.path)), "", one.reason) for one in broken[:MOST]]
    if (more := len(broken) - MOST) > 0:
        faults.append(Fault(Mark(str(folder)), "", f"and {more:,} more; --skip-broken leaves all of them out"))
    return faults


def _once(tree: Tree, files: Sequence[Listed]) -> list[Listed]:
    """Files without repetitions. Raises SpecError where a list says two things of one."""
    found: dict[str, Listed] = {}
    faults = []
    for file in files:
        first = found.setdefault(file.title, file)
        if first != file:
            one, other = (f"{said.split or ''} {said.label}".strip() for said in (first, file))
            faults.append(
                tree.fault(file.title, 0, f"is listed as {one} and as {other}" if one != other else "is there twice")
            )
    if faults:
        raise SpecError(faults)
    return list(found.values())


Look = functools.partial[Facts | str]  # a file -> what it is, or what is wrong with it


def _surveyed(
    listing: Listing, look: Look, journal: Journal, progress: Callable[[int, int], None], workers: int
) -> tuple[dict[str, Facts], list[Broken]]:
    """What each file is, or what is wrong with it, from the journal where it is as it was."""
    facts: dict[str, Facts] = {}
    broken = []
    total = len(listing.files)
    try:
        for done, (file, found) in enumerate(_looked(listing.files, look, journal, workers), 1):
            if isinstance(found, str):
                broken.append(Broken(path=shown(file.title), reason=found))
            else:
                facts[file.title] = found
            progress(done, total)
    finally:
        journal.close()
    return facts, broken


def _looked(
    files: Sequence[Listed], look: Look, journal: Journal, workers: int
) -> Iterator[tuple[Listed, Facts | str]]:
    new = []
    for file in files:
        if (known := journal.found(file)) is None:
            new.append(file)
        else:
            yield file, known
    for file, found in zip(new, _mapped(look, new, workers), strict=True):
        if not isinstance(
            found, str
        ):  # what was wrong may be mended without the file being written: its rights, a decoder
            journal.add(file, found)
        yield file, found


def _mapped(look: Look, files: Sequence[Listed], workers: int) -> Iterable[Facts | str]:
    """Looks in their order. Raises SpecError where a process dies, which a decoder can do that meets a bad file."""
    if workers <= 1 or len(files) <= CHUNK:
        yield from map(look, files)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    seen = 0
    with ProcessPoolExecutor(min(workers, -(-len(files) // CHUNK)), context, _deaf) as pool:
        try:
            for found in pool.map(look, files, chunksize=CHUNK):
                seen += 1
                yield found
        except BrokenProcessPool:
            said = f"a process died at one of the {CHUNK * workers} files from {files[seen].title} on; --workers 1 shows which"
            raise SpecError([Fault(Mark(str(look.args[0])), "", said)]) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _deaf() -> None:
    """A key that is pressed is the first process's matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _look(folder: Path, by_content: bool, file: Listed) -> Facts | str:
    try:
        return survey(folder, file, by_content)
    except DataError as error:
        return str(error).removeprefix(f"{file.title}: ")


def _columns(
    files: Sequence[Listed], facts: Mapping[str, Facts], splits: Mapping[str, Split], classes: tuple[str, ...] | None
) -> Columns:
    if classes is None:
        classes = tuple(sorted({file.label for file in files if file.label}))
    labels = {"": -1} | {name: i for i, name in enumerate(classes)}
    found = [facts[file.title] for file in files]
    starts = np.concatenate([[0], np.cumsum([len(one.keys) for one in found], dtype=np.int64)])
    members = any(file.member for file in files)
    return Columns(
        classes=classes, paths=[file.path for file in files], members=[file.member for file in files] if members else [],
        hashes=np.frombuffer(bytes.fromhex("".join(one.sha256 for one in found)), np.uint8).reshape(-1, 32),
        sizes=np.array([one.bytes for one in found], np.int64),
        kinds=np.array([KINDS.index(one.kind) for one in found], np.int8),
        splits=np.array([SPLITS.index(splits[file.title]) for file in files], np.int8),
        labels=np.array([labels[file.label] for file in files], np.int32),
        heights=np.array([one.height for one in found], np.int32), widths=np.array([one.width for one in found], np.int32),
        frames=np.array([one.frames for one in found], np.int32), fps=np.array([one.fps for one in found], np.float64),
        at=np.array([file.at for file in files], np.int64),
        keys=np.array([pair for one in found for pair in one.keys], np.int64).reshape(-1, 2), key_starts=starts,
    )  # fmt: skip


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
