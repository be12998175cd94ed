"""Datasets on their way to a machine without network: one compressed tar of a made folder, or of its first clips.

The first member is the manifest, and it says which others there are and what their hashes are. Unpacking makes these
files, below the folder of the dataset, and nothing else.
"""

import hashlib
import io
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np
from pydantic import ValidationError

from omnitok import runs
from omnitok.data import natural, procgen
from omnitok.data.contract import DataError
from omnitok.data.held import refuse_other, whole
from omnitok.data.recording import wanted
from omnitok.spec import counted, near

MOST_MANIFEST: Final = 16 << 20  # bytes; the manifest of a million clips is smaller
CHUNK: Final = 1 << 20
NATURAL: Final = "natural_mini.json"  # what its table is called in a pack


class Known(NamedTuple):
    """A file as a manifest has it."""

    sha256: str
    bytes: int


class Pack(NamedTuple):
    """What is packed: the name of the folder, its manifest's name and bytes, and every other file."""

    name: str
    manifest: str
    content: bytes
    files: Mapping[str, Known]
    fingerprint: str


class Packed(NamedTuple):
    """A pack in its file."""

    file: Path
    bytes: int
    pack: Pack


class Unpacked(NamedTuple):
    """A folder out of a pack; ``new`` is how many files were put there just now."""

    folder: Path
    new: int
    pack: Pack


def pack_dataset(
    root: Path, name: str, out: Path, clips: int | None = None, *, progress: Callable[[str], None] = lambda said: None
) -> Packed:
    """Compress ``root/name``, a folder of procgen16 or natural_mini, into the file ``out``, whole or not at all.

    ``clips``: of procgen16 the first so many of each game of train and a quarter of val and test, which is the same
    folder, with the same fingerprint, as making that many; None: all. Raises DataError: no such folder, not so many
    clips, a folder of another kind, files that are not those of the manifest, or ``out`` is there already.
    """
    if not out.parent.is_dir():
        raise DataError(f"{out.parent}: no such folder")
    if out.exists():
        raise DataError(f"{out}: is there already; choose another name")
    if name == natural.NAME:
        if clips is not None:
            raise DataError(f"{name} is packed whole; leave out the number of clips")
        pack, contents = _natural(root / name)
    else:
        _refuse_other_kind(root, name)
        pack, contents = _procgen(root / name, clips)
    partial = out.with_name(f".{out.name}.partial")
    try:
        with tarfile.open(partial, "w:xz") as tar:
            _add(tar, f"{pack.name}/{pack.manifest}", pack.content)
            for path, content in contents:
                _add(tar, f"{pack.name}/{path}", content)
                progress(path)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return Packed(out, out.stat().st_size, pack)


