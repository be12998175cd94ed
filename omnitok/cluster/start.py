"""``python -m omnitok.cluster.start FOLDER``: what the script of a job calls in each task.

Its task stands in the folder as JSON before the job is submitted, so that nothing is left to be done after sbatch has
answered; what submitit wants to have as a pickle, to come back to after a requeue, is made here.
"""

import os
import sys
from pathlib import Path
from typing import Final

import submitit
from submitit.core.submission import process_job
from submitit.helpers import DelayedSubmission

from omnitok import runs
from omnitok.cluster.job import Job
from omnitok.cluster.sbatch import TASKS

TIMEOUTS: Final = 1000  # submitit's count is not to end a job, which goes on as long as it gets on


def start(folder: Path) -> None:
    """Run this task of this job, as submitit does."""
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    environment = submitit.JobEnvironment()
    if environment.global_rank == 0:
        said = runs.read_json(folder / TASKS)
        task = DelayedSubmission(
            Job(said["root"], said["tasks"][int(environment.array_task_id or 0)], said["resources"], str(folder))
        )
        task.set_timeout(said["timeout_min"], TIMEOUTS)
        for torn in folder.glob(f"{environment.job_id}_*.save_tmp"):  # submitit refuses to write beside one
            torn.unlink()
        partial = folder / f"{environment.job_id}.partial"
        task.dump(partial)
        partial.replace(environment.paths.submitted_pickle)
    process_job(folder)


if __name__ == "__main__":
    start(Path(sys.argv[1]))
