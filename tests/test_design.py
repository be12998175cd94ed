"""Designs: the arms of each, orthogonal arrays by brute force, draws that grow, and what is refused with what does fit."""

import itertools
import math
from collections import Counter

import pytest
import tiny
from report_sweep import Synthetic

from omnitok.exhibits.claims import verdicts
from omnitok.results import gathered
from omnitok.spec import SpecError, decode, read_value
from omnitok.sweep.design import DESIGNS, arms, identity_of, name_of
from omnitok.sweep.file import read_sweep
from omnitok.sweep.orthogonal import array
from omnitok.sweep.plan import plan_sweep

FACTORS = {"a": ["x", "y"], "b": ["1", "2", "3"], "c": ["on", "off"]}


def design(text: str):
    return decode(DESIGNS, read_value(text, "here"))


def balanced(rows, levels, strength) -> bool:
    """Every choice of so many columns has every combination of levels equally often."""
    for some in itertools.combinations(range(len(levels)), min(strength, len(levels))):
        counts = Counter(tuple(row[i] for i in some) for row in rows)
        if len(counts) != math.prod(levels[i] for i in some) or len(set(counts.values())) != 1:
            return False
    return True


@pytest.mark.parametrize(
    ("levels", "resolution", "runs"),
    [
        ((2,) * 3, 3, 4),
        ((2,) * 7, 3, 8),
        ((2,) * 8, 3, 12),  # Plackett and Burman
        ((2,) * 11, 3, 12),
        ((2,) * 15, 3, 16),
        ((2,) * 8, 4, 16),
        ((2,) * 5, 5, 16),
        ((2,) * 8, 5, 64),
        ((3,) * 4, 3, 9),
        ((3,) * 7, 3, 18),  # Taguchi
        ((2, 3, 3, 3, 3, 3, 3, 3), 3, 18),
        ((4, 2, 2, 2, 2), 3, 8),
        ((4,) * 5, 3, 16),
        ((5,) * 6, 3, 25),
        ((6, 6, 6), 3, 36),
        ((7, 2, 2, 2), 3, 28),
        ((2, 2, 6, 3), 3, 36),
    ],
)
def test_an_array_is_as_small_as_the_tables_have_it_and_balanced_by_brute_force(levels, resolution, runs):
    found = array(levels, resolution - 1)
    assert len(found) == len(set(found)) == runs and balanced(found, levels, resolution - 1)


def test_every_small_shape_is_balanced_and_has_no_arm_twice():
    for count in (3, 4, 5):
        for levels in itertools.combinations_with_replacement((2, 3, 4), count):
            for resolution in (3, 4):
                found = array(levels, resolution - 1)
                assert found is not None and balanced(found, levels, resolution - 1), (levels, resolution)
                if len(found) < math.prod(levels):
                    assert len(set(found)) == len(found), levels


def test_a_fraction_is_a_part_of_the_full_product_in_its_order():
    factors = {name: ["0", "1"] for name in "abcde"}
    every, some = arms("full", factors), arms(design("fractional"), factors)
    assert len(some) == 8 and some == [arm for arm in every if arm in some]
    assert arms(design("fractional"), factors) == some and some[0] == every[0]
    assert len(arms(design("{type: fractional, resolution: 5}"), factors)) == 16


@pytest.mark.parametrize(
    ("text", "factors", "said"),
    [
        ("fractional", {"a": ["0", "1"], "b": ["0", "1"]}, "smaller than all of 2 x 2; design: full takes 4; or design: {"),
        ("{type: fractional, resolution: 4}", {n: ["0", "1"] for n in "abc"},
         "resolution 4 is smaller than all of 2 x 2 x 2; design: full takes 8; or resolution: 3 takes 4 arms"),
        ("fractional", FACTORS, "no array of resolution 3 is smaller than all of 2 x 3 x 2; design: full takes 12"),
        ("{type: random, n: 13}", FACTORS, "n=13: the factors have 12 combinations; say at most 12, or design: full"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_does(text, factors, said):
    with pytest.raises(ValueError) as caught:
        arms(design(text), factors)
    assert said in str(caught.value)


def test_a_draw_is_without_replacement_and_the_first_of_every_larger_one():
    whole = arms(design("{type: random, n: 12}"), FACTORS)
    assert sorted(map(name_of, whole)) == sorted(map(name_of, arms("full", FACTORS)))
    for n in range(1, 12):
        assert arms(design(f"{{type: random, n: {n}}}"), FACTORS) == whole[:n]
    assert arms(design("{type: random, n: 12, seed: 1}"), FACTORS) != whole


def test_a_new_value_leaves_the_order_of_the_old_arms_of_a_draw():
    before = arms(design("{type: random, n: 12}"), FACTORS)
    after = arms(design("{type: random, n: 16}"), {**FACTORS, "b": ["1", "2", "3", "4"]})
    assert [arm for arm in after if arm["b"] != "4"] == before


def test_every_arm_of_a_draw_is_as_likely():
    hits = Counter(
        name_of(arms(design(f"{{type: random, n: 1, seed: {seed}}}"), {"a": ["x", "y"], "b": ["1", "2"]})[0])
        for seed in range(400)
    )
    assert len(hits) == 4 and sum((count - 100) ** 2 / 100 for count in hits.values()) < 16.3  # chi-squared, p = 0.001


def sweep(tmp_path, line: str):
    return tiny.write(tmp_path, sweep=f"{tiny.SWEEP}design: {line}\n")


def test_a_sweep_says_a_design_with_choices_and_is_refused_at_its_line(tmp_path, runs_root):
    trials = plan_sweep(sweep(tmp_path, "{type: random, n: 3}")).trials
    assert len({trial.name for trial in trials if trial.kind == "arm"}) == 3
    for line, said in [
        ("{type: random}", "design.n: must be said; it has no default"),
        ("zap", "design: no design 'zap'; did you mean 'zip'?"),
        ("{type: fractional, resolution: 6}", "design.resolution: must be 3, 4 or 5, not 6"),
        ("{type: full, n: 3}", "design.n: design 'full' takes no choices"),
        ("fractional", "vary: fractional: no array of resolution 3 is smaller than all of 2 x 2"),
    ]:
        with pytest.raises(SpecError) as caught:
            plan_sweep(sweep(tmp_path, line))
        assert said in str(caught.value) and "ask.yaml:" in str(caught.value)


def test_the_identity_of_a_sweep_has_the_design_and_a_bare_name_is_as_it_was(tmp_path, runs_root):
    same = {read_sweep(sweep(tmp_path, line)).digest for line in ("full", "{type: full}")}
    assert len(same) == 1 and identity_of(design("full")) == "full"
    more = {read_sweep(sweep(tmp_path, f"{{type: random, n: {n}}}")).digest for n in (2, 3)}
    assert len(same | more) == 3


def test_a_claim_without_exact_pairs_says_so_in_the_plan_and_in_the_report(tmp_path, runs_root):
    path = sweep(tmp_path, "{type: random, n: 1}")
    (notice,) = [one for one in plan_sweep(path).notices if "no two arms" in one]
    assert "fsq and vq" in notice and "has no pairs" in notice
    assert not [one for one in plan_sweep(sweep(tmp_path, "full")).notices if "no two arms" in one]
    made = Synthetic(tmp_path / "s", factors={"a": ["x", "y"], "b": ["1", "2"]}, design=design("{type: random, n: 1}"))
    made.claims = [{"metric": "psnr", "on": "photos", "better": "x", "than": "y"}]
    stored = made.write()
    (found,) = verdicts(gathered(stored))
    assert (found.status, found.planned) == ("not run", 0) and "no two arms" in found.sentence
