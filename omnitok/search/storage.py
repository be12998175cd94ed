"""Where a study is kept: a journal file in the search's folder, or a database that OMNITOK_STUDY names."""

import fcntl
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from omnitok import runs
from omnitok.spec import Fault, Mark, SpecError, hidden
from omnitok.training.studies import study_url

JOURNAL: Final = "journal.log"
KEPT: Final = "study.json"  # where the study of a search is, so that it is looked for nowhere else
PATIENCE_S: Final = 3600.0  # how long a study that does not answer is waited for
LINE_S: Final = 20.0  # how long another may take to append to the journal
CONNECT_S: Final = 10  # how long a database may take to let somebody in
MAKING_TABLES: Final = 0x6F6D6E69  # the number of the advisory lock under which a database gets its tables

T = TypeVar("T")


class Unanswered(Exception):
    """The database did not answer, and who asked was told to stop."""


class JournalHeld(StorageInternalError):
    """Somebody who does not go on is in the middle of a line: frozen, or on a disk that does not answer."""


class Journal(JournalFileBackend):
    """Optuna's journal, whose writers hold the kernel's lock on the file itself: it is free at once where one dies (that of
    Optuna is waited for 30 s). What a killed writer left of a line is cut off by the next, or no reader could go on. One
    that is frozen in a line holds the others back until it goes on or dies: each raises ``JournalHeld`` after ``LINE_S``."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        content = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        with Path(self._file_path).open("ab+") as file:
            _lock(file)
            end = _end_of_lines(file)
            file.truncate(end)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:  # a full disk: nothing was appended
                os.ftruncate(file.fileno(), end)
                raise


def _lock(file: IO[bytes]) -> None:
    until = time.monotonic() + LINE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):  # the latter on some network file systems
            if time.monotonic() > until:
                raise JournalHeld(f"{file.name} is held by a process that does not go on") from None
        time.sleep(random.uniform(0.0005, 0.005))


def _end_of_lines(file: IO[bytes]) -> int:
    """Where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def open_storage(folder: Path) -> BaseStorage:
    """The storage of the search in ``folder``. Raises SpecError where its study is kept elsewhere, ValueError where the
    environment is not legal, Optuna's and SQLAlchemy's errors where a database does not answer."""
    url = study_url()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _refuse_elsewhere(folder, url)
    if not url:
        return JournalStorage(Journal(str(folder / JOURNAL)))
    engine: dict[str, Any] = {}
    if url.startswith("postgresql"):
        url = _driven(url)
        # a database whose machine is gone is found so in half a minute, not in the kernel's quarter of an hour
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30000}
        engine["connect_args"] = {"connect_timeout": CONNECT_S, **alive}
    with _alone(url):
        storage: BaseStorage = optuna.storages.get_storage(RDBStorage(url, engine_kwargs=engine))
    return storage


def refuse_silent() -> None:
    """Try once, and not for long, whether the database that OMNITOK_STUDY names lets us in; a journal file always does.

    Raises SpecError, without the password, where it does not."""
    url = study_url()
    if not url:
        return
    try:
        with _engine(_driven(url)).connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except (SQLAlchemyError, ValueError) as error:  # the latter of a port that is no number
        cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        why = (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(":")
        said = f"OMNITOK_STUDY={hidden(url)}: the study cannot be reached: {hidden(why)}"
        raise SpecError([Fault(Mark("environment"), "", said)]) from None


def _driven(url: str) -> str:
    """With the driver that is installed."""
    return "postgresql+psycopg2://" + url.partition("://")[2] if url.startswith("postgresql") else url


def _engine(url: str) -> sqlalchemy.Engine:
    """Connections that are not kept, and that are refused rather than waited for."""
    wait = {"connect_timeout": CONNECT_S} if url.startswith("postgresql") else {"timeout": CONNECT_S}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, connect_args=wait)


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One at a time makes the tables of an empty PostgreSQL; whoever dies meanwhile gives the lock back with its
    connection."""
    if not url.startswith("postgresql"):
        yield
        return
    with _engine(url).connect() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({MAKING_TABLES})"))
        yield


def _refuse_elsewhere(folder: Path, url: str) -> None:
    """A search that is begun in one place is not begun again in another, unnoticed."""
    here = {"kept": hidden(url.partition("?")[0]) if url else JOURNAL}
    if not (folder / KEPT).exists():
        runs.write_json(folder / KEPT, here)
    elif (kept := runs.read_json(folder / KEPT)) != here:
        said = f"the study of {folder} is kept in {kept['kept']}; OMNITOK_STUDY says {here['kept']}"
        raise SpecError([Fault(Mark("environment"), "", said)])


def patiently(work: Callable[[], T], stop: Callable[[], bool], most_s: float = PATIENCE_S) -> T:
    """Do it, again and again while the database does not answer. What is done must bear to be done twice.

    The same while somebody who is frozen holds the journal. Raises Unanswered where ``stop`` says so meanwhile, and the database's error after ``most_s``."""
    until, pause = time.monotonic() + most_s, 0.2
    while True:
        try:
            return work()
        except (StorageInternalError, SQLAlchemyError) as error:
            if not _silent(error) or time.monotonic() > until:
                raise
            if stop():
                raise Unanswered(str(error)) from None
        print(f"the study does not answer; asked again in {pause:.0f} s", flush=True)
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def _silent(error: BaseException) -> bool:
    """Whether the study was not to be reached, rather than asked wrongly."""
    if isinstance(error, JournalHeld):
        return True
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    lost = isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated
    return lost or isinstance(cause, OperationalError | InterfaceError | sqlalchemy.exc.PendingRollbackError)
