"""What a sweep may ask of Slurm under ``slurm_``: names that submitit has for sbatch's options, known without Slurm."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from omnitok.spec import near

SLURM: Final = "slurm_"
INSTEAD: Final[Mapping[str, str]] = MappingProxyType({
    "slurm_time": "say timeout_min",
    "slurm_mem": "say mem_gb",
    "slurm_nodes": "say nodes",
    "slurm_ntasks_per_node": "say tasks_per_node",
    "slurm_cpus_per_task": "say cpus_per_task",
    "slurm_gpus_per_node": "say gpus_per_node",
    "slurm_num_gpus": "say gpus_per_node",
    "slurm_array_parallelism": "say max_parallel",
    "slurm_job_name": "a job's name is its sweep's, by which it is found again",
    "slurm_use_srun": "without srun no signal reaches a task, and it could not save",
    "slurm_stderr_to_stdout": "a job's logs are two files",
})  # fmt: skip
LISTS: Final = ("slurm_setup", "slurm_teardown", "slurm_srun_args")
MORE: Final = "slurm_additional_parameters"
OURS: Final = (  # by what else a job is found again, and what it must be to be requeued, to save and to be one task
    "job-name", "comment", "array", "dependency", "requeue", "no-requeue", "kill-on-invalid-dep", "signal", "output", "error",
    "open-mode", "export", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "mem", "time", "wait",
    "parsable", "test-only", "wrap",
)  # fmt: skip
TASKS: Final = re.compile(r"-[nN]|--n(tasks(-per-node)?|odes)\b")  # of srun: how many copies of a task


def option_fault(name: str, value: Any) -> str:
    """What is wrong with an option; "" where nothing is."""
    import submitit

    known = {f"{SLURM}{one}" for one in submitit.SlurmExecutor._valid_parameters()} - INSTEAD.keys()
    if name in INSTEAD:
        return f"is no option here: {INSTEAD[name]}"
    if name not in known:
        return f"no option of a Slurm job{near(name, sorted(known))}"
    if name in LISTS:
        return _list_fault(name, value)
    if name == MORE:
        return _more_fault(value)
    if name == "slurm_signal_delay_s" and not (type(value) is int and value > 0):
        return f"must be a number of seconds, not {value!r}"
    return "" if _in_a_line(value) else f"must be a number or a text in a line, not {value!r}"


def _list_fault(name: str, value: Any) -> str:
    if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return f"must be a list of texts, not {value!r}"
    many = next(filter(TASKS.match, value), "") if name == "slurm_srun_args" else ""
    return f"{many!r} is not for srun: say nodes and tasks_per_node" if many else ""


def _more_fault(value: Any) -> str:
    """Options of sbatch go into lines of a script."""
    if not (isinstance(value, dict) and all(isinstance(one, str) for one in value)):
        return f"must be options of sbatch and their values, not {value!r}"
    for name, said in value.items():
        option = name.replace("_", "-")
        if option in OURS:
            return f"{name!r} is not said so: what runs the sweep sets it, or another of resources does"
        if not (re.fullmatch(r"[a-z][a-z-]*", option) and _in_a_line(said)):
            return f"{name!r}: {said!r} is no option in a line"
    return ""


def _in_a_line(value: Any) -> bool:
    return isinstance(value, str | int | float) and str(value).isprintable()
