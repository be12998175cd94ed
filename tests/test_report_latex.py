"""LaTeX of a report: it compiles, also where every name is an attack; its numbers are those of every other format."""

import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from packages import Missing, need, program, unavailable
from report_sweep import Synthetic

from omnitok.exhibits.contract import Plain
from omnitok.exhibits.table import Block, Cell, Column, Row, Table
from omnitok.report import pdf, render
from omnitok.report.latex import TALL, breakable, latex

HOSTILE = "a_b&<script>alert(1)</script>%$x^2{}\\|`*#~\"'\U0001f600 \\input{/etc/passwd} ^^41 % \\end{document}"
LONG = "a_very_long_name." * 20
CLAIM = {"metric": "psnr", "on": "photos", "better": "progressive", "than": "joint", "margin": 0.0, "where": {},
         "source": "arXiv 2406.09399"}  # fmt: skip
LATEX = {"pdflatex": "texlive-latex-base", "thumbpdf": "texlive-latex-recommended", "pdftotext": "poppler-utils"}
ALONE = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"


@pytest.fixture(scope="module")
def engine() -> str:
    """pdflatex, with the packages that a stock LaTeX has."""
    try:
        need("LaTeX", LATEX)
        return program("pdflatex")
    except Missing as why:
        unavailable(why)


def usual(root: Path) -> Synthetic:
    sweep = Synthetic(root)
    sweep.claims = [CLAIM]
    return sweep


def hostile(root: Path) -> Synthetic:
    sweep = Synthetic(root, seeds=(0, 1), factors={"model.quantizer": [HOSTILE, "vq", LONG]})
    sweep.name, sweep.baselines = HOSTILE, {HOSTILE: 12.0}
    sweep.claims = [CLAIM | {"better": HOSTILE, "than": "vq", "source": HOSTILE}]
    return sweep


def many(root: Path) -> Synthetic:
    return Synthetic(root, (0, 1), {"model.quantizer": [f"q{i}" for i in range(12)], "x": [f"s{i}" for i in range(8)]})


def one(root: Path) -> Synthetic:
    sweep = Synthetic(root, (0,), {"model.quantizer": ["vq"]})
    sweep.baselines = {}
    return sweep


MAKERS: dict[str, Callable[[Path], Synthetic]] = {
    "usual": usual, "hostile": hostile, "many": many, "one": one, "not started": usual, "all failed": usual, "half": usual
}  # fmt: skip


