"""The layouts of tables, text by text, and the numbers in them against numbers worked out apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_sweep import METRICS, Synthetic, name_of
from scipy import stats

from omnitok import runs
from omnitok.exhibits import EXHIBITS, Unfit
from omnitok.exhibits.table import Cell, Table
from omnitok.report import formats
from omnitok.report.paper import pieces_of, read_paper
from omnitok.results import Results, gathered
from omnitok.spec import SpecError

Maker = Callable[[Path], Synthetic]
PSNR = {
    "vq+joint": (20.0, 20.5, 21.0), "vq+progressive": (21.0, 21.6, 21.9), "fsq+joint": (20.1, 20.5, 21.2),
    "fsq+progressive": (22.0, 22.4, 23.2),
}  # fmt: skip
PUBLISHED = """\
source: "A paper, arXiv 2406.09399"
tables:
  table7:
    source: table 7
    columns:
      fid: {title: rFID, metric: rfid, better: lower, protocol: "50,000 samples of ImageNet val"}
      fvd: {title: rFVD, metric: rfvd, better: lower, unit: "1", protocol: 17 frames at 128 px}
    rows:
      - {name: joint, ours: vq+joint, type: joint, values: {fid: 1.35, fvd: 186.83}}
      - {name: progressive, ours: vq+progressive, values: {fvd: 107.80}}
      - {name: MaskGIT, type: image, values: {fvd: 240}}
      - {name: twice, ours: vq+twice, values: {fid: 1.11}}
"""


def two_by_two(folder: Path) -> Synthetic:
    """Numbers that can be followed by hand."""
    sweep = Synthetic(folder)
    for (arm, seed), values in sweep.values.items():
        values |= {
            "photos/psnr": PSNR[arm][seed],
            "clips/psnr": PSNR[arm][seed] - 3.0,
            "photos/ssim": 0.7 + 0.01 * seed,
        }
    return sweep


def cumulative(folder: Path) -> Synthetic:
    sweep = Synthetic(
        folder, factors={"model.peg": ["true"], "model.window": ["windowed"], "steps": ["300"]}, design="cumulative"
    )
    for (arm, seed), values in sweep.values.items():
        values |= {"photos/psnr": 20.0 + list(sweep.arms).index(arm) + 0.1 * seed}
    return sweep


def small(folder: Path, make: Maker = two_by_two) -> Results:
    """A sweep of one of the makers above, done, beside a file of published numbers."""
    sweep = make(folder / "runs")
    sweep.pictures = False
    folder.mkdir(exist_ok=True)
    (folder / "published.yaml").write_text(PUBLISHED)
    return gathered(sweep.write(), None, folder)


def one(exhibit: str, results: Results, **said: Any) -> Table:
    (table,) = EXHIBITS.components[exhibit](results, **said)
    assert isinstance(table, Table)
    return table


def body(table: Table) -> str:
    """Of the LaTeX what stands between the outer rules."""
    return formats.latex(table).partition("\\toprule\n")[2].partition("\\bottomrule")[0]


GOLDEN: dict[str, tuple[Maker, dict[str, Any], str, str, str]] = {  # exhibit -> sweep, choices, Markdown, LaTeX between the outer rules, CSV
    "comparison": (
        two_by_two, {'published': 'published.yaml', 'metrics': ('photos/psnr',)},
        r"""
| quantizer | schedule | photos psnr (dB) ↑<sup>a</sup> | as published, table 7 rFID ↓<sup>b</sup> | as published, table 7 rFVD (1) ↓<sup>c</sup> | parameters | n |
| --- | --- | --: | --: | --: | --: | --: |
| vq | joint | 20.50 ± 0.50 | 1.35 | 186.83 | 123 k | 3 |
| vq | progressive | <u>21.50</u> ± 0.46 |  | 107.80 | 123 k | 3 |
| fsq | joint | 20.60 ± 0.56 |  |  | 123 k | 3 |
| fsq | progressive | **22.53** ± 0.61 |  |  | 123 k | 3 |
| *Baselines* |  |  |  |  |  |  |
| mean\_colour |  | 12.00 |  |  | — | 1 |
| patch\_mean |  | 18.00 |  |  | — | 1 |
| *As published: A paper, arXiv 2406.09399, table 7* |  |  |  |  |  |  |
| MaskGIT (image) |  |  |  | 240 |  | — |
| twice |  |  | 1.11 |  |  | —<sup>d</sup> |

quickstart: mean ± standard deviation over seeds, beside what is published in A paper, arXiv 2406.09399, table 7: of the row that corresponds to an arm, and of other rows below. Published numbers are by the protocols of their footnotes; nothing of them was measured here. Bold: the best and all that a paired 95 % interval does not tell from it. Underlined: the best of the others, likewise.

<sup>a</sup> psnr: psnr\[rgb,mean of per-frame\]  
<sup>b</sup> rFID: as published, A paper, arXiv 2406.09399, table 7: 50,000 samples of ImageNet val  
<sup>c</sup> rFVD: as published, A paper, arXiv 2406.09399, table 7: 17 frames at 128 px  
<sup>d</sup> twice: corresponds to vq+twice, which is not among the rows here  
""",
        r"""
 &  & \multicolumn{1}{c}{photos} & \multicolumn{2}{c}{as published, table 7} & \multicolumn{2}{c}{} \\
