"""What the pages on reports and on notebooks say is so, on a small stored sweep."""

import csv
import inspect
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
import report_sweep
from report_sweep import Synthetic

from omnitok import runs
from omnitok.cli import main
from omnitok.exhibits import EXHIBITS, USUAL
from omnitok.report.checked import LOCK
from omnitok.report.command import render, render_paper
from omnitok.report.macros import macros
from omnitok.report.paper import Paper, Part, pieces_of, read_paper
from omnitok.report.pdf import ENGINES
from omnitok.report.section import section
from omnitok.results import gathered
from omnitok.results.cited import CitedColumn, CitedRow, read_cited
from omnitok.spec import SpecError, plain, read_value

DOCS = Path(__file__).parent.parent / "docs"
REPORTS, NOTEBOOK = ((DOCS / f"{name}.md").read_text() for name in ("reports", "notebook"))
PAPER, TABLES, FIGURES, PUBLISHED = re.findall(r"```yaml\n(.*?)```", REPORTS, flags=re.DOTALL)
QUICK = {"model.quantizer": ["vq", "fsq"], "stages.joint.schedule": ["fixed", "ramp"]}
CLAIM = {"metric": "psnr", "on": "photos", "better": "ramp", "than": "fixed", "margin": 0.0, "where": {}, "source": ""}


class Quick(Synthetic):
    """The quickstart's arms, each of another size, so that there is something to fit."""

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, factors=QUICK, **how)
        self.claims = [CLAIM]

    def trials(self) -> list[dict[str, Any]]:
        sizes = {name: 100_000 * (place + 1) for place, name in enumerate(self.arms)}
        return [trial | {"parameters": sizes.get(trial["name"])} for trial in super().trials()]

    def evaluate(self, folder: Path, values: dict[str, float | None], blur: int) -> None:
        super().evaluate(folder, values | {"photos/codebook_usage": values["photos/usage"]}, blur)
        for path in (folder / runs.EVALUATIONS).glob("*.json"):
            said = runs.read_json(path)
            if said["label"] == "codebook_usage":
                runs.write_json(path, said | {"details": {"unused": 3, "used 2^0": 1}})


@pytest.fixture(autouse=True)
def _metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the quickstart: how much of a codebook is used is one of them."""
    photos = [*report_sweep.METRICS["photos"][:2], ("codebook_usage", "", "higher")]
    monkeypatch.setattr(report_sweep, "METRICS", {**report_sweep.METRICS, "photos": photos})


@pytest.fixture
def stored(runs_root: Path) -> Path:
    return Quick(runs_root).write()


@pytest.fixture
def bare(runs_root: Path) -> Path:
    """Without curves and pictures, which take long to draw."""
    sweep = Quick(runs_root)
    sweep.pictures = False
    return sweep.write()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of report files, beside that of sweeps; with the page's file of published numbers."""
    for name in ("reports", "sweeps"):
        (tmp_path / name).mkdir()
    (tmp_path / "sweeps" / "quickstart.yaml").write_text("question: q\n")
    (tmp_path / "reports" / "published.yaml").write_text(PUBLISHED)
    return tmp_path / "reports"


def asked(folder: Path, show: str) -> Path:
    """A report file that shows what a block of the page says."""
    path = folder / "mine.yaml"
    inside = "\n".join(f"    {line}" for line in show.splitlines())
    path.write_text(f"title: mine\nsections:\n  - sweep: ../sweeps/quickstart.yaml\n{inside}\n")
    return path


def test_the_report_file_of_the_page_is_read_says_every_key_and_is_rendered(folder: Path, stored: Path) -> None:
    path = folder / "paper.yaml"
    path.write_text(PAPER)
    said = read_value(PAPER, "")
    assert set(said) == set(Paper.model_fields) and set(said["sections"][0]) == set(Part.model_fields)
    done = render_paper(read_paper(path), [stored], folder / "build")
    shown = {one.name for one in (folder / "build" / "figures").glob("*.png")}
    assert {"curves.png", "curves-2.png"} == shown and "Quantizers and schedules" in done.page.read_text()


