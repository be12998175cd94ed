"""Running the searches of a sweep: what their workers are told, workers here, and workers as jobs of a cluster."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

from omnitok.cluster import Piece
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.launching.drive import View, stoppable
from omnitok.launching.queued import WORKER
from omnitok.launching.work import Outcome, Work
from omnitok.runs import Busy, Failure
from omnitok.search import prepare, storage_refusal, winner
from omnitok.search.prepare import try_again
from omnitok.search.standing import WINNER
from omnitok.search.worker import work
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.file import Asked
from omnitok.sweep.plan import Plan
from omnitok.sweep.resources import Resources, Used, given
from omnitok.sweep.searched import Searched
from omnitok.sweep.stored import SEARCHES, folder_of
from omnitok.training.studies import study_url

LOOK_S: Final = 0.25  # how often the view looks
ASK_S: Final = 5.0  # how often the queue is asked
SURE: Final = 2  # answers in a row without a job: files of another machine are seen late
AGAIN: Final = 3  # how often a worker of an arm that died is replaced
WORKERS: Final = 4  # of an arm's search on a cluster


def unshared(planned: Plan, workers: int) -> str:
    """Why so many workers of one arm, or as many as it has trials, cannot share the study; "" where they can."""
    most = min(workers, max((one.search.trials for one in unfinished(planned)), default=0))
    said = storage_refusal(study_url(), most)
    return f"OMNITOK_STUDY: {said}" if said else ""


def refuse_storage(planned: Plan, workers: int) -> None:
    """Raises SpecError where so many workers of one arm cannot share the study."""
    if said := unshared(planned, workers):
        raise SpecError([Fault(Mark("environment"), "", said)])


def on_cluster(resources: Resources) -> int:
    """How many workers an arm's search has as jobs."""
    return resources.search_workers or WORKERS


def unfinished(planned: Plan) -> list[Searched]:
    """The searches that still suggest something."""
    return [one for one in planned.searches if not one.over]


def tell(planned: Plan) -> None:
    """Write what the workers of every unfinished search are told."""
    for one in unfinished(planned):
        seed = planned.asked.file.seeds[0]
        said = {"name": one.name, "text": one.text, "search": one.said, "seed": seed, "warm": one.warm}
        prepare(one.folder, said)


def try_stopped_again(root: Path, asked: Asked) -> None:
    """A person launches: of a sweep that is stored the searches that were given up go on."""
    for path in folder_of(root, asked.digest).glob(f"{SEARCHES}/*/{WINNER}"):
        try_again(path.parent)


def search_pieces(root: Path, planned: Plan) -> list[Piece]:
    """The workers of every unfinished search as pieces for a cluster."""
    resources = planned.asked.file.resources
    return [
        Piece(
            id=f"{WORKER}{one.name}.{i}",
            label=f"search {one.name}",
            stages=(),
            evaluations=(),
            after=(),
            resources=given(resources, _used(one)),
            search=str(one.folder.relative_to(root)),
        )
        for one in unfinished(planned)
        for i in range(min(on_cluster(resources), one.search.trials))
    ]


def _used(one: Searched) -> Used:
    """A worker trains every stage; it is given what the last one is."""
    return one.used()[-1]


def search_here(root: Path, searches: Sequence[Searched], resources: Resources, workers: int, view: View) -> bool:
    """Search with processes on this machine until nothing more is to be suggested; with ``workers`` 0 in this process.

    -> whether somebody stopped it; what was being trained then has its checkpoint."""
    here: _Here | _Processes = _Processes(root, searches, resources, workers, view) if workers else _Here(root, view)
    view.begin([piece(root, one) for one in searches])
    torch.set_num_threads(resources.threads)
    try:
        with stoppable(here) as stopping:
            here.search(searches, stopping)
            return stopping()
    finally:
        here.close()
        view.close()


def piece(root: Path, one: Searched) -> Work:
    """An arm's search as a view is told of it."""
    return Work(str(one.folder.relative_to(root)), f"search {one.name}", one.search.trials, (), {})


def _came_to(one: Searched) -> Outcome | None:
    """How a search ended, once it has."""
    won = winner(one.folder)
    if won is None:
        return None
    return "done" if won["trial"] is not None else Failure("search", won["reason"], "")


class _Here:
    """One arm after another, in this process."""

    def __init__(self, root: Path, view: View) -> None:
        self.root, self.view, self.asked = root, view, False

    def stop(self) -> None:
        self.asked = True

    def close(self) -> None:
        return None

    def search(self, searches: Sequence[Searched], stopping: Callable[[], bool]) -> None:
        for one in searches:
            if not self.asked:
                work(one.folder, self._looking(piece(self.root, one)))
                self.view.ended(piece(self.root, one), "stopped" if self.asked else _came_to(one) or "stopped")

    def _looking(self, one: Work) -> Callable[[], bool]:
        """Asked at every step whether to stop, the view looks now and then."""
        looked = [time.monotonic()]

        def stop() -> bool:
            if time.monotonic() - looked[0] > LOOK_S:
                looked[0] = time.monotonic()
                self.view.look([one])
            return self.asked

        return stop


