"""What wins a search: failures, constraints, several objectives, what was known before, what is pruned."""

import json
import os

import optuna
import pytest
from search_campaign import EXPERIMENT, FORK, after, begin, stand_in

from omnitok.search import prepare, standing, trials, winner
from omnitok.search.prepare import read, try_again
from omnitok.search.storage import open_storage
from omnitok.search.told import Outcome
from omnitok.search.worker import work
from omnitok.spec import parse_yaml


def test_cmaes_moves_the_numbers(tmp_path):
    said = parse_yaml("space:\n  x: {type: float, low: -2, high: 2}\n  y: {type: float, low: -2, high: 2}\nobjective: val/psnr\n"
                      "sampler: {type: cmaes, population: 4}\ntrials: 24\n", "ask.yaml")  # fmt: skip
    folder = tmp_path / "sweeps/d/search/arm"
    prepare(folder, {"name": "arm", "text": parse_yaml(EXPERIMENT, "e"), "search": said, "seed": 0})
    work(folder, train=lambda labels, told: Outcome("complete", {"val/psnr": -(labels["x"] ** 2) - labels["y"] ** 2}))
    values = [row["objectives"]["val/psnr"] for row in trials(folder)]
    assert sum(values[-8:]) / 8 > sum(values[:8]) / 8


def test_failures_and_the_infeasible_count_and_never_win(tmp_path):
    folder = begin(tmp_path, 3)
    ends = [
        Outcome("failed", reason="nan: x"),
        Outcome("infeasible", {}, {"size": 2.0}, "too large"),
        Outcome("pruned", reason="p"),
    ]
    work(folder, train=lambda labels, told: ends[told.number])
    stood = standing(folder)
    assert (stood.failed, stood.infeasible, stood.pruned, stood.best_trial, stood.done) == (1, 1, 1, None, True)
    assert winner(folder)["trial"] is None
    assert "none came to an end" in winner(folder)["reason"]
    assert trials(folder)[1]["reason"] == "too large"
    assert trials(folder)[1]["broken"] == {"size": 2.0}


@pytest.mark.parametrize(
    "first", [Outcome("failed", reason="bug: KeyError: 9"), Outcome("complete", {"val/psnr": 1.0})]
)
def test_an_arm_whose_trials_fail_alike_is_given_up_until_it_is_tried_again(tmp_path, first):
    folder, mended = begin(tmp_path, 40), []

    def train(labels, told):
        if told.number == 0:
            return first
        return (
            Outcome("complete", {"val/psnr": 2.0}) if mended else Outcome("failed", reason=f"bug: E: at {labels['x']}")
        )

    work(folder, train=train)
    assert (standing(folder).started, standing(folder).done) == (6, True)
    won = winner(folder)
    assert (won["trial"], won["stopped"]) == (None, True)
    assert won["reason"].startswith("5 trials in a row failed alike: bug: E: at ")
    begin(tmp_path, 50)  # more trials alone do not mend it
    work(folder, train=train)
    assert standing(folder).started == 6 and winner(folder)["stopped"]
    mended.append("now")
    try_again(folder)
    work(folder, train=train)
    assert standing(folder).started == 50 and winner(folder)["objectives"] == {"val/psnr": 2.0}
    try_again(folder)
    assert winner(folder)["trial"] is not None  # what was not given up stays


@pytest.mark.parametrize(
    "reasons",
    [
        ["nan: the loss is no number at step 3"] * 6,
        ["out_of_memory: CUDA out of memory"] * 6,
        ["bug: one", "bug: two"] * 3,
        [*["bug: one"] * 4, "", "bug: one"],
        ["bug: one"] * 5,
        ["pruned"] * 6,
    ],
)
def test_what_may_be_of_the_suggestions_gives_no_arm_up(tmp_path, reasons):
    folder = begin(tmp_path, len(reasons))
    ends = [
        Outcome("pruned" if one == "pruned" else "failed", reason=one)
        if one
        else Outcome("complete", {"val/psnr": 1.0})
        for one in reasons
    ]
    work(folder, train=lambda labels, told: ends[told.number])
    assert standing(folder).started == len(reasons) and not winner(folder)["stopped"]


def test_what_is_not_the_suggestions_fault_is_tried_again(tmp_path):
    folder, tries = begin(tmp_path, 1), []

    def train(labels, told):
        tries.append(told.number)
        if len(tries) < 2:
            raise OSError("no space left on device")
        return Outcome("complete", {"val/psnr": 1.0})

    with pytest.raises(OSError, match="no space"):
        work(folder, train=train)
    work(folder, train=train)
    assert tries == [0, 0]


def test_a_constraint_keeps_the_better_trial_from_winning(tmp_path):
    folder = begin(tmp_path, 4, more="constraints: [{metric: val/size, at_most: 1}]\n")
    amounts = [2.0, 1.0, 3.0, 0.5]

    def train(labels, told):
        size = amounts[told.number]
        return Outcome("complete", {"val/psnr": size, "val/size": size}, {"val/size at most 1": size - 1})

    work(folder, train=train)
    assert winner(folder)["trial"] == 1
    assert [row["feasible"] for row in trials(folder)] == [False, True, False, True]


