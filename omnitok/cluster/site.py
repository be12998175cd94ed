"""The site that jobs go to: what Slurm says of it, what was found on its nodes, and what each of it means for a sweep.

``site.json`` in the runs' folder keeps it: ``doctor`` writes it, ``plan`` and ``launch`` read it.
"""

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from omnitok import provenance, runs
from omnitok.cluster.asking import Unanswered, ask
from omnitok.cluster.questions import NO_LIMIT, Limits, limits
from omnitok.spec import Fault, Mark, SpecError, near

SITE: Final = "site.json"
SCRATCH: Final = ".site-"  # how a folder beside the runs begins in which the nodes are probed
LONGEST_WAIT_S: Final = 60.0  # for a single answer of the accounting

Level = Literal["ok", "warning", "refused"]


class Found(NamedTuple):
    """One thing that was looked at. ``seen``: what it is, what it costs where it is a warning, the remedy where sweeps
    cannot run so."""

    what: str
    level: Level
    seen: str


class Partition(NamedTuple):
    """``minutes``: the longest that a job may take, None: as long as it likes. ``gpus``: of one node. ``preempted``: what
    happens to jobs that must go, ``OFF``: nothing; ``grace_s``: how long before. ``memory_gb``: of one node, None: nobody says."""

    name: str
    default: bool
    up: bool
    minutes: int | None
    nodes: int
    gpus: int
    preempted: str
    grace_s: int
    memory_gb: float | None = None


class Site(NamedTuple):
    """``silent``: why the accounting does not answer; empty where it does. ``nodes``: what ``doctor --probe`` found
    there, a finding a line; empty where nobody has tried. ``services``: the qualities of service, None where Slurm takes any name."""

    examined: str
    cluster: str
    version: str
    array: int
    submitted: int
    partitions: tuple[Partition, ...]
    requeue: bool
    preempts: bool
    user_signal: bool
    kill_s: int
    remembers_s: int
    silent: str
    nodes: tuple[Found, ...] = ()
    free: int | None = None  # bytes on the file system of the runs, as a node sees it
    services: tuple[str, ...] | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.array, self.submitted)

    def partition(self, name: str = "") -> Partition | None:
        """By its name, or the one that jobs go to where none is said."""
        return next((one for one in self.partitions if one.name == name or (not name and one.default)), None)


def asked() -> Site:
    """The site as Slurm describes it now. Raises SpecError where it has no commands here or does not answer."""
    allowed = limits()
    try:
        said = dict(re.findall(r"^(\w+) *= *(.*?)\s*$", ask("scontrol", "show", "config"), re.MULTILINE))
        partitions = tuple(map(_partition, ask("scontrol", "show", "partition", "--oneliner").splitlines()))
        nodes = ask("sinfo", "--noheader", "--Node", "--format=%R|%m|%G")
    except Unanswered as error:
        raise SpecError([Fault(Mark("--cluster slurm"), "", f"Slurm does not answer ({error})")]) from None
    gpus, memory = _gpus(nodes), _memory(nodes)
    return Site(
        examined=provenance.now(),
        cluster=said.get("ClusterName", ""),
        version=said.get("SLURM_VERSION", ""),
        array=allowed.array,
        submitted=allowed.submitted,
        partitions=tuple(
            one._replace(gpus=gpus.get(one.name, 0), memory_gb=memory.get(one.name)) for one in partitions
        ),
        requeue=said.get("JobRequeue") == "1",
        preempts=said.get("PreemptType", "preempt/none") not in ("preempt/none", "(null)"),
        user_signal="preempt_send_user_signal" in said.get("SlurmctldParameters", ""),
        kill_s=_number(said.get("KillWait", "")),
        remembers_s=_number(said.get("MinJobAge", "")),
        silent=_silence(),
        services=_qualities() if {"qos", "all"} & set(said.get("AccountingStorageEnforce", "").split(",")) else None,
    )