class _Processes:
    """So many worker processes at once, spread evenly over the arms that are still searched."""

    def __init__(
        self, root: Path, searches: Sequence[Searched], resources: Resources, workers: int, view: View
    ) -> None:
        self.root, self.view, self.workers = root, view, workers
        self.most = min(workers, resources.search_workers or workers)
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(resources.threads)}
        self.environment["MKL_NUM_THREADS"] = self.environment["OMP_NUM_THREADS"]
        self.open = {one.name: one for one in searches}
        self.at: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.died: dict[str, int] = {}

    def stop(self) -> None:
        for _, process in self.at:
            process.terminate()

    def close(self) -> None:
        """End the processes that are left, so that none searches on alone."""
        for _, process in self.at:
            process.kill()
            process.wait()

    def search(self, searches: Sequence[Searched], stopping: Callable[[], bool]) -> None:
        while self.at or (self.open and not stopping()):
            if not stopping():
                self._start()
            time.sleep(LOOK_S)
            self.view.look([piece(self.root, self.open[name]) for name in dict(self.at) if name in self.open])
            for name, process in [one for one in self.at if one[1].poll() is not None]:
                self.at.remove((name, process))
                self._ended(name, process.returncode, stopped=stopping())

    def _start(self) -> None:
        """A worker for the arm that has the fewest, as long as there is room."""
        while len(self.at) < self.workers:
            busy = [name for name, _ in self.at]
            room = {name: busy.count(name) for name, one in self.open.items()
                    if busy.count(name) < min(self.most, one.search.trials)}  # fmt: skip
            if not room:
                return
            name = min(room, key=lambda one: room[one])
            self.at.append((name, self._process(self.open[name])))

    def _process(self, one: Searched) -> "subprocess.Popen[bytes]":
        logs = one.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "omnitok.search.worker", str(self.root), str(one.folder)]
        with (logs / f"worker-{len(self.at)}.log").open("ab") as noise:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=noise, stderr=noise, env=self.environment,
                start_new_session=True,
            )  # fmt: skip

    def _ended(self, name: str, code: int, *, stopped: bool) -> None:
        """Whether the arm's search is over, or was given up as its workers die."""
        if name not in self.open:
            return
        one = self.open[name]
        outcome: Outcome | None = "stopped" if stopped else _came_to(one)
        if outcome is None and code:
            self.died[name] = self.died.get(name, 0) + 1
            if self.died[name] > AGAIN:
                said = f"workers of the search died {self.died[name]} times, at last with {code}"
                outcome = Failure("killed", said, f"their output is in {one.folder / 'logs'}")
        if outcome is not None and (outcome != "stopped" or name not in dict(self.at)):
            del self.open[name]
            self.view.ended(piece(self.root, one), outcome)


def wait_for_searches(root: Path, folder: Path, planned: Plan, view: View, again: Callable[[], object]) -> bool:
    """Until every search is over or no job is left that searches; ctrl-C leaves the jobs alone. -> whether it came.

    ``again``: submits what of the workers that ended badly may be tried again."""
    waiting = {one.name: one for one in unfinished(planned)}
    ids = {name: [piece.id for piece in search_pieces(root, planned) if piece.id.startswith(f"search.{name}.")]
           for name in waiting}  # fmt: skip
    asked, gone = 0.0, dict.fromkeys(waiting, 0)
    view.begin([piece(root, one) for one in waiting.values()])
    try:
        while waiting:
            view.look([piece(root, one) for one in waiting.values()])
            for name, one in list(waiting.items()):
                if outcome := _came_to(one):
                    view.ended(piece(root, waiting.pop(name)), outcome)
            if time.monotonic() - asked > ASK_S and waiting:
                asked = time.monotonic()
                gone = _gone(folder, ids, gone)
                if any(gone[name] == SURE for name in waiting):
                    with suppress(SpecError, Busy):  # a controller that is silent, a keeper that is at it
                        again()
            for name in [name for name in waiting if gone[name] > 2 * SURE]:
                view.ended(piece(root, waiting.pop(name)), Failure("job", "no job is left that searches", ""))
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return True
    finally:
        view.close()
    return False


def _gone(folder: Path, ids: Mapping[str, Sequence[str]], before: Mapping[str, int]) -> dict[str, int]:
    """How many answers in a row had no job of a search; a controller that is away for a while says nothing."""
    try:
        jobs = queue(folder)
    except SpecError:
        return dict(before)
    there = {name: any(one in jobs and jobs[one].state in ACTIVE for one in ids[name]) for name in ids}
    return {name: 0 if there[name] else before[name] + 1 for name in ids}
