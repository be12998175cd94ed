"""The paper's tables as sweeps: they plan with what stands in and with the real sets, their twins ask the same of the same
arms, and what they claim is what was published."""

import io
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import yaml
from PIL import Image
from trees import grown

from omnitok.data import check_folder, natural, procgen
from omnitok.networks import weights
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import Plan, plan_sweep

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "sweeps" / "paper"
LARGE = sorted(FOLDER.glob("*[0-9].yaml"))
MINI = sorted(FOLDER.glob("*_mini.yaml"))
GOLDEN = json.loads((ROOT / "tests" / "golden.json").read_text())
PUBLISHED = yaml.safe_load((ROOT / "reports" / "published" / "omnitokenizer.yaml").read_text())
CLIPS = ("ucf101", "kinetics", "moments")
FITTED = "baselines=[mean_colour, {type: patch_mean, patch: 4}]"  # without what others made of items
NUMBERS = re.compile(r"([\d.]+) against ([\d.]+)")


@pytest.fixture(autouse=True)
def fetched(monkeypatch, tmp_path):
    """Weights are there, for a plan that only asks whether they are."""
    monkeypatch.setattr(weights, "locate", lambda name: tmp_path)


@pytest.fixture
def brought(monkeypatch):
    """natural_mini and procgen16 are there, for a plan that only asks for sizes and fingerprints."""
    arrays = [
        SimpleNamespace(split=split, path=f"{split}.npy", game=game, bytes=0, levels=(0,) * 16)
        for split in ("train", "val", "test")
        for game in procgen.HELD_OUT
    ]
    manifest = SimpleNamespace(side=64, arrays=tuple(arrays))
    monkeypatch.setattr(procgen, "MANIFEST", SimpleNamespace(named=lambda root, *said: (root, manifest)))
    monkeypatch.setattr(procgen, "refuse_cut", lambda *said: None)
    monkeypatch.setattr(natural.held, "refuse_cut", lambda *said: None)


def planned(path: Path) -> Plan:
    return plan_sweep(path, [FITTED] if "recorded" in path.read_text() else [])


@pytest.mark.parametrize("path", [*LARGE, *MINI], ids=lambda path: path.stem)
def test_a_changed_default_or_version_is_seen(path, brought, runs_root):
    assert sorted(planned(path).runs) == GOLDEN[path.relative_to(ROOT).as_posix()], (
        "a changed default or version changes what runs are: if it is meant, update tests/golden.json"
    )


@pytest.mark.parametrize("path", MINI, ids=lambda path: path.stem)
def test_a_twin_has_the_arms_of_its_table_and_seeds_for_an_interval(path):
    large, mini = (read_sweep(FOLDER / f"{name}.yaml") for name in (path.stem.removesuffix("_mini"), path.stem))
    arms = {name: list(values) for name, values in large.said["vary"].items() if name != "data"}
    assert arms.items() <= {name: list(values) for name, values in mini.said["vary"].items()}.items()
    assert len(mini.file.seeds) >= 3 and all(claim.source for claim in mini.file.claims)
    assert {one if isinstance(one, str) else one["type"] for one in mini.said["baselines"]} >= {
        "mean_colour",
        "patch_mean",
    }


def test_twins_train_nothing_twice():
    """The first two tables measure runs of the last, and all share their first stage where their arms do."""
    runs = {path.stem: set(GOLDEN[path.relative_to(ROOT).as_posix()]) for path in MINI}
    assert runs["table1_mini"] | runs["table2_mini"] <= runs["table10_mini"]
    assert len(runs["table8_mini"] & runs["table7_mini"]) == len(runs["table9_mini"] & runs["table8_mini"]) - 3 == 5