def _partition(line: str) -> Partition:
    said = dict(re.findall(r"(\w+)=(\S*)", line))
    return Partition(
        name=said.get("PartitionName", ""),
        default=said.get("Default") == "YES",
        up=said.get("State") == "UP",
        minutes=minutes_of(said.get("MaxTime", "")),
        nodes=_number(said.get("TotalNodes", "")),
        gpus=0,
        preempted=said.get("PreemptMode", "OFF"),
        grace_s=_number(said.get("GraceTime", "")),
    )


def minutes_of(said: str) -> int | None:
    """Slurm's ``[days-]hours:minutes:seconds`` in whole minutes; None: no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", said)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (24 * days + hours) * 60 + minutes


def _number(said: str) -> int:
    """The number that a setting begins with, such as "30 sec"; 0 where it has none."""
    match = re.match(r"\d+", said)
    return int(match[0]) if match else 0


def _gpus(text: str) -> dict[str, int]:
    """{partition: the most GPUs of one of its nodes} from lines such as ``all|64000|gpu:a100:2(S:0-1)``."""
    most: dict[str, int] = {}
    for line in text.splitlines():
        name, _, resources = line.split("|", 2)
        counts = [int(count) for count in re.findall(r"gpu:(?:[^:,(]+:)?(\d+)", resources)]
        most[name] = max(most.get(name, 0), sum(counts))
    return most


def _memory(text: str) -> dict[str, float]:
    """{partition: the most memory of one of its nodes in GB} from the same lines, which have MB; 1 where nobody said it."""
    most: dict[str, float] = {}
    for line in text.splitlines():
        name, size, _ = line.split("|", 2)
        if (found := _number(size)) > 1:
            most[name] = max(most.get(name, 0.0), found / 1024)
    return most


def _qualities() -> tuple[str, ...] | None:
    """The names of all qualities of service; None where the accounting does not say."""
    try:
        return tuple(ask("sacctmgr", "show", "qos", "--noheader", "--parsable2", "format=Name").split())
    except (Unanswered, SpecError):
        return None


def _silence() -> str:
    """Why the accounting does not answer."""
    words = (
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID",
        f"--user={pwd.getpwuid(os.geteuid()).pw_name}",
    )
    try:
        ask("sacct", *words, seconds=LONGEST_WAIT_S)
    except (Unanswered, SpecError) as error:
        return str(error)
    return ""


# ---- what it means


def findings(site: Site) -> list[Found]:
    """What of a site is as a sweep wants it, what costs something, and what makes sweeps impossible."""
    found = [Found("Slurm", "ok", f"{site.version}, cluster {site.cluster}"), *map(_of_partition, site.partitions)]
    if site.partition() is None:
        found.append(
            Found("partitions", "warning", "none is the default, so each sweep says resources.slurm_partition")
        )
    found += [_arrays(site), _accounting(site), _requeue(site), *_preemption(site)]
    return [*found, *site.nodes]


def _of_partition(one: Partition) -> Found:
    parts = ["no time limit" if one.minutes is None else f"at most {one.minutes} minutes", f"{one.nodes} nodes"]
    parts += [f"{one.gpus} GPUs a node" if one.gpus else "no GPUs"]
    parts += [f"preempted jobs: {one.preempted}, {one.grace_s} s before"] * (one.preempted != "OFF")
    parts += ["the default"] * one.default
    level: Level = "ok" if one.up else "warning"
    said = "" if one.up else "is not up, jobs there wait for ever; "
    return Found(f"partition {one.name}", level, said + ", ".join(parts))


def _arrays(site: Site) -> Found:
    most = "any number of jobs" if site.submitted >= NO_LIMIT else f"at most {site.submitted:,} jobs"
    if site.array <= 1:
        return Found(
            "arrays", "warning", f"MaxArraySize allows none, so that each job is submitted by itself; {most} a user"
        )
    return Found("arrays", "ok", f"at most {site.array:,} tasks an array; {most} a user, waiting and running")


def _accounting(site: Site) -> Found:
    if not site.silent:
        return Found("accounting", "ok", "sacct answers")
    cost = f"how a job ended is known for {site.remembers_s} s only (MinJobAge); later it counts as lost and is submitted again"
    return Found("accounting", "warning", f"{site.silent}; {cost}; remedy: slurmdbd (AccountingStorageType)")


def _requeue(site: Site) -> Found:
    if site.requeue:
        return Found("requeue", "ok", "JobRequeue=1")
    return Found("requeue", "warning", "JobRequeue=0: only jobs that say --requeue come back; those of a sweep say it")


def _preemption(site: Site) -> Iterator[Found]:
    if not site.preempts:
        yield Found("preemption", "ok", "jobs are not preempted (PreemptType)")
        return
    how = "USR2 comes" if site.user_signal else "only SIGTERM comes, which jobs of a sweep take as well,"
    gone = [one.name for one in site.partitions if one.preempted == "CANCEL"]
    if gone:
        said = f"{', '.join(gone)}: preempted jobs are cancelled and do not come back by themselves; launch again, or keep a keeper"
        yield Found("preemption", "warning", said)
    hasty = [one.name for one in site.partitions if one.preempted not in ("OFF", "CANCEL") and not one.grace_s]
    if hasty:
        said = f"{', '.join(hasty)}: GraceTime=0, so that a preempted job has {site.kill_s} s (KillWait) to save a checkpoint"
        yield Found("preemption", "warning", f"{said}; what is later is lost up to the checkpoint before")
    if not gone and not hasty:
        yield Found("preemption", "ok", f"{how} before a job must go")


def unfit(site: Site, given: Mapping[str, Any]) -> Iterator[str]:
    """Why a job that is given this would never run here, in a sentence each that begins with the resource. Of several partitions one that fits is
    enough, but all must be there."""
    names = str(given.get("slurm_partition", "")).split(",")  # nothing: the default
    known = [one.name for one in site.partitions]
    found = {name: site.partition(name) for name in names}
    for name in (name for name, one in found.items() if one is None):
        yield (
            f"slurm_partition={name!r}: no such partition{near(name, known)}"
            if name
            else "slurm_partition must be said"
        )
    service = str(given.get("slurm_qos", ""))
    if service and site.services is not None and service not in site.services:
        yield f"slurm_qos={service!r}: no such quality of service{near(service, site.services)}"
    short = [list(_short(one, given)) for one in found.values() if one]
    if all(short):
        yield from (sentence for sentences in short for sentence in sentences)


def _short(one: Partition, given: Mapping[str, Any]) -> Iterator[str]:
    """What of this a partition does not have."""
    if one.minutes is not None and given.get("timeout_min", 0) > one.minutes:
        yield f"timeout_min={given['timeout_min']}: the partition {one.name} lets a job take {one.minutes} minutes"
    if given.get("gpus_per_node", 0) > one.gpus:
        yield f"gpus_per_node={given['gpus_per_node']}: a node of the partition {one.name} has {one.gpus}"
    if one.memory_gb is not None and given.get("mem_gb", 0) > one.memory_gb:
        yield f"mem_gb={given['mem_gb']}: a node of the partition {one.name} has {one.memory_gb:.4g}"
    if given.get("nodes", 1) > one.nodes:
        yield f"nodes={given['nodes']}: the partition {one.name} has {one.nodes}"


# ---- kept


def write(root: Path, site: Site) -> Path:
    """Keep it. -> its file."""
    root.mkdir(parents=True, exist_ok=True)
    lines = {"partitions": [one._asdict() for one in site.partitions], "nodes": [one._asdict() for one in site.nodes]}
    runs.write_json(root / SITE, {**site._asdict(), **lines})
    return root / SITE


def read(root: Path) -> Site | None:
    """What was kept; None where nothing was. Raises SpecError where it is not what ``write`` wrote."""
    if not (root / SITE).exists():
        return None
    try:
        said = runs.read_json(root / SITE)
        partitions = tuple(Partition(**one) for one in said.pop("partitions"))
        nodes = tuple(Found(**one) for one in said.pop("nodes"))
        services = said.pop("services", None)
        return Site(partitions=partitions, nodes=nodes, services=services and tuple(services), **said)
    except (ValueError, TypeError, KeyError, AttributeError):
        said = "is no profile of a site; write it anew with: omnitok doctor --cluster slurm"
        raise SpecError([Fault(Mark(str(root / SITE)), "", said)]) from None
