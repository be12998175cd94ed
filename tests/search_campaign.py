"""A search by many workers of which some are killed: what must be true afterwards, however many. A stand-in trains, in
milliseconds, so that what is tried is who takes which trial and what is told of it."""

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from omnitok.search import prepare, standing, trials, winner
from omnitok.search.prepare import read
from omnitok.search.storage import open_storage
from omnitok.search.told import Outcome, Told, Train
from omnitok.search.worker import work
from omnitok.spec import parse_yaml

EXPERIMENT = "stages: {only: {data: embedded}}"
SEARCH = """\
space:
  x: {{type: float, low: -2, high: 2}}
  kind: {{type: choice, of: [flat, steep]}}
  n: {{type: int, low: 1, high: 8, when: {{kind: steep}}}}
objective: val/psnr
sampler: {sampler}
trials: {trials}
seed: 3
"""
PATIENCE_S = 600.0
FORK = multiprocessing.get_context("fork")


def begin(root: Path, count: int, sampler: str = "random", more: str = "") -> Path:
    """The folder of a new search, or of an old one with another target."""
    folder = root / "sweeps" / "d" / "search" / "arm"
    said = parse_yaml(SEARCH.format(trials=count, sampler=sampler) + more, "ask.yaml")
    prepare(folder, {"name": "arm", "text": parse_yaml(EXPERIMENT, "one.yaml"), "search": said, "seed": 0})
    return folder


def value_of(labels: dict) -> float:
    return -((labels["x"] - 0.5) ** 2) - labels.get("n", 2) / 8


def stand_in(folder: Path, takes_s: float = 0.0) -> Train:
    """Trains nothing; each start of a trial leaves a line in a file of its process."""

    def train(labels: dict, told: Told) -> Outcome:
        with (folder / f"starts.{os.getpid()}").open("a") as file:
            file.write(f"{told.number}\n")
        time.sleep(takes_s)
        return Outcome("complete", {"val/psnr": value_of(labels)})

    return train


def after(looks: int) -> Callable[[], bool]:
    """Says that it is time to stop at the look after so many."""
    left = iter(range(looks))
    return lambda: next(left, None) is None


def starts(folder: Path) -> Counter:
    return Counter(int(line) for path in folder.glob("starts.*") for line in path.read_text().split())


class Crew:
    """Workers as processes, each of which may be killed and comes back."""

    def __init__(self, folder: Path, workers: int, takes_s: float = 0.0) -> None:
        self.folder, self.takes_s = folder, takes_s
        self.context = multiprocessing.get_context("fork")  # a worker that imports torch anew takes seconds to begin
        self.processes = [self._hired() for _ in range(workers)]

    def _hired(self):
        process = self.context.Process(
            target=work, args=(self.folder,), kwargs={"train": stand_in(self.folder, self.takes_s)}
        )
        process.start()
        return process

    def kill(self, place: int) -> None:
        self.processes[place].kill()
        self.processes[place].join()
        self.processes[place] = self._hired()

    def wait(self, until, what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not until():
            codes = [process.exitcode for process in self.processes]
            assert not any(codes), f"a worker failed before {what}: {codes}"
            assert time.monotonic() < end, f"{what} did not happen in {PATIENCE_S:.0f} s: {standing(self.folder)}"
            time.sleep(0.01)

    def wait_for_all(self) -> None:
        self.wait(lambda: not any(process.is_alive() for process in self.processes), "the end")
        assert {process.exitcode for process in self.processes} == {0}

    def dismiss(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def campaign(root: Path, *, count: int, workers: int, kills: int, seed: int = 0) -> float:
    """``count`` trials by ``workers``, of whom ``kills`` are killed at moments of a fixed seed, over whatever storage
    OMNITOK_STUDY says. -> seconds. Asserts that each trial was told exactly once."""
    draws = random.Random(seed)
    folder, begun = begin(root, count), time.monotonic()
    crew = Crew(folder, workers)
    try:
        for at in sorted(draws.sample(range(1, max(2, count * 9 // 10)), kills)):
            crew.wait(lambda at=at: len(starts(folder)) >= at or winner(folder), f"trial {at}")
            time.sleep(draws.random() * 0.05)
            crew.kill(draws.randrange(workers))
        crew.wait_for_all()
    finally:
        crew.dismiss()
    seconds = time.monotonic() - begun
    check_exactly_once(folder, count, kills)
    return seconds


def check_exactly_once(folder: Path, count: int, kills: int) -> None:
    """Of the study itself and of the files beside it."""
    storage, prepared = open_storage(folder), read(folder)
    study = storage.get_study_id_from_name(prepared.study)
    told = storage.get_all_trials(study)
    assert [one.number for one in told] == list(range(count))
    assert {one.state.name for one in told} == {"COMPLETE"}
    assert all(one.value == value_of(one.params) for one in told)
    rows = trials(folder)
    assert [row["number"] for row in rows] == list(range(count))
    assert [row["objectives"]["val/psnr"] for row in rows] == [one.value for one in told]
    stood = standing(folder)
    assert (stood.complete, stood.started, stood.running, stood.done) == (count, count, 0, True)
    best = max(told, key=lambda one: (one.value, -one.number))
    assert winner(folder)["trial"] == best.number
    assert winner(folder)["labels"] == best.params
    tried = starts(folder)
    assert set(tried) == set(range(count))
    assert sum(tried.values()) <= count + kills, "a trial was begun that nobody's death had left"
    if (folder / "journal.log").exists():
        ends = Counter(
            line["trial_id"]
            for line in map(json.loads, (folder / "journal.log").read_bytes().splitlines())
            if line["op_code"] == 6 and line["state"] == 1
        )
        assert set(ends.values()) == {1}
