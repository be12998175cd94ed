"""Files of published numbers: what they say, and every way to say it wrongly, at its line."""

from pathlib import Path

import pytest

from omnitok.results.cited import read_cited
from omnitok.spec import SpecError

GOOD = """\
source: "A paper, arXiv 2406.09399"
tables:
  table7:
    source: table 7
    columns:
      imagenet: {title: ImageNet rFID, metric: rfid, better: lower, protocol: ImageNet val at 256 px}
      ucf: {title: UCF-101 rFVD, metric: rfvd, better: lower, unit: "1", protocol: 17 frames}
    rows:
      - {name: joint, ours: joint_multi, type: joint, values: {imagenet: 1.11, ucf: 107}}
      - {name: MaskGIT, type: image, values: {ucf: 240}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "published.yaml"
    path.write_text(text)
    return path


def test_a_file_says_its_tables(tmp_path: Path) -> None:
    cited = read_cited(written(tmp_path, GOOD))
    assert cited.source == "A paper, arXiv 2406.09399"
    table = cited.tables["table7"]
    assert (table.source, list(table.columns)) == ("table 7", ["imagenet", "ucf"])
    assert (table.columns["imagenet"].better, table.columns["imagenet"].unit) == ("lower", "")
    assert table.columns["ucf"].protocol == "17 frames"
    first, second = table.rows
    assert (first.ours, dict(first.values), first.title) == ("joint_multi", {"imagenet": 1.11, "ucf": 107.0}, "joint")
    assert isinstance(first.values["ucf"], int), "which is printed without decimals"
    assert (second.ours, dict(second.values), second.title) == ("", {"ucf": 240.0}, "MaskGIT (image)")


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("source: \"A", "sauce: \"A", 1, "sauce: no such key; did you mean 'source'? (known: source, tables)"),
        ("    source: table 7\n", "", 4, "tables.table7.source: must be said; it has no default"),
        ("    rows:", "    row:", 8, "tables.table7.row: no such key; did you mean 'rows'? (known: source, columns, rows)"),
        ("title: Ima", "titel: Ima", 6, "tables.table7.columns.imagenet.titel: no such key; did you mean 'title'? "
         "(known: title, metric, better, protocol, unit)"),
        ("better: lower, pro", "better: low, pro", 6, "tables.table7.columns.imagenet.better: must be 'higher', 'lower' or "
         "'neither', not 'low'"),
        (", protocol: 17 frames", "", 7, "tables.table7.columns.ucf.protocol: must be said; it has no default"),
        ("{title: UCF-101 rFVD, metric: rfvd, better: lower, unit: \"1\", protocol: 17 frames}", "rfvd", 7,
         "tables.table7.columns.ucf: must be a mapping, not text"),
        ("imagenet: 1.11", "imagenet: good", 9, "tables.table7.rows[0].values.imagenet: must be a number, not 'good'"),
        ("imagenet: 1.11", "imagenet: true", 9, "tables.table7.rows[0].values.imagenet: must be a number, not true/false"),
        ("imagenet: 1.11", "imagnet: 1.11", 9, "tables.table7.rows[0].values.imagnet: no such column; did you mean 'imagenet'? "
         "(known: imagenet, ucf)"),
        ("name: MaskGIT, ", "", 10, "tables.table7.rows[1].name: must be said; it has no default"),
        ("values: {ucf: 240}", "values: {}", 10, "tables.table7.rows[1].values: "),
        ("name: MaskGIT, ", "name: MaskGIT, our: x, ", 10, "tables.table7.rows[1].our: no such key; did you mean 'ours'?"),
        ("name: MaskGIT, ", "name: MaskGIT, ours: joint_multi, ", 10, "tables.table7.rows[1].ours: joint_multi corresponds to "
         "another row already, in line 9"),
        ("source: table 7", "source: \"\"", 4, "tables.table7.source: "),
    ],
)  # fmt: skip
def test_what_is_said_wrongly_is_refused_at_its_line(
    tmp_path: Path, old: str, new: str, line: int, sentence: str
) -> None:
    assert GOOD.count(old) == 1
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SpecError) as refusal:
        read_cited(path)
    assert f"{path}:{line}: {sentence}" in str(refusal.value)


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("title: Ima", "titel: Ima").replace("unit: ", "units: ").replace("{ucf: 240}", "{ufc: 240}")
    with pytest.raises(SpecError) as refusal:
        read_cited(written(tmp_path, text))
    said = str(refusal.value).splitlines()
    assert [line.split(":")[1] for line in said] == ["6", "6", "7", "10"], "a wrong name is also one that is missing"
    assert "did you mean 'ucf'" in said[-1]


@pytest.mark.parametrize("text", ["", "- a\n", "source: x\ntables: {}\n", "source: x\ntables: [a]\n", "source: x\n"])
def test_a_file_without_tables_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match=r"published\.yaml:\d"):
        read_cited(written(tmp_path, text))
