"""What a table or figure must not hide: baselines that win, arms that wait for a search, trials that are not over."""

from pathlib import Path
from typing import Any

import pytest
from report_sweep import Synthetic

from omnitok import runs
from omnitok.exhibits import EXHIBITS, Unfit
from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.cells import cost_cell
from omnitok.exhibits.claims import verdicts
from omnitok.exhibits.comparison import comparison
from omnitok.exhibits.contract import Picture
from omnitok.exhibits.deltas import deltas
from omnitok.exhibits.interactions import interactions
from omnitok.exhibits.table import Cell, Row, Table
from omnitok.report.section import section
from omnitok.results import Results, gathered
from omnitok.results.stages import Stage
from omnitok.results.statistics import summary

FACTORS = {"model.quantizer": ["vq", "fsq"], "stages.joint.schedule": ["joint", "progressive"]}


def bare(folder: Path, **said: Any) -> Synthetic:
    sweep = Synthetic(folder, **said)
    sweep.pictures = False
    return sweep


def only(pieces: Any) -> Table:
    (table,) = pieces
    assert isinstance(table, Table)
    return table


def row(table: Table, name: str) -> Row:
    return next(row for row in table.rows if row.name == name)


def said(table: Table, cell: Cell) -> list[str]:
    return [table.notes[note] for note in cell.notes]


def figure(pieces: Any) -> Picture:
    (piece,) = pieces
    assert isinstance(piece, Picture)
    return piece


def test_a_baseline_that_beats_all_arms_has_a_footnote_and_a_line_above_all_numbers(tmp_path: Path) -> None:
    sweep = bare(tmp_path)
    sweep.baselines = {"mean_colour": 12.0, "oracle": 30.0}
    found = gathered(sweep.write())
    table = only(ablation(found, metrics=("photos/psnr", "photos/ssim", "photos/usage")))
    psnr, ssim, usage = row(table, "oracle").cells[:3]
    assert said(table, psnr) == ["this baseline is better than the mean of every arm"]
    assert not ssim.notes, "0.3 is less than what arms have"
    assert said(table, usage) == ["n/a: does not apply"]
    assert not any(cell.notes for cell in row(table, "mean_colour").cells[:2])
    whole = "the baseline oracle is better than the mean of every arm on photos/psnr, clips/psnr"
    assert [line for line in section(found).banner if "baseline" in line] == [whole]
    sweep = bare(tmp_path / "beaten")
    for values in sweep.values.values():
        values["photos/psnr"] = sweep.baselines["patch_mean"]  # as good is not better
    assert not any("baseline" in line for line in section(gathered(sweep.write())).banner)


def waiting(folder: Path) -> Results:
    """As where two arms are done and another is still searched."""
    sweep = bare(folder, factors={"model.quantizer": ["vq", "fsq", "lfq"]})
    sweep.arms.pop("lfq")
    sweep.values = {key: value for key, value in sweep.values.items() if key[0] != "lfq"}
    sweep.claims = [
        {"metric": "psnr", "on": "photos", "better": "lfq", "than": "vq"},
        {"metric": "psnr", "on": "photos", "better": "fsq", "than": "vq"},
    ]
    stored = sweep.write()
    one = {"arm": "lfq", "labels": {"model.quantizer": "lfq"}, "folder": "search/lfq"}
    runs.write_json(stored / "plan.json", runs.read_json(stored / "plan.json") | {"searches": [one]})
    return gathered(stored)


@pytest.mark.parametrize("name", ["ablation", "components", "deltas", "usage", "gallery", "clips", "breakdown"])
def test_an_arm_that_is_still_searched_may_be_named(name: str, tmp_path: Path) -> None:
    found = waiting(tmp_path)
    exhibit = EXHIBITS.components[name]
    for arms in (("lfq", "fsq"), ("lfq",)):
        tables = [piece for piece in exhibit(found, arms=arms) if isinstance(piece, Table)]
        assert all("vq" not in [row.name for row in table.rows] for table in tables if name != "deltas")
    with pytest.raises(Unfit, match=r"no arm is called lfk; did you mean 'lfq'\? \(known: vq, fsq, lfq\)"):
        exhibit(found, arms=("lfk",))
    assert deltas(found, base="lfq") == ()