def several(tmp_path, by):
    said = parse_yaml("space: {x: {type: float, low: 0, high: 1}}\nobjective: [val/psnr, parameters]\nsampler: nsga2\n"
                      f"winner: {{by: {by}}}\ntrials: 4\n", "ask.yaml")  # fmt: skip
    folder = tmp_path / "sweeps/d/search/arm"
    prepare(folder, {"name": "arm", "text": parse_yaml(EXPERIMENT, "e"), "search": said, "seed": 0})
    points = [(10.0, 100.0), (9.5, 30.0), (1.0, 10.0), (9.0, 90.0)]
    work(
        folder,
        train=lambda labels, told: Outcome(
            "complete", dict(zip(("val/psnr", "parameters"), points[told.number], strict=True))
        ),
    )
    return winner(folder)


def test_of_several_objectives_the_rule_says_which_point_is_taken(tmp_path):
    assert several(tmp_path / "first", "first")["trial"] == 0
    assert several(tmp_path / "knee", "knee")["objectives"] == {"val/psnr": 9.5, "parameters": 30.0}


def test_finished_trials_of_another_search_are_known_and_not_counted(tmp_path):
    old = begin(tmp_path, 5)
    work(old, train=stand_in(old))
    folder = tmp_path / "sweeps/e/search/arm"
    narrow = parse_yaml((tmp_path / "none").name and "space:\n  x: {type: float, low: -2, high: 2}\n  kind: {type: choice, of: [flat, steep]}\n"
                        "  n: {type: int, low: 1, high: 8, when: {kind: steep}}\nobjective: val/psnr\ntrials: 3\n", "ask.yaml")  # fmt: skip
    told = {
        "name": "arm",
        "text": parse_yaml(EXPERIMENT, "e"),
        "search": narrow,
        "seed": 0,
        "warm": ["sweeps/d/search/arm"],
    }
    prepare(folder, told)
    for _ in range(2):
        work(folder, train=stand_in(folder))
    stood = standing(folder)
    assert (stood.warm, stood.complete, stood.started) == (5, 3, 3)
    assert [row["number"] for row in trials(folder) if not row["warm"]] == [5, 6, 7]
    assert winner(folder)["trial"] >= 5


def test_a_value_that_could_not_be_drawn_here_is_not_taken_over(tmp_path):
    old = begin(tmp_path, 6)
    work(old, train=stand_in(old))
    folder = tmp_path / "sweeps/e/search/arm"
    narrow = parse_yaml("space:\n  x: {type: float, low: 0, high: 2}\n  kind: {type: choice, of: [flat, steep]}\n"
                        "  n: {type: int, low: 1, high: 8, when: {kind: steep}}\nobjective: val/psnr\ntrials: 1\n", "ask.yaml")  # fmt: skip
    told = {
        "name": "arm",
        "text": parse_yaml(EXPERIMENT, "e"),
        "search": narrow,
        "seed": 0,
        "warm": ["sweeps/d/search/arm"],
    }
    prepare(folder, told)
    work(folder, train=stand_in(folder))
    assert standing(folder).warm == sum(row["labels"]["x"] >= 0 for row in trials(old)) < 6


def test_pruning_is_decided_once_and_no_step_is_told_twice(tmp_path):
    folder = begin(tmp_path, 3, more="pruner: {type: median, startup: 1}\n")
    told_of, attempts = [], []

    def train(labels, told):
        attempts.append((told.number, told.pruned_at))
        if told.pruned_at:
            return Outcome("pruned", reason="was pruned")
        for step in (1, 2, 3):
            if told.report(step, float(-told.number)):
                told_of.append((told.number, step))
                os._exit(9) if told.number == 2 else None
                return Outcome("pruned", reason="was pruned")
        return Outcome("complete", {"val/psnr": float(-told.number)})

    process = FORK.Process(target=work, args=(folder,), kwargs={"train": train})
    process.start()
    process.join(120)
    assert process.exitcode == 9
    work(folder, train=train)
    assert attempts == [(2, 1)]
    assert [row["state"] for row in trials(folder)] == ["complete", "pruned", "pruned"]
    steps = [json.loads(line) for line in (folder / "journal.log").read_bytes().splitlines()]
    told = [(line["trial_id"], line["step"]) for line in steps if line["op_code"] == 7]
    assert sorted(told) == [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1)]


def test_a_trial_that_somebody_enqueued_is_taken_first(tmp_path):
    folder = begin(tmp_path, 3)
    work(folder, after(3), train=stand_in(folder))
    study = optuna.load_study(study_name=read(folder).study, storage=open_storage(folder))
    done = len(study.trials)
    study.enqueue_trial({"x": 0.25, "kind": "flat"})
    work(folder, train=stand_in(folder))
    assert trials(folder)[done]["labels"] == {"x": 0.25, "kind": "flat"}
    assert len(trials(folder)) == 3
