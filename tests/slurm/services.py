"""A real PostgreSQL and a real MLflow server in folders of their own, on loopback."""

import contextlib
import itertools
import os
import pwd
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from daemons import Daemon, Daemons, Failed, free_ports
from packages import POSTGRES, need, program, search_path

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Service:
    """One daemon with one port, the same one after every fault."""

    waste: tuple[str, ...] = ()

    def __init__(self, folder: Path, daemon: Daemon, port: int) -> None:
        self.folder, self.port = folder, port
        self.daemons, self._daemon = Daemons(folder, self.waste), daemon

    def start(self) -> None:
        """Start it, or leave it alone if it runs; wait until it answers."""
        self.daemons.start(self._daemon)

    def stop(self) -> None:
        self.daemons.stop(self._daemon.name)

    def crash(self) -> None:
        self.daemons.crash(self._daemon.name)

    def freeze(self) -> None:
        """It answers nobody until ``thaw``."""
        self.daemons.send(self._daemon.name, signal.SIGSTOP)

    def thaw(self) -> None:
        self.daemons.send(self._daemon.name, signal.SIGCONT)

    def heal(self) -> None:
        if self.daemons.process(self._daemon.name):
            self.thaw()
        self.start()

    @contextlib.contextmanager
    def used(self) -> Iterator[Self]:
        """It serves while this process lives, and is stopped afterwards, whatever happens to this process."""
        with self.daemons.outlived_by_nothing():
            self.start()
            yield self


class Postgres(Service):
    """PostgreSQL with the superuser ``omnitok`` and no passwords. Its data does not survive a power cut.

    Under root it runs as Debian's user ``postgres``, who must be able to reach ``folder``. Raises Missing.
    """

    waste = ("data",)

    def __init__(self, folder: Path) -> None:
        need("PostgreSQL", POSTGRES)
        port, data = free_ports(1), folder / "data"
        drop: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            data.mkdir(mode=0o700)
            os.chown(data, owner.pw_uid, owner.pw_gid)
            drop = [program("setpriv"), f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        initdb = [
            program("initdb"),
            f"--pgdata={data}",
            "--username=omnitok",
            "--auth=trust",
            "--no-sync",
            "--locale=C.UTF-8",
        ]
        made = subprocess.run([*drop, *initdb], cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Failed(f"initdb: {made.stderr}")
        options = ("fsync=off", "full_page_writes=off", "unix_socket_directories=")
        serve = [program("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port)]
        argv = [*drop, *serve, *itertools.chain.from_iterable(("-c", option) for option in options)]
        daemon = Daemon("postgres", tuple(argv), self._answers, polite=signal.SIGINT)  # do not wait for clients
        super().__init__(folder, daemon, port)

    def start(self) -> None:
        """A dead server's lock file is in the way where the machine's first process is slow to bury the dead."""
        if self.daemons.process("postgres") is None:
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        super().start()

    def ask(self, statement: str, database: str = "postgres", seconds: float = 20) -> str:
        """What SQL gives, a row a line and columns separated by ``|``. Raises Failed."""
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        command += [f"--dbname={self.url(database)}", f"--command={statement}"]
        environment = {**os.environ, "PATH": search_path(), "PGCONNECT_TIMEOUT": "5"}
        try:
            said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=True)
        except subprocess.SubprocessError as error:
            raise Failed(f"{statement}: {error} {getattr(error, 'stderr', None) or ''}") from None
        return said.stdout.strip()

    def create(self) -> str:
        """The URL of a new empty database."""
        name = f"d{uuid.uuid4().hex[:12]}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """For SQLAlchemy and libpq alike."""
        return f"postgresql://omnitok@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        with contextlib.suppress(Failed):
            return self.ask("SELECT 1", seconds=5) == "1"
        return False


class Mlflow(Service):
    """An MLflow server over ``backend``, a database's URL; over a new SQLite file in ``folder`` if none is given."""

    def __init__(self, folder: Path, backend: str = "") -> None:
        port = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        argv = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
        argv += [f"--backend-store-uri={backend or f'sqlite:///{folder}/mlflow.db'}"]
        argv += [f"--artifacts-destination={folder}/artifacts"]
        super().__init__(folder, Daemon("mlflow", tuple(argv), self._answers), port)

    def start(self) -> None:
        quiet = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self.daemons.start(self._daemon, environment={**os.environ, **quiet})

    def _answers(self) -> bool:
        try:
            with NO_PROXY.open(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
