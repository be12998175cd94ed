"""Debian's packages of the services that the tests start, installed where they are absent and somebody is root.

What the distribution would start by itself stays stopped: the tests start their own, in their own folders.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

POLICY = Path("/usr/sbin/policy-rc.d")  # asked by packages before they start anything; 101 forbids it
SLURM = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "munged": "munge",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
}
POSTGRES = {"initdb": "postgresql", "postgres": "postgresql", "psql": "postgresql"}


class Missing(Exception):
    """A service that cannot be started here, in one line."""


def search_path() -> str:
    """PATH with the folders where Debian keeps daemons."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *map(str, newest)])


def program(name: str) -> str:
    found = shutil.which(name, path=search_path())
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def need(what: str, programs: dict[str, str]) -> None:
    """Every one of ``programs`` is there, after installing the packages (its values) of those that are not.

    Raises Missing where they are not and cannot be had.
    """
    with alone():  # what another process installs is there file by file, and whole only when it has ended
        absent = missing(programs)
    if not absent:
        return
    packages = sorted({programs[name] for name in absent})
    advice = f"{what} is not here ({', '.join(absent)}): apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() or shutil.which("apt-get") is None:
        raise Missing(f"{advice}, as root on Debian")
    with nothing_starts():
        if not missing(programs):  # another process has seen to it meanwhile
            return
        tried = install(packages)
        if tried.returncode:  # the lists of packages may be absent, as in a fresh container
            subprocess.run(["apt-get", "update"], capture_output=True, check=False)
            tried = install(packages)
    if tried.returncode:
        raise Missing(f"{advice} failed: {' '.join(tried.stderr.splitlines()[-1:])}")


def missing(programs: dict[str, str]) -> list[str]:
    return [name for name in programs if shutil.which(name, path=search_path()) is None]


def install(packages: list[str]) -> "subprocess.CompletedProcess[str]":
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-y", "--no-install-recommends", "install", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def alone() -> Iterator[None]:
    """One process at a time."""
    folder = os.open(POLICY.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def nothing_starts() -> Iterator[None]:
    """No package starts a daemon meanwhile; one process at a time. Where somebody forbade it already, that stays."""
    with alone():
        ours = not POLICY.exists()
        try:
            if ours:
                POLICY.write_text("#!/bin/sh\nexit 101\n")
                POLICY.chmod(0o755)
            yield
        finally:
            if ours:
                POLICY.unlink(missing_ok=True)


def unavailable(why: Missing) -> NoReturn:
    """The test is skipped with one line; where every service is required, it fails."""
    if os.environ.get("OMNITOK_REQUIRE_SERVICES") == "1":
        pytest.fail(f"OMNITOK_REQUIRE_SERVICES=1, but {why}", pytrace=False)
    pytest.skip(str(why))
