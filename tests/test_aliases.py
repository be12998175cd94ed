"""The aliases of a fraction: the defining relation by hand, columns by brute force, and what a plan says of them."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import tiny
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.cli.tables import print_aliases
from omnitok.spec import decode, read_value
from omnitok.sweep.aliases import aliases, aliases_of, as_json
from omnitok.sweep.design import DESIGNS, arms


def design(text: str):
    return decode(DESIGNS, read_value(text, "here"))


def two_levels(names: str):
    return {name: ["low", "high"] for name in names}


def columns(factors, fraction):
    """-1 and 1 of every factor of two levels."""
    return {factor: [2 * labels.index(arm[factor]) - 1 for arm in fraction] for factor, labels in factors.items()}


def product(*some):
    return [math.prod(values) for values in zip(*some, strict=True)]


@pytest.mark.parametrize("names", ["abc", "abcde", "abcdefg", "abcdefgh"])
def test_a_main_effect_is_aliased_as_far_as_its_column_goes_with_the_product_of_two_others(names):
    factors = two_levels(names)
    fraction = arms(design("fractional"), factors)
    sign = columns(factors, fraction)
    wanted = {}
    for one in names:
        for two, three in itertools.combinations(names, 2):
            inner = Fraction(sum(product(sign[one], sign[two], sign[three])), len(fraction))
            if one not in (two, three) and inner:
                wanted[(one,), (two, three)] = round(float(inner**2), 6)
    assert {(one.effect, one.other): one.share for one in aliases(factors, fraction)} == wanted and wanted


def test_the_half_fraction_of_three_factors_has_the_aliases_of_the_textbook():
    found = aliases_of(design("fractional"), two_levels("abc"))
    assert found == [(("a",), ("b", "c"), 1.0), (("b",), ("a", "c"), 1.0), (("c",), ("a", "b"), 1.0)]


def test_where_columns_are_equal_or_opposite_nothing_tells_the_effects_apart():
    factors = two_levels("abcdefg")
    fraction = arms(design("fractional"), factors)
    sign, found = columns(factors, fraction), aliases(factors, fraction)
    assert len(found) == 7 * 3  # 2^(7-4): three pairs for each of seven
    for one in found:
        both = product(*(sign[factor] for factor in one.other))
        assert both in (sign[one.effect[0]], [-value for value in sign[one.effect[0]]]) and one.share == 1.0


def test_plackett_and_burman_alias_in_part_with_every_interaction_of_two_others():
    found = aliases_of(design("fractional"), two_levels("abcdefghijk"))
    assert len(found) == 11 * 45 and {one.share for one in found} == {round(1 / 9, 6)}


def test_at_resolution_4_interactions_are_aliased_with_each_other_and_at_5_nothing_is():
    factors, by_four = two_levels("abcd"), design("{type: fractional, resolution: 4}")
    assert aliases_of(by_four, factors) == [
        (("a", "b"), ("c", "d"), 1.0), (("a", "c"), ("b", "d"), 1.0), (("a", "d"), ("b", "c"), 1.0),
    ]  # fmt: skip
    assert aliases_of(design("{type: fractional, resolution: 5}"), two_levels("abcde")) == []


def indicators(fraction, *some):
    """A column for each combination of values that occurs."""
    cells = [tuple(arm[factor] for factor in some) for arm in fraction]
    return np.array([[float(cell == one) for one in sorted(set(cells))] for cell in cells])


@pytest.mark.parametrize(
    "levels",
    [(3, 3, 3), (3, 3, 3, 3), (4, 2, 2, 2, 2), (4, 4, 4), (6, 6, 6)],
    ids=lambda levels: "x".join(map(str, levels)),
)
def test_with_more_levels_as_many_degrees_of_freedom_are_shared_as_the_ranks_have_it(levels):
    """What a main effect and the cells of two others span together lacks what they share, and the mean."""
    factors = {name: [str(i) for i in range(count)] for name, count in zip("abcde", levels, strict=False)}
    fraction = arms(design("fractional"), factors)
    shares = {(one.effect[0], one.other): one.share for one in aliases(factors, fraction)}
    rank, left = np.linalg.matrix_rank, dict(shares)
    for one, values in factors.items():
        for two, three in itertools.combinations([name for name in factors if name != one], 2):
            mine, theirs = indicators(fraction, one), indicators(fraction, two, three)
            shared = rank(mine) + rank(theirs) - rank(np.hstack([mine, theirs])) - 1
            free = min(len(values) - 1, (len(factors[two]) - 1) * (len(factors[three]) - 1))
            assert left.pop((one, (two, three)), 0.0) == pytest.approx(shared / free, abs=1e-6)
    assert shares and not left


SWEEP = """\
question: Which of three matters?
experiment: tiny.yaml
design: fractional
vary:
  model.quantizer: {vq: {type: vq, codebook_size: 16, code_dim: 4}, fsq: {type: fsq, levels: [4, 4]}}
  stages.joint.schedule.image_share: [0.0, 0.5]
  optimizer.lr: [1e-3, 1e-2]
seeds: [0]
"""


def test_a_plan_says_its_aliases_and_one_that_is_no_fraction_has_none(tmp_path, runs_root):
    sweep = str(tiny.write(tmp_path, sweep=SWEEP))
    output = CliRunner().invoke(main, ["plan", sweep]).output
    assert "main effects are aliased with interactions of two factors:" in output
    (line,) = [line for line in output.splitlines() if line.startswith("model.quantizer ")]
    assert line.split("  ", 1)[1].split() == ["stages.joint.schedule.image_share", "x", "optimizer.lr", "-"]
    said = json.loads(CliRunner().invoke(main, ["plan", sweep, "--json"]).output)["aliases"]
    other = ["stages.joint.schedule.image_share", "optimizer.lr"]
    assert len(said) == 3 and said[0] == {"effect": ["model.quantizer"], "with": other, "share": 1.0}
    whole = CliRunner().invoke(main, ["plan", sweep, "--set", "design=full", "--json"]).output
    assert "aliases" not in json.loads(whole)


def test_many_aliases_are_cut_short_for_people_and_what_is_clear_is_said(capsys):
    names = [f"f{i}" for i in range(11)]
    burman = as_json(aliases_of(design("fractional"), {name: ["0", "1"] for name in names}))
    print_aliases(burman)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("f0 "))
    assert "f1 x f9 and 37 more; --json lists all" in line
    print_aliases(as_json(aliases_of(design("{type: fractional, resolution: 4}"), two_levels("abcd"))))
    said = capsys.readouterr().out
    assert "main effects are clear" in said and "a x b" in said and "c x d" in said
    print_aliases([])
    assert "no main effect and no interaction of two factors is aliased" in capsys.readouterr().out
