"""Single files out of packages: of Python, as they are installed or as pip downloads them, and of Debian, as apt-get does.

Nothing is installed and nothing is unpacked: an archive is known by its hash before it is looked into, and only the
files that are asked for are read.
"""

import importlib.util
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel

from omnitok.data.contract import DataError
from omnitok.data.held import sha256_of
from omnitok.networks.pip import PipError, download
from omnitok.spec import STRICT

AR = b"!<arch>\n"  # how a Debian package begins: it is an ar archive of tar archives


class Package(BaseModel):
    """A package of one version. One that is installed has no hash: its wheel differs by machine, its files do not."""

    model_config = STRICT

    name: str
    version: str
    kind: Literal["installed", "wheel", "deb"]
    module: str = ""  # what Python imports, of an installed one
    sha256: str = ""  # of the archive
    bytes: int = 0

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" if self.kind != "deb" else f"{self.name} {self.version}"

    @property
    def archive(self) -> str:
        """What the archive's name looks like, with a star for what may differ."""
        if self.kind == "wheel":
            return f"{self.name.replace('-', '_')}-{self.version}-*.whl"
        return (
            f"{self.name}_*{self.version.partition(':')[2] or self.version}_*.deb"  # the epoch is spelled in two ways
        )


Wanted = Callable[[str], bool]


def installed(package: Package, member: str) -> bytes:
    """A file of an installed package, found without importing it. Raises DataError that says what to install."""
    found = importlib.util.find_spec(package.module)
    if found is None or not found.submodule_search_locations:
        raise DataError(f"the package {package.module!r} is not installed: pip install {package}")
    path = Path(found.submodule_search_locations[0]) / member
    try:
        return path.read_bytes()
    except OSError as error:
        again = f"pip install --force-reinstall --no-deps {package}"
        raise DataError(f"{path}: {error.strerror}; {package} brings it: {again}") from None


def find(package: Package, folder: Path) -> Path | None:
    """The archive of a package in a folder of archives, by its name and hash; None where the folder has none.

    Raises DataError where one of the name is another file, or the folder is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of packages")
    named = sorted(path for path in folder.iterdir() if fnmatchcase(path.name, package.archive))
    right = next((path for path in named if sha256_of(path) == package.sha256), None)
    if named and right is None:
        raise DataError(f"{named[0]}: has the sha256 {sha256_of(named[0])}, {package} has {package.sha256}")
    return right


def fetch(package: Package, folder: Path) -> Path:
    """The archive of a package in an empty folder, brought by pip or apt-get and held to its hash. Raises DataError."""
    if package.kind == "wheel":
        try:
            return download(f"{package.name}=={package.version}", package.sha256, folder)
        except PipError as error:
            raise DataError(f"{error}; {_by_hand(package)}") from None
    if shutil.which("apt-get") is None:
        raise DataError(f"there is no apt-get here that could bring {package}; {_by_hand(package)}")
    command = ["apt-get", "--quiet=2", "download", f"{package.name}={package.version}"]
    said = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=said, capture_output=True, text=True, check=False)
    archive = next(folder.glob("*.deb"), None)
    if done.returncode or archive is None:
        update = "apt-get update may help, else " if "not found" in done.stderr or "locate" in done.stderr else ""
        raise DataError(f"apt-get could not download {package}: {_reason(done.stderr)}; {update}{_by_hand(package)}")
    if (seen := sha256_of(archive)) != package.sha256:
        raise DataError(f"{package}: apt-get has brought the sha256 {seen}, not {package.sha256}; {_by_hand(package)}")
    return archive


def members(archive: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of the plain files of a wheel or a Debian package that are wanted. Raises DataError."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                yield from ((name, wheel.read(name)) for name in wheel.namelist() if wanted(name))
            return
        with archive.open("rb") as file, tarfile.open(fileobj=_data_of(file), mode="r|*") as data:
            for member in data:
                name = member.name.removeprefix("./")
                if member.isfile() and wanted(name) and (packed := data.extractfile(member)) is not None:
                    yield name, packed.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{archive}: cannot be read: {error}") from None


def _data_of(file: IO[bytes]) -> IO[bytes]:
    """A Debian package, read up to where the archive of its files begins, which is its last member."""
    if file.read(len(AR)) != AR:
        raise tarfile.ReadError("it is no Debian package")
    while header := file.read(60):
        if header.startswith(b"data.tar"):
            return file
        size = header[48:58].strip()
        if not size.isdigit():
            break
        file.seek(int(size) + int(size) % 2, os.SEEK_CUR)
    raise tarfile.ReadError("it has no archive of files")


def _by_hand(package: Package) -> str:
    return f"bring {package.archive} into a folder yourself and add: --packages FOLDER"


def _reason(said: str) -> str:
    """The last thing that apt-get calls an error."""
    errors = [line.removeprefix("E: ") for line in said.splitlines() if line.startswith("E: ")]
    return (errors or said.strip().splitlines() or ["it does not say why"])[-1]
