"""Who may work in a folder, and how what a stale holder writes is kept out.

The one folder in ``attempts/`` is the lease; its name is a token that nobody had before. To enter, a folder that holds
the new attempt is renamed to ``attempts``, which succeeds for one, where nobody is in. To put somebody out, the
attempt's folder is renamed away by its name, which succeeds for one, and for no other attempt. Both need nothing of a
file system but that a rename is atomic.

Whatever the holder writes is written inside its attempt's folder and comes out by a rename, so that one who was put out
has nothing left to rename. Who enters next deletes what was renamed away before it begins: a client of a network file
system that has not heard of the rename then fails too. What is only ever appended to is the inode of one attempt.

Whether the holder lives is said by its beat, the time of last change of ``attempts/<token>/lease``, against the file
system's own clock, so that no node's clock matters. Where the holder is of the same machine the kernel knows sooner:
it keeps a lock on that file as long as the holder lives, however it dies.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from omnitok.runs.holding import GONE, LEASE, PLACE, Busy, Held, fenced
from omnitok.runs.writing import encoded

STALE_S: Final = 40.0  # how old a beat is when its holder counts as frozen, or out of reach
BEATS: Final = 8  # in that time
TRIES: Final = 20  # to enter a folder that others leave and enter meanwhile
FENCED, ENTERING = ".fenced.", ".attempts."
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)


@contextmanager
def lease(folder: Path) -> Iterator[Held]:
    """Hold the folder for one attempt. Raises Busy at once if somebody who lives does, and Fenced at the end if
    somebody took it over meanwhile.

    It is free at once where its holder ends, or dies on this machine, and soon after ``STALE_S`` where that is frozen,
    or was on another machine.
    """
    for other in _others(folder):
        if _lives(other):  # before anything is made
            raise _busy(folder)
    held = Held(folder, secrets.token_hex(8))
    with _knocking(held) as knocking:
        _enter(held, knocking)
        _sweep(folder)
        ended = threading.Event()
        threading.Thread(target=_beat_until, args=(held, ended), name="lease", daemon=True).start()
        try:
            yield held
        finally:
            ended.set()
            _leave(held)


def leased(folder: Path) -> bool:
    """Whether somebody who lives holds the folder now. Changes nothing."""
    return any(_lives(other) for other in _others(folder))


def of_lease(path: Path) -> bool:
    """Whether a file of a folder is there only because somebody holds its lease, or died holding it."""
    return path.name == PLACE or path.name.startswith((FENCED, ENTERING))


# How one enters, leaves and is put out


@contextmanager
def _knocking(held: Held) -> Iterator[Path]:
    """An ``attempts`` folder beside the real one, with the new attempt in it and the kernel's lock on its lease."""
    knocking = held.folder / f"{ENTERING}{held.token}"
    place = knocking / held.token
    knocking.mkdir()
    try:
        place.mkdir()
        with (place / LEASE).open("xb") as file:
            file.write(
                encoded({"host": socket.gethostname(), "pid": os.getpid(), "kernel": _locked(place / LEASE, file)})
            )
            file.flush()
            yield knocking
    finally:
        shutil.rmtree(knocking, ignore_errors=True)  # where it was not let in


def _enter(held: Held, knocking: Path) -> None:
    for _ in range(TRIES):
        others = _others(held.folder)
        if held.place in others:
            return
        for other in others:
            _put_out(other)
        try:
            knocking.rename(held.folder / PLACE)
        except OSError as error:  # perhaps it was done, and the answer was lost
            if error.errno not in TAKEN:
                raise
    if held.place not in _others(held.folder):
        raise _busy(held.folder)


def _put_out(other: Path) -> None:
    """Raises Busy where it lives, after all: a clock that was set, or a machine that slept, makes every beat look old."""
    beat = _beat(other)
    if beat is not None:
        if not _stale(other, beat):
            raise _busy(other.parent.parent)
        time.sleep(1.5 * STALE_S / BEATS)
        if _beat(other) not in (None, beat):
            raise _busy(other.parent.parent)
    _rename_away(other)


