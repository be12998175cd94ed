"""A real Slurm cluster of several nodes on one machine, for tests: every daemon a real one, only the hardware is made up.

    python tests/slurm/cluster.py up FOLDER        start it, and say what to set to use it
    python tests/slurm/cluster.py crash FOLDER node3
    python tests/slurm/cluster.py down FOLDER

Each node is a slurmd in its own namespaces, with its own host name and its own processes, so that a crash takes its
jobs along. Needs root or user namespaces. Everything is in FOLDER and listens on loopback.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parent.parent))  # where packages.py is, which this finds as a script, too

from daemons import Daemon, Daemons, Failed, called, free_ports, locked, until  # noqa: E402
from packages import SLURM, Missing, need, program, search_path  # noqa: E402
from settings import Layout  # noqa: E402

# The first process of a node: its name, the names of the others, then Slurm's daemon.
BOOT = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && { "$@" & wait $!; }'
WASTE = ("state", "spool", "database")
LONGEST = 107 - len("/spool/node1/node1_99999.4294967295")  # what Linux leaves a socket's name
FAULTS = ("start", "stop", "crash", "freeze", "thaw")


def namespaces() -> list[str]:
    """The command that gives what follows a machine of its own; for an ordinary user by way of a user namespace."""
    own = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
    return [program("unshare"), *own, "--uts", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "sh", "-c", BOOT]


class Cluster:
    """The cluster in ``folder``: ``up`` and ``down``, faults by a part's name, and questions to Slurm.

    The parts are ``munged``, ``mariadbd``, ``slurmdbd``, ``slurmctld`` and the nodes, ``node1`` and so on.
    """

    def __init__(self, folder: Path, nodes: int = 4, gpus: int = 2) -> None:
        self.folder = folder
        self.daemons = Daemons(folder, WASTE)
        self._size: dict[str, Any] = {"nodes": nodes, "gpus": gpus}
        self.environment = {"SLURM_CONF": str(folder / "etc" / "slurm.conf"), "PATH": search_path()}

    # ---- up and down

    @property
    def layout(self) -> Layout:
        return Layout.read(self.folder)

    def up(self) -> bool:
        """Whether it had to be started; one that serves is left alone, one that is half dead is replaced.

        Raises Missing where Slurm cannot run here, and Failed where it should have.
        """
        if len(str(self.folder)) > LONGEST:  # jobs would fail to start without a word why
            raise Failed(f"{self.folder}: a cluster's folder has at most {LONGEST} characters, for its sockets' sake")
        need("Slurm", SLURM)
        probe = subprocess.run(
            [*namespaces(), "node", "/etc/hosts", "true"], capture_output=True, text=True, check=False
        )
        if probe.returncode:
            raise Missing(f"namespaces of its own for each Slurm node need root: {probe.stderr.strip()}")
        with locked(self.folder):
            if self.serves():
                return False
            self.daemons.clear()
            try:
                self._up()
            except BaseException:
                self.daemons.clear()
                raise
            return True

    def _up(self) -> None:
        for name in ("etc", "run", "state", "spool", "devices", "database", "log"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        Layout(self.folder, free_ports(3 + self._size["nodes"]), **self._size).write()
        self._make_database()
        for part in self.parts():
            self._start(part)
        until(self.serves, 180, "all nodes are idle")

    def down(self) -> None:
        """Everything is stopped; what the daemons said stays in ``folder/log``."""
        with locked(self.folder):
            self.daemons.clear()

    def serves(self) -> bool:
        """Whether every daemon runs and every node is ready for jobs."""
        if not (self.folder / "etc" / "layout.json").exists():
            return False
        names = ["munged", "mariadbd", "slurmdbd", "slurmctld", *self.nodes]
        return all(map(self.daemons.process, names)) and set(self.states().values()) <= {"idle", "mixed", "allocated"}

    def _make_database(self) -> None:
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/database", "--skip-test-db"]
        command += [f"--user={self.layout.values()['user']}", "--auth-root-authentication-method=normal"]
        command += ["--innodb-log-file-size=8M", f"--tmpdir={self.folder}/run"]  # two at once fail in one folder
        made = subprocess.run(command, env=self._env(), capture_output=True, text=True, check=False)
        if made.returncode:
            raise Failed(f"mariadb-install-db: {made.stdout}{made.stderr}")

    def _start(self, part: Daemon) -> None:
        self.daemons.start(part, environment=self._env())
        if part.name == "slurmdbd" and not self.ask("sacctmgr", "-n", "show", "cluster"):
            self.ask("sacctmgr", "-i", "add", "cluster", "omnitok")

    def parts(self) -> list[Daemon]:
        """In the order in which they are started."""
        layout, run = self.layout, self.folder / "run"
        # --force: only one user needs to reach the socket, so a folder that is closed to others will do
        munged = [program("munged"), "--foreground", "--force", f"--socket={run}/munge", f"--key-file={run}/key"]
        munged += [f"--pid-file={run}/munged.pid", f"--seed-file={run}/seed"]
        mariadbd = [
            program("mariadbd"),
            "--no-defaults",
            f"--user={layout.values()['user']}",
            "--bind-address=127.0.0.1",
        ]
        mariadbd += [f"--port={layout.port}", f"--datadir={self.folder}/database", f"--tmpdir={self.folder}/database"]
        mariadbd += [
            f"--socket={run}/mariadb",
            f"--pid-file={run}/mariadbd.pid",
            f"--init-file={self.folder}/etc/database.sql",
        ]
        mariadbd += [
            "--skip-name-resolve",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=32M",
        ]
        mariadbd += [
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        ]
        return [
            Daemon("munged", tuple(munged), self._munge_answers),
            Daemon("mariadbd", tuple(mariadbd), self._database_answers),
            Daemon("slurmdbd", (program("slurmdbd"), "-D"), lambda: self._answers("sacctmgr", "-n", "show", "cluster")),
            Daemon(
                "slurmctld",
                (program("slurmctld"), "-D"),
                lambda: " is UP" in self.ask("scontrol", "ping", strict=False),
            ),
            *map(self._node, layout.names),
        ]

    def _node(self, name: str) -> Daemon:
        (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        drop = [] if os.geteuid() == 0 else [program("setpriv"), "--inh-caps=-all", "--ambient-caps=-all"]
        argv = [*namespaces(), name, str(self.folder / "etc" / "hosts"), *drop, program("slurmd"), "-D", "-N", name]
        return Daemon(name, tuple(argv), lambda: self.daemons.worker(name) is not None, inside="slurmd")

    def _munge_answers(self) -> bool:
        socket = f"--socket={self.folder}/run/munge"
        made = subprocess.run(["munge", socket, "-n"], env=self._env(), capture_output=True, check=False)
        return made.returncode == 0

    def _database_answers(self) -> bool:
        where = [f"--port={self.layout.port}", "--host=127.0.0.1", "--user=slurm", "--execute=SELECT 1", "slurm"]
        environment = {**self._env(), "MYSQL_PWD": self.layout.password}
        asked = subprocess.run(["mariadb", "--no-defaults", *where], env=environment, capture_output=True, check=False)
        return asked.returncode == 0

    # ---- faults

    def start(self, name: str) -> None:
        """Start a part that was stopped or has crashed, and wait until it serves."""
        self._start(next(part for part in self.parts() if part.name == name))

    def stop(self, name: str) -> None:
        """A part ends in good order; a node's jobs end with it."""
        self.daemons.stop(name)

    def crash(self, name: str) -> None:
        """A part is gone at once, a node with all that ran on it. The controller forgets its last seconds."""
        self.daemons.crash(name)

    def freeze(self, name: str) -> None:
        """A part answers nobody, as if its network were cut; a frozen node's jobs run on."""
        self.daemons.send(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """A frozen part goes on where it was."""
        self.daemons.send(name, signal.SIGCONT)

    def configure(self, **changes: object) -> None:
        """slurm.conf with these settings changed, and a controller that has read it. ``heal`` takes it back."""
        self.layout.configure(changes)
        self.stop("slurmctld")
        self.start("slurmctld")
        self.ask("scontrol", "reconfigure")

    def heal(self) -> None:
        """No job is left, every part serves, and the configuration is the first one again."""
        for part in self.parts():
            if self.daemons.process(part.name):
                self.thaw(part.name)
            self._start(part)
        if self._configured():
            self.configure()
        try:
            with contextlib.suppress(Failed):
                until(self._rests, 4, "all nodes are idle", pause=0.2)
                return
            for name, state in self.states().items():  # a job's end that was never heard of is waited for a minute
                if state.startswith("comp"):
                    self.ask("scontrol", "update", f"nodename={name}", "state=down", "reason=healed")
            until(self._rests, 120, "all nodes are idle", pause=0.2)
        except Failed as error:
            raise Failed(f"{error}: {self.states()} {self.ask('squeue', strict=False)}") from None

    def _configured(self) -> bool:
        before = (self.folder / "etc" / "slurm.conf").read_text()
        self.layout.configure({})
        return before != (self.folder / "etc" / "slurm.conf").read_text()

    def _rests(self) -> bool:
        """Whether the queue is empty and all nodes are idle, and helps them to be.

        A controller that crashed requeues jobs when it finds them gone, so what is queued is cancelled again and again.
        """
        states, jobs = self.states(), self.ask("squeue", "--noheader", strict=False)
        if jobs:
            self.ask("scancel", f"--user={self.layout.values()['user']}", strict=False)
            for task in self.tasks():  # submitit's ignore a polite end
                with contextlib.suppress(psutil.NoSuchProcess):
                    task.kill()
        if "unknown" in states.values():  # a controller that was started again waits for its nodes to speak up
            self.ask("scontrol", "reconfigure", strict=False)
        for name, state in states.items():
            if state.startswith(("down", "drain")):
                self.ask("scontrol", "update", f"nodename={name}", "state=resume", strict=False)
        return set(states.values()) == {"idle"} and not jobs

    # ---- questions

    def tasks(self, *nodes: str) -> list[psutil.Process]:
        """The processes of jobs, orphans too, on all nodes or on these; Slurm's own only as far as jobs call it."""
        found = []
        for name in nodes or self.nodes:
            family = self.daemons.family(name)  # unshare, its shell, slurmd, and what that started
            slurmd = self.daemons.worker(name)
            found += [process for process in family[2:] if process != slurmd and called(process) != "slurmstepd"]
        return found

    @property
    def nodes(self) -> list[str]:
        return self.layout.names

    def states(self) -> dict[str, str]:
        """Each node's state, such as ``idle``, ``mixed``, ``down*``; empty while the controller does not answer."""
        lines = self.ask(
            "sinfo", "--noheader", "--Node", "--partition=all", "--format=%N %T", strict=False
        ).splitlines()
        return dict(line.split() for line in lines)

    def attempts(self, job: str) -> list[str]:
        """The state of each attempt at a job, as accounting knows them: ``["REQUEUED", "COMPLETED"]``."""
        asked = self.ask(
            "sacct", "--allocations", "--noheader", "--parsable2", "--duplicates", "--format=State", "-j", job
        )
        return asked.splitlines()

    def queued(self, job: str) -> str:
        """The state of a job that waits or runs, such as ``PENDING``; empty once it has ended."""
        return self.ask("squeue", "--noheader", "--format=%T", f"--jobs={job}", strict=False)

    def place(self, job: str) -> str:
        """The node that a running job is on."""
        return self.ask("squeue", "--noheader", "--format=%N", f"--jobs={job}")

    def ask(self, *words: str, strict: bool = True, seconds: float = 20) -> str:
        """What a command of Slurm prints. Raises Failed if it fails or hangs; not ``strict``: empty then."""
        try:
            said = subprocess.run(words, env=self._env(), capture_output=True, text=True, timeout=seconds, check=strict)
        except subprocess.SubprocessError as error:
            if strict:
                raise Failed(f"{' '.join(words)}: {error} {getattr(error, 'stderr', None) or ''}") from None
            return ""
        return said.stdout.strip() if said.returncode == 0 else ""

    def _answers(self, *words: str) -> bool:
        """Whether a command of Slurm succeeds."""
        with contextlib.suppress(Failed):
            self.ask(*words, seconds=5)
            return True
        return False

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    @contextlib.contextmanager
    def used(self) -> Iterator["Cluster"]:
        """Up while this process lives, and down afterwards, whatever happens to it."""
        with self.daemons.outlived_by_nothing():
            try:
                self.up()
            except Failed:  # somebody took a port in between, or the machine was too busy: other ports, once more
                self.up()
            yield self


def main(command: str = "", folder: str = "", part: str = "") -> str:
    cluster = Cluster(Path(folder).resolve())
    if command == "up":
        cluster.up()
        return "\n".join(f"export {name}='{value}'" for name, value in cluster.environment.items())
    if command in ("down", "heal"):
        getattr(cluster, command)()
    elif command in FAULTS and part:
        getattr(cluster, command)(part)
    else:
        return str(__doc__)
    return ""


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except (Missing, Failed) as error:
        sys.exit(str(error))
