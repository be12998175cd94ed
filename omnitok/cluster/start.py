"""``python -m omnitok.cluster.start FOLDER``: what the script of a job calls in each task.

Its task stands in the folder as JSON before the job is submitted, so that nothing is left to be done after sbatch has
answered; what submitit wants to have as a pickle, to come back to after a requeue, is made here.
"""

import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Final, NoReturn

import submitit
from submitit.core.submission import process_job
from submitit.helpers import DelayedSubmission

from omnitok import runs
from omnitok.cluster.job import Job
from omnitok.cluster.meeting import LOOK_S, MEET_S
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
    until = time.monotonic() + MEET_S  # the first of several may come late; submitit waits for a minute
    while not environment.paths.submitted_pickle.exists() and time.monotonic() < until:
        time.sleep(LOOK_S)
    process_job(folder)


def main(folder: Path) -> NoReturn:
    """As a process. It ends without the end of its interpreter, which aborts where the thread that works is inside torch,
    as in a task that is requeued while it measures; and it leaves no image of its memory, however it dies."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 1
    try:
        start(folder)
        code = 0
    except SystemExit as asked:  # by submitit, after it has requeued the job
        code = asked.code if isinstance(asked.code, int) else 1
    except Exception:  # the boundary: what is told here is read in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
