"""Workers of a search that are killed or frozen at any line: each trial is told once, under one number."""

import json
import os
import signal
import threading
import time

import optuna
import pytest
from optuna.storages import JournalStorage
from search_campaign import FORK, after, begin, campaign, stand_in, starts, value_of

from omnitok.runs import leases
from omnitok.search import standing, trials, winner
from omnitok.search.prepare import read
from omnitok.search.storage import open_storage
from omnitok.search.told import Outcome
from omnitok.search.worker import work

LINES = ("made", "leased", "drawn", "asked", "published", "begun", "trained", "noted", "told", "crowned")


@pytest.mark.parametrize(
    "sampler", ["random", "{type: tpe, startup: 3}", "{type: gp, startup: 3}", "{type: nsga2, population: 3}"]
)
def test_a_search_that_was_cut_off_suggests_what_an_undisturbed_one_does(tmp_path, sampler):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one, other = begin(whole, 9, sampler), begin(parts, 9, sampler)
    work(one, train=stand_in(one))
    for _ in range(3):
        work(other, after(4), train=stand_in(other))
    work(other, train=stand_in(other))
    assert [row["labels"] for row in trials(one)] == [row["labels"] for row in trials(other)]
    assert len({json.dumps(row["labels"]) for row in trials(one)}) == 9


def hit(folder, line, times):
    """A worker that is killed where ``line`` is passed for the ``times``-th time."""
    left = [times]

    def passing(name):
        if name == line:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    work(folder, train=stand_in(folder), passing=passing)


@pytest.mark.parametrize("line", LINES)
def test_whatever_line_a_kill_hits_each_trial_is_told_once(tmp_path, line):
    folder, whole = begin(tmp_path / "killed", 4), begin(tmp_path / "whole", 4)
    once = line in ("made", "crowned")
    for times in [1] if once else [1, 2]:
        process = FORK.Process(target=hit, args=(folder, line, times))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    work(folder, train=stand_in(folder))
    work(whole, train=stand_in(whole))
    assert [(row["number"], row["labels"], row["objectives"]) for row in trials(folder)] == [
        (row["number"], row["labels"], row["objectives"]) for row in trials(whole)
    ]
    assert winner(folder)["trial"] == winner(whole)["trial"]
    assert sum(starts(folder).values()) <= 4 + 2


def test_a_hundred_trials_by_eight_workers_of_whom_five_are_killed(tmp_path):
    campaign(tmp_path, count=100, workers=8, kills=5)


def test_what_was_stopped_is_gone_on_with_under_its_number(tmp_path):
    folder, asked = begin(tmp_path, 2), []

    def train(labels, told):
        asked.append(told.number)
        return Outcome("stopped") if len(asked) == 1 else Outcome("complete", {"val/psnr": value_of(labels)})

    assert work(folder, lambda: len(asked) == 1, train=train).stopped
    assert standing(folder).running == 1
    work(folder, train=train)
    assert asked == [0, 0, 1]
    assert [row["attempts"] for row in trials(folder)] == [2, 1]


def test_a_dead_workers_trial_is_adopted_while_others_wait(tmp_path):
    folder = begin(tmp_path, 1)
    process = FORK.Process(target=work, args=(folder,), kwargs={"train": lambda labels, told: time.sleep(600)})
    process.start()
    while not (folder / "trials/0/attempts.jsonl").exists():
        time.sleep(0.01)
    other = threading.Thread(target=work, args=(folder,), kwargs={"train": stand_in(folder)})
    other.start()
    time.sleep(2)
    assert not (folder / "winner.json").exists()
    process.kill()
    process.join()
    other.join(120)
    assert winner(folder)["trial"] == 0
    assert trials(folder)[0]["attempts"] == 2


def test_a_worker_that_thaws_tells_nothing_of_a_trial_that_is_anothers(tmp_path, monkeypatch):
    monkeypatch.setattr("omnitok.runs.leases.STALE_S", 4.0)
    folder = begin(tmp_path, 1)
    thawed = tmp_path / "thawed"

    def freezes(labels, told):
        (tmp_path / "begun").touch()
        while not thawed.exists():
            time.sleep(0.01)
        return Outcome("complete", {"val/psnr": 1e6})

    process = FORK.Process(target=work, args=(folder,), kwargs={"train": freezes})
    process.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGSTOP)
    work(folder, train=stand_in(folder))
    before = (winner(folder), trials(folder))
    thawed.touch()
    os.kill(process.pid, signal.SIGCONT)
    process.join(120)
    assert process.exitcode == 0
    assert before == (winner(folder), trials(folder))
    assert before[0]["objectives"]["val/psnr"] < 1e6
    ends = [json.loads(line) for line in (folder / "journal.log").read_bytes().splitlines()]
    assert len([line for line in ends if line["op_code"] == 6]) == 1


def test_a_worker_that_is_frozen_while_it_claims_overshoots_nothing(tmp_path, monkeypatch):
    folder, really, left = begin(tmp_path, 3), JournalStorage.create_new_trial, [2]

    def frozen(storage, study_id, template_trial=None):
        left[0] -= 1
        if (
            left[0] == 0
        ):  # it has looked whether it holds the search; then others take it for dead, and search to the end
            for place in [*folder.glob("attempts/*"), *folder.glob("trials/*/attempts/*")]:
                leases._rename_away(place)
            work(folder, train=stand_in(folder))
            told.append((winner(folder), trials(folder)))
        return really(storage, study_id, template_trial)

    told: list = []
    monkeypatch.setattr(JournalStorage, "create_new_trial", frozen)
    work(folder, train=stand_in(folder))
    every = optuna.load_study(study_name=read(folder).study, storage=open_storage(folder)).trials
    assert [one.state.name for one in every] == ["COMPLETE"] * 3 + ["FAIL"]  # what it drew got a number beyond
    assert starts(folder) == dict.fromkeys(range(3), 1)
    assert told == [(winner(folder), trials(folder))] and standing(folder).started == 3


def test_what_kills_every_worker_counts_as_failed_after_three(tmp_path):
    folder = begin(tmp_path, 2)

    def dies(labels, told):
        if told.number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome("complete", {"val/psnr": 0.0})

    for _ in range(3):
        process = FORK.Process(target=work, args=(folder,), kwargs={"train": dies})
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    work(folder, train=dies)
    stood = standing(folder)
    assert (stood.failed, stood.complete) == (1, 1)
    assert stood.reasons == {"killed: 3 attempts died at the same step": 1}
    assert winner(folder)["trial"] == 1