\cmidrule(lr){3-3}\cmidrule(lr){4-5}
quantizer & schedule & psnr (dB) $\uparrow$\textsuperscript{a} & rFID $\downarrow$\textsuperscript{b} & rFVD (1) $\downarrow$\textsuperscript{c} & parameters & n \\
\midrule
vq & joint & 20.50 {\scriptsize $\pm$ 0.50} & 1.35 & 186.83 & 123 k & 3 \\
vq & progressive & \underline{21.50} {\scriptsize $\pm$ 0.46} &  & 107.80 & 123 k & 3 \\
fsq & joint & 20.60 {\scriptsize $\pm$ 0.56} &  &  & 123 k & 3 \\
fsq & progressive & \textbf{22.53} {\scriptsize $\pm$ 0.61} &  &  & 123 k & 3 \\
\midrule
\multicolumn{7}{l}{\textit{Baselines}} \\
\multicolumn{2}{l}{mean\_colour} & 12.00 &  &  & \textemdash{} & 1 \\
\multicolumn{2}{l}{patch\_mean} & 18.00 &  &  & \textemdash{} & 1 \\
\midrule
\multicolumn{7}{l}{\textit{As published: A paper, arXiv 2406.09399, table 7}} \\
\multicolumn{2}{l}{MaskGIT (image)} &  &  & 240 &  & \textemdash{} \\
\multicolumn{2}{l}{twice} &  & 1.11 &  &  & \textemdash{}\textsuperscript{d} \\
""",
        r"""
block,kind,arm,model.quantizer,stages.joint.schedule,photos/psnr,photos/psnr sd,photos/psnr n,photos/psnr mark,published fid,published fvd,parameters,n,notes
,arm,vq+joint,vq,joint,20.5,0.5,3.0,,1.35,186.83,123456.0,3.0,
,arm,vq+progressive,vq,progressive,21.5,0.45825756949558355,3.0,second,,107.8,123456.0,3.0,
,arm,fsq+joint,fsq,joint,20.6,0.5567764362830012,3.0,,,,123456.0,3.0,
,arm,fsq+progressive,fsq,progressive,22.53333333333333,0.6110100926607784,3.0,best,,,123456.0,3.0,
Baselines,baseline,mean_colour,,,12.0,,1.0,,,,,1.0,
Baselines,baseline,patch_mean,,,18.0,,1.0,,,,,1.0,
"As published: A paper, arXiv 2406.09399, table 7",published,MaskGIT (image),,,,,,,,240.0,,,
"As published: A paper, arXiv 2406.09399, table 7",published,twice,,,,,,,1.11,,,,"twice: corresponds to vq+twice, which is not among the rows here"
""",
    ),
    "components": (
        cumulative, {'metrics': ('photos/psnr',)},
        r"""
| arm | peg | window | steps | photos psnr (dB) ↑<sup>a</sup> | n |
| --- | --- | --- | --- | --: | --: |
| base | – | – | – | 20.10 ± 0.10 | 3 |
| true | ✓ | – | – | 21.10 ± 0.10 | 3 |
| true+windowed | ✓ | ✓ | – | <u>22.10</u> ± 0.10 | 3 |
| true+windowed+300 | ✓ | ✓ | ✓ | **23.10** ± 0.10 | 3 |

quickstart: mean ± standard deviation over seeds. ✓: the arm has the component; –: it has not. Bold: the best and all that a paired 95 % interval does not tell from it. Underlined: the best of the others, likewise.

<sup>a</sup> psnr: psnr\[rgb,mean of per-frame\]  
""",
        r"""
 &  &  &  & \multicolumn{1}{c}{photos} & \multicolumn{1}{c}{} \\
\cmidrule(lr){5-5}
arm & peg & window & steps & psnr (dB) $\uparrow$\textsuperscript{a} & n \\
\midrule
base & \textendash{} & \textendash{} & \textendash{} & 20.10 {\scriptsize $\pm$ 0.10} & 3 \\
true & $\surd$ & \textendash{} & \textendash{} & 21.10 {\scriptsize $\pm$ 0.10} & 3 \\
true+windowed & $\surd$ & $\surd$ & \textendash{} & \underline{22.10} {\scriptsize $\pm$ 0.10} & 3 \\
true+windowed+300 & $\surd$ & $\surd$ & $\surd$ & \textbf{23.10} {\scriptsize $\pm$ 0.10} & 3 \\
""",
        r"""
block,kind,arm,model.peg,model.window,steps,photos/psnr,photos/psnr sd,photos/psnr n,photos/psnr mark,n,notes
,arm,base,–,–,–,20.1,0.09999999999999964,3,,3,
,arm,true,✓,–,–,21.1,0.09999999999999964,3,,3,
,arm,true+windowed,✓,✓,–,22.1,0.09999999999999964,3,second,3,
,arm,true+windowed+300,✓,✓,✓,23.1,0.09999999999999964,3,best,3,
""",
    ),
    "grid": (
        two_by_two, {},
        r"""