def test_a_claim_on_an_arm_that_is_still_searched_says_so(tmp_path: Path) -> None:
    waits, decided = verdicts(waiting(tmp_path))
    assert (waits.status, waits.reason) == ("not run", "no trials yet of lfq, where the search comes first")
    assert decided.n == 3 and not decided.reason


def test_what_is_not_trained_yet_lowers_no_cost(tmp_path: Path) -> None:
    sweep = bare(tmp_path)
    stored = sweep.write()
    sweep.fail(sweep.last("vq+joint", 1))
    folder = sweep.root / sweep.last("vq+joint", 2)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    found = gathered(stored)
    trials = found.trials("arm", "vq+joint")
    assert trials["hours"].tolist() == pytest.approx([25 / 3600, 25 / 3600, 12.5 / 3600])
    assert cost_cell(trials, "hours").number == pytest.approx(25 / 3600)
    assert cost_cell(trials[trials["seed"] > 0], "hours").hole


def test_a_step_of_several_batches_has_the_samples_of_all() -> None:
    attempt = {"seconds": 10.0, "from_step": 0, "to_step": 100}
    for step, rate in (({}, 80.0), ({"accumulate": 1}, 80.0), ({"accumulate": 4}, 320.0)):
        stage = Stage("d", "joint", (attempt,), {"batch": 8, "step": step}, {}, True, "")
        assert stage.throughput == rate


def test_a_seed_that_lacks_an_arm_is_in_no_effect(tmp_path: Path) -> None:
    sweep = bare(tmp_path)
    level = {"vq": 20.0, "fsq": 30.0}
    for arm, seed in sweep.values:
        sweep.values[arm, seed]["photos/psnr"] = level[arm.partition("+")[0]] + seed
    stored = sweep.write()
    sweep.fail(sweep.last("fsq+progressive", 2))
    piece = figure(interactions(gathered(stored), metric="photos/psnr"))
    schedule = piece.figure.axes[1].containers[0].lines[0].get_ydata().tolist()
    assert schedule == pytest.approx([26.0, 25.5]), "the schedule does nothing; seed 2 lacks the arm that is 10 better"
    assert "Arms without a number" not in piece.caption


def test_a_caption_says_the_interaction_and_which_arms_are_not_in_it(tmp_path: Path) -> None:
    sweep = bare(tmp_path)
    place = {"vq+joint": 20.0, "vq+progressive": 21.0, "fsq+joint": 22.0, "fsq+progressive": 26.0}
    for arm, seed in sweep.values:
        sweep.values[arm, seed]["photos/psnr"] = place[arm] + (0.1 * seed if arm == "fsq+progressive" else 0.0)
    piece = figure(interactions(gathered(sweep.write()), metric="photos/psnr"))
    assert (
        " The interaction of quantizer and schedule, (fsq − vq) at progressive less (fsq − vq) at joint, is 3.10 dB "
        "(95 % interval 2.85 to 3.35, n = 3 seeds)."
    ) in piece.caption
    for seed in sweep.seeds:
        sweep.fail(sweep.last("vq+joint", seed))
    assert "Arms without a number are in no mean: vq+joint." in figure(interactions(gathered(sweep.stored))).caption


def test_a_published_row_beside_ours_is_named_where_ours_does_not_say_it(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "source: A paper\ntables:\n  t:\n    source: table 1\n"
        "    columns: {fid: {title: rFID, metric: rfid, better: lower, protocol: theirs}}\n"
        "    rows: [{name: Theirs, type: joint, ours: vq+joint, values: {fid: 1.5}}, "
        "{name: fsq, ours: fsq+joint, values: {fid: 2.5}}]\n"
    )
    table = only(comparison(gathered(bare(tmp_path / "runs").write(), None, tmp_path), published="p.yaml"))
    at = [column.full for column in table.columns].index("published fid")
    assert said(table, row(table, "vq+joint").cells[at]) == ["vq+joint: as published of Theirs (joint)"]
    assert not row(table, "fsq+joint").cells[at].notes
    assert not row(table, "vq+progressive").cells[at].notes


