"""A small pool of warm processes on this machine. They speak JSON lines over pipes, so nothing is ever pickled; one that
dies takes only its own piece of work with it."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from omnitok import runs
from omnitok.launching.work import Outcome, Work, do
from omnitok.runs import Failure


class Pool:
    """``workers`` processes of ``threads`` threads each, started when first needed; their noise goes to ``logs``."""

    def __init__(self, root: Path, workers: int, threads: int, every_s: float, logs: Path) -> None:
        self.root, self.workers, self.threads, self.every_s, self.logs = root, workers, threads, every_s, logs
        self.idle: list[_Process] = []
        self.busy: list[_Process] = []
        self.selector = selectors.DefaultSelector()

    @property
    def free(self) -> int:
        return self.workers - len(self.busy)

    @property
    def active(self) -> list[Work]:
        return [process.work for process in self.busy if process.work is not None]

    def submit(self, work: Work) -> None:
        process = self.idle.pop() if self.idle else self._start()
        process.work = work
        self.busy.append(process)
        process.say(work._asdict())

    def wait(self, timeout_s: float) -> list[tuple[Work, Outcome]]:
        """What has ended since, after at most ``timeout_s``."""
        ready = [key.data for key, _ in self.selector.select(timeout_s)]
        for process in ready:
            if process in self.idle:  # it died with nothing to do; the next piece of work starts another
                self.idle.remove(process)
                self._drop(process)
        return [self._ended(process) for process in ready if process in self.busy]

    def stop(self) -> None:
        """Ask every process to save and stop after its step."""
        for process in self.busy:
            process.handle.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End the processes that this pool started."""
        for process in [*self.idle, *self.busy]:
            self._drop(process)
        self.selector.close()

    def _start(self) -> "_Process":
        self.logs.mkdir(parents=True, exist_ok=True)
        process = _Process(self.root, self.threads, self.every_s, self.logs / f"worker-{len(self.busy)}.log")
        self.selector.register(process.output, selectors.EVENT_READ, process)
        return process

    def _ended(self, process: "_Process") -> tuple[Work, Outcome]:
        work = process.work
        assert work is not None
        line = process.output.readline()
        self.busy.remove(process)
        if line.endswith(b"\n"):
            process.work = None
            said = json.loads(line)
            if said == "stopped":  # it was told to stop, and does so from now on
                self._drop(process)
            else:
                self.idle.append(process)
            return work, Failure(*said) if isinstance(said, list) else said
        self._drop(process)
        return work, self._died(work, process.handle.returncode)

    def _died(self, work: Work, code: int) -> Failure:
        """A process that is gone cannot leave its own ``error.txt``."""
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        memory = "; out of memory?" if code == -signal.SIGKILL else ""
        failure = Failure("killed", f"the process died ({name}{memory})", f"its output is in {self.logs}")
        runs.fail(self.root / work.stage, failure)
        return failure

    def _drop(self, process: "_Process") -> None:
        self.selector.unregister(process.output)
        process.end()


class _Process:
    """One worker: ``python -m omnitok.launching.pool``, told what to do by lines on its standard input."""

    work: Work | None = None

    def __init__(self, root: Path, threads: int, every_s: float, log: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        with log.open("ab") as noise:
            self.handle = subprocess.Popen(
                [sys.executable, "-m", "omnitok.launching.pool", str(root), str(threads), str(every_s),
                 str(os.getpid())],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, env=environment, start_new_session=True,
            )  # fmt: skip
        assert self.handle.stdin is not None
        assert self.handle.stdout is not None
        self.input: IO[bytes] = self.handle.stdin
        self.output: IO[bytes] = self.handle.stdout

    def say(self, data: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died while idle; its end of the pipe says so to ``wait``
            self.input.write(json.dumps(data).encode() + b"\n")
            self.input.flush()

    def end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        if self.work is not None:
            self.handle.kill()
        self.handle.wait()
        self.output.close()


def serve(root: Path, threads: int, every_s: float, parent: int) -> None:
    """The worker's life: a line in, a piece of work done, a line out, until the input ends."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)
    asked: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not look like an answer
    for line in sys.stdin.buffer:
        said = json.loads(line)
        work = Work(said["stage"], said["label"], said["steps"], tuple(said["after"]), said["evaluation"])
        outcome = do(work, root, every_s, lambda: bool(asked) or os.getppid() != parent, lambda record: None)
        answers.write(json.dumps(list(outcome) if isinstance(outcome, Failure) else outcome).encode() + b"\n")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
