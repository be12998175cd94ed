"""What a search says, and its workers with a stand-in that trains nothing. The real thing is in test_search_arm.py."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from search_campaign import EXPERIMENT, begin, campaign, stand_in, starts, value_of

from omnitok import runs
from omnitok.runs import leases
from omnitok.search import Search, prepare, refusals, standing, storage_refusal, trials, winner
from omnitok.search.marked import from_json, to_json
from omnitok.search.prepare import read, try_again
from omnitok.search.storage import Journal, open_storage
from omnitok.search.told import Outcome
from omnitok.search.worker import work
from omnitok.spec import SpecError, check, parse_yaml

GOOD = """\
space:
  lr: {type: float, low: 1e-5, high: 1e-2, log: true}
  model.quantizer: {type: choice, of: {vq: {type: vq}, fsq: {type: fsq}}}
  model.quantizer.codebook_size: {type: choice, of: [256, 512], when: {model.quantizer: vq}}
objective: val/psnr
trials: 8
"""
FORK = multiprocessing.get_context("fork")
LINES = ("made", "leased", "drawn", "asked", "published", "begun", "trained", "noted", "told", "crowned")


def after(looks):
    """Says that it is time to stop at the look after so many."""
    left = iter(range(looks))
    return lambda: next(left, None) is None


def faults(text):
    said = parse_yaml(text, "ask.yaml")
    try:
        return list(map(str, refusals(check(Search, said), said)))
    except SpecError as error:
        return list(map(str, error.faults))


# What is said


def test_a_search_that_can_be_is_not_refused():
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("low: 1e-5", "low: 0", "ask.yaml:2: search.space.lr.low: a logarithmic range begins above 0, not at 0.0"),
        ("low: 1e-5", "low: 1", "ask.yaml:2: search.space.lr.low: must be less than high, and 1.0 is not less than 0.01"),
        ("log: true", "log: true, step: 1e-5", "ask.yaml:2: search.space.lr.step: a logarithmic range has no steps"),
        ("type: float", "type: flot", "ask.yaml:2: space.lr: no parameter 'flot'; did you mean 'float'?"),
        ("quantizer: vq}", "quantizer: vqq}", "ask.yaml:4: search.space.model.quantizer.codebook_size.when: model.quantizer has no 'vqq'"),
        ("when: {model.quantizer:", "when: {model.quantiser:", "no 'model.quantiser' is searched; did you mean 'model.quantizer'?"),
        ("when: {model.quantizer: vq}", "when: {lr: 3}", "lr is a range, which has no labels"),
        ("{vq: {type: vq}, fsq: {type: fsq}}", "[1]", "must be a list of two or more plain values"),
        ("[256, 512]", "[256, {a: 1}]", "a value that is not plain needs a label"),
        ("val/psnr", "test/psnr", "a search looks at the validation split alone"),
        ("val/psnr", "val/other", "say maximize or minimize; it is not known which way val/other is better"),
        ("val/psnr", "psnr", "no 'psnr'"),
        ("val/psnr", "[val/psnr, val/psnr]", "val/psnr stands twice"),
        ("trials: 8", "trials: 0", "trials: must be greater than or equal to 1"),
        ("trials: 8", "trials: 8\nsampler: tpee", "no sampler 'tpee'; did you mean 'tpe'?"),
        ("trials: 8", "trials: 8\nsampler: {type: tpe, starup: 1}", "no such choice of sampler 'tpe'; did you mean 'startup'?"),
        ("val/psnr", "[val/psnr, parameters]\npruner: median", "with several objectives nothing can be pruned"),
        ("val/psnr", "parameters\npruner: asha", "parameters is known before training, so there is nothing to prune by"),
        ("val/psnr", "[val/psnr, parameters]\nsampler: cmaes", "cmaes takes one objective"),
        ("val/psnr", "[val/psnr, parameters]", "of several objectives say by: first or by: knee"),
        ("val/psnr", "val/psnr\nwinner: {by: knee}", "of one objective say by: objective"),
        ("trials: 8", "trials: 8\nsampler: cmaes\nconstraints: [{metric: flops, at_most: 3}]", "cmaes takes no constraints"),
        ("trials: 8", "trials: 8\nconstraints: [{metric: flops}]", "say either at_most or at_least"),
        ("lr: {type: float, low: 1e-5, high: 1e-2, log: true}", "b: {type: choice, of: [1, 2]}\nsampler: cmaes", "cmaes moves numbers that are always there"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_at_its_line(old, new, said):
    text = GOOD.replace(old, new)
    assert text != GOOD
    if "\nsampler" in new and old.startswith("lr"):
        text = GOOD.replace(old, new.partition("\n")[0]) + new.partition("\n")[2]
    assert any(said in fault for fault in faults(text)), faults(text)


def test_all_that_is_wrong_is_said_at_once():
    found = faults(
        GOOD.replace("low: 1e-5", "low: 7").replace("quantizer: vq}", "quantizer: no}") + "winner: {by: first}\n"
    )
    assert len(found) == 3


def test_an_empty_space_and_a_circle_are_refused():
    assert faults("space: {}\nobjective: val/psnr\ntrials: 1\n")[0].startswith("ask.yaml:1: search.space: is empty")
    ring = "space:\n  a: {type: choice, of: [1, 2], when: {b: 1}}\n  b: {type: choice, of: [1, 2], when: {a: 1}}\n"
    assert "a and b wait for each other" in faults(ring + "objective: val/psnr\ntrials: 1\n")[0]


def test_how_long_a_search_goes_on_is_no_part_of_its_identity():
    one, other, third = (check(Search, parse_yaml(GOOD + more, "x")) for more in ("", "hours: 3\n", "seed: 1\n"))
    assert one.identity() == other.identity() != third.identity()


def test_sqlite_is_for_one_worker_and_says_why():
    assert storage_refusal("sqlite:///x.db", 1) == storage_refusal("postgresql://x", 8) == storage_refusal("", 8) == ""
    assert "to 2 workers it would hand some trials out twice" in storage_refusal("sqlite:///x.db", 2)


def test_text_with_marks_comes_back_whole_in_any_folder(tmp_path, monkeypatch):
    said = parse_yaml("a: {b: [1, {c: x}]}\n", "sub/ask.yaml")
    kept = json.dumps(to_json(said))
    before = Path.cwd()
    monkeypatch.chdir(tmp_path)
    back = from_json(json.loads(kept))
    assert back == said
    assert back["a"]["b"].marks[1].line == 1
    assert back["a"].marks["b"].source == str(before / "sub/ask.yaml")


def test_reading_how_a_search_stands_loads_neither_torch_nor_optuna(tmp_path):
    begin(tmp_path, 3)
    code = (
        "import sys, pathlib; from omnitok.search import standing, winner; "
        f"f = pathlib.Path({str(tmp_path / 'sweeps/d/search/arm')!r}); assert standing(f).target == 3; winner(f); "
        "assert not {'torch', 'optuna', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# What workers do


def test_what_a_power_failure_left_of_how_a_search_stands_is_made_again(tmp_path):
    folder = begin(tmp_path, 2)
    work(folder, after(3), train=stand_in(folder))
    (folder / "standing.json").write_bytes(b"")
    (folder / "trials.jsonl").write_bytes(b"\0" * 50)
    assert standing(folder).started == 0 and trials(folder) == []
    work(folder, train=stand_in(folder))
    assert standing(folder).started == len(trials(folder)) == 2


def test_a_target_is_a_total_and_may_be_raised(tmp_path):
    folder = begin(tmp_path, 4)
    assert len(work(folder, train=stand_in(folder)).trials) == 4
    assert work(folder, train=stand_in(folder)).trials == ()
    begin(tmp_path, 4)
    assert winner(folder)
    begin(tmp_path, 6)
    assert winner(folder) is None
    assert not standing(folder).done
    assert len(work(folder, train=stand_in(folder)).trials) == 2
    assert winner(folder)["target"] == 6
    begin(tmp_path, 3)
    assert len(trials(folder)) == 6
    assert winner(folder)


def test_a_folder_is_of_one_search(tmp_path):
    begin(tmp_path, 4)
    with pytest.raises(SpecError, match="the search of another question"):
        begin(tmp_path, 4, "tpe")


def test_a_study_that_is_kept_elsewhere_is_not_begun_again(tmp_path, monkeypatch):
    folder = begin(tmp_path, 1)
    work(folder, train=stand_in(folder))
    begin(tmp_path, 2)
    monkeypatch.setenv("OMNITOK_STUDY", f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(SpecError, match=r"is kept in journal\.log; OMNITOK_STUDY says sqlite"):
        work(folder, train=stand_in(folder))


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


def test_cmaes_moves_the_numbers(tmp_path):
    said = parse_yaml("space:\n  x: {type: float, low: -2, high: 2}\n  y: {type: float, low: -2, high: 2}\nobjective: val/psnr\n"
                      "sampler: {type: cmaes, population: 4}\ntrials: 24\n", "ask.yaml")  # fmt: skip
    folder = tmp_path / "sweeps/d/search/arm"
    prepare(folder, {"name": "arm", "text": parse_yaml(EXPERIMENT, "e"), "search": said, "seed": 0})
    work(folder, train=lambda labels, told: Outcome("complete", {"val/psnr": -(labels["x"] ** 2) - labels["y"] ** 2}))
    values = [row["objectives"]["val/psnr"] for row in trials(folder)]
    assert sum(values[-8:]) / 8 > sum(values[:8]) / 8


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


# The journal


def test_a_torn_last_line_of_the_journal_hinders_nobody(tmp_path):
    folder = begin(tmp_path, 4)
    work(folder, after(3), train=stand_in(folder))
    with (folder / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"torn')
    reader = open_storage(folder)
    assert reader.get_all_studies()
    work(folder, train=stand_in(folder))
    assert standing(folder).complete == 4
    assert all(map(json.loads, (folder / "journal.log").read_bytes().splitlines()))


def test_optunas_own_journal_cannot_be_read_after_a_torn_line(tmp_path):
    own = optuna.storages.journal.JournalFileBackend(str(tmp_path / "own.log"))
    ours = Journal(str(tmp_path / "ours.log"))
    for backend in (own, ours):
        backend.append_logs([{"a": 1}])
        with Path(backend._file_path).open("ab") as file:
            file.write(b'{"torn')
        backend.append_logs([{"b": 2}])
        backend.append_logs([{"c": 3}])
    assert list(ours.read_logs(0)) == [{"a": 1}, {"b": 2}, {"c": 3}]
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
        list(own.read_logs(0))


def test_a_dead_writers_lock_is_free_at_once(tmp_path):
    path = tmp_path / "journal.log"

    def dies():
        import fcntl

        file = path.open("ab+")
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=dies)
    process.start()
    process.join(60)
    begun = time.monotonic()
    Journal(str(path)).append_logs([{"a": 1}])
    assert time.monotonic() - begun < 20, "Optuna's own lock is waited for 30 s"


def test_a_writer_that_is_frozen_in_a_line_of_the_journal_is_waited_for_and_a_stop_is_heard(
    tmp_path, monkeypatch, capsys
):
    import fcntl

    monkeypatch.setattr("omnitok.search.storage.LINE_S", 0.2)
    folder = begin(tmp_path, 3)
    work(folder, after(3), train=stand_in(folder))
    before = standing(folder)
    with (folder / "journal.log").open("ab+") as frozen:
        fcntl.flock(frozen, fcntl.LOCK_EX)
        until = time.monotonic() + 1
        assert work(folder, lambda: time.monotonic() > until, train=stand_in(folder)).stopped
    assert "the study does not answer" in capsys.readouterr().out and standing(folder) == before
    work(folder, train=stand_in(folder))
    assert standing(folder).complete == standing(folder).started == 3


def test_a_journal_that_the_disk_refuses_is_as_before(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path / "journal.log"))
    journal.append_logs([{"a": 1}])

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append_logs([{"b": 2}])
    monkeypatch.undo()
    assert list(journal.read_logs(0)) == [{"a": 1}]


def test_one_worker_alone_may_use_sqlite(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_STUDY", f"sqlite:///{tmp_path}/x.db")
    folder = begin(tmp_path, 2)
    (folder / "worker").mkdir()
    with runs.lease(folder / "worker"), pytest.raises(SpecError, match="out twice"):
        work(folder, train=stand_in(folder))
    assert len(work(folder, train=stand_in(folder)).trials) == 2


@pytest.mark.parametrize(
    ("said", "why"), [("mysql://a:pw@h/x", "no address of a study"), ("postgresql+pg8000://a:pw@h/x", "not installed")]
)
def test_a_studys_address_that_cannot_be_is_refused_without_its_password(monkeypatch, said, why):
    from omnitok.training.environment import check_environment
    from omnitok.training.environment import said as told

    monkeypatch.setenv("OMNITOK_STUDY", said)
    with pytest.raises(SpecError, match=why) as refused:
        check_environment()
    assert "pw" not in str(refused.value)
    assert "pw" not in told()["OMNITOK_STUDY"]
