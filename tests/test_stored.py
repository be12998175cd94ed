"""The texts of a sweep as they were launched: kept whole, and read again as what they were."""

from pathlib import Path

import pytest
import tiny

from omnitok import launch_sweep, runs
from omnitok.provenance import sha256
from omnitok.spec import SpecError
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan
from omnitok.sweep.stored import TEXTS, asked_of, store
from omnitok.training.stage import read_stages

SWEEPS = sorted(Path(__file__).parent.parent.glob("sweeps/*.yaml"))
NOTHING = {"stages": {}, "trials": []}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_that_was_kept_is_the_sweep_that_was_read(path: Path, tmp_path: Path) -> None:
    asked = read_sweep(path, ["seeds=[4, 5]", "steps=7"])
    again = asked_of(store(tmp_path, asked, NOTHING))
    assert again.digest == asked.digest
    assert (again.name, again.sets, again.said, again.base, again.others) == asked[:1] + asked[2:6]
    assert again.said.marks["vary"].line == asked.said.marks["vary"].line


def test_what_was_edited_or_deleted_since_is_as_it_was_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = read_sweep(Path("ask.yaml"))
    folder = store(tmp_path / "runs", asked, NOTHING)
    path.write_text("question: another\n")
    (tmp_path / "tiny.yaml").unlink()
    again = asked_of(folder)
    assert (again.digest, again.path) == (asked.digest, Path("ask.yaml"))
    assert str(again.said.marks["seeds"]) == "ask.yaml:8" and again.base.mark.source == "tiny.yaml"
    monkeypatch.chdir(tmp_path.parent)
    assert asked_of(folder).base.mark.source == f"{tmp_path.name}/tiny.yaml"
    assert set(plan(asked_of(folder)).runs) == set(plan(again).runs)


@pytest.mark.parametrize("by", ["file", "flag"])
def test_a_path_means_what_it_meant_wherever_a_stored_sweep_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "elsewhere").mkdir()
    beside = tmp_path if by == "file" else tmp_path / "work"
    (beside / "weights.bin").write_bytes(b"arrays")
    init = f"{{file: weights.bin, sha256: {sha256(beside / 'weights.bin')}}}"
    made = "baselines: [{type: recorded, name: theirs, folder: made}]"
    experiment = tiny.EXPERIMENT.replace(
        "    steps: 5\n", f"    steps: 5\n    init: {init}\n" if by == "file" else "    steps: 5\n"
    )
    tiny.write(
        tmp_path, experiment, tiny.SWEEP.replace("baselines: [mean_colour]", made if by == "file" else "baselines: []")
    )
    sets = [] if by == "file" else [f"stages.images.init={init}", made.replace(": ", "=", 1)]
    monkeypatch.chdir(tmp_path / "work")
    asked = read_sweep(Path("../ask.yaml"), sets)
    folder = store(tmp_path / "runs", asked, NOTHING)
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = asked_of(folder)
    stage = read_stages(again.base)[0]
    assert stage.lineage.init.path(stage.said.marks["init"]) == beside / "weights.bin"
    mark = again.said["baselines"][0].marks["folder"]
    assert mark.place("made") == beside / "made"


def test_a_stored_sweep_is_launched_by_its_name_and_takes_no_other_choices(tmp_path: Path, runs_root: Path) -> None:
    path = tiny.write(tmp_path)
    first = launch_sweep(path, ["seeds=[0]", "stages.joint.steps=1", "steps=1"], cluster="debug")
    path.unlink()
    again = launch_sweep("ask", cluster="debug")
    assert (again.folder, again.trained, again.measured) == (first.folder, 0, 0)
    assert all(state.status == "done" for state in again.states)
    with pytest.raises(SpecError, match="run as it was launched"):
        launch_sweep(first.folder.name, ["seeds=[1]"], cluster="debug")


def test_a_launch_of_before_has_no_texts_and_says_so(tmp_path: Path) -> None:
    folder = store(tmp_path, read_sweep(tiny.write(tmp_path)), NOTHING)
    (folder / TEXTS).unlink()
    with pytest.raises(SpecError, match="no texts are kept"):
        asked_of(folder)
    runs.write_json(folder / TEXTS, {"path": "/gone/ask.yaml", "set": [], "folder": "/gone", "texts": {}})
    with pytest.raises(SpecError, match="not kept at the launch"):
        asked_of(folder)
