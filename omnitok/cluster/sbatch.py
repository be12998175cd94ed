"""One array of tasks as jobs of Slurm: submitit's script, our own call of sbatch, which has a deadline."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from omnitok import runs
from omnitok.cluster.asking import Silent, Unanswered, ask
from omnitok.cluster.tokens import comment, job_name
from omnitok.spec import Fault, Mark, SpecError

LOGS: Final = "jobs"  # below a sweep's folder: 12_3_0_log.out and .err; and a folder a submission, named by its token
TASKS: Final = "tasks.json"  # in that: what its tasks are
TIMEOUT_MIN: Final = 240  # where nobody says: a job that takes longer is requeued and goes on
SIGNAL_S: Final = 90  # before its end a job is told to save
# the command line wins over the SBATCH_... variables of a login, which win over a script
WHOLE: Final = "--export=ALL"
SBATCH_S = 60.0  # how long a controller may take to answer a submission
# of these nobody knows whether the controller has the job: it was asked, and the answer was lost
UNSURE: Final = ("timed out", "Unable to contact", "Zero Bytes", "Connection", "Unexpected message", "Transport")


class Refused(Exception):
    """Slurm has said that there will be no such job."""


class Unknown(Exception):
    """Slurm has not said whether there is such a job."""


def submit_array(
    folder: Path, token: str, given: Mapping[str, Any], tasks: Mapping[str, Any], setup_lines: Sequence[str]
) -> list[str]:
    """Submit ``tasks["tasks"]`` as one array. -> the ids of its jobs, in order.

    folder: of the sweep; given: what is asked for, by submitit's names; tasks: what ``omnitok.cluster.start`` reads.
    Raises Refused, Unknown, SpecError for what submitit does not know.
    """
    count, place = len(tasks["tasks"]), folder / LOGS / token
    text = _script(folder / LOGS, place, count, given, setup_lines)
    place.mkdir(parents=True)
    runs.write(place / TASKS, json.dumps(tasks).encode())
    runs.write(place / "sbatch.sh", text.encode())
    said = comment(str(given.get("slurm_comment", folder)), token)
    try:
        with no_allocation():
            words = (WHOLE, f"--job-name={job_name(folder)}", f"--comment={said}", str(place / "sbatch.sh"))
            answer = ask("sbatch", *words, seconds=SBATCH_S)
    except Silent as error:
        raise Unknown(str(error)) from None
    except Unanswered as error:
        lost = any(words in str(error) for words in UNSURE)
        raise (Unknown if lost else Refused)(str(error).removeprefix("sbatch: ")) from None
    number = re.search(r"job (\d+)", answer)
    if number is None:
        raise Unknown(f"sbatch said {answer.strip()!r}")
    return [number[1]] if count == 1 else [f"{number[1]}_{index}" for index in range(count)]


def options(
    folder: Path, given: Mapping[str, Any], how: Mapping[str, Any], after: Sequence[str], count: int
) -> dict[str, Any]:
    """By submitit's names: what was asked for, over what nobody need ask for. ``how``: what the task itself reads."""
    given = dict(given)
    more, srun = given.pop("slurm_additional_parameters", {}), given.pop("slurm_srun_args", [])
    cores = how["threads"] + int(how["environment"].get("OMNITOK_DATA_WORKERS", 0))
    waits = [*after, *([given.pop("slurm_dependency")] if "slurm_dependency" in given else [])]
    found = {
        "timeout_min": TIMEOUT_MIN,
        "nodes": 1,
        "tasks_per_node": 1,  # where it is not said, srun starts a task for all the cores that a node has for it
        "cpus_per_task": cores,
        "slurm_signal_delay_s": signal_s(given),
        "slurm_array_parallelism": how["max_parallel"] or count,
        **given,
        "name": job_name(folder),
        # a task that dies is told of by the first task, which then ends them all and has said why
        "slurm_srun_args": ["--kill-on-bad-exit=0", "--wait=0", *srun],
        "slurm_additional_parameters": {"requeue": True, "kill-on-invalid-dep": "yes", **more},
    }
    return {**found, "slurm_dependency": ",".join(waits)} if waits else found


def signal_s(given: Mapping[str, Any]) -> int:
    """How long before its end a job is told to save."""
    return int(given.get("slurm_signal_delay_s") or min(SIGNAL_S, 30 * given.get("timeout_min", TIMEOUT_MIN)))


def python() -> str:
    """What runs a task. A signal that comes before submitit's handler is there is not to kill it: ignored, until handled."""
    return f"""sh -c 'trap "" USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""


def setup(code: Path, threads: int, cores: int) -> list[str]:
    """Lines of the batch script, for what must stand before Python begins."""
    path = f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    numbers = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "SRUN_CPUS_PER_TASK": cores}
    # the folder that somebody submitted from must not come before the frozen code
    return [path, "export PYTHONSAFEPATH=1", *(f"export {name}={number}" for name, number in numbers.items())]


@contextmanager
def no_allocation() -> Iterator[None]:
    """Submitted from inside a job, a job must not inherit what is said of that one; where Slurm's file is, it must."""
    inside = "SLURM_JOB_ID" in os.environ
    names = [name for name in os.environ if name.startswith(("SLURM_", "SRUN_", "SUBMITIT_")) and name != "SLURM_CONF"]
    hidden = {name: os.environ.pop(name) for name in names if inside}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _script(logs: Path, place: Path, count: int, given: Mapping[str, Any], setup_lines: Sequence[str]) -> str:
    """The batch script. Raises SpecError where submitit does not take what is asked for."""
    import submitit

    executor = submitit.SlurmExecutor(folder=logs, python=python())
    named = {name.removeprefix("slurm_"): value for name, value in given.items()}
    try:
        executor.update_parameters(
            **executor._convert_parameters({**named, "setup": [*named.get("setup", []), *setup_lines]})
        )
    except (ValueError, TypeError) as error:
        raise SpecError([Fault(Mark("resources"), "", str(error).splitlines()[0])]) from None
    executor.parameters |= {"map_count": count} if count > 1 else {}
    return executor._make_submission_file_text(f"{python()} -u -m omnitok.cluster.start {shlex.quote(str(place))}", "")
