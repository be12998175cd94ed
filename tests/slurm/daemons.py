"""Daemons in a folder: started, stopped, killed and frozen by their recorded pids, and by no others.

``folder/pids/NAME`` holds the pid, when that process began and its command: a pid that the machine gave to somebody
else meanwhile is never touched. ``folder/log/NAME.log`` holds what the daemon said.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# In the background of a shell: the daemon is nobody's child here, so no zombie and no handle of it stays behind.
DETACHED = 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!'


class Failed(Exception):
    """A daemon did not do what it was told, with the end of its log."""


def until(condition: Callable[[], object], seconds: float, what: str, pause: float = 0.05) -> None:
    """Return once ``condition`` holds. Raises Failed after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def free_ports(count: int) -> int:
    """The first of ``count`` free ports in a row on loopback, below those that the kernel gives to connections.

    Where the search begins depends on the pid, so that two who search at once do not meet.
    """
    places = 9000 // count
    for place in range(places):
        first = 10000 + (os.getpid() + place) % places * count
        if all(map(free, range(first, first + count))):
            return first
    raise Failed(f"no {count} free ports in a row")


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time starts and stops things in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Daemon:
    """How one daemon is started and asked after.

    name: its own in the folder
    argv: its command, which stays in the foreground
    answers: whether it serves
    inside: the name of the process that does the work where ``argv`` only wraps it
    polite: the signal that asks it to stop
    """

    name: str
    argv: tuple[str, ...]
    answers: Callable[[], bool]
    inside: str = ""
    polite: int = signal.SIGTERM


class Daemons:
    """Those of ``folder``; ``waste`` names the folders in it that nobody wants once they have stopped."""

    def __init__(self, folder: Path, waste: Sequence[str] = ()) -> None:
        self.folder, self.waste = folder, waste
        self.pids, self.log = folder / "pids", folder / "log"

    def start(self, daemon: Daemon, seconds: float = 180, environment: dict[str, str] | None = None) -> None:
        """Start it unless it runs, and wait until it answers. Raises Failed with the end of its log."""
        if self.process(daemon.name) is None:
            self.pids.mkdir(parents=True, exist_ok=True)
            self.log.mkdir(exist_ok=True)
            command = ["sh", "-c", DETACHED, str(self.log / f"{daemon.name}.log"), *daemon.argv]
            said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            self._record(daemon, int(said))
        try:
            until(lambda: self.process(daemon.name) is None or daemon.answers(), seconds, f"{daemon.name} answers")
        except Failed as error:
            raise Failed(f"{error}\n{self.tail(daemon.name)}") from None
        if self.process(daemon.name) is None:
            raise Failed(f"{daemon.name} ended as soon as it was started\n{self.tail(daemon.name)}")

    def _record(self, daemon: Daemon, pid: int) -> None:
        record = {"pid": pid, "began": _began(pid), "command": daemon.argv}
        record |= {"inside": daemon.inside, "polite": daemon.polite}
        record["order"] = self._held(daemon.name).get("order", time.time_ns())
        draft = self.pids / f".{daemon.name}"
        draft.write_text(json.dumps(record))
        draft.rename(self.pids / daemon.name)

    def _held(self, name: str) -> dict[str, Any]:
        try:
            held: dict[str, Any] = json.loads((self.pids / name).read_text())
        except FileNotFoundError:
            return {}
        return held

    def process(self, name: str) -> psutil.Process | None:
        """The process that was started as ``name``; None if it has ended."""
        held = self._held(name)
        if not held or _began(held["pid"]) != held["began"]:
            return None
        try:
            process = psutil.Process(held["pid"])
            ours = process.status() != psutil.STATUS_ZOMBIE and _runs(process, held["command"])
        except psutil.NoSuchProcess:
            return None
        return process if ours else None

    def worker(self, name: str) -> psutil.Process | None:
        """The process that does its work: what is stopped and frozen."""
        process, inside = self.process(name), self._held(name).get("inside")
        if process is None or not inside:
            return process
        return next((child for child in _family(process)[1:] if called(child) == inside), None)

    def send(self, name: str, what: int) -> None:
        """A signal to the process that does its work, or else to it and its children."""
        worker = self.worker(name)
        if worker is None:
            raise Failed(f"{name} does not run")
        for member in [worker] if self._held(name)["inside"] else _family(worker):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(what)

    def crash(self, name: str) -> None:
        """It and all its children are gone at once, as when the power fails."""
        process = self.process(name)
        if process is not None:
            family = _family(process)
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            until(lambda: not any(map(_lives, family)), 10, f"{name} is gone")

    def stop(self, name: str, seconds: float = 15) -> None:
        """Ask it to end, and kill it if it does not within ``seconds``."""
        worker, process = self.worker(name), self.process(name)
        if worker is not None and process is not None:
            family = _family(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                self.send(name, signal.SIGCONT)
                worker.send_signal(self._held(name)["polite"])
            with contextlib.suppress(Failed):
                until(lambda: not any(map(_lives, family)), seconds, f"{name} ends")
        self.crash(name)

    def names(self) -> list[str]:
        """Those that were ever started, last the one that others need most."""
        known = [path.name for path in self.pids.glob("*") if not path.name.startswith(".")]
        return sorted(known, key=lambda name: self._held(name)["order"], reverse=True)

    def clear(self) -> None:
        """All are stopped, in the opposite order of their first start, and the waste is gone."""
        for name in self.names():
            self.stop(name, seconds=5)  # nobody will miss what it would still save
            (self.pids / name).unlink()
        for name in self.waste:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def family(self, *names: str) -> list[psutil.Process]:
        """Every process that runs here, or that these daemons consist of."""
        begun = [process for name in names or self.names() if (process := self.process(name))]
        return [member for process in begun for member in _family(process)]

    def tail(self, name: str) -> str:
        """The end of what it said."""
        path = self.log / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""

    @contextlib.contextmanager
    def outlived_by_nothing(self) -> Iterator[None]:
        """Everything here is stopped at the end, also if this process is killed before it gets there.

        A second process waits for the end of a pipe that only this one holds open.
        """
        argv = [sys.executable, __file__, str(self.folder), *self.waste]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as keeper:
            try:
                yield
            finally:
                with locked(self.folder):
                    self.clear()
                keeper.communicate()


def _began(pid: int) -> int:
    """When a process began, in ticks since the machine did; -1 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[19])


def _runs(process: psutil.Process, command: list[str]) -> bool:
    """Its command line ends as the command does, without what started it. Before its exec it is still the shell's."""
    words = process.cmdline()
    return DETACHED in words or words[1:] == command[len(command) - len(words) + 1 :]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def called(process: psutil.Process) -> str:
    """Its name; empty if it is gone."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _family(process: psutil.Process) -> list[psutil.Process]:
    """It and its children's children, itself first."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    sys.stdin.buffer.read()
    place = Path(sys.argv[1])
    if place.exists():
        with locked(place):
            Daemons(place, sys.argv[2:]).clear()
