"""Macros for running text: what they say is what the table says, and no two are called alike."""

import re
from pathlib import Path

import pytest
from report_sweep import Synthetic

from omnitok import runs
from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.table import Table
from omnitok.report.latex import escaped
from omnitok.report.macros import Macro, macros, named, word
from omnitok.report.section import Section, section
from omnitok.results import Results, gathered

CLAIM = {"metric": "psnr", "on": "photos", "better": "progressive", "than": "joint", "margin": 0.0, "where": {},
         "source": "arXiv 2406.09399"}  # fmt: skip


def sections(root: Path, *names: str, **how: object) -> tuple[list[Section], list[Results]]:
    found = []
    for name in names:
        sweep = Synthetic(root / name, **how)  # type: ignore[arg-type]
        sweep.name, sweep.pictures, sweep.claims = name, False, [] if "factors" in how else [CLAIM]
        found.append(gathered(sweep.write()))
    return [section(one) for one in found], found


def read(text: str) -> dict[str, str]:
    """{name: value} as LaTeX takes them; a name that is defined twice is an error there, so here too."""
    found = re.findall(r"^\\newcommand\{\\omnitok([^}]*)\}\{(.*?)\}% .*$", text, re.MULTILINE)
    assert len(found) == len(text.splitlines()) - 1
    assert len({name for name, _ in found}) == len(found)
    assert all(re.fullmatch("[A-Za-z]+", name) for name, _ in found)
    return dict(found)


def test_a_name_is_letters_and_says_its_digits() -> None:
    assert word("photos/codebook_usage") == "PhotosCodebookUsage"
    assert word("fsq 0.5-12") == "FsqZeroPointFiveOneTwo"
    assert word("PSNR") == "PSNR"


@pytest.mark.parametrize("name", ["", "é", "a%b", "\U0001f600", "x" * 500, "<script>", "漢字"])
def test_a_name_that_letters_do_not_say_ends_with_its_hash(name: str) -> None:
    said = word(name)
    assert re.fullmatch("[A-Za-z]{8,68}", said)
    assert said == word(name)
    assert said != word(name + " ")


def test_macros_say_what_the_table_says(tmp_path: Path) -> None:
    (one,), (results,) = sections(tmp_path, "quickstart")
    found, (table,) = read(macros([one])), ablation(results)
    assert isinstance(table, Table)
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.full in [metric.column for metric in results.metrics]:
                name = word(row.kind) + word(row.name) + word(column.full)
                assert found[name] == escaped(cell.value)
                assert found[f"{name}Spread"] == escaped(cell.spread or "—")
                assert found[f"{name}N"] == str(cell.found.n if cell.found else 0)


def test_the_best_arm_is_named_with_its_numbers_and_each_claim_with_its_verdict(tmp_path: Path) -> None:
    (one,), (results,) = sections(tmp_path, "quickstart")
    found = read(macros([one]))
    means = results.rows[results.rows["kind"] == "arm"].groupby("arm")["clips/psnr"].mean()
    assert found["BestClipsPsnrArm"] == means.idxmax()
    assert float(found["BestClipsPsnr"]) == pytest.approx(means.max(), abs=0.05)
    assert found["BestSsim"] == found["BestPhotosSsim"]
    assert "BestPsnr" not in found, "two evaluations have it"
    assert not [name for name in found if name.startswith("BestPhotosUsage")], "no direction of it is better"
    verdict = one.verdicts[0]
    assert found["ClaimOne"] == found["ClaimProgressiveIsBetterThanJointOnPhotosPsnr"] == verdict.status
    assert found["ClaimOneN"] == "3"


def test_a_lower_metric_is_best_where_it_is_lowest_and_minus_signs_stand_in_mathematics_too(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path, seeds=(0,))
    sweep.pictures = False
    for i, key in enumerate(sweep.values):
        sweep.values[key]["photos/psnr"] = -1.0 - i
    sweep.write()
    plan = sweep.plan()
    plan["evaluations"][0]["metrics"][0]["better"] = "lower"
    runs.write_json(sweep.stored / "plan.json", plan)
    found = read(macros([section(gathered(sweep.stored))]))
    assert found["BestPhotosPsnr"] == r"\ensuremath{-}4.000"
    assert found["BestPhotosPsnrArm"] == list(sweep.arms)[-1]


def test_of_several_sweeps_the_sweep_is_said_and_what_two_have_has_no_short_form(tmp_path: Path) -> None:
    both, _ = sections(tmp_path, "one", "two")
    found = read(macros(both))
    assert {"OneBestPhotosPsnr", "TwoBestPhotosPsnr", "OneBestSsim", "TwoClaimOne"} <= found.keys()
    assert not {"BestPhotosPsnr", "BestSsim", "ClaimOne"} & found.keys()


def test_names_that_letters_confuse_get_their_hash_each(tmp_path: Path) -> None:
    (one,), _ = sections(tmp_path, "x", factors={"model.quantizer": ["a-b", "a_b", "aB", "a b é%"]}, seeds=(0,))
    found = read(macros([one]))
    arms = [name for name in found if name.startswith("ArmA") and re.search("PhotosPsnr([A-Z][a-z]{7})?$", name)]
    assert len(arms) == 4


def test_an_arm_cannot_take_the_name_of_what_is_said_of_another() -> None:
    twins = [Macro("ABest", ("Best",), ("a",), "1", ""), Macro("ABest", ("Short",), ("b",), "2", ""),
             Macro("Best", (), ("c",), "3", "")]  # fmt: skip
    found = list(named(twins))
    assert len({name for name, _ in found}) == len(found) == 4
    assert dict(found)["Best"].value == "3"
    assert dict(found)["Short"].value == "2"


def test_what_nobody_measured_has_a_macro_too(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    sweep.claims = [CLAIM]
    found = read(macros([section(gathered(sweep.store()))]))
    assert found["BestPhotosPsnr"] == r"\textemdash{}"
    assert found["BestPhotosPsnrN"] == "0"
    assert found["ClaimOne"] == "not run"