@pytest.mark.parametrize("show", [TABLES, FIGURES], ids=["tables", "figures"])
def test_every_line_of_the_page_fits_the_sweep_and_shows_something(folder: Path, stored: Path, show: str) -> None:
    read, results = read_paper(asked(folder, show)), gathered(stored, beside=folder)
    for spec in read.paper.sections[0].show:
        pieces = pieces_of(results, [spec])
        name = str(plain(spec)["type"])
        assert pieces or name == "searches", f"{name} shows nothing"  # of these, nothing was searched


def test_the_page_names_every_exhibit_and_what_is_usual() -> None:
    lines = [one for block in (TABLES, FIGURES) for one in read_value(block, "")["show"]]
    assert {one if isinstance(one, str) else one["type"] for one in lines} == set(EXHIBITS)
    assert f"What is usual: {', '.join(f'`{name}`' for name in USUAL)}; " in REPORTS
    assert all(len(re.findall(r"^  - .*", block, re.M)) == len(re.findall(r"^  - .*# ", block, re.M)) for block in (TABLES, FIGURES))  # fmt: skip
    without = [name for name, one in EXHIBITS.components.items() if "caption" not in inspect.signature(one).parameters]
    assert without == ["searches"]


def test_a_wrong_name_in_a_line_of_the_page_is_refused_at_its_line(folder: Path, stored: Path) -> None:
    path = asked(folder, TABLES.replace("rows: quantizer", "rows: quantiser"))
    read, results = read_paper(path), gathered(stored, beside=folder)
    line = 1 + path.read_text().splitlines().index(
        next(one for one in path.read_text().splitlines() if "quantiser" in one)
    )
    with pytest.raises(SpecError, match=rf"mine.yaml:{line}: sections\[0\].show\[3\].rows: quantiser is no factor"):
        pieces_of(results, read.paper.sections[0].show, read.said, ("sections", 0, "show"))


def test_the_published_numbers_of_the_page_are_read_and_say_every_key(folder: Path) -> None:
    (table,) = read_cited(folder / "published.yaml").tables.values()
    said = read_value(PUBLISHED, "")["tables"]["table2"]
    assert set(said["columns"]["fid"]) == set(CitedColumn.model_fields)
    assert {key for row in said["rows"] for key in row} == set(CitedRow.model_fields)
    assert table.rows[0].ours in Quick(folder).arms


def test_every_macro_of_the_page_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = section(gathered(Quick(tmp_path / "one").write()))
    found = macros([one]) + macros([one, one._replace(slug="other")])
    monkeypatch.setattr(report_sweep, "METRICS", {"photos": report_sweep.METRICS["photos"]})
    alone = macros([section(gathered(Quick(tmp_path / "alone").write()))])
    names = [set(re.findall(r"\\newcommand\{\\(omnitok\w+)\}", text)) for text in (found, alone)]
    said = set(re.findall(r"\\(omnitok\w+)", REPORTS))
    assert len(said) > 6 and said <= names[0] | names[1]
    assert said - names[0] == {"omnitokBestPsnr"}, "two evaluations have psnr"


def test_the_page_names_the_files_that_are_written_and_the_engines_in_order(tmp_path: Path, bare: Path) -> None:
    out = tmp_path / "out"
    render(bare, out)
    kinds = {f"{path.parent.name}/*{path.suffix}" if path.parent != out else path.name
             for path in out.rglob("*") if path.is_file()}  # fmt: skip
    said = re.findall(r"^\| (`.*?) \|", REPORTS, flags=re.M)
    named = {name if "/" in name or "*" not in name else f"{cell.split('/')[0].strip('`')}/{name}"
             for cell in said for name in re.findall(r"`(.*?)`", cell)}  # fmt: skip
    assert kinds - {"figures/*.webm"} == named - {"figures/*.webm", "paper.pdf"} and LOCK in named
    places = [REPORTS.index(f"`{name}`", REPORTS.index("## PDF")) for name in ENGINES]
    assert places == sorted(places)