| quantizer | schedule joint (dB) ↑<sup>a</sup> | schedule progressive (dB) ↑<sup>a</sup> |
| --- | --: | --: |
| vq | 20.50 ± 0.50 | <u>21.50</u> ± 0.46 |
| fsq | 20.60 ± 0.56 | **22.53** ± 0.61 |

quickstart: photos/psnr, mean ± standard deviation over seeds, n = 3. Bold: the best and all that a paired 95 % interval does not tell from it. Underlined: the best of the others, likewise.

<sup>a</sup> psnr: psnr\[rgb,mean of per-frame\]  
""",
        r"""
 & \multicolumn{2}{c}{schedule} \\
\cmidrule(lr){2-3}
quantizer & joint (dB) $\uparrow$\textsuperscript{a} & \begin{tabular}[b]{@{}r@{}}progressive \\ (dB) $\uparrow$\textsuperscript{a}\end{tabular} \\
\midrule
vq & 20.50 {\scriptsize $\pm$ 0.50} & \underline{21.50} {\scriptsize $\pm$ 0.46} \\
fsq & 20.60 {\scriptsize $\pm$ 0.56} & \textbf{22.53} {\scriptsize $\pm$ 0.61} \\
""",
        r"""
block,kind,arm,model.quantizer,photos/psnr stages.joint.schedule joint,photos/psnr stages.joint.schedule joint sd,photos/psnr stages.joint.schedule joint n,photos/psnr stages.joint.schedule joint mark,photos/psnr stages.joint.schedule progressive,photos/psnr stages.joint.schedule progressive sd,photos/psnr stages.joint.schedule progressive n,photos/psnr stages.joint.schedule progressive mark,notes
,arm,vq,vq,20.5,0.5,3,,21.5,0.45825756949558355,3,second,
,arm,fsq,fsq,20.6,0.5567764362830012,3,,22.53333333333333,0.6110100926607784,3,best,
""",
    ),
    "deltas": (
        two_by_two, {'metrics': ('photos/psnr',)},
        r"""
| quantizer | schedule | mean | difference | 95 % interval | g | p | n |
| --- | --- | --: | --: | --: | --: | --: | --: |
| *photos/psnr in dB ↑* |  |  |  |  |  |  |  |
| vq | joint | 20.50 ± 0.50<sup>a</sup> |  |  |  |  |  |
| vq | progressive | 21.50 ± 0.46 | +1.00 ± 0.10 | 0.75 to 1.25 | +5.64 | 0.007* | 3 |
| fsq | joint | 20.60 ± 0.56 | +0.10 ± 0.10 | −0.15 to 0.35 | +0.56 | 0.225 | 3 |
| fsq | progressive | 22.53 ± 0.61 | +2.03 ± 0.15 | 1.65 to 2.41 | +7.51 | 0.006* | 3 |

quickstart: every arm against vq+joint, mean ± standard deviation over seeds; differences are paired by seed, n is the number of pairs. Intervals: Student's t intervals, which take differences over seeds to be normal. g: Hedges' g of paired differences, their mean over their standard deviation, corrected for few pairs (Hedges 1981). p: of two-sided paired t tests, which take differences over seeds to be normal, with Holm's correction (1979) for the 3 of this table; \*: below 0.05. All of this is over seeds of training, not over items.

<sup>a</sup> photos/psnr: psnr\[rgb,mean of per-frame\]  
""",
        r"""
quantizer & schedule & mean & difference & 95 \% interval & g & p & n \\
\midrule
\multicolumn{8}{l}{\textit{photos/psnr in dB $\uparrow$}} \\
vq & joint & 20.50 {\scriptsize $\pm$ 0.50}\textsuperscript{a} &  &  &  &  &  \\
vq & progressive & 21.50 {\scriptsize $\pm$ 0.46} & +1.00 {\scriptsize $\pm$ 0.10} & 0.75 to 1.25 & +5.64 & 0.007{*} & 3 \\
fsq & joint & 20.60 {\scriptsize $\pm$ 0.56} & +0.10 {\scriptsize $\pm$ 0.10} & $-$0.15 to 0.35 & +0.56 & 0.225 & 3 \\
fsq & progressive & 22.53 {\scriptsize $\pm$ 0.61} & +2.03 {\scriptsize $\pm$ 0.15} & 1.65 to 2.41 & +7.51 & 0.006{*} & 3 \\
""",
        r"""

""",
    ),
    "breakdown": (
        two_by_two, {'metric': 'psnr'},
        r"""
| quantizer | schedule | psnr photos (dB) ↑<sup>a</sup> | psnr clips (dB) ↑<sup>a</sup> | n |
| --- | --- | --: | --: | --: |
| vq | joint | 20.50 ± 0.50 | 17.50 ± 0.50 | 3 |
| vq | progressive | <u>21.50</u> ± 0.46 | <u>18.50</u> ± 0.46 | 3 |
| fsq | joint | 20.60 ± 0.56 | 17.60 ± 0.56 | 3 |
| fsq | progressive | **22.53** ± 0.61 | **19.53** ± 0.61 | 3 |
| *Baselines* |  |  |  |  |
| mean\_colour |  | 12.00 | 11.00 | 1 |
| patch\_mean |  | 18.00 | 17.00 | 1 |

