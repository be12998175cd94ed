"""Several processes on this machine that train one stage together, each on its share of every batch."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from omnitok import runs
from omnitok.launching.drive import InProcess, View
from omnitok.launching.work import Outcome, Work
from omnitok.runs import Failure

LOOK_EVERY_S = 0.2
STOPPED, BUSY = 3, 4  # exit codes of the first process


class Together(InProcess):
    """One stage after another, each trained by ``processes`` processes that meet through a file; the rest in this one.

    When one of them dies the others are ended, so that nothing waits for it for ever; all end with this one."""

    def __init__(self, root: Path, threads: int, every_s: float, view: View, *, processes: int) -> None:
        super().__init__(root, threads, every_s, view)
        self.processes, self.threads = processes, threads

    def submit(self, work: Work) -> None:
        if work.evaluation:
            super().submit(work)
            return
        (self.root / work.stage / runs.ERROR).unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as meeting:
            members = [self._start(work, Path(meeting), rank) for rank in range(self.processes)]
            try:
                codes = self._codes(work, members)
            finally:
                for member in members:
                    member.kill()
                    member.communicate()
        self.ended.append((work, self._outcome(self.root / work.stage, codes)))

    def _start(self, work: Work, meeting: Path, rank: int) -> subprocess.Popen[bytes]:
        words = [str(self.root / work.stage), str(self.threads), str(self.every_s), f"file://{meeting}/meet"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        command = [sys.executable, "-m", "omnitok.launching.group", *words, str(self.processes), str(rank)]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)

    def _codes(self, work: Work, members: list[subprocess.Popen[bytes]]) -> list[int | None]:
        """The exit codes when all have ended well, or the first otherwise; None of one that goes on."""
        told = False
        while True:
            codes = [member.poll() for member in members]
            if any(codes) or None not in codes:
                return codes
            if self.asked and not told:
                members[0].send_signal(signal.SIGTERM)
                told = True
            time.sleep(LOOK_EVERY_S)
            self.view.look([work])

    def _outcome(self, folder: Path, codes: list[int | None]) -> Outcome:
        if not any(codes):
            return "done"
        if codes[0] in (STOPPED, BUSY):
            (folder / runs.ERROR).unlink(missing_ok=True)  # of those that then missed the first
            return "stopped" if codes[0] == STOPPED else "busy"
        found = runs.failure(folder)
        killed = [rank for rank, code in enumerate(codes) if code is not None and code < 0]
        if found is None or killed:  # who was killed could not say so; who missed it said something else
            rank = killed[0] if killed else next(rank for rank, code in enumerate(codes) if code)
            found = Failure("killed", f"process {rank} of {self.processes} died (exit code {codes[rank]})", "")
            runs.fail(folder, found)
        return found


def member(folder: Path, threads: int, every_s: float, place: tuple[str, int, int]) -> int:
    """One of the processes: the first writes the folder, the others only learn. ``place``: where they meet, how many they
    are, which this is. -> its exit code."""
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415

    from omnitok import trial  # noqa: PLC0415
    from omnitok.processes import end_with_input  # noqa: PLC0415
    from omnitok.training.devices import device  # noqa: PLC0415

    end_with_input()
    meeting, world, rank = place
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    torch.set_num_threads(threads)
    backend = "nccl" if device().type == "cuda" else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=world)
    try:
        failed = trial.attempt(
            lambda: (
                trial.run(folder, checkpoint_every_s=every_s, stop=lambda: bool(asked))
                if rank == 0
                else trial.follow(folder)
            )
        )
    except trial.Stopped:
        return STOPPED
    except runs.Busy:
        return BUSY
    return 1 if failed else 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    place = (arguments[3], int(arguments[4]), int(arguments[5]))
    code = member(Path(arguments[0]), int(arguments[1]), float(arguments[2]), place)
    sys.stdout.flush()
    os._exit(code)  # at once: the others may wait for this one, and so would the end of the group