@pytest.mark.parametrize("line", re.findall(r"^omnitok (.*)$", REPORTS, flags=re.M))
def test_every_command_of_the_page_is_one_with_these_options(line: str) -> None:
    name, *words = line.split()
    assert main.commands[name].make_context(name, words).params


@pytest.fixture
def notebook(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's blocks leave behind, run in order as one would type them."""
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with mpl.rc_context():
        pyplot.switch_backend("Agg")
        for block in re.findall(r"```python\n(.*?)```", NOTEBOOK, flags=re.DOTALL):
            exec(block, names)
        pyplot.close("all")
    return names


def test_the_numbers_of_the_notebook_are_those_of_the_report(
    notebook: dict[str, Any], bare: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    render(bare, out)
    with (out / "data" / "ablation.csv").open() as file:
        table = {line["arm"]: line for line in csv.DictReader(file)}
    line, found = table["fsq+ramp"], notebook["found"]
    assert (float(line["photos/psnr"]), float(line["photos/psnr sd"])) == (found.mean, found.sd)
    assert notebook["exact"].loc["fsq+ramp", "photos/psnr"] == found.mean
    assert notebook["exact"].loc["fsq+ramp", "photos/psnr sd"] == found.sd
    said = rf"^\| fsq \| ramp \| (?:\*\*|<u>)?{re.escape(notebook['value'])}(?:\*\*|</u>)? ± {re.escape(notebook['spread'])} \|"
    assert re.search(said, (out / "report.md").read_text(), flags=re.M)
    for arm, one in notebook["over_seeds"].iterrows():
        numbers = float(table[arm]["photos/psnr"]), float(table[arm]["photos/psnr sd"])
        assert (one["mean"], one["std"]) == pytest.approx(numbers, rel=1e-12) and one["count"] == 3
    assert list(notebook["over_seeds"].index) == list(gathered(bare).arms)


def test_the_difference_of_the_notebook_is_that_of_the_deltas(notebook: dict[str, Any], bare: Path) -> None:
    line, difference = notebook["compared"].loc["fsq+ramp"], notebook["difference"]
    assert (line["difference"], line["difference sd"]) == (difference.mean, difference.sd)
    assert (line["interval low"], line["interval high"]) == difference.interval()[:2]
    assert line["hedges_g"] == difference.effect
    assert line["p_holm"] > difference.p, "of three comparisons"
    by_seed = gathered(bare).rows.set_index(["arm", "seed"])["photos/psnr"]
    byhand = [by_seed["fsq+ramp", seed] - by_seed["vq+fixed", seed] for seed in (0, 1, 2)]
    assert difference.mean == pytest.approx(sum(byhand) / 3, rel=1e-12)


def test_the_notebook_draws(notebook: dict[str, Any], tmp_path: Path) -> None:
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("mine.png", "points.png"))
    assert [one.get_label() for one in notebook["axes"].lines] == ["vq", "fsq"]


def test_what_the_notebook_says_of_frames_is_so(notebook: dict[str, Any]) -> None:
    (columns,) = re.findall(r"long form \((.*?)\)", NOTEBOOK)
    results, rows = notebook["results"], notebook["rows"]
    assert list(results.curves(["train/loss"]).columns) == columns.split(", ")
    said = re.findall(r"`(\w+)`", NOTEBOOK.split("A row is one arm")[1].split("where it ran")[0])
    assert len(said) == 8 and set(said) <= set(rows.columns)
    assert {*QUICK, "photos/psnr", "clips/psnr"} <= set(rows.columns)
    assert isinstance(results.items, pd.DataFrame) and results.metrics[0].unit == "dB"
    omnitok = notebook["omnitok"]
    assert {"rows", "render_report", "check_report"} <= set(omnitok.__all__)