@pytest.fixture(scope="module", params=list(MAKERS))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(which sweep, the folder of its report)."""
    folder = tmp_path_factory.mktemp("report")
    sweep = MAKERS[request.param](folder / "runs")
    sweep.pictures = False
    if request.param == "not started":
        sweep.store()
    else:
        sweep.write()
        sweep.say(question=HOSTILE if request.param == "hostile" else "Which?")
    broken = {"all failed": sweep.seeds, "half": (1,), "hostile": (1,)}.get(request.param, ())
    for digest in dict.fromkeys(sweep.last(arm, seed) for arm in sweep.arms for seed in broken):
        sweep.fail(digest, "bug", HOSTILE)
    render(sweep.stored, folder / "out")
    return request.param, folder / "out"


def compiled(engine: str, folder: Path) -> str:
    """The log of a paper.tex that compiles."""
    command = [engine, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert said.returncode == 0, said.stdout[-2000:]
    return (folder / "paper.log").read_text(errors="replace")


@pytest.mark.service
def test_every_table_compiles_alone_in_a_stock_article(engine: str, report: tuple[str, Path], tmp_path: Path) -> None:
    for table in (report[1] / "tables").glob("*.tex"):
        (tmp_path / "table.tex").write_text(table.read_text())
        (tmp_path / "paper.tex").write_text(ALONE)
        assert "Overfull" not in compiled(engine, tmp_path)


@pytest.mark.service
def test_the_whole_compiles_and_prints_what_was_measured(engine: str, report: tuple[str, Path]) -> None:
    name, out = report
    assert pdf.typeset(out) == ""
    text = subprocess.run([program("pdftotext"), "-layout", "paper.pdf", "-"], cwd=out, check=True, capture_output=True)
    said = " ".join(text.stdout.decode().split())
    assert "Protocols and provenance" in said
    assert {"usual": "All 14 trials are done", "not started": "14 not started"}.get(name, "To reproduce") in said
    if name == "usual":
        values = [
            re.sub(r"\\\w+\{|\}", "", row[0]).split(" ± ")[0]
            for row in tex_rows((out / "tables" / "ablation.tex").read_text())
        ]
        assert len(values) == 6
        assert all(value in said for value in values)
    assert "root:" not in said, "no file is read that is not the report's"


@pytest.mark.service
def test_the_same_report_is_the_same_pdf_to_the_byte_wherever_it_lies(engine: str, tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.write()
    made = []
    for name in ("one", "another place"):
        render(sweep.stored, tmp_path / name)
        assert pdf.typeset(tmp_path / name) == ""
        made.append((tmp_path / name / "paper.pdf").read_bytes())
    assert made[0] == made[1]
    assert b"/tmp" not in made[0] and str(tmp_path).encode() not in made[0]


@pytest.mark.service
def test_what_fails_or_never_ends_is_said_in_a_sentence(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = tmp_path / "paper.tex"
    paper.write_text("\\documentclass{article}\n\\begin{document}\n\\nosuchthing\n\\end{document}\n")
    assert (
        pdf.typeset(tmp_path) == "no paper.pdf: pdflatex failed on paper.tex: paper.tex:3: Undefined control sequence."
    )
    monkeypatch.setattr(pdf, "SECONDS", 1.0)
    paper.write_text("\\documentclass{article}\\begin{document}\\loop\\iftrue\\repeat\\end{document}\n")
    assert pdf.typeset(tmp_path) == "no paper.pdf: pdflatex failed on paper.tex: it took more than 1 s"
    assert not (tmp_path / "paper.pdf").exists()


@pytest.mark.service
def test_no_command_is_run_by_a_paper(engine: str, tmp_path: Path) -> None:
    text = r"\documentclass{article}\begin{document}x\immediate\write18{touch ran}\end{document}"
    (tmp_path / "paper.tex").write_text(text)
    assert pdf.typeset(tmp_path) == ""
    assert not (tmp_path / "ran").exists()


def test_without_an_engine_the_sentence_says_what_is_missing(tmp_path: Path) -> None:
    assert pdf.typeset(tmp_path, {"nolatex": ("there-is-no-such-program",)}).startswith(
        "no paper.pdf: no LaTeX is here"
    )


class Cells(HTMLParser):
    """(mark, mean, spread) of every cell with a number or a hole, by row, of the table with one id."""

    def __init__(self, text: str, table: str) -> None:
        super().__init__()
        self.wanted, self.inside, self.part = table, False, ""
        self.rows: list[list[list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        names = (said.get("class") or "").split()
        self.inside = said.get("id") == self.wanted if tag == "table" else self.inside
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag == "td" and "value" in names:
            self.rows[-1].append([next((mark for mark in ("best", "second") if mark in names), ""), "", ""])
        self.part = {"mean": "mean", "spread": "spread"}.get(names[0], "") if tag == "span" and names else ""

    def handle_endtag(self, tag: str) -> None:
        self.part = ""
        self.inside = self.inside and tag != "table"

    def handle_data(self, data: str) -> None:
        if self.inside and self.part:
            self.rows[-1][-1][1 if self.part == "mean" else 2] += data.removeprefix("± ")


def tex_rows(text: str) -> list[list[str]]:
    """The cells of each row of arms or baselines: "22.1 ± 0.3"."""
    body = [line for line in text.splitlines() if line.endswith(r"\\") and " & " in line]
    rows = []
    for line in body:
        plain = re.sub(r"\\textsuperscript\{[^}]*\}| \{\\scriptsize \$\\pm\$ ([^}]*)\}", lambda m: f" ± {m[1]}" if m[1] else "",
                       line.removesuffix(r" \\"))  # fmt: skip
        rows.append([part.replace("$-$", "−").replace(r"\textemdash{}", "—") for part in plain.split(" & ")])
    return [
        row[-5:]
        for row in rows
        if re.search(r"\d|—|n/a", row[-1]) and not re.search(r"multicolumn\{\d\}\{c\}", row[-1])
    ]


def printed(cell: list[str]) -> str:
    return f"{cell[1]} ± {cell[2]}" if cell[2] else cell[1]


def test_numbers_in_every_format_agree_cell_for_cell(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs")
    sweep.pictures = False
    sweep.write()
    sweep.fail(sweep.last("fsq+progressive", 2))
    for seed in sweep.seeds:
        sweep.fail(sweep.last("vq+joint", seed))
    out = render(sweep.stored, tmp_path / "out").page.parent
    html = [row for row in Cells((out / "index.html").read_text(), "table-quickstart-ablation").rows if row]
    lines = [line.strip().strip("|").split(" | ") for line in (out / "tables" / "ablation.md").read_text().splitlines()
             if line.startswith("|")][2:]  # fmt: skip
    marked = [[cell.strip() for cell in line] for line in lines if not line[0].strip().startswith("*")]
    markdown = [[re.sub(r"<sup>.*?</sup>|</?u>|\*\*", "", cell) for cell in line[2:]] for line in marked]
    marks = [["best" if "**" in cell else "second" if "<u>" in cell else "" for cell in line[2:]] for line in marked]
    assert [[printed(cell) for cell in row] for row in html] == markdown
    assert [[cell[0] for cell in row] for row in html] == marks
    assert len(markdown) == 6
    tex = (out / "tables" / "ablation.tex").read_text()
    numbers = [[re.sub(r"\\(textbf|underline)\{([^}]*)\}", r"\2", cell) for cell in row] for row in tex_rows(tex)]
    assert numbers == [row[-5:] for row in markdown]
    assert tex.count(r"\textbf{") == sum(row.count("best") for row in marks)
    frame = pd.read_csv(out / "data" / "ablation.csv")
    for i, column in enumerate(["photos/psnr", "photos/ssim", "photos/usage", "clips/psnr"]):
        for row, cells in enumerate(markdown):
            value, _, spread = cells[i].replace("−", "-").partition(" ± ")
            number, sd = frame[column][row], frame[f"{column} sd"][row]
            assert (value in ("—", "n/a")) == pd.isna(number)
            if not pd.isna(number):
                places = len(value.partition(".")[2])
                assert f"{number:.{places}f}" == value
                assert (f"{sd:.{places}f}" if spread else "") == spread


def table(rows: int, columns: int, label: str = "arm") -> Table:
    heads, cells = (Column("arm", "arm"),), tuple(Cell(f"{i}.25", "0.125") for i in range(columns))
    block = Block("A block", tuple(Row("arm", f"{label}{i}", (f"{label}{i}",), cells) for i in range(rows)))
    names = tuple(Column(f"metric {i}", f"m{i}", "photos") for i in range(columns))
    return Table("t", "t", "A caption", heads, names, (block,), ("what a means",))


def test_a_table_that_is_too_long_for_a_page_goes_on_in_another_float_with_all_its_rows() -> None:
    text = latex(table(100, 2))
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) == 3
    assert all(one.count("\narm") - 1 <= TALL for one in floats)
    assert re.findall(r"^arm(\d+) &", text, re.MULTILINE) == [str(i) for i in range(100)]
    assert text.count(r"\label{") == 1
    assert text.count("(continued)") == 2
    assert text.count(r"\textsuperscript{a}\,what a means") == 1


def test_a_table_that_is_too_wide_is_shared_out_over_floats_with_its_labels_in_each() -> None:
    text = latex(table(3, 24))
    floats = text.split(r"\begin{table}")[1:]
    counts = [len(re.findall(r"\.25 \{", re.findall(r"^arm0 &.*$", one, re.MULTILINE)[0])) for one in floats]
    assert sum(counts) == 24
    assert len(counts) > 1
    assert max(counts) - min(counts) <= 1


def test_a_long_word_may_break_and_a_short_one_may_not() -> None:
    assert breakable("psnr over 0.5") == "psnr over 0.5"
    assert breakable("model.quantizer_of_all") == (r"model.\hspace{0pt}quantizer\_\hspace{0pt}of\_\hspace{0pt}all")
    words = Plain("p", "p", "c", ("name", "n"), ((LONG, "1"),), (1,))
    assert r"\parbox[t]" in latex(words)
    assert r"\begin{tabular}{lr}" in latex(words)
