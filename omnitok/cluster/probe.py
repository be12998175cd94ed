"""What only jobs can find out about a site: its nodes' folders, clocks and Pythons, and whether a signalled job comes back.

Everything is given until a deadline and is cancelled then, however it ends; its folder is deleted.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok.cluster import node
from omnitok.cluster.drill import DIARY, Drill
from omnitok.cluster.freeze import Moving, freeze
from omnitok.cluster.questions import Unanswered, ask, state_of
from omnitok.cluster.sbatch import LOGS, no_allocation, python, setup
from omnitok.cluster.site import SCRATCH, Found, Level, Site
from omnitok.spec import Fault, Mark, SpecError

WAIT_S: Final = 300.0  # for jobs to start and to end, each of the two probes
LOOK_S: Final = 0.2
SKEW_S: Final = 2.0  # a clock that is further off is said
SLOW_S: Final = 1.0  # and a file that is seen later
LAG_S: Final = 30.0  # how long the accounting may take to know of an end
# what sh says where Python cannot: the folder or the interpreter is not on that node
LOOK: Final = """\
[ "$(cat "$1/token" 2>/dev/null)" = "$2" ] || { echo "{\\"node\\": \\"$SLURMD_NODENAME\\", \\"missing\\": \\"folder\\"}"; exit 0; }
[ -x "$3" ] && "$3" -c "" 2>/dev/null || { echo "{\\"node\\": \\"$SLURMD_NODENAME\\", \\"missing\\": \\"python\\"}"; exit 0; }
exec "$3" -I "$1/node.py" "$1" "$SLURM_PROCID" "$SLURM_NTASKS"
"""


class Asked(NamedTuple):
    """How it is probed: on how many nodes at once, of which partition, waiting for how long."""

    nodes: int = 2
    partition: str = ""
    seconds: float = WAIT_S

    @property
    def place(self) -> list[str]:
        return [f"--partition={self.partition}"] if self.partition else []


def probe(root: Path, site: Site, asked: Asked) -> Site:
    """The site with what its nodes were found to be. ``root``: the runs' folder. Raises SpecError where Slurm refuses the
    jobs, or has no such partition."""
    place = site.partition(asked.partition)
    if place is None:
        raise SpecError([Fault(Mark("--partition"), "", f"no partition {asked.partition or 'is the default'}")])
    asked = asked._replace(nodes=min(asked.nodes, place.nodes))
    with _scratch(root) as folder:
        reports = _look(folder, asked)
        found = list(_judged(folder, reports, asked))
        if all(one.level != "refused" for one in found):
            found += _drilled(root, folder, asked)
        else:
            found.append(Found("signal, requeued job", "warning", "not tried on nodes that are refused"))
    free = [report["free"] for report in reports if "free" in report]
    return site._replace(nodes=tuple(found), free=min(free, default=None))


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A folder of the probe beside the runs; what runs under its name is cancelled when it goes."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root.resolve()))
    folder.chmod(0o755)
    (folder / "token").write_text(folder.name)
    shutil.copyfile(node.__file__, folder / "node.py")
    try:
        yield folder
    finally:
        with suppress(Unanswered):
            ask("scancel", f"--name={_name(folder)}")
        shutil.rmtree(folder, ignore_errors=True)


def _name(folder: Path) -> str:
    return f"omnitok{folder.name.replace('.', '-')}"


# ---- the nodes


def _look(folder: Path, asked: Asked) -> list[dict[str, Any]]:
    """What each node says of itself. Raises SpecError where none answers in time."""
    words = ["srun", f"--job-name={_name(folder)}", f"--nodes={asked.nodes}", f"--ntasks={asked.nodes}"]
    words += ["--ntasks-per-node=1", "--chdir=/", "--time=10", "--kill-on-bad-exit=0", "--quiet", *asked.place]
    try:
        with no_allocation():
            said = ask(*words, "sh", "-c", LOOK, "sh", str(folder), folder.name, sys.executable, seconds=asked.seconds)
    except Unanswered as error:
        remedy = "--wait gives it longer, --nodes and --partition ask for less" if "said nothing" in str(error) else ""
        raise SpecError([Fault(Mark("--probe"), "", f"{error}{'; ' * bool(remedy)}{remedy}")]) from None
    return sorted((json.loads(line) for line in said.splitlines() if line.startswith("{")), key=lambda one: one["node"])


def _judged(folder: Path, reports: list[dict[str, Any]], asked: Asked) -> Iterator[Found]:
    """What each node was found to be, and what two of them found of each other."""
    shown = folder.parent
    for report in reports:
        name = f"node {report['node']}"
        if report.get("missing") == "folder":
            yield Found(name, "refused", f"does not see {shown}; put the runs (OMNITOK_RUNS) where all nodes see them")
        elif report.get("missing") == "python":
            yield Found(name, "refused", f"has no working {sys.executable}; install omnitok where all nodes see it")
        elif "broken" in report:
            yield Found(name, "refused", f"cannot work in {shown}: {report['broken']}")
        else:
            yield _of_node(name, report)
    if len(reports) < asked.nodes:
        yield Found("nodes", "refused", f"{len(reports)} of {asked.nodes} nodes have answered")
    two = [report for report in reports if "violations" in report]
    if len(two) == 2:
        yield from _of_folder(shown, two)
    else:
        yield Found("shared folder", "warning", "locks, renames and delays between two nodes were not tried")


def _of_node(name: str, report: Mapping[str, Any]) -> Found:
    """One line of what is as it should be, or of what is not and what to do."""
    here = {"Python": ".".join(map(str, sys.version_info[:3])), "torch": metadata.version("torch")}
    there = {"Python": report["python"], "torch": report["torch"]}
    wrong = [
        f"{what} is {there[what] or 'missing'}, here {version}"
        for what, version in here.items()
        if there[what] != version
    ]
    if wrong:
        return Found(
            name, "refused", f"{', '.join(wrong)}; checkpoints and numbers would be others: use one environment"
        )
    costs = [f"its clock is {report['skew_s']:+.1f} s off the file server's"] * (abs(report["skew_s"]) > SKEW_S)
    if report["submits"]:
        costs.append(f"jobs there may not submit ({report['submits']}): what failed goes on only with the next launch")
    if "why" in report["scratch"]:
        costs.append(f"no scratch: {report['scratch']['why']}")
    costs += [f"{service} cannot be reached: {report[key]}" for key, service in SERVICES.items() if report.get(key)]
    reached = [service for key, service in SERVICES.items() if report.get(key) == ""]
    seen = [f"Python {there['Python']}", f"torch {there['torch']}", *(f"reaches {one}" for one in reached)]
    if "why" not in report["scratch"]:
        seen.append(f"{report['scratch']['free'] / 2**30:.1f} GiB of scratch in {report['scratch']['folder']}")
    return Found(name, "warning" if costs else "ok", "; ".join(costs) or ", ".join(seen))


SERVICES: Final = {"mlflow": "MLflow", "study": "the study's PostgreSQL"}


def _of_folder(root: Path, two: list[dict[str, Any]]) -> Iterator[Found]:
    pair = " and ".join(report["node"] for report in two)
    if violations := sum(report["violations"] for report in two):
        said = f"flock does not hold between {pair} ({violations} times both had it): mount {root} with locking"
        yield Found("shared folder, locks", "refused", f"{said}, or put the runs (OMNITOK_RUNS) elsewhere")
    else:
        yield Found("shared folder, locks", "ok", f"flock holds between {pair}")
    if torn := sum(report["torn"] for report in two):
        said = f"a file that {two[0]['node']} replaced was not whole {torn} times on {two[1]['node']}"
        yield Found("shared folder, renames", "refused", f"{said}; put the runs (OMNITOK_RUNS) elsewhere")
    else:
        yield Found("shared folder, renames", "ok", "a replaced file is the old one or the new one")
    delays = [report["visible_s"] for report in two]
    slowest, level = max((one for one in delays if one is not None), default=0.0), "ok"
    said = f"a file is seen on the other node after {slowest:.3f} s"
    if None in delays:
        level, said = "refused", f"a file was not seen on the other node in {node.HAND_S:g} s"
    elif slowest > SLOW_S:
        level, said = "warning", f"{said}: a lease is taken over that much later"
    yield Found("shared folder, delay", _level(level), said)


def _level(said: str) -> Level:
    return "ok" if said == "ok" else "warning" if said == "warning" else "refused"


# ---- the signal


def _drilled(root: Path, folder: Path, asked: Asked) -> Iterator[Found]:
    """A job as a sweep submits them: signalled, saved, requeued and back; then whether the accounting knows."""
    try:
        job = _submit(root, folder, asked)
    except SpecError as error:
        yield Found("a job", "refused", "; ".join(fault.sentence for fault in error.faults))
        return
    diary = _Diary(folder, job, time.monotonic() + asked.seconds)
    if not diary.has("start"):
        yield Found("a job", "refused", f"job {job} has not begun in {asked.seconds:g} s{_words(folder)}")
        return
    begun = time.monotonic()
    try:
        ask("scancel", "--signal=USR2", job)
    except Unanswered as error:
        yield Found("signal", "refused", f"USR2 cannot be sent to job {job}: {error}")
        return
    if not diary.has("checkpoint"):
        yield Found(
            "signal", "refused", f"USR2 is not heard by job {job}: what it had not saved is lost{_words(folder)}"
        )
        return
    yield Found("signal", "ok", f"USR2 is heard, and checkpoint() reached, after {time.monotonic() - begun:.1f} s")
    if not diary.has("start", 2):
        said = f"job {job} does not come back once it is to be requeued{_words(folder)}"
        yield Found("requeued job", "refused", f"{said}; remedy: JobRequeue=1, and scontrol on the nodes")
        return
    yield Found("requeued job", "ok", f"is back {time.monotonic() - begun:.1f} s after the signal")
    diary.has("end")
    yield _known(job, time.monotonic())


class _Diary:
    """What the job writes, which is waited for until a deadline, or until there is no such job any more."""

    def __init__(self, folder: Path, job: str, until: float) -> None:
        self.path, self.job, self.until = folder / DIARY, job, until

    def has(self, what: str, times: int = 1) -> bool:
        """Whether it comes to have it so often."""
        ended = False
        while not self._count(what) >= times:
            if ended or time.monotonic() > self.until:
                return False
            ended = self._ended()  # what it wrote last is looked at once more
            time.sleep(LOOK_S)
        return True

    def _count(self, what: str) -> int:
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        return sum(json.loads(line)["what"] == what for line in lines if line.endswith("\n"))

    def _ended(self) -> bool:
        try:
            said = ask("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={self.job}").strip()
        except Unanswered:
            return False
        return bool(said) and state_of(said) not in ("pending", "running")


def _submit(root: Path, folder: Path, asked: Asked) -> str:
    """-> the job's id. Raises SpecError where Slurm refuses it or the code is not at rest."""
    import submitit
    from submitit.core.utils import FailedJobError

    made = submitit.AutoExecutor(folder=folder / LOGS, cluster="slurm", slurm_python=python(), slurm_max_num_timeout=10)
    more = {"slurm_partition": asked.partition} if asked.partition else {}
    try:
        made.update_parameters(
            timeout_min=20,
            cpus_per_task=1,
            slurm_job_name=_name(folder),
            slurm_setup=setup(freeze(root.resolve()), 1, 1),
            slurm_additional_parameters={"requeue": True, "chdir": "/"},
            **more,
        )
        with no_allocation():
            return str(made.submit(Drill(str(folder), asked.seconds)).job_id)
    except (FailedJobError, Moving) as error:
        last = (str(error).strip().splitlines() or ["sbatch failed"])[-1]
        raise SpecError([Fault(Mark("--probe"), "", last)]) from None


def _words(folder: Path) -> str:
    """The last line that the job wrote of its own trouble."""
    lines = [
        line for path in sorted((folder / LOGS).glob("*.err")) for line in path.read_text(errors="replace").split("\n")
    ]
    told = [line for line in lines if line.strip() and "INFO" not in line]
    return f": {told[-1].strip()}" if told else ""


def _known(job: str, ended: float) -> Found:
    """When the accounting knows of an end."""
    words = ("--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={job}")
    while time.monotonic() - ended < LAG_S:
        try:
            if ask("sacct", *words).startswith("COMPLETED"):
                return Found("accounting's delay", "ok", f"an end is known after {time.monotonic() - ended:.1f} s")
        except (Unanswered, SpecError) as error:
            return Found("accounting's delay", "warning", f"unknown: {error}")
        time.sleep(LOOK_S)
    return Found("accounting's delay", "warning", f"sacct has not known of an end in {LAG_S:g} s")
