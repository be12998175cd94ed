"""A job that only waits for the signal that comes before a preemption, to show that it is heard and that jobs come back."""

import json
import os
import time
from pathlib import Path
from typing import Final

from submitit.helpers import DelayedSubmission

DIARY: Final = "drill.jsonl"


class Drill:
    """As submitit calls it, like a piece of a sweep. ``seconds``: how long it waits for the signal."""

    def __init__(self, folder: str, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds

    def __call__(self) -> str:
        self._note("start")
        if "checkpoint" not in (Path(self.folder) / DIARY).read_text():
            time.sleep(self.seconds)
        self._note("end")
        return "end"

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit's handler of the signal; then the job is requeued."""
        self._note("checkpoint")
        return DelayedSubmission(Drill(self.folder, self.seconds))

    def _note(self, what: str) -> None:
        line = {"what": what, "node": os.environ.get("SLURMD_NODENAME", ""), "at": time.time()}
        with (Path(self.folder) / DIARY).open("a") as file:
            file.write(json.dumps(line) + "\n")