@pytest.mark.parametrize("path", [*LARGE, *MINI], ids=lambda path: path.stem)
def test_claims_are_of_published_numbers(path):
    """Each number that a claim quotes stands in its table, in the row of the arm that it is said of."""
    name = path.stem.removesuffix("_mini")
    table = PUBLISHED["tables"][name]
    rows = {row["ours"]: set(map(float, row["values"].values())) for row in table["rows"] if "ours" in row}
    quoted = [claim for claim in read_sweep(path).file.claims if f"table {name.removeprefix('table')}:" in claim.source]
    quoted = [claim for claim in quoted if "2406.09399" in claim.source]
    assert quoted
    for claim in quoted:
        for better, worse in NUMBERS.findall(claim.source):
            pair = (claim.better or claim.equal, claim.than or claim.to)
            assert float(better) in rows[pair[0]] and float(worse) in rows[pair[1]] and float(better) < float(worse)


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_a_claim_quotes_the_column_that_it_is_measured_as(path):
    rows = {row["ours"]: row["values"] for row in PUBLISHED["tables"][path.stem]["rows"] if "ours" in row}
    for claim in read_sweep(path).file.claims:
        [(better, worse)] = NUMBERS.findall(claim.source)
        assert (rows[claim.better][claim.on], rows[claim.than][claim.on]) == (float(better), float(worse))


def test_published_tables_hold_together():
    labels = {path.stem: read_sweep(path).said["vary"] for path in LARGE}
    for name, table in PUBLISHED["tables"].items():
        known = {label for values in labels[name].values() for label in values}
        for row in table["rows"]:
            assert set(row) <= {"name", "ours", "type", "values"} and row["values"]
            assert set(row["values"]) <= set(table["columns"]) and row.get("ours", next(iter(known))) in known
        for column in table["columns"].values():
            assert set(column) == {"title", "metric", "better", "protocol"} and column["better"] == "lower"


# What the head of a file says to say where the real sets are


def sets_of(path: Path, named: dict[str, str]) -> list[str]:
    """The words of the command in a file's head, as a shell has them."""
    said = [line.removeprefix("#") for line in path.read_text().splitlines() if line.startswith("#")]
    begin = next(i for i, line in enumerate(said) if line.startswith(" omnitok plan"))
    shell = "omnitok() { printf '%s\\0' \"$@\"; }\n" + "\n".join(said[begin:])
    found = subprocess.run(["sh", "-c", shell], env=named, capture_output=True, text=True, check=True)
    words = found.stdout.split("\0")[:-1]
    assert words[:2] == ["plan", path.relative_to(ROOT).as_posix()] and set(words[2::2]) == {"--set"}
    return words[3::2]


def dataset(folder: Path, number: int) -> str:
    """A small folder of what the real one has, as an experiment says it."""
    make, suffix = (film, "mp4") if folder.name in CLIPS else (photo, "png")
    names = ("train/a", "train/b", "val/a", "test/a", "test/b")
    grown(folder, {f"{name}.{suffix}": make(5 * (5 * number + i)) for i, name in enumerate(names)})
    found = check_folder(folder).manifest.fingerprint
    return f'{{type: folder, name: {folder.name}, fingerprint: "{found}"}}'


def photo(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (256, 256), (level, level, level)).save(out, "PNG")
    return out.getvalue()


def film(level: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 256
        for _ in range(17):
            frame = av.VideoFrame.from_ndarray(np.full((256, 256, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_the_real_sets_stand_in_as_the_file_says(path, tmp_path, monkeypatch, runs_root):
    names = re.findall(r"^# (\w+)='{type: folder, name: \1, fingerprint: \.\.\.}'$", path.read_text(), re.MULTILINE)
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / "data"))
    said = {name: dataset(tmp_path / "data" / name, i) for i, name in enumerate(names)}
    sets = sets_of(path, said)
    few = [f"evaluate[{i}].metrics=[{{type: {one}, few: true}}]" for i, one in enumerate(measured(path))]
    found = plan_sweep(path, [*sets, *few])
    texts = json.dumps([run.spec for run in found.runs.values()])
    assert "embedded" not in texts and all(f'"name": "{name}"' in texts for name in names)
    seen = [json.dumps(one.spec.model_dump(mode="json")) for one in found.measurements]
    assert len(seen) == len(measured(path)) and not any("embedded" in one for one in seen)


def measured(path: Path) -> list[str]:
    return [one["metrics"][0]["type"] for one in read_sweep(path).said["evaluate"]]
