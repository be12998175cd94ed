"""A search over real arms: trained, pruned, not trained, gone on with."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny

from omnitok import runs, trial
from omnitok.search import applied, prepare, standing, trials, winner
from omnitok.search.arm import pace
from omnitok.search.prepare import read
from omnitok.search.worker import work
from omnitok.spec import parse_yaml
from omnitok.training.stage import from_json, read_stages

SEARCH = """\
space:
  model.quantizer:
    type: choice
    of: {vq: {type: vq, codebook_size: 16, code_dim: 4}, fsq: {type: fsq, levels: [4, 4]}}
  model.quantizer.codebook_size: {type: choice, of: [8, 16], when: {model.quantizer: vq}}
  stages.joint.optimizer.lr: {type: float, low: 1e-3, high: 1e-1, log: true}
sampler: random
objective: val/psnr
trials: 4
"""
ONE_STAGE = tiny.EXPERIMENT.partition("  joint:")[0]
FORK = multiprocessing.get_context("fork")


def asked(root, search=SEARCH, text=tiny.EXPERIMENT, name="arm"):
    folder = root / "sweeps" / "d" / "search" / name
    said = {"name": name, "text": parse_yaml(text, "tiny.yaml"), "search": parse_yaml(search, "ask.yaml"), "seed": 0}
    prepare(folder, said)
    return folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    root = tmp_path_factory.mktemp("searched")
    folder = asked(root)
    work(folder)
    return folder


def test_every_trial_is_a_run_that_is_done_and_says_what_was_drawn(searched):
    root = searched.parents[3]
    for row in trials(searched):
        assert row["state"] == "complete"
        last = root / row["runs"][-1]
        assert runs.status(last) == "done"
        assert row["objectives"]["val/psnr"] == runs.read_json(last / "result.json")["val/psnr"]
        spec = from_json(runs.read_json(last / "experiment.json")).spec
        assert spec["optimizer"]["lr"] == row["labels"]["stages.joint.optimizer.lr"]
        assert spec["model"]["quantizer"]["type"] == row["labels"]["model.quantizer"]
        if spec["model"]["quantizer"]["type"] == "vq":
            assert str(spec["model"]["quantizer"]["codebook_size"]) == row["labels"]["model.quantizer.codebook_size"]


def test_the_winner_is_the_best_and_its_values_make_its_own_runs(searched):
    best = max(trials(searched), key=lambda row: row["objectives"]["val/psnr"])
    won, prepared = winner(searched), read(searched)
    assert (won["trial"], won["runs"]) == (best["number"], best["runs"])
    stages = read_stages(applied(prepared.text, prepared.search, prepared.said, won["labels"]))
    last = from_json(runs.read_json(searched.parents[3] / won["runs"][-1] / "experiment.json"))
    assert stages[-1].spec.model_dump(mode="json") == last.spec


def test_stages_that_trials_share_are_trained_once(searched):
    firsts = [row["runs"][0] for row in trials(searched)]
    assert len(set(firsts)) < len(firsts)
    for first in set(firsts):
        assert len(runs.attempts(searched.parents[3] / first)) == 1


def test_a_suggestion_that_was_run_before_is_answered_from_its_folder(searched, monkeypatch):
    again = asked(searched.parents[3], name="again")
    monkeypatch.setattr("omnitok.trial.train._train", None)
    work(again)
    assert [row["objectives"] for row in trials(again)] == [row["objectives"] for row in trials(searched)]


def stopped_after(steps):
    """Says so when so many steps were made, in whatever run."""
    left = iter(range(steps))
    return lambda: next(left, None) is None


def test_a_search_that_is_stopped_again_and_again_ends_with_the_bits_of_one_that_is_not(searched, tmp_path):
    folder = asked(tmp_path)
    for _ in range(6):
        work(folder, stopped_after(9))
    work(folder)
    assert [(row["labels"], row["objectives"], row["runs"]) for row in trials(folder)] == [
        (row["labels"], row["objectives"], row["runs"]) for row in trials(searched)
    ]
    for row in trials(folder):
        weights = [root / row["runs"][-1] / "weights.safetensors" for root in (tmp_path, searched.parents[3])]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    assert max(row["attempts"] for row in trials(folder)) > 1


def test_what_breaks_a_constraint_of_cost_is_not_trained(tmp_path):
    folder = asked(tmp_path, SEARCH + "constraints: [{metric: bits_per_token, at_most: 3}]\n")
    work(folder)
    rows = trials(folder)
    for row in rows:
        small = row["labels"].get("model.quantizer.codebook_size") == "8"
        assert row["state"] == ("complete" if small else "infeasible")
        assert bool(row["runs"]) == small
        assert small or row["reason"] == "bits_per_token at most 3, and it has 4"
    assert standing(folder).infeasible > 0


def test_what_cannot_be_built_is_infeasible_with_the_sentence(tmp_path):
    search = "space: {model.dim: {type: choice, of: [12, 13]}}\nobjective: val/psnr\ntrials: 4\nsampler: random\n"
    folder = asked(tmp_path, search, ONE_STAGE)
    work(folder)
    rows = trials(folder)
    assert {(row["labels"]["model.dim"], row["state"]) for row in rows} == {("12", "complete"), ("13", "infeasible")}
    assert all(
        "cannot be built" in row["reason"] and "13" in row["reason"] for row in rows if row["state"] == "infeasible"
    )


def test_a_trial_that_is_pruned_says_so_in_its_runs_folder_and_is_not_done(tmp_path):
    search = SEARCH.replace("sampler: random", "sampler: random\npruner: {type: median, startup: 1}").replace(
        "trials: 4", "trials: 6"
    )
    folder = asked(tmp_path, search, tiny.EXPERIMENT.replace("validate_every: 2", "validate_every: 1"))
    work(folder)
    pruned = [row for row in trials(folder) if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        last = tmp_path / row["runs"][-1]
        said = runs.read_json(last / "stopped.json")
        assert (said["reason"], said["number"], said["study"]) == ("pruned", row["number"], read(folder).study)
        assert runs.status(last) == "interrupted"
        assert runs.last_record(last).step + 1 == said["step"]
        assert trial.run(last)["steps"] == 4  # it can still be gone on with, as an arm of another sweep
    told = [json.loads(line) for line in (folder / "journal.log").read_bytes().splitlines()]
    steps = [(line["trial_id"], line["step"]) for line in told if line["op_code"] == 7]
    assert len(set(steps)) == len(steps)


def test_numbers_that_are_none_fail_the_trial_and_not_the_search(tmp_path):
    search = "space: {optimizer.lr: {type: choice, of: {fine: 1e-3, huge: 1e30}}}\nobjective: val/psnr\ntrials: 4\nsampler: random\n"
    folder = asked(tmp_path, search, ONE_STAGE)
    work(folder)
    states = {row["labels"]["optimizer.lr"]: (row["state"], row["reason"][:4]) for row in trials(folder)}
    assert states == {"fine": ("complete", ""), "huge": ("failed", "nan:")}
    assert standing(folder).done


def killed(folder, after):
    looks = iter(range(after))

    def stop():
        if next(looks, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    work(folder, stop)


def test_a_search_whose_workers_are_killed_ends_with_what_an_undisturbed_one_does(searched, tmp_path):
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    folder = asked(tmp_path)
    for after in (5, 11, 17):
        process = FORK.Process(target=killed, args=(folder, after))
        process.start()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
    work(folder)
    assert [(row["labels"], row["runs"]) for row in trials(folder)] == [
        (row["labels"], row["runs"]) for row in trials(searched)
    ]


def test_after_so_many_hours_no_trial_is_begun_and_more_hours_go_on(tmp_path):
    search = "space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2}}\nobjective: val/psnr\ntrials: 3\nhours: "
    folder = asked(tmp_path, search + "1e-9\n", ONE_STAGE)
    work(folder)
    assert standing(folder).started == 1
    assert winner(folder)["trial"] == 0
    asked(tmp_path, search + "1\n", ONE_STAGE)
    assert winner(folder) is None
    work(folder)
    assert standing(folder).started == 3


def test_a_worker_is_also_a_process_that_a_signal_asks_to_save(tmp_path):
    text = ONE_STAGE.replace("steps: 5", "steps: 4000")
    folder = asked(
        tmp_path, "space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2}}\nobjective: val/psnr\ntrials: 1\n", text
    )
    command = [sys.executable, "-m", "omnitok.search.worker", str(tmp_path), str(folder), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    records = []
    while not any(map(runs.last_record, records)):
        assert process.poll() is None
        records = [path.parent for path in tmp_path.glob("*/records.jsonl")]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=120)[0].endswith("ended 0 trials, and was asked to stop\n")
    assert process.returncode == 0
    assert (records[0] / "checkpoint.pt").exists()
    assert standing(folder).running == 1


def test_a_pruner_looks_where_the_last_stage_does():
    assert pace(parse_yaml(tiny.EXPERIMENT, "tiny.yaml")) == (2, 4)