quickstart: psnr, mean ± standard deviation over seeds. Bold: the best and all that a paired 95 % interval does not tell from it. Underlined: the best of the others, likewise.

<sup>a</sup> psnr: psnr\[rgb,mean of per-frame\]  
""",
        r"""
 &  & \multicolumn{2}{c}{psnr} & \multicolumn{1}{c}{} \\
\cmidrule(lr){3-4}
quantizer & schedule & photos (dB) $\uparrow$\textsuperscript{a} & clips (dB) $\uparrow$\textsuperscript{a} & n \\
\midrule
vq & joint & 20.50 {\scriptsize $\pm$ 0.50} & 17.50 {\scriptsize $\pm$ 0.50} & 3 \\
vq & progressive & \underline{21.50} {\scriptsize $\pm$ 0.46} & \underline{18.50} {\scriptsize $\pm$ 0.46} & 3 \\
fsq & joint & 20.60 {\scriptsize $\pm$ 0.56} & 17.60 {\scriptsize $\pm$ 0.56} & 3 \\
fsq & progressive & \textbf{22.53} {\scriptsize $\pm$ 0.61} & \textbf{19.53} {\scriptsize $\pm$ 0.61} & 3 \\
\midrule
\multicolumn{5}{l}{\textit{Baselines}} \\
\multicolumn{2}{l}{mean\_colour} & 12.00 & 11.00 & 1 \\
\multicolumn{2}{l}{patch\_mean} & 18.00 & 17.00 & 1 \\
""",
        r"""
block,kind,arm,model.quantizer,stages.joint.schedule,photos/psnr,photos/psnr sd,photos/psnr n,photos/psnr mark,clips/psnr,clips/psnr sd,clips/psnr n,clips/psnr mark,n,notes
,arm,vq+joint,vq,joint,20.5,0.5,3,,17.5,0.5,3,,3,
,arm,vq+progressive,vq,progressive,21.5,0.45825756949558355,3,second,18.5,0.45825756949558355,3,second,3,
,arm,fsq+joint,fsq,joint,20.6,0.5567764362830012,3,,17.6,0.5567764362830012,3,,3,
,arm,fsq+progressive,fsq,progressive,22.53333333333333,0.6110100926607784,3,best,19.53333333333333,0.6110100926607784,3,best,3,
Baselines,baseline,mean_colour,,,12.0,,1,,11.0,,1,,1,
Baselines,baseline,patch_mean,,,18.0,,1,,17.0,,1,,1,
""",
    ),
    "ablation": (
        two_by_two, {'by': 'schedule', 'metrics': ('photos/psnr',), 'costs': (), 'baselines': False},
        r"""
| quantizer | schedule | photos psnr (dB) ↑<sup>a</sup> | n |
| --- | --- | --: | --: |
| *joint* |  |  |  |
| vq | joint | 20.50 ± 0.50 | 3 |
| fsq | joint | 20.60 ± 0.56 | 3 |
| *progressive* |  |  |  |
| vq | progressive | <u>21.50</u> ± 0.46 | 3 |
| fsq | progressive | **22.53** ± 0.61 | 3 |

quickstart: mean ± standard deviation over seeds. Bold: the best and all that a paired 95 % interval does not tell from it. Underlined: the best of the others, likewise.

<sup>a</sup> psnr: psnr\[rgb,mean of per-frame\]  
""",
        r"""
 &  & \multicolumn{1}{c}{photos} & \multicolumn{1}{c}{} \\
\cmidrule(lr){3-3}
quantizer & schedule & psnr (dB) $\uparrow$\textsuperscript{a} & n \\
\midrule
\multicolumn{4}{l}{\textit{joint}} \\
vq & joint & 20.50 {\scriptsize $\pm$ 0.50} & 3 \\
fsq & joint & 20.60 {\scriptsize $\pm$ 0.56} & 3 \\
\midrule
\multicolumn{4}{l}{\textit{progressive}} \\
vq & progressive & \underline{21.50} {\scriptsize $\pm$ 0.46} & 3 \\
fsq & progressive & \textbf{22.53} {\scriptsize $\pm$ 0.61} & 3 \\
""",
        r"""
block,kind,arm,model.quantizer,stages.joint.schedule,photos/psnr,photos/psnr sd,photos/psnr n,photos/psnr mark,n,notes
joint,arm,vq+joint,vq,joint,20.5,0.5,3,,3,
joint,arm,fsq+joint,fsq,joint,20.6,0.5567764362830012,3,,3,
progressive,arm,vq+progressive,vq,progressive,21.5,0.45825756949558355,3,second,3,
progressive,arm,fsq+progressive,fsq,progressive,22.53333333333333,0.6110100926607784,3,best,3,
""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("exhibit", list(GOLDEN))
def test_a_layout_is_this_text(exhibit: str, tmp_path: Path) -> None:
    make, said, markdown, latex, csv = GOLDEN[exhibit]
    table = one(exhibit, small(tmp_path, make), **said)
    assert formats.markdown(table).rstrip("\n") == markdown.strip("\n")
    assert body(table).rstrip("\n") == latex.strip("\n")
    if csv.strip():
        assert formats.csv(table).rstrip("\n") == csv.strip("\n")


