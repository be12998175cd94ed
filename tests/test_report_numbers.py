"""Statistics, verdicts and the table, against scipy and against numbers worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_sweep import Synthetic
from scipy import stats

from omnitok.exhibits import numbers
from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.cells import marked
from omnitok.exhibits.claims import answer, verdict, verdicts
from omnitok.exhibits.numbers import as_range
from omnitok.exhibits.table import Table, letter
from omnitok.results import Metric, Results, gathered, statistics
from omnitok.results.statistics import Interval

PSNR = Metric("photos", "psnr", "embedded.test.1x64/psnr", "dB", "higher", "psnr[rgb]")
LPIPS = PSNR._replace(label="lpips", better="lower", unit="")
FACTORS = {"model.quantizer": ["vq", "fsq"], "stages.joint.schedule": ["joint", "progressive"]}
SILENT = {"better": "", "than": "", "equal": "", "to": "", "margin": 0.0, "where": {}, "source": ""}
BETTER = SILENT | {"metric": "psnr", "on": "photos", "better": "fsq", "than": "vq"}
EQUAL = SILENT | {"metric": "psnr", "on": "photos", "equal": "fsq", "to": "vq", "margin": 0.2}


def frame(values: dict[tuple[str, str], list[float]], column: str = "photos/psnr") -> pd.DataFrame:
    """Rows of arms from {(quantizer, schedule): values by seed}."""
    return pd.DataFrame([
        {"kind": "arm", "arm": f"{q}+{s}", "seed": seed, "model.quantizer": q, "stages.joint.schedule": s,
         "digest": f"{q}{s}{seed}", "status": "failed" if math.isnan(value) else "done", column: value}
        for (q, s), seeds in values.items() for seed, value in enumerate(seeds)
    ])  # fmt: skip


def two(fsq: list[float], vq: list[float]) -> pd.DataFrame:
    return frame({("fsq", "joint"): fsq, ("vq", "joint"): vq})


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_a_paired_interval_is_that_of_scipys_paired_t_test(n: int, level: float) -> None:
    a, b = np.random.default_rng(n).normal(20, 2, size=(2, n))
    ours = statistics.paired(dict(enumerate(a)), dict(enumerate(b))).interval(level)
    theirs = stats.ttest_rel(a, b).confidence_interval(level)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)


def test_only_seeds_that_both_have_are_paired() -> None:
    assert statistics.paired({0: 3.0, 1: 5.0, 2: 9.0}, {1: 4.0, 2: 6.0, 7: 100.0}) == (2, 2.0, math.sqrt(2))


def test_one_number_has_no_spread_and_no_interval() -> None:
    one = statistics.summary([21.5, math.nan])
    assert one == (1, 21.5, None)
    assert one.interval() is None
    assert math.isnan(statistics.summary([]).mean)


def test_other_factors_are_averaged_within_a_seed_first() -> None:
    table = pd.DataFrame({"seed": [0, 0, 1, 1, None], "x": [1.0, 3.0, 5.0, math.nan, 9.0]})
    assert statistics.by_seed(table, "x") == {0: 2.0, 1: 5.0}


def test_arms_are_tied_unless_the_paired_interval_excludes_zero() -> None:
    best = {0: 20.0, 1: 25.0, 2: 30.0}
    assert statistics.tied(best, {0: 19.5, 1: 25.5, 2: 29.9})
    assert not statistics.tied(best, {0: 19.0, 1: 24.1, 2: 28.9}), "pairing removes what the seeds have in common"
    assert statistics.tied(best, {0: 1.0}), "one pair shows nothing"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([22.006, 22.405, 22.770], ("22.39", "0.38")),
        ([0.1, 0.29, 0.5], ("0.30", "0.20")),  # the sd is 0.2001, two digits of which are 0.20
        ([0.90, 1.0996], ("1.00", "0.14")),
        ([100.0, 300.0], ("200", "141")),
        ([21.5], ("21.50", "")),
        ([0.7, 0.7, 0.7], ("0.7000", "0")),
        ([-0.004, 0.0041], ("0.0001", "0.0057")),
        ([-1.25, -1.35], ("−1.300", "0.071")),
    ],
)
def test_a_mean_has_the_digits_that_its_spread_allows(values: list[float], text: tuple[str, str]) -> None:
    assert numbers.mean_and_sd(statistics.summary(values)) == text


def test_counts_and_durations_are_said_shortly() -> None:
    assert [numbers.count(n) for n in (None, 64, 123456, 999600, 10**6, 2_500_000_000)] == [
        "",
        "64",
        "123 k",
        "1 M",
        "1 M",
        "2.5 G",
    ]
    assert [numbers.duration(s) for s in (0.0, 59.6, 75.0, 7200.0)] == ["0 s", "1 min", "1 min 15 s", "2 h"]


def test_a_claim_is_supported_where_the_whole_interval_is_beyond_the_margin() -> None:
    data = two([20.3, 21.4, 22.2], [20.0, 21.0, 22.0])  # differences 0.3, 0.4, 0.2: 0.3 ± 4.3027 * 0.1 / sqrt(3)
    found = verdict(BETTER, data, FACTORS, [PSNR])
    assert (found.status, found.n) == ("supported", 3)
    assert found.difference == pytest.approx(0.3)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0516, 0.5484), abs=1e-4)
    assert found.sentence == ("fsq is better than vq on photos/psnr by 0.30 dB (95 % interval 0.05 to 0.55, n = 3 seeds)"
                              ": supported")  # fmt: skip
    assert [pair.seed for pair in found.pairs] == [0, 1, 2]
    assert verdict(BETTER | {"margin": 0.1}, data, FACTORS, [PSNR]).status == "inconclusive"
    assert verdict(BETTER | {"margin": 0.6}, data, FACTORS, [PSNR]).status == "contradicted"
    turned = verdict(BETTER | {"better": "vq", "than": "fsq"}, data, FACTORS, [PSNR])
    assert turned.status == "contradicted"
    assert turned.sentence.startswith("vq is worse than fsq on photos/psnr by 0.30 dB (95 % interval 0.05 to 0.55")


def test_of_a_metric_whose_lower_is_better_the_lower_arm_wins() -> None:
    data = two([0.20, 0.21, 0.22], [0.30, 0.32, 0.31]).rename(columns={"photos/psnr": "photos/lpips"})
    found = verdict(BETTER | {"metric": "lpips"}, data, FACTORS, [PSNR, LPIPS])
    assert found.status == "supported"
    assert found.difference == pytest.approx(0.1)
    turned = two([0.30, 0.20, 0.31], [0.20, 0.30, 0.20]).rename(columns={"photos/psnr": "photos/lpips"})
    open_ = verdict(BETTER | {"metric": "lpips"}, turned, FACTORS, [LPIPS])
    assert ": the improvement is −0.04 (95 % interval" in open_.finding, "B - A, so it must not be called a difference"
    neither = verdict(BETTER | {"metric": "lpips"}, data, FACTORS, [LPIPS._replace(better="neither")])
    assert (neither.status, neither.reason) == ("inconclusive", "no direction of this metric is better")


def test_equality_is_two_one_sided_tests_at_ninety_per_cent() -> None:
    a, b = np.array([20.11, 21.0, 21.9, 23.05]), np.array([20.0, 21.05, 22.0, 23.0])
    data = two(list(a), list(b))
    narrow = stats.ttest_rel(a, b).confidence_interval(0.90)
    edge = max(abs(narrow.low), abs(narrow.high))
    wide = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert edge < max(abs(wide.low), abs(wide.high)), "so that the levels can be told apart"
    held = verdict(EQUAL | {"margin": edge * 1.001}, data, FACTORS, [PSNR])
    assert held.status == "supported"
    assert f"(90 % interval {as_range(Interval(narrow.low, narrow.high, 0.9))}, 95 % interval " in held.finding
    assert verdict(EQUAL | {"margin": edge * 0.999}, data, FACTORS, [PSNR]).status == "inconclusive"
    far = two([22.0, 23.1, 24.0], [20.0, 21.0, 22.0])
    assert verdict(EQUAL, far, FACTORS, [PSNR]).status == "contradicted"
    assert verdict(EQUAL | {"equal": "vq", "to": "fsq"}, far, FACTORS, [PSNR]).status == "contradicted"


def test_runs_pair_on_all_other_factors_and_seeds_count_once() -> None:
    data = frame({("fsq", "joint"): [1.0, 2.0], ("vq", "joint"): [0.0, 1.5], ("fsq", "progressive"): [3.0, 3.0],
                  ("vq", "progressive"): [0.0, math.nan]})  # fmt: skip
    found = verdict(BETTER, data, FACTORS, [PSNR])
    assert found.n == 2, "two seeds, however many cells"
    assert found.difference == pytest.approx(((1.0 + 3.0) / 2 + 0.5) / 2)
    assert found.sentence.endswith("inconclusive [3 of 4 pairs of runs]")
    assert [(pair.first, pair.second) for pair in found.pairs][0] == ("fsqjoint0", "vqjoint0")


def test_where_restricts_by_a_path_or_its_last_part() -> None:
    data = frame({("fsq", "joint"): [1.0, 2.0], ("vq", "joint"): [0.0, 1.0], ("fsq", "progressive"): [9.0, 9.0],
                  ("vq", "progressive"): [0.0, 0.0]})  # fmt: skip
    for name in ("schedule", "stages.joint.schedule"):
        found = verdict(BETTER | {"where": {name: "joint"}}, data, FACTORS, [PSNR])
        assert found.difference == 1.0
        assert f"where {name} = joint" in found.sentence


def test_from_one_seed_nothing_follows_and_from_none_nothing_was_run() -> None:
    one = verdict(BETTER, two([30.0], [10.0]), FACTORS, [PSNR])
    assert (one.status, one.n, one.interval) == ("inconclusive", 1, None)
    assert one.sentence.endswith("the difference is 20.00 dB (n = 1 seed): inconclusive (one seed shows no spread)")
    none = verdict(BETTER, two([math.nan], [10.0]), FACTORS, [PSNR])
    assert (none.status, none.n, none.difference, none.pairs) == ("not run", 0, None, ())


def test_a_claim_does_not_apply_where_a_side_ran_and_the_metric_says_nothing_of_it() -> None:
    data = two([math.nan, math.nan], [10.0, 11.0]).assign(status="done")
    found = verdict(BETTER, data, FACTORS, [PSNR])
    assert (found.status, found.n) == ("does not apply", 0)
    assert found.sentence.endswith("photos/psnr: does not apply (photos/psnr has no value for fsq)")
    assert answer("Does it?", [found]) == "Does not apply: fsq is better than vq on photos/psnr."
    half = data.assign(status=["done", "failed", "done", "done"])
    assert verdict(BETTER, half, FACTORS, [PSNR]).status == "not run", "the other seed may have a value yet"


def test_claims_pair_arms_that_leave_other_factors_as_they_were() -> None:
    data = two([20.3, 21.4, 22.2], [20.0, 21.0, 22.0])
    alone = pd.concat([data, data.iloc[:3].assign(**{"model.quantizer": None, "digest": "base"})])
    alone["stages.joint.schedule"] = None
    found = verdict(BETTER, alone.convert_dtypes(), FACTORS, [PSNR])
    assert (found.status, found.n, found.planned) == ("supported", 3, 3)
    assert verdict(BETTER | {"where": {"schedule": "joint"}}, alone, FACTORS, [PSNR]).planned == 0


def test_a_claim_that_names_no_evaluation_means_the_one_that_has_the_metric() -> None:
    data = two([20.3, 21.4, 22.2], [20.0, 21.0, 22.0])
    said = {"metric": "psnr", "better": "fsq", "than": "vq"}
    assert verdict(said, data, FACTORS, [PSNR, LPIPS]).sentence == verdict(BETTER, data, FACTORS, [PSNR]).sentence
    with pytest.raises(ValueError, match="fits 2 metrics"):
        verdict(BETTER | {"on": ""}, data, FACTORS, [PSNR, PSNR._replace(evaluation="clips")])


def test_a_claim_about_what_the_sweep_does_not_have_is_a_bug_of_the_planner() -> None:
    with pytest.raises(ValueError, match="fits 0 factors"):
        verdict(BETTER | {"better": "lfq"}, two([1.0], [2.0]), FACTORS, [PSNR])
    with pytest.raises(ValueError, match="fits 0 metrics"):
        verdict(BETTER | {"on": "clips"}, two([1.0], [2.0]), FACTORS, [PSNR])


def test_the_answer_is_one_sentence_that_groups_the_verdicts() -> None:
    data = two([20.3, 21.4, 22.2], [20.0, 21.0, 22.0])
    found = [verdict(claim, data, FACTORS, [PSNR])
             for claim in (EQUAL, BETTER, BETTER | {"where": {"schedule": "progressive"}})]  # fmt: skip
    said = answer("Does it?", found)
    assert said.startswith("Supported: fsq is better than vq on photos/psnr by 0.30 dB (95 % interval")
    assert said.endswith("; inconclusive: fsq is equal to vq on photos/psnr within 0.2 dB; "
                         "not run: fsq is better than vq on photos/psnr where schedule = progressive.")  # fmt: skip
    assert answer("Does it?", []).startswith("“Does it?” has no claims")
    assert "is not answered yet" in answer("Does it?", found[-1:])


class Seeds(Results):
    """Of each arm one number a seed, in one column."""

    def __init__(self, column: str, arms: dict[str, dict[int, float]]) -> None:
        self.said = {arm: pd.DataFrame(list(seeds.items()), columns=["seed", column]) for arm, seeds in arms.items()}

    def trials(self, kind: str, name: str) -> pd.DataFrame:
        return self.said[name]


def marks(metric: Metric, **arms: dict[int, float]) -> dict[str, str]:
    return marked(Seeds(metric.column, arms), metric, list(arms))


def test_best_are_the_best_and_its_ties_only_where_one_is_not_tied() -> None:
    a, close, far = {0: 20.0, 1: 25.0, 2: 30.0}, {0: 19.5, 1: 25.4, 2: 29.9}, {0: 19.0, 1: 24.1, 2: 28.9}
    worse = {0: 10.0, 1: 15.3, 2: 20.0}
    assert marks(PSNR, a=a, close=close, far=far) == {"a": "best", "close": "best", "far": "second"}
    assert marks(PSNR, a=a, close=close) == {}, "all tied: a mark would say nothing"
    assert marks(PSNR, a=a, far=far, worse=worse) == {"a": "best", "far": "second"}
    found = marks(LPIPS, a=a, close=close, far=far)
    assert found == {"close": "best", "far": "best", "a": "second"}, "a is worse, close may not be"
    assert marks(PSNR._replace(better="neither"), a=a, far=far) == {}
    assert marks(PSNR, a={0: 20.0}, far={0: 1.0}) == {}, "one seed"
    assert marks(PSNR, a=a, far=far, lucky={0: 99.0}) == {}, "the best has one seed, so nobody is best"
    assert marks(PSNR, a=a, far=far, failed={}) == {"a": "best", "far": "second"}
    assert marks(PSNR, a=a, far=far, lucky={0: 24.5}) == {"a": "best"}, "the best of the others has one seed"


def ablated(stored: Path) -> Table:
    (table,) = ablation(gathered(stored))
    assert isinstance(table, Table)
    return table


def test_the_table_says_digits_holes_and_seeds(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    for seed, value in enumerate((20.0, 20.5, 21.0)):
        sweep.values["vq+joint", seed]["photos/psnr"] = value
    sweep.values["fsq+joint", 0]["photos/usage"] = None
    sweep.values["fsq+joint", 1]["photos/usage"] = sweep.values["fsq+joint", 2]["photos/usage"] = None
    stored = sweep.write()
    sweep.fail(sweep.last("fsq+progressive", 2))
    for seed in (0, 1, 2):
        sweep.fail(sweep.last("vq+progressive", seed), "nan", "the loss is not a number at step 7")
    table = ablated(stored)
    joint, blank, kl, partial = (row.cells for row in table.blocks[0].rows)
    assert [cell.value for cell in (joint[0], *joint[4:])] == ["20.50", "123 k", "3"]
    assert joint[0].spread == "0.50"
    assert [cell.value for cell in blank] == ["—"] * 4 + ["123 k", "0 of 3"]
    assert [table.notes[i] for i in blank[-1].notes] == [
        "seeds 0, 1, 2 failed: stage 'joint': nan: the loss is not a number at step 7"
    ]
    assert kl[2].value == "n/a"
    assert table.notes[kl[2].notes[0]] == "n/a: does not apply"
    assert partial[-1].value == "2 of 3"
    assert [table.notes[i] for i in partial[-1].notes] == [
        "seed 2 failed: stage 'joint': out_of_memory: CUDA out of memory at step 120"
    ]
    assert [head.title for head in table.heads] == ["quantizer", "schedule"]
    assert [block.title for block in table.blocks] == ["", "Baselines"]
    assert [row.name for row in table.blocks[1].rows] == ["mean_colour", "patch_mean"]
    assert not any(cell.mark for row in table.blocks[1].rows for cell in row.cells)
    assert "sd 0.5, n = 3 of 3; runs " + sweep.last("vq+joint", 0) in joint[0].hover


def test_a_sweep_of_one_seed_prints_no_spread_and_no_bold(tmp_path: Path) -> None:
    stored = Synthetic(tmp_path, seeds=(4,)).write()
    table = ablated(stored)
    assert not any(cell.spread or cell.mark for row in table.rows for cell in row.cells)
    assert "Bold" not in table.caption


def test_an_arm_whose_labels_do_not_say_its_name_has_a_column_for_it(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path, factors={"model.quantizer": ["vq", "fsq"]})
    sweep.arms = {"base": {"model.quantizer": "vq"}}
    sweep.values = {("base", seed): sweep.usual("base", seed) for seed in sweep.seeds}
    stored = sweep.write()
    assert [head.title for head in ablated(stored).heads] == ["arm", "quantizer"]


def test_footnotes_are_letters_in_order() -> None:
    assert [letter(i) for i in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_every_claim_of_a_stored_sweep_gets_its_verdict(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    sweep.claims = [BETTER | {"better": "progressive", "than": "joint"}, EQUAL]
    stored = sweep.write()
    found = verdicts(gathered(stored))
    differences = [
        np.mean([sweep.values[f"{q}+progressive", s]["photos/psnr"] - sweep.values[f"{q}+joint", s]["photos/psnr"]
                 for q in ("vq", "fsq")]) for s in sweep.seeds
    ]  # fmt: skip
    theirs = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found[0].status == "supported"
    assert found[0].interval is not None
    assert found[0].interval[:2] == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert len(found) == 2
