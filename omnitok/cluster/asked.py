"""What a sweep may ask of Slurm under ``slurm_``: names that submitit has for sbatch's options, known without Slurm."""

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


def option_fault(name: str, value: Any) -> str:
    """What is wrong with an option; "" where nothing is."""
    import submitit

    known = {f"{SLURM}{one}" for one in submitit.SlurmExecutor._valid_parameters()} - INSTEAD.keys()
    if name in INSTEAD:
        return f"is no option here: {INSTEAD[name]}"
    if name not in known:
        return f"no option of a Slurm job{near(name, sorted(known))}"
    if name in LISTS and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return f"must be a list of texts, not {value!r}"
    if name == "slurm_additional_parameters" and not isinstance(value, dict):
        return f"must be options of sbatch and their values, not {value!r}"
    return ""