def cells(table: Table) -> dict[str, dict[str, Cell]]:
    """{row: {column: cell}} of a table whose rows have names of their own."""
    names = [column.full for column in table.columns]
    return {row.name: dict(zip(names, row.cells, strict=True)) for row in table.rows}


def notes(table: Table, cell: Cell) -> list[str]:
    return [table.notes[note] for note in cell.notes]


# comparison


def test_a_published_number_never_stands_among_ours(tmp_path: Path) -> None:
    table = one("comparison", small(tmp_path), published="published.yaml")
    ours = {metric.column for metric in small(tmp_path / "again").metrics}
    theirs = {column.full for column in table.columns if column.full.startswith("published ")}
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.full in theirs:
                assert not (cell.mark or cell.spread or cell.found or cell.whose)
            elif row.kind == "published":
                assert cell.number is None
            elif column.full in ours:
                assert cell.found is not None
    for column in table.columns:
        if column.full in theirs:
            assert column.group == "as published, table 7"
            assert "as published, A paper, arXiv 2406.09399, table 7: " in table.notes[column.notes[0]]
    assert cells(table)["MaskGIT (image)"]["n"].hover == "as published"
    assert cells(table)["vq+joint"]["published fvd"].hover == "joint, as published"


def test_columns_of_a_published_table_can_be_chosen_and_rows_without_them_go(tmp_path: Path) -> None:
    table = one(
        "comparison", small(tmp_path), published="published.yaml", table="table7", columns=("fid",), arms=("fsq+joint",)
    )
    assert [row.name for row in table.rows if row.kind == "published"] == ["joint", "twice"]
    found = cells(table)["joint"]
    assert (found["published fid"].value, "published fvd" in found) == ("1.35", False)
    assert notes(table, found["n"]) == ["joint: corresponds to vq+joint, which is not among the rows here"]


def test_a_baseline_may_be_what_was_published(tmp_path: Path) -> None:
    results = small(tmp_path)
    (tmp_path / "published.yaml").write_text(PUBLISHED.replace("ours: vq+twice", "ours: mean_colour"))
    found = cells(one("comparison", results, published="published.yaml"))
    assert found["mean_colour"]["published fid"].value == "1.11"
    assert "twice" not in found


@pytest.mark.parametrize(
    ("said", "choice", "sentence"),
    [
        ({"published": "publshed.yaml"}, "published", "no such file of published numbers: publshed.yaml; did you mean "
         "'published.yaml'? (known: published.yaml)"),
        ({"published": "published.yaml", "table": "table8"}, "table", "published.yaml has no table 'table8'; did you mean "
         "'table7'? (known: table7)"),
        ({"published": "published.yaml", "columns": ("fvdd",)}, "columns", "table7 has no column 'fvdd'; did you mean 'fvd'? "
         "(known: fid, fvd)"),
    ],
)  # fmt: skip
def test_what_was_not_published_is_refused(tmp_path: Path, said: dict[str, Any], choice: str, sentence: str) -> None:
    with pytest.raises(Unfit) as refusal:
        one("comparison", small(tmp_path), **said)
    assert (refusal.value.choice, str(refusal.value)) == (choice, sentence)


def test_of_several_published_tables_one_must_be_said(tmp_path: Path) -> None:
    results = small(tmp_path)
    (tmp_path / "published.yaml").write_text(
        PUBLISHED + PUBLISHED.partition("tables:\n")[2].replace("table7", "table8")
    )
    with pytest.raises(Unfit, match="several tables; say which"):
        one("comparison", results, published="published.yaml")


def test_a_report_finds_published_numbers_beside_itself(tmp_path: Path) -> None:
    """And refuses at the report's line what is not there, at the file's own line what is wrong in it."""
    results = small(tmp_path)
    sweep = tmp_path / "x.yaml"
    sweep.write_text("question: what?\n")
    report = tmp_path / "report.yaml"
    report.write_text("title: t\nsections:\n  - sweep: x.yaml\n    show:\n"
                      "      - {type: comparison,\n         published: published.yaml}\n")  # fmt: skip
    asked = read_paper(report)
    assert asked.folder == tmp_path
    where = ("sections", 0, "show")
    (piece,) = pieces_of(results, asked.paper.sections[0].show, asked.said, where)
    assert piece.stem == "comparison"
    (tmp_path / "published.yaml").write_text(PUBLISHED.replace("name: MaskGIT", "nam: MaskGIT"))
    with pytest.raises(SpecError, match=r"published.yaml:11: tables.table7.rows\[2\].nam: no such key"):
        pieces_of(results, asked.paper.sections[0].show, asked.said, where)
    (tmp_path / "published.yaml").unlink()
    with pytest.raises(SpecError, match=r"report.yaml:6: sections\[0\].show\[0\].published: no such file"):
        pieces_of(results, asked.paper.sections[0].show, asked.said, where)
    report.write_text(report.read_text().replace("published: published.yaml", "table: table7"))
    with pytest.raises(SpecError, match=r"show\[0\].published: must be said; it has no default"):
        read_paper(report)


