"""What can be searched and what is refused at its line; a search as a text, in a folder, that has a total."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from search_campaign import after, begin, stand_in

from omnitok.search import Search, refusals, standing, storage_refusal, trials, winner
from omnitok.search.marked import from_json, to_json
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


def faults(text):
    said = parse_yaml(text, "ask.yaml")
    try:
        return list(map(str, refusals(check(Search, said), said)))
    except SpecError as error:
        return list(map(str, error.faults))


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
