"""The configuration of a small and impatient Slurm: everything in one folder, everything on loopback.

Each setting that is not Slurm's default has its reason beside it. Written for Slurm 22.05 (Debian 12).
"""

import json
import os
import pwd
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

CONTROLLER = """
ClusterName=omnitok
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# cred_expire is also how long a requeued job waits before it may start again; 120 s if nobody says
AuthInfo=socket={munge},cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmctldParameters=preempt_send_user_signal
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool/%n
# the nodes are as large as this file says, whatever the machine is
SlurmdParameters=config_overrides
# no cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
PropagateResourceLimits=NONE
MpiDefault=none
MailProg=/bin/true
# a node that comes back serves again
ReturnToService=2
# what is broken is found in seconds
SlurmctldTimeout=10
SlurmdTimeout=10
BatchStartTimeout=10
MessageTimeout=5
TCPTimeout=2
KillWait=5
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
# without it a job takes all the memory of its node
DefMemPerCPU=1024
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounts_port}
# sacct and sacctmgr look for munge here
AccountingStoragePass={munge}
AccountingStorageTRES=gres/gpu
# memory is watched once a second: a step that takes more than its share is killed
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
"""
NODES = """
NodeName={nodes} NodeAddr=127.0.0.1 Port={node_ports} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=all  Nodes=ALL PriorityTier=5  PreemptMode=OFF     State=UP Default=YES
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF     State=UP
PartitionName=low  Nodes=ALL PriorityTier=1  PreemptMode=REQUEUE State=UP GraceTime=10
"""
ACCOUNTS = """
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounts_port}
SlurmUser={user}
PidFile={folder}/run/slurmdbd.pid
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""
DATABASE = """
ALTER USER root@localhost IDENTIFIED BY '{password}';
CREATE DATABASE IF NOT EXISTS slurm;
GRANT ALL ON slurm.* TO slurm@'127.0.0.1' IDENTIFIED BY '{password}';
"""


@dataclass(frozen=True)
class Layout:
    """A cluster's folder, ports and size.

    port: the first of 3 + ``nodes`` in a row: the database's, accounting's, the controller's, then the nodes'
    """

    folder: Path
    port: int
    nodes: int = 4
    gpus: int = 2
    cpus: int = 4
    memory: int = 16000
    password: str = field(default_factory=lambda: secrets.token_hex(12))

    @classmethod
    def read(cls, folder: Path) -> "Layout":
        """The one that was written to ``folder``."""
        return cls(folder=folder, **json.loads((folder / "etc" / "layout.json").read_text()))

    @property
    def names(self) -> list[str]:
        return [f"node{index + 1}" for index in range(self.nodes)]

    def values(self) -> dict[str, object]:
        """What the texts above leave open."""
        return {
            **vars(self),
            "host": socket.gethostname().partition(".")[0],  # Slurm compares it with the machine's own
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "munge": self.folder / "run" / "munge",
            "database_port": self.port,
            "accounts_port": self.port + 1,
            "controller_port": self.port + 2,
            "node_ports": f"[{self.port + 3}-{self.port + 2 + self.nodes}]",
            "nodes": f"node[1-{self.nodes}]",
        }

    def write(self) -> None:
        """Every file that the daemons read, and the folders that they write to."""
        for name in ("etc", "run", "state", "spool", "devices", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._secret("run/key", secrets.token_bytes(1024))
        self._secret("etc/slurmdbd.conf", ACCOUNTS.format(**self.values()).encode())
        self._secret("etc/database.sql", DATABASE.format(**self.values()).encode())
        # a GPU must be a character device, and a link to one is enough
        for index in range(self.gpus):
            (self.folder / "devices" / f"gpu{index}").symlink_to("/dev/null")
        devices = f"NodeName=node[1-{self.nodes}] Name=gpu File={self.folder}/devices/gpu[0-{self.gpus - 1}]\n"
        (self.folder / "etc" / "gres.conf").write_text(devices)
        # inside a node, and only there, the nodes' names are known
        (self.folder / "etc" / "hosts").write_text(
            "127.0.0.1 localhost {host} {0}\n".format(" ".join(self.names), **self.values())
        )
        self.configure({})
        held = {name: value for name, value in vars(self).items() if name != "folder"}
        self._secret("etc/layout.json", json.dumps(held).encode())

    def configure(self, changes: dict[str, object]) -> None:
        """slurm.conf, with some settings set otherwise than above."""
        lines = (CONTROLLER + NODES).format(**self.values()).splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in changes]
        text = "\n".join([*(f"{name}={value}" for name, value in changes.items()), *kept, ""])
        draft = self.folder / "etc" / "slurm.conf.new"
        draft.write_text(text)
        draft.rename(self.folder / "etc" / "slurm.conf")

    def _secret(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_bytes(content)