def test_two_tables_of_one_kind_have_two_names(tmp_path: Path) -> None:
    show = [EXHIBITS.specs["grid"](metric=metric) for metric in ("photos/psnr", "clips/psnr")]
    first, second = pieces_of(small(tmp_path), show)
    assert isinstance(first, Table) and isinstance(second, Table)
    assert (first.stem, second.stem, second.slug) == ("grid", "grid-2", f"{first.slug}-2")


# components


def signs(table: Table) -> dict[str, str]:
    return {row.name: "".join(row.labels[1:]) for row in table.rows}


def test_an_ablated_component_is_there_where_its_label_is_not(tmp_path: Path) -> None:
    def leave_one_out(folder: Path) -> Synthetic:
        return Synthetic(folder, factors={"model.peg": ["none"], "model.window": ["plain"]}, design="leave_one_out")

    table = one("components", small(tmp_path, leave_one_out), ablated=True)
    assert signs(table) == {"base": "✓✓", "none": "–✓", "plain": "✓–"}
    assert "not the label that ablates it" in table.caption


def test_words_for_on_and_off_are_switches_and_other_labels_stand(tmp_path: Path) -> None:
    def mixed(folder: Path) -> Synthetic:
        return Synthetic(folder, factors={"model.peg": ["True", "false"], "model.quantizer": ["vq", "fsq"]})

    table = one("components", small(tmp_path, mixed))
    assert signs(table) == {"True+vq": "✓vq", "True+fsq": "✓fsq", "false+vq": "–vq", "false+fsq": "–fsq"}

    def alone(folder: Path) -> Synthetic:
        return Synthetic(folder, factors={"model.peg": ["on", "off"], "steps": ["1", "2"]}, design="one_at_a_time")

    table = one("components", small(tmp_path / "alone", alone))
    assert [row.labels[1:] for row in table.rows] == [
        ("base", "base"),
        ("✓", "base"),
        ("–", "base"),
        ("base", "1"),
        ("base", "2"),
    ]
    assert "base: as the experiment says." in table.caption


# grid


def three(folder: Path) -> Synthetic:
    return Synthetic(
        folder, factors={"model.quantizer": ["vq", "fsq"], "schedule": ["joint", "ramp"], "steps": ["1", "2"]}
    )


def test_a_grid_refuses_to_hide_a_third_factor(tmp_path: Path) -> None:
    results = small(tmp_path, three)
    with pytest.raises(
        Unfit, match=r"steps varies too \(1, 2\): say over: \[steps\] for a mean over it, or name the arms"
    ) as refusal:
        one("grid", results)
    assert refusal.value.choice == "over"
    with pytest.raises(Unfit, match="schedule has its labels in the grid"):
        one("grid", results, over=("schedule",))
    with pytest.raises(Unfit, match="quantizer is the factor of the rows already"):
        one("grid", results, rows="quantizer", columns="quantizer")
    named = [name for name in results.arms if name.endswith("+2")]
    table = one("grid", results, arms=named, metric="clips/psnr")
    assert {cell.whose for row in table.rows for cell in row.cells} == {("arm", name) for name in named}


def test_a_grid_takes_means_within_a_seed_over_what_it_is_told(tmp_path: Path) -> None:
    results = small(tmp_path, three)
    table = one("grid", results, over=("steps",), rows="schedule", columns="quantizer", metric="photos/psnr")
    assert [head.title for head in (*table.heads, *table.columns)] == ["schedule", "vq", "fsq"]
    rows = results.rows[(results.rows["model.quantizer"] == "fsq") & (results.rows["schedule"] == "ramp")]
    means = rows.groupby("seed")["photos/psnr"].mean()
    cell = table.rows[1].cells[1]
    assert cell.found and cell.found == pytest.approx((3, means.mean(), means.std()))
    assert "Within a seed the mean over steps." in table.caption


def test_a_seed_that_lacks_an_arm_is_left_out_of_a_grids_mean(tmp_path: Path) -> None:
    sweep = three(tmp_path / "runs")
    sweep.pictures = False
    sweep.write()
    sweep.fail(sweep.last("vq+joint+1", 2))
    for seed in sweep.seeds:
        sweep.fail(sweep.last(f"fsq+ramp+{1 + seed % 2}", seed))
    table = one("grid", gathered(sweep.stored), over=("steps",))
    first, last = table.rows[0].cells[0], table.rows[1].cells[1]
    assert first.found and first.found.n == 2
    assert [table.notes[note] for note in first.notes] == ["n = 2"]
    assert last.hole and table.notes[last.notes[0]] == "no seed has a number of each of fsq+ramp+1, fsq+ramp+2"
    assert "n = " not in table.caption


def test_a_grid_needs_two_factors_and_has_places_without_arms(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="a grid takes two factors, and the sweep has 1"):
        one("grid", small(tmp_path, lambda folder: Synthetic(folder, factors={"steps": ["1", "2"]})))
    results = small(
        tmp_path / "b", lambda folder: Synthetic(folder, factors={"a": ["1"], "b": ["2"]}, design="one_at_a_time")
    )
    table = one("grid", results)
    assert [[cell.hole for cell in row.cells] for row in table.rows] == [[False, False], [False, True]]
    assert [row.name for row in table.rows] == ["—", "1"]


