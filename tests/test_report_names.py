"""Names that are harmless in one format and a command in another: formulas, stars, numbers of lists, cases of letters."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from report_sweep import Synthetic

from omnitok import runs
from omnitok.exhibits.contract import Plain
from omnitok.report import formats, paper, render, render_paper
from omnitok.report.command import check_report
from omnitok.report.latex import escaped
from omnitok.spec import SpecError

FORMULAS = ["=1+1", "+cmd|x", "-cmd|x", "@sum"]


def test_no_text_of_a_csv_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,), factors={"model.quantizer": FORMULAS})
    sweep.baselines, sweep.pictures = {"=base": -1.5}, False
    sweep.write()
    render(sweep.stored, tmp_path / "out")
    for path in (tmp_path / "out" / "data").glob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_bytes().decode())):
            for cell in row:
                assert cell[:1] not in {*"=+-@\t\r"} or float(cell) < 0
    found = pd.read_csv(tmp_path / "out" / "data" / "rows.csv")
    assert found["arm"].tolist() == [*(f"'{name}" for name in FORMULAS), "'=base"]
    assert found["photos/psnr"].tolist()[-1] == -1.5


@pytest.mark.parametrize("text", ["-0.5", "+3", "1e-4", "-1.5e-04", "word", ""])
def test_a_plain_number_as_text_stays_one_in_a_csv(text: str) -> None:
    frame = pd.DataFrame({"label": [text, "x"]})
    assert formats.inert(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_a_name_that_begins_with_a_star_keeps_it_after_the_end_of_a_row() -> None:
    assert escaped("*a") == "{*}a"  # \\ and a star is another command, whatever blanks are between them


@pytest.mark.parametrize(("text", "said"), [("12. x", r"12\. x"), ("1) x", r"1\) x"), ("7.", r"7\."), ("1.5 dB", "1.5 dB"),
                                            ("12", "12"), ("- x", r"\- x"), (".x", ".x")])  # fmt: skip
def test_no_text_begins_a_list_in_markdown(text: str, said: str) -> None:
    assert formats.markdown_escaped(text) == said


def test_a_report_of_hostile_names_writes_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    sweep = Synthetic(
        tmp_path / "a" / "b" / "runs", seeds=(0,), factors={"model.quantizer": ["../../../up", "x" * 300]}
    )
    sweep.name = "../../../../up"
    sweep.baselines = {"../../up": 1.0}
    sweep.write()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    out = tmp_path / "a" / "b" / "out"
    render(sweep.stored, out)
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new == {path for path in out.rglob("*") if path.is_file()}
    assert set(runs.read_json(out / "report.lock")["files"]) == {
        path.relative_to(out).as_posix() for path in new if path.name != "report.lock"
    }


def test_no_two_files_of_a_section_have_one_name_though_letters_had_no_case() -> None:
    stems = ["samples-photos", "samples-Photos", "samples-photos-2", "samples-photos", "samples-photos-2", "points"]
    found = [piece.stem for piece in paper._distinct([Plain(stem, stem, "", ("a",), (), ()) for stem in stems])]
    assert len({stem.casefold() for stem in found}) == len(stems)
    assert (found[0], found[2], found[5]) == ("samples-photos", "samples-photos-2", "points")


def test_two_sweeps_whose_names_differ_in_case_are_refused_on_one_page(tmp_path: Path) -> None:
    for name in ("One", "one"):
        sweep = Synthetic(tmp_path / name / "runs", seeds=(0,))
        sweep.name, sweep.pictures = name, False
        sweep.write()
        (tmp_path / f"{name}-file.yaml").write_text("question: x\n")
    (tmp_path / "p.yaml").write_text("title: Both\nsections:\n- sweep: One-file.yaml\n- sweep: one-file.yaml\n")
    folders = [next((tmp_path / name / "runs" / "sweeps").iterdir()) for name in ("One", "one")]
    with pytest.raises(SpecError, match="two sweeps are named 'one'"):
        render_paper(paper.read_paper(tmp_path / "p.yaml"), folders, tmp_path / "out")


def test_another_title_of_a_section_is_no_other_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0, 1))
    sweep.pictures = False
    sweep.claims = [{"metric": "psnr", "on": "photos", "better": "progressive", "than": "joint", "margin": 0.0, "where": {},
                     "source": ""}]  # fmt: skip
    sweep.write()
    (tmp_path / "one.yaml").write_text("question: x\n")
    asked = tmp_path / "p.yaml"
    asked.write_text("title: x\nsections:\n- {sweep: one.yaml, title: Now}\n")
    monkeypatch.setattr("omnitok.report.command.locate", lambda *_: sweep.stored)
    render_paper(paper.read_paper(asked), [sweep.stored], tmp_path / "out")
    asked.write_text("title: x\nsections:\n- {sweep: one.yaml, title: Then}\n")
    found = check_report(asked, out=tmp_path / "out")
    assert "paper.tex would read otherwise now" in found and not any("claim" in said for said in found)