def test_a_published_row_may_name_a_label_and_stands_beside_each_arm_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "source: A paper\ntables:\n  t:\n    source: table 1\n"
        "    columns: {fid: {title: rFID, metric: rfid, better: lower, protocol: theirs}}\n"
        "    rows: [{name: jointly, ours: joint, values: {fid: 1.5}}, {name: mine, ours: fsq+joint, values: {fid: 2.5}}, "
        "{name: other, ours: lfq, values: {fid: 3.5}}]\n"
    )
    table = only(comparison(gathered(bare(tmp_path / "runs").write(), None, tmp_path), published="p.yaml"))
    at = [column.full for column in table.columns].index("published fid")
    arms = ("vq+joint", "vq+progressive", "fsq+joint")
    assert [row(table, arm).cells[at].number for arm in arms] == [1.5, None, 2.5], "a name goes before a label"
    assert said(table, row(table, "vq+joint").cells[at]) == ["vq+joint: as published of jointly"]
    assert [one.name for one in table.rows if one.kind == "published"] == ["other"]


@pytest.mark.parametrize(
    ("exhibit", "choices", "choice", "sentence"),
    [
        ("curves", {"quantities": ("train/los",)}, "quantities", "no run has recorded train/los; did you mean 'train/loss'?"),
        ("curves", {"quantities": ()}, "quantities", "say at least one"),
        ("usage", {"evaluations": ("clips",)}, "evaluations", "clips does not measure codebook_usage (known: none)"),
        ("pareto", {"x": "parametrs"}, "x", "parametrs is no cost and no metric; did you mean 'parameters'?"),
        ("grid", {"rows": "schedul"}, "rows", "schedul is no factor of the sweep; did you mean 'schedule'?"),
        ("interactions", {"factors": ("schedule", "schedule")}, "factors", "an interaction is between two factors"),
        ("ablation", {"metrics": ("photos/ssim", "ssim")}, "metrics", "photos/ssim is said twice"),
        ("ablation", {"arms": ("vq+joint", "vq+joint")}, "arms", "vq+joint is said twice"),
        ("ablation", {"costs": ("hours", "hours")}, "costs", "hours is said twice"),
        ("parallel", {"axes": ("quantizer", "model.quantizer")}, "axes", "model.quantizer is said twice"),
        ("gallery", {"evaluations": ("clips", "clips")}, "evaluations", "clips is said twice"),
        ("importance", {"axes": ("notes",)}, "axes", "notes is no factor, cost or choice"),
    ],
)  # fmt: skip
def test_a_choice_that_would_show_nothing_or_one_thing_twice_is_refused(
    exhibit: str, choices: dict[str, Any], choice: str, sentence: str, tmp_path: Path
) -> None:
    sweep = Synthetic(tmp_path) if exhibit == "curves" else bare(tmp_path)
    with pytest.raises(Unfit) as refusal:
        EXHIBITS.components[exhibit](gathered(sweep.write()), **choices)
    assert refusal.value.choice == choice
    assert sentence in str(refusal.value)


def test_a_quantity_may_come_while_runs_go_on(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    stored = sweep.write()
    sweep.fail(sweep.last("vq+joint", 1))
    assert EXHIBITS.components["curves"](gathered(stored), quantities=("val/late",)) == ()


def test_rounding_is_no_spread() -> None:
    found = summary([0.3, 0.1 + 0.2, 0.3])
    assert found.sd == 0.0
    assert found.effect is None, "else it is a hundred million million"
    assert found.p == 0.0