# deltas


def test_differences_are_those_of_scipy_corrected_by_hand(tmp_path: Path) -> None:
    table = one("deltas", small(tmp_path), base="fsq+joint", metrics=("photos/psnr",))
    found, raw = cells(table), {}
    assert [row.name for row in table.rows] == ["fsq+joint", "vq+joint", "vq+progressive", "fsq+progressive"]
    for name in PSNR.keys() - {"fsq+joint"}:
        test = stats.ttest_rel(PSNR[name], PSNR["fsq+joint"])
        raw[name] = float(test.pvalue)
        assert found[name]["difference"].number == pytest.approx(np.subtract(PSNR[name], PSNR["fsq+joint"]).mean())
        assert found[name]["interval"].ends == pytest.approx(tuple(test.confidence_interval(0.95)))
        d = np.subtract(PSNR[name], PSNR["fsq+joint"])
        assert found[name]["hedges_g"].number == pytest.approx(d.mean() / d.std(ddof=1) / np.sqrt(np.pi)), "J(2) = 1/√π"
        assert f"{raw[name]:.6g} before the correction" in found[name]["p_holm"].hover
    first, second, third = sorted(raw, key=lambda name: raw[name])
    hand = {first: 3 * raw[first], second: 2 * raw[second], third: raw[third]}
    assert {name: found[name]["p_holm"].number for name in hand} == pytest.approx(hand)
    assert [found[name]["p_holm"].value.endswith("*") for name in (first, second, third)] == [True, True, False]


def test_the_correction_is_for_all_of_a_table(tmp_path: Path) -> None:
    results = small(tmp_path)
    one_metric = cells(one("deltas", results, metrics=("photos/psnr",)))["fsq+progressive"]["p_holm"].number
    both = one("deltas", results, metrics=("photos/psnr", "clips/psnr"))
    assert "for the 6 of this table" in both.caption
    assert one_metric and both.rows[3].cells[4].number == pytest.approx(2 * one_metric)


def test_of_one_seed_a_difference_has_no_interval_and_no_p(tmp_path: Path) -> None:
    results = small(tmp_path, lambda folder: Synthetic(folder, seeds=(0,)))
    for said in ({}, {"interval": "bootstrap", "test": "sign_flip"}):
        table = one("deltas", results, **said)
        for row in table.rows[1:4]:
            mean, difference, interval, effect, p, n = row.cells
            assert (difference.spread, difference.hole, n.value, mean.spread) == ("", False, "1", "")
            assert [cell.value for cell in (interval, effect, p)] == ["—"] * 3
            assert p.hover == "of one pair nothing follows"
        assert "for the 0 of this table" in table.caption


def test_a_test_that_can_decide_nothing_says_so(tmp_path: Path) -> None:
    results = small(tmp_path, lambda folder: Synthetic(folder, seeds=(0, 1, 2, 3, 4)))
    said = {"metrics": ("photos/psnr",), "test": "sign_flip"}
    table = one("deltas", results, **said)
    assert "of 5 pairs no sign-flip test has a p below 0.0625, which the correction for 3 makes 0.1875" in table.caption
    assert "Nothing here" not in one("deltas", results, metrics=("photos/psnr",)).caption
    table = one("deltas", results, **said, interval="bootstrap")
    interval = table.rows[1].cells[2]
    assert interval.hole and "93.75 % of draws at most" in table.notes[interval.notes[0]]
    seven = small(tmp_path / "7", lambda folder: Synthetic(folder, seeds=tuple(range(7))))
    table = one("deltas", seven, **said, interval="bootstrap")
    assert "Nothing here" not in table.caption
    for row in table.rows[1:]:
        assert (
            row.cells[2].ends
            and row.cells[1].number
            and row.cells[2].ends[0] < row.cells[1].number < row.cells[2].ends[1]
        )


# breakdown


def with_classes(folder: Path) -> Results:
    """Two items of cats and one of dogs in each evaluation, 1 below, at and 4 above what the run has."""
    sweep = two_by_two(folder / "runs")
    sweep.pictures = False
    sweep.write()
    for trial in sweep.trials():
        for evaluation, metrics in METRICS.items():
            for label, _, _ in metrics:
                digest = name_of(trial["stages"][-1], evaluation, label)
                path = sweep.root / trial["stages"][-1] / runs.EVALUATIONS / f"{digest}.json"
                said = runs.read_json(path)
                if said["value"] is not None:
                    items = [f"{evaluation}[{i}]" for i in range(3)]
                    per_item = [said["value"] + shift for shift in (-1.0, 0.0, 4.0)]
                    runs.write_json(
                        path, said | {"items": items, "per_item": per_item, "classes": ["cat", "cat", "dog"]}
                    )
    return gathered(sweep.stored)