def unpack_dataset(root: Path, file: Path) -> Unpacked:
    """Make a folder below ``root`` of what is packed in ``file``. What is there with the right bytes is left alone.

    Raises DataError: no pack, one that is cut short, a member that the manifest does not have, other bytes than it
    says, or another dataset of the name is there already. Raises runs.Busy where another process makes the folder.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        with tarfile.open(file, "r|xz") as tar:
            members = iter(tar)
            pack = _read_head(file, tar, next(members, None))
            folder = root / pack.name
            _refuse_other(folder, pack)
            folder.mkdir(parents=True, exist_ok=True)
            with runs.lease(folder):
                new = sum(
                    _placed(folder, path, known, tar, member) for path, known, member in _listed(file, pack, members)
                )
                if pack.manifest == procgen.FILE and not (folder / pack.manifest).exists():
                    procgen.Manifest.model_validate_json(pack.content).save(folder)  # last: its existence is "made"
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{file}: is no pack, or is cut short: {error}") from None
    return Unpacked(folder, new, pack)


# Into a pack


def _refuse_other_kind(root: Path, name: str) -> None:
    folder = root / name
    if (folder / procgen.FILE).is_file():
        return
    here = procgen.MANIFEST.below(root) + [natural.NAME] * (root / natural.NAME).is_dir()
    said = "is no folder that omnitok made" if folder.is_dir() else "no such folder"
    raise DataError(f"{folder}: {said}; procgen16-... and {natural.NAME} can be packed{near(name, here)}")


def _natural(folder: Path) -> tuple[Pack, Iterator[tuple[str, bytes]]]:
    table = natural.table()
    pack = _natural_pack(natural.TABLE.read_bytes(), table)
    return pack, ((file.path, _held(folder / file.path, file.sha256)) for file in table.files)


def _natural_pack(content: bytes, table: natural.Natural) -> Pack:
    files = {file.path: Known(file.sha256, file.bytes) for file in table.files}
    return Pack(natural.NAME, NATURAL, content, files, table.fingerprint)


def _held(path: Path, sha256: str) -> bytes:
    refuse_other(path, sha256, natural.HELP)
    return path.read_bytes()


def _procgen(folder: Path, clips: int | None) -> tuple[Pack, Iterator[tuple[str, bytes]]]:
    manifest = procgen.MANIFEST.load(folder)
    trained = [len(array.levels) for array in manifest.arrays if array.split == "train"]
    least = min(trained, default=0)
    if not 1 <= (count := least if clips is None else clips) <= least:
        raise DataError(
            f"{folder}: has {counted(least, 'clip')} of each game for training, so 1 to {least} can be packed"
        )
    numbers = {(split, game): number for split, game, number in wanted(count)}
    arrays = tuple(_first(folder, array, numbers[array.split, array.game]) for array in manifest.arrays)
    part = manifest.model_copy(update={"arrays": arrays})
    contents = ((array.path, _bytes(folder, old, len(array.levels)))
                for old, array in zip(manifest.arrays, arrays, strict=True))  # fmt: skip
    return _procgen_pack(f"procgen16-{part.side}-{count}", part), contents


def _procgen_pack(name: str, manifest: procgen.Manifest) -> Pack:
    files = {array.path: Known(array.sha256, array.bytes) for array in manifest.arrays}
    return Pack(name, procgen.FILE, manifest.model_dump_json().encode(), files, manifest.fingerprint)


def _first(folder: Path, array: procgen.Clips, count: int) -> procgen.Clips:
    if count == len(array.levels):
        return array
    content = _bytes(folder, array, count)
    said = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "levels": array.levels[:count]}
    return array.model_copy(update=said)


def _bytes(folder: Path, array: procgen.Clips, count: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(procgen.opened(folder / array.path, array.sha256)[:count]))
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without times and owners, so that the same folder gives the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


# Out of a pack


def _read_head(file: Path, tar: tarfile.TarFile, first: tarfile.TarInfo | None) -> Pack:
    """The manifest, which is the first member. Raises DataError."""
    path = PurePosixPath(first.name if first else "")
    packed = tar.extractfile(first) if first and first.isreg() and first.size <= MOST_MANIFEST else None
    if packed is None or len(path.parts) != 2 or path.name not in (procgen.FILE, NATURAL):
        raise DataError(f"{file}: is no pack: it does not begin with the manifest of a dataset")
    name, content = path.parts[0], packed.read()
    try:
        if path.name == NATURAL:
            table = natural.Natural.model_validate_json(content)
            if table.fingerprint != natural.table().fingerprint or name != natural.NAME:
                raise DataError(f"{file}: is of another version of {natural.NAME}")
            return _natural_pack(content, natural.table())
        pack = _procgen_pack(name, procgen.Manifest.model_validate_json(content))
    except ValidationError as error:
        raise DataError(f"{file}: its manifest is wrong: {error.errors()[0]['msg']}") from None
    if not re.fullmatch(r"procgen16-\d+-\d+", name):
        raise DataError(f"{file}: {name!r} is no name of a folder of procgen16")
    return pack


def _refuse_other(folder: Path, pack: Pack) -> None:
    if pack.manifest == procgen.FILE and (folder / procgen.FILE).exists():
        found = procgen.MANIFEST.load(folder).fingerprint
        if found != pack.fingerprint:
            raise DataError(
                f"{folder}: is there already with the fingerprint {found}, not {pack.fingerprint}; move it away"
            )


def _listed(file: Path, pack: Pack, members: Iterator[tarfile.TarInfo]) -> Iterator[tuple[str, Known, tarfile.TarInfo]]:
    """Every member after the manifest, if the manifest has it. Raises DataError, at the end where one was missing."""
    missing = dict(pack.files)
    for member in members:
        path = member.name.removeprefix(f"{pack.name}/")
        known = missing.pop(path, None)
        if known is None or not member.isreg() or member.size != known.bytes:
            raise DataError(f"{file}: holds {member.name!r}, which is not as its manifest says")
        yield path, known, member
    if missing:
        raise DataError(
            f"{file}: is cut short: {counted(len(missing), 'file is', 'files are')} missing, the first is {next(iter(missing))}"
        )


def _placed(folder: Path, path: str, known: Known, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    """Put a file where it belongs, whole or not at all; -> whether it was not there."""
    target = folder / path
    partial, seen = target.with_name(f".{target.name}.partial"), hashlib.sha256()
    packed = tar.extractfile(member)
    if packed is None or whole(target, known.bytes, known.sha256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as out:
            while part := packed.read(CHUNK):
                seen.update(part)
                out.write(part)
        if seen.hexdigest() != known.sha256:
            raise DataError(f"{member.name}: has the sha256 {seen.hexdigest()}, the manifest says {known.sha256}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return True