def _rename_away(place: Path) -> bool:
    """Whether it was there to be renamed."""
    folder = place.parent.parent
    try:
        place.rename(folder / f"{FENCED}{place.name}")
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False
    return True


def _leave(held: Held) -> None:
    if not _rename_away(held.place):
        raise fenced(held.folder)
    shutil.rmtree(held.folder / f"{FENCED}{held.token}", ignore_errors=True)
    with suppress(OSError):  # somebody is in again
        (held.folder / PLACE).rmdir()


def _sweep(folder: Path) -> None:
    """Delete the folders of attempts that were put out, which ends the last way of writing from there, and of those that
    died before they entered."""
    for _ in range(3):  # a stale copy may be putting a file in just now
        gone = [*folder.glob(f"{FENCED}*"), *filter(_abandoned, folder.glob(f"{ENTERING}*"))]
        for place in gone:
            shutil.rmtree(place, ignore_errors=True)
        if not gone:
            return


def _abandoned(knocking: Path) -> bool:
    """Whether who made it died before it entered; one that is just being made has no beat yet."""
    place = knocking / knocking.name.removeprefix(ENTERING)
    try:
        return _stale(place, knocking.stat().st_mtime) and not _lives(place)
    except FileNotFoundError:
        return False


def _others(folder: Path) -> list[Path]:
    place = folder / PLACE
    try:
        return [place / name for name in os.listdir(place)]  # noqa: PTH208 - status asks it of 10,000 runs
    except (FileNotFoundError, NotADirectoryError):
        return []


def _busy(folder: Path) -> Busy:
    return Busy(f"{folder.name}: another process works in this folder")


# Who lives


def _beat_until(held: Held, ended: threading.Event) -> None:
    while not ended.wait(STALE_S / BEATS):
        try:
            os.utime(held.place / LEASE)
        except FileNotFoundError:
            return
        except OSError:  # a file server that does not answer for a while
            continue


def _lives(place: Path) -> bool:
    beat = _beat(place)
    return beat is not None and not _stale(place, beat)


def _beat(place: Path) -> float | None:
    """When its holder last beat; None where that is surely gone."""
    try:
        with (place / LEASE).open("rb") as file:  # opening it asks a file server anew
            vouching = _vouching(file.read())
            if vouching and vouching == _kernels(file) and _free(file):
                return None
            return os.fstat(file.fileno()).st_mtime
    except OSError as error:
        if error.errno not in GONE:
            raise
        return None


def _stale(place: Path, beat: float) -> bool:
    """A beat of the future is one from before the clock was set."""
    return abs(_now(place.parent.parent) - beat) > STALE_S


def _now(folder: Path) -> float:
    """By the clock of the folder's file system; where nothing may be written there, by this machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".partial") as probe:
            os.utime(probe.fileno())
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def _locked(path: Path, file: IO[bytes]) -> tuple[str, ...]:
    """Lock ``file`` of ``path``. -> the kernel whose word to take on it; none where its locks keep nobody out."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with path.open("rb") as again:
            return () if _free(again) else _kernels(file)
    except OSError:  # no locks here at all
        return ()


def _free(file: IO[bytes]) -> bool:
    """Whether the kernel knows of nobody who holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _kernels(file: IO[bytes]) -> tuple[str, ...]:
    """This machine since it was started, and the file system as it is mounted: two mounts may know nothing of each
    other's locks. None where the machine does not tell its starts apart."""
    return (f"{BOOT.read_text().strip()} {os.fstat(file.fileno()).st_dev}",) if BOOT.exists() else ()


def _vouching(said: bytes) -> tuple[str, ...]:
    """The kernel whose word to take, by what a lease says; none where it is torn."""
    try:
        return tuple(json.loads(said)["kernel"])
    except ValueError:
        return ()