def test_a_class_has_the_mean_of_its_items_then_that_over_seeds(tmp_path: Path) -> None:
    table = one("breakdown", with_classes(tmp_path), by="class", metric="photos/psnr")
    assert [column.title for column in table.columns] == ["cat", "dog", "all", "n"]
    found = cells(table)["vq+progressive"]
    mean, sd = 21.5, np.std(PSNR["vq+progressive"], ddof=1)
    assert found["photos/psnr class cat"].found == pytest.approx((3, mean - 0.5, sd))
    assert found["photos/psnr class dog"].found == pytest.approx((3, mean + 4, sd))
    assert found["photos/psnr"].number == pytest.approx(mean)
    marks = {name: row["photos/psnr class dog"].mark for name, row in cells(table).items()}
    assert marks == {"vq+joint": "", "vq+progressive": "second", "fsq+joint": "", "fsq+progressive": "best",
                     "mean_colour": "", "patch_mean": ""}  # fmt: skip
    assert cells(table)["patch_mean"]["photos/psnr class cat"].number == 17.5


def test_classes_can_be_chosen_and_must_be_known_and_few(tmp_path: Path) -> None:
    results = with_classes(tmp_path)
    table = one("breakdown", results, by="class", metric="clips/psnr", classes=("dog",))
    assert [column.title for column in table.columns] == ["dog", "all", "n"]
    with pytest.raises(Unfit, match=r"no item of clips is of class 'dgo'; did you mean 'dog'\? \(known: cat, dog\)"):
        one("breakdown", results, by="class", metric="clips/psnr", classes=("dgo",))
    with pytest.raises(Unfit, match="by: class only"):
        one("breakdown", results, classes=("dog",))
    with pytest.raises(Unfit, match="several evaluations have psnr"):
        one("breakdown", results, by="class", metric="psnr")
    results.items["class"] = [f"class {i % 31}" for i in range(len(results.items))]
    with pytest.raises(Unfit, match="columns are too many; say at most 24"):
        one("breakdown", results, by="class", metric="photos/psnr")


def test_a_class_that_nobody_has_is_refused_as_soon_as_anything_is_measured(tmp_path: Path) -> None:
    results = small(tmp_path)
    with pytest.raises(Unfit, match=r"no item of photos is of class 'cat' \(known: none\)") as refused:
        one("breakdown", results, by="class", classes=("cat",))
    assert refused.value.choice == "classes"
    planned = gathered(two_by_two(tmp_path / "planned").store())
    assert [column.title for column in one("breakdown", planned, by="class", classes=("cat",)).columns][:1] == ["cat"]


def test_where_no_class_is_known_all_items_stand_alone(tmp_path: Path) -> None:
    table = one("breakdown", small(tmp_path), by="class")
    assert [column.title for column in table.columns] == ["all", "n"]
    assert "no class of an item is known" in table.caption
    with pytest.raises(Unfit, match=r"called psrn; did you mean 'psnr'\? \(known: psnr, ssim, usage\)"):
        one("breakdown", small(tmp_path / "again"), metric="psrn")


# ablation


@pytest.mark.parametrize("name", ["ablation", "components", "grid", "breakdown", "deltas", "comparison"])
def test_a_caption_speaks_of_a_spread_only_where_there_is_one(name: str, tmp_path: Path) -> None:
    def single(folder: Path) -> Synthetic:
        return Synthetic(folder, seeds=(0,))

    said = {"published": "published.yaml"} if name == "comparison" else {}
    spread, none = "mean ± standard deviation over seeds", "one seed each, so no spread"
    caption = one(name, small(tmp_path / "one", single), **said).caption
    assert none in caption and spread not in caption
    caption = one(name, small(tmp_path / "three"), **said).caption
    assert spread in caption and none not in caption


def test_without_a_number_a_caption_speaks_of_no_seed(tmp_path: Path) -> None:
    table = one("ablation", gathered(two_by_two(tmp_path).store()))
    assert table.caption.startswith("quickstart: no metric has a number of an arm.")


def test_a_cost_that_nobody_said_is_a_hole_with_its_reason(tmp_path: Path) -> None:
    rows = cells(one("ablation", small(tmp_path), costs=("parameters", "memory", "throughput")))
    found = [
        rows["vq+joint"]["memory"],
        *(rows["mean_colour"][name] for name in ("parameters", "memory", "throughput")),
    ]
    assert [(cell.value, cell.hole, cell.hover) for cell in found] == [
        ("—", True, "not measured"), ("—", True, "not known"), ("—", True, "not measured"), ("—", True, "not measured"),
    ]  # fmt: skip


def test_arms_that_differ_in_one_factor_stand_in_a_block_a_factor(tmp_path: Path) -> None:
    def make(folder: Path) -> Synthetic:
        return Synthetic(folder, factors={"model.window": ["a", "b"], "train.window": ["c"]}, design="one_at_a_time")

    results = small(tmp_path, make)
    said = [
        (block.title, [row.name for row in block.rows]) for block in one("ablation", results, baselines=False).blocks
    ]
    assert said == [("", ["base"]), ("window", ["a", "b"]), ("window", ["c"])]
    said = [
        (block.title, [row.name for row in block.rows]) for block in one("ablation", results, by="train.window").blocks
    ]
    assert said == [("", ["base", "a", "b"]), ("c", ["c"]), ("Baselines", ["mean_colour", "patch_mean"])]
    with pytest.raises(Unfit, match="window is more than one factor"):
        one("ablation", results, by="window")
