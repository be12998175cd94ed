"""The rendered files: nothing unescaped, nothing missing, the same bytes twice, whatever state the sweep is in."""

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import tiny
from report_sweep import CLAIM, Synthetic, attacked, half_failed

import omnitok
from omnitok import runs
from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.figures import legible
from omnitok.report import formats, render, render_paper
from omnitok.report.paper import read_paper
from omnitok.report.render import Head, write
from omnitok.report.section import section
from omnitok.results import gathered
from omnitok.spec import SpecError
from omnitok.sweep.file import Design
from omnitok.sweep.stored import TEXTS

HOSTILE = "a_b&<script>alert(1)</script>%$x^2{}\\|`*#~\"'\U0001f600"


class Page(HTMLParser):
    """What a browser would see: tags, texts, attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthetic, Path]:
    """A sweep that is done but for one arm that ran out of memory, and its report."""
    folder = tmp_path_factory.mktemp("done")
    sweep = half_failed(folder / "runs")
    render(sweep.stored, folder / "out")
    return sweep, folder / "out"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthetic, Path]:
    """A sweep whose every name is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    sweep = attacked(folder / "runs", HOSTILE)
    render(sweep.stored, folder / "out")
    return sweep, folder / "out"


def test_the_report_is_these_files(done: tuple[Synthetic, Path]) -> None:
    found = {str(path.relative_to(done[1])) for path in done[1].rglob("*") if path.is_file()}
    figures = {f"figures/{name}.{kind}" for name in ("points", "curves", "samples-photos", "samples-clips")
               for kind in ("png", "pdf", "svg")}  # fmt: skip
    films = {
        f"figures/clips-clips-{item}-{column}.webm" for item in (1, 2) for column in range(7)
    }  # the original, 6 others
    texts = {"index.html", "report.md", "paper.tex", "macros.tex", "report.lock", "tables/ablation.tex", "tables/ablation.md",
             "data/rows.csv", "data/ablation.csv"}  # fmt: skip
    pdf = {"paper.pdf"} & found  # where there is a LaTeX
    assert found == figures | films | texts | pdf


def test_the_same_inputs_give_the_same_bytes(done: tuple[Synthetic, Path], tmp_path: Path) -> None:
    sweep, out = done
    render(sweep.stored, tmp_path)
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name


def test_the_page_needs_nothing_else_and_its_policy_admits_nothing_else(done: tuple[Synthetic, Path]) -> None:
    text = (done[1] / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert {source.partition(";")[0] for source in page.values("src")} == {
        f"data:{kind}" for kind in ("image/svg+xml", "image/png", "video/webm")
    }
    assert all(link.startswith("#") for link in page.values("href"))
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    policy = page.values("content")[0]
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    names = {name for name, _ in page.attributes}
    assert "style" not in names and not any(name.startswith("on") for name in names)


def test_a_table_gives_way_at_its_heads_and_before_a_spread_but_never_within_a_number(
    done: tuple[Synthetic, Path],
) -> None:
    text = (done[1] / "index.html").read_text()
    style = text[text.index("<style>") : text.index("</style>")]
    assert ".ablation td.value { white-space: normal; }" in style
    assert ".ablation .mean, .ablation .spread, .ablation .size, .arrow { white-space: nowrap; }" in style
    assert 'photos/<wbr>psnr <span class="unit">dB</span></th>' in text
    table = text[text.index('<table class="numbers ablation') :]
    cell = re.search(r'<td class="value[^>]*><a [^>]*>(.*?)</a>', table)
    assert cell and re.fullmatch(r'<span class="mean">\S+</span> <span class="spread">± \S+</span>', cell[1])


def test_every_number_leads_to_its_runs(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    page = Page((out / "index.html").read_text())
    assert {link[1:] for link in page.values("href")} <= set(page.values("id"))
    assert len(set(page.values("id"))) == len(page.values("id"))
    text = "".join(page.texts)
    for (arm, seed), values in sweep.values.items():
        assert sweep.last(arm, seed) in text
        if (arm, seed) != ("fsq+progressive", 2):
            assert f"{values['photos/psnr']:.8g}" in text


def test_the_markdown_and_the_csv_have_the_numbers_of_the_page(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    markdown = (out / "report.md").read_text()
    assert (out / "tables" / "ablation.md").read_text() in markdown
    (table,) = ablation(gathered(sweep.stored))
    page, tex = "".join(Page((out / "index.html").read_text()).texts), (out / "tables" / "ablation.tex").read_text()
    for row in table.rows:
        for cell in row.cells:
            assert cell.value in markdown
            assert cell.value in page
            assert formats.latex_escaped(cell.value) in tex
    data = pd.read_csv(out / "data" / "ablation.csv")
    assert data["photos/psnr"].tolist() == [row.cells[0].number for row in table.rows]
    assert data.set_index("arm").loc["fsq+progressive", "notes"] == (
        "seed 2 failed: stage 'joint': out_of_memory: CUDA out of memory at step 120"
    )
    assert len(pd.read_csv(out / "data" / "rows.csv")) == 14


def test_the_report_says_answer_verdict_hole_and_how_to_do_it_again(done: tuple[Synthetic, Path]) -> None:
    for text in ((done[1] / "report.md").read_text(), "".join(Page((done[1] / "index.html").read_text()).texts)):
        assert "progressive is better than joint on photos/psnr by" in text
        assert "CUDA out of memory at step 120" in text
        assert "omnitok launch sweeps/quickstart.yaml --set batch=8" in text
        assert "Of 14 trials: 13 done, 1 failed" in text


def test_no_name_reaches_the_page_unescaped(hostile: tuple[Synthetic, Path]) -> None:
    page = Page((hostile[1] / "index.html").read_text())
    assert page.open == []
    assert page.tags.count("script") == 1, "the page's own"
    assert HOSTILE in page.texts, "shown as it was said"
    assert any(HOSTILE in title for title in page.values("title"))


def test_no_name_reaches_markdown_unescaped(hostile: tuple[Synthetic, Path]) -> None:
    text = (hostile[1] / "report.md").read_text()
    outside = re.sub(r"``+ .*? ``+", "", text)
    assert "<script" not in outside
    assert "a_b" not in outside
    table = [line for line in (hostile[1] / "tables" / "ablation.md").read_text().splitlines() if line[:1] == "|"]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "a bar in a name opens no column"


def test_latex_escapes_every_special_character_and_names_what_it_cannot_print() -> None:
    assert formats.latex_escaped("a_b&<script>%") == r"a\_b\&\textless{}script\textgreater{}\%"
    assert formats.latex_escaped("{x}^2~$\\#") == r"\{x\}\textasciicircum{}2\textasciitilde{}\$\textbackslash{}\#"
    assert formats.latex_escaped("22.1 ± 0.3, −1, é--") == r"22.1 $\pm$ 0.3, $-$1, é-{}-"
    assert formats.latex_escaped("\U0001f600") == "{[}U+1F600{]}"


@pytest.mark.service
def test_the_latex_table_compiles_in_a_stock_article(hostile: tuple[Synthetic, Path], tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    table = hostile[1] / "tables" / "ablation.tex"
    shutil.copy(table, tmp_path / "table.tex")
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert said.returncode == 0, said.stdout[-2000:]


def test_figures_print_names_literally_and_box_what_their_font_lacks() -> None:
    assert legible("$x^2$ a_b \u6f22\n") == r"\$x^2\$ a_b □"


@pytest.mark.parametrize("state", ["not started", "all failed", "half"])
def test_a_sweep_in_any_state_renders_and_shows_its_holes(tmp_path: Path, state: str) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0, 1))
    sweep.claims, sweep.pictures = [CLAIM], state == "half"
    stored = sweep.store() if state == "not started" else sweep.write()
    broken = [sweep.last(arm, seed) for arm in sweep.arms for seed in sweep.seeds if state == "all failed" or seed]
    for digest in broken if state != "not started" else ():
        sweep.fail(digest)
    made = render(stored, tmp_path / "out")
    text = made.page.read_text()
    assert not made.complete
    assert [verdict.status for verdict in made.verdicts] == ["inconclusive" if state == "half" else "not run"]
    assert ("not started" if state == "not started" else "CUDA out of memory") in text
    assert ("is not answered yet" in made.answer) == (state != "half")
    assert ("Reached at" in text) == (state == "half"), "nothing was reached where nothing was compared"


@pytest.mark.parametrize("design", ["full", "one_at_a_time", "cumulative", "leave_one_out", "zip"])
def test_a_sweep_of_any_design_renders_and_dashes_what_an_arm_leaves_as_it_was(tmp_path: Path, design: Design) -> None:
    values = ["vq"] if design == "leave_one_out" else ["vq", "fsq"]
    factors = {"model.quantizer": values, "stages.joint.schedule": ["joint", "progressive"][: len(values)]}
    sweep = Synthetic(tmp_path / "runs", (0, 1), factors, design)
    sweep.claims = [CLAIM] if len(values) == 2 else []
    made = render(sweep.write(), tmp_path / "out")
    assert made.complete
    assert [len(verdict.pairs) for verdict in made.verdicts] == {
        "full": [4], "one_at_a_time": [2], "cumulative": [0], "leave_one_out": [], "zip": [0]
    }[design]  # fmt: skip
    page, text = "".join(Page(made.page.read_text()).texts), (tmp_path / "out" / "report.md").read_text()
    partial = design not in {"full", "zip"}
    assert ("—: as the experiment says" in page) == ("| base | — | — |" in text) == partial
    assert not {"nan", "<NA>", "None"} & {cell.strip() for cell in re.split(r"[|\n]", text)}
    arms = pd.read_csv(tmp_path / "out" / "data" / "ablation.csv")["model.quantizer"]
    assert arms.isna().sum() == len(sweep.baselines) + sum("model.quantizer" not in arm for arm in sweep.arms.values())


def test_a_clean_sweep_has_no_banner_and_is_complete(tmp_path: Path) -> None:
    one = section(gathered(Synthetic(tmp_path).write()))
    assert one.banner == ()
    assert one.holes == ()
    assert one.progress == "All 14 trials are done."


def test_the_first_line_says_what_is_not_comparable(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.claims, sweep.pictures = [CLAIM], False
    sweep.commits = {sweep.last("vq+joint", 0): "d" * 40}
    sweep.write()
    path = sweep.root / sweep.last("fsq+joint", 0) / runs.PROVENANCE
    runs.write_json(path, runs.read_json(path) | {"dirty": True, "device": "cuda: H100"})
    path = sweep.root / sweep.last("fsq+progressive", 0) / runs.PROVENANCE
    runs.write_json(path, runs.read_json(path) | {"threads": 4, "versions": {"python": "3.11", "torch": "2.12.1"}})
    path = sweep.root / sweep.baseline("mean_colour") / runs.PROVENANCE  # which is no arm: it trains nothing
    runs.write_json(path, runs.read_json(path) | {"threads": 2, "device": "tpu"})
    sweep.say(claims=[CLAIM | {"margin": 0.1}])
    one = section(gathered(sweep.stored), notices=["evaluate[0] <lpips> was never launched"])
    write(Head(one.title), [one], tmp_path / "out")
    first = (tmp_path / "out" / "report.md").read_text().splitlines()[0]
    assert "arms ran at different commits: c0ffeec0ff (5 runs), dddddddddd (1 run)" in first
    assert "arms ran on different devices: cpu (5 runs), cuda: H100 (1 run)" in first
    assert "arms ran with different numbers of threads: 1 (5 runs), 4 (1 run)" in first
    assert "arms ran with different versions of torch: 2.12.1 (1 run), 2.13.0 (5 runs)" in first
    assert first.endswith("evaluate\\[0\\] &lt;lpips&gt; was never launched")
    assert "1 run of 6 had uncommitted changes" in first
    assert "post hoc: the claims were edited after the first launch" in first
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert "post hoc" in next(text for text in page.texts[page.texts.index("quickstart") :] if "arms ran" in text)


def test_commands_are_quoted_for_a_shell(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    sweep.write()
    sweep.say(set=["model.quantizer={type: fsq}"], file="sweeps/a b.yaml")
    assert (
        section(gathered(sweep.stored)).commands[1]
        == "omnitok launch 'sweeps/a b.yaml' --set 'model.quantizer={type: fsq}'"
    )


def test_a_sweep_that_is_not_in_the_commit_of_its_runs_is_said_to_be_kept(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path)
    sweep.write()
    texts = {str(tmp_path / "mine.yaml"): "question: which?\n", str(tmp_path / "tiny.yaml"): "stages: {}\n"}
    for name, text in texts.items():
        Path(name).write_text(text)
    runs.write_json(sweep.stored / TEXTS, {"folder": str(tmp_path), "texts": texts})

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", "tiny.yaml")
    git("commit", "--quiet", "-m", "One")
    for path in sweep.root.glob(f"*/{runs.PROVENANCE}"):
        runs.write_json(path, {**runs.read_json(path), "commit": git("rev-parse", "HEAD").strip()})
    checkout, *_, last = section(gathered(sweep.stored)).commands
    assert checkout.startswith("git checkout ") and last == (
        f"# that commit has no mine.yaml as launched; what is kept of it: omnitok launch {sweep.stored.name}"
    )
    Path(tmp_path / "tiny.yaml").write_text("stages: {a: {}}\n")  # later, which is nobody's concern
    assert section(gathered(sweep.stored)).commands[-1] == last
    git("add", "mine.yaml")
    git("commit", "--quiet", "-m", "Two")
    for path in sweep.root.glob(f"*/{runs.PROVENANCE}"):
        runs.write_json(path, {**runs.read_json(path), "commit": git("rev-parse", "HEAD").strip()})
    assert section(gathered(sweep.stored)).commands[-1] != last


def test_what_was_launched_from_a_checkout_that_is_gone_is_looked_for_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Synthetic(tmp_path / "runs")
    sweep.write()
    gone, asked = tmp_path / "gone", list[Path]()
    names = ("sweeps/x.yaml", "experiments/x.yaml")
    runs.write_json(sweep.stored / TEXTS, {"folder": str(gone), "texts": {str(gone / name): name for name in names}})

    def committed(_: str, file: Path, text: str) -> bool:
        asked.append(file)
        return text == "sweeps/x.yaml"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omnitok.provenance.committed", committed)
    last = section(gathered(sweep.stored)).commands[-1]
    assert asked == [tmp_path / name for name in sorted(names)]
    assert "has no experiments/x.yaml as launched" in last


def test_a_paper_combines_sweeps_under_one_title(tmp_path: Path) -> None:
    sweeps = {name: Synthetic(tmp_path / name / "runs", seeds=(0,)) for name in ("one", "two")}
    for name, sweep in sweeps.items():
        sweep.name, sweep.pictures = name, name == "one"
        sweep.claims = [CLAIM] if name == "one" else []
        sweep.write()
        (tmp_path / f"{name}.yaml").write_text("question: x\n")
    paper = tmp_path / "p.yaml"
    paper.write_text(
        "title: Both <b>\nauthors: [A. Author, B. Author]\nabstract: Two at once.\nsections:\n- sweep: one.yaml\n"
        "- {sweep: two.yaml, title: The second, text: As one sees., show: [ablation, {type: ablation, metrics: [clips/psnr]}]}\n"
    )
    made = render_paper(read_paper(paper), [sweep.stored for sweep in sweeps.values()], tmp_path / "out")
    text = "".join(Page(made.page.read_text()).texts)
    assert "Both <b>" in text
    assert "A. Author, B. Author" in text
    assert "The second" in text and "As one sees." in text
    for said in (text, (tmp_path / "out" / "report.md").read_text(), (tmp_path / "out" / "paper.tex").read_text()):
        assert "one: 1 inconclusive" in said, "how the claims of each section ended stands before all sections"
    assert (tmp_path / "out" / "tables" / "two-ablation.tex").exists()
    assert len(pd.read_csv(tmp_path / "out" / "data" / "two-ablation-2.csv").filter(like="/psnr").columns) == 4
    assert len(list((tmp_path / "out" / "figures").glob("one-*.png"))) == 4
    told = (tmp_path / "out" / "report.md").read_text()
    assert told.count(f"- `omnitok report {paper}`") == 2  # what makes this page, not one of each sweep
    assert "omnitok report sweeps/" not in told
    heads = [line for line in told.splitlines() if line.startswith("#")]
    assert heads[:3] == ["# Both &lt;b&gt;", "## one", "### Claims"] and "## The second" in heads


def test_a_paper_that_is_said_wrongly_is_refused_with_every_fault(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("x: 1\n")
    paper = tmp_path / "p.yaml"
    paper.write_text("titel: x\nsections: []\n")
    with pytest.raises(SpecError) as refusal:
        read_paper(paper)
    said = str(refusal.value)
    assert "p.yaml:1: titel: no such key; did you mean 'title'?" in said
    assert "p.yaml:2: sections" in said
    paper.write_text(
        "title: x\nsections:\n- sweep: one.yaml\n- sweep: one.yaml\n- sweep: oen.yaml\n"
        "- sweep: one.yaml\n  show: [{type: ablation, metrix: [psnr]}, cruves]\n"
    )
    with pytest.raises(SpecError) as refusal:
        read_paper(paper)
    said = str(refusal.value)
    assert "p.yaml:7: sections[3].show[0].metrix: no such choice of exhibit 'ablation'; did you mean 'metrics'?" in said
    assert "p.yaml:7: sections[3].show[1]: no exhibit 'cruves'; did you mean 'curves'?" in said
    paper.write_text("title: x\nsections:\n- sweep: one.yaml\n- sweep: one.yaml\n- sweep: oen.yaml\n")
    with pytest.raises(SpecError) as refusal:
        read_paper(paper)
    said = str(refusal.value)
    assert "p.yaml:4: sections[1].sweep: one.yaml has a section already" in said
    assert "p.yaml:5: sections[2].sweep: no such sweep file: oen.yaml; did you mean 'one.yaml'?" in said


def test_what_does_not_fit_its_sweep_is_refused_at_its_line(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.write()
    (tmp_path / "one.yaml").write_text("x: 1\n")
    paper = tmp_path / "p.yaml"
    paper.write_text(
        "title: x\nsections:\n- sweep: one.yaml\n  show:\n  - {type: ablation, metrics: [photos/pnsr]}\n"
        "  - {type: points, metrics: [psnr]}\n  - {type: gallery, evaluations: [foto]}\n  - {type: ablation, arms: [vq]}\n"
    )
    with pytest.raises(SpecError) as refusal:
        render_paper(read_paper(paper), [sweep.stored], tmp_path / "out")
    said = str(refusal.value).splitlines()
    assert said[0].endswith("p.yaml:5: sections[0].show[0].metrics: nothing is measured that is called photos/pnsr; did you mean "
                            "'photos/psnr'? (known: photos/psnr, photos/ssim, photos/usage, clips/psnr)")  # fmt: skip
    assert "p.yaml:6: sections[0].show[1].metrics: several evaluations have psnr" in said[1]
    assert "p.yaml:7: sections[0].show[2].evaluations: no evaluation is called foto; did you mean 'photos'?" in said[2]
    assert "p.yaml:8: sections[0].show[3].arms: no arm is called vq" in said[3]


def test_an_exhibit_that_was_asked_for_and_has_nothing_to_show_says_so(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path / "runs", seeds=(0,))
    sweep.write()
    (tmp_path / "one.yaml").write_text("x: 1\n")
    (tmp_path / "p.yaml").write_text(
        "title: x\nsections:\n- {sweep: one.yaml, title: Searched, show: [searches, ablation]}\n"
    )
    render_paper(read_paper(tmp_path / "p.yaml"), [sweep.stored], tmp_path / "out")
    for name in ("index.html", "report.md", "paper.tex"):
        text = (tmp_path / "out" / name).read_text()
        assert "searches: these runs have nothing that it could show" in text, name
        assert "Searched" in text, "the title of a section that is alone"
    usual = (render(sweep.stored, tmp_path / "usual").page).read_text()
    assert "nothing that it could show" not in usual, "nobody asked for it"


def test_a_section_may_be_a_sweep_as_it_was_launched_with_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny.write(tmp_path)
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    changed = ["stages.images.steps=2"]
    omnitok.launch_sweep(sweep, changed, cluster="debug")
    paper = tmp_path / "p.yaml"
    paper.write_text(f"title: x\nsections:\n- {{sweep: {sweep.name}, set: {changed}, show: [ablation]}}\n")
    assert omnitok.render_report(paper, out=tmp_path / "out").complete
    with pytest.raises(SpecError, match="not launched as it stands now"):
        paper.write_text(f"title: x\nsections:\n- sweep: {sweep.name}\n")
        omnitok.render_report(paper, out=tmp_path / "out")
    with pytest.raises(SpecError, match=r"is a report file: .* as set: \['a=1'\]"):
        omnitok.render_report(paper, ["a=1"], tmp_path / "out")
