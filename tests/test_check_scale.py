"""A check of many files goes on where it was interrupted, works in several processes, and its manifest stays lean."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from trees import clip, grown, picture, shard

from omnitok.cli import main
from omnitok.data import DataError, check, check_folder
from omnitok.data.columns import Columns
from omnitok.data.folder import Folder
from omnitok.data.journal import NAME
from omnitok.data.layouts import Listed
from omnitok.data.manifest import FILE, Files, Manifest, load
from omnitok.data.survey import Facts, survey
from omnitok.spec import SpecError


class Stopped(Exception):
    """Somebody pressed a key."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {f"{label}/{i}.jpg": picture(20 * k + i) for k, label in enumerate(("cat", "dog")) for i in range(10)}
    return grown(tmp_path / "pets", files | {f"dog/{i}.mp4": clip(i) for i in range(3)})


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was decoded, in its order."""
    names: list[str] = []
    survey = check.survey
    monkeypatch.setattr(check, "survey", lambda folder, file, by: names.append(file.title) or survey(folder, file, by))
    return names


def stopping(at: int):
    def heard(done: int, total: int) -> None:
        if done == at:
            raise Stopped

    return heard


def test_an_interrupted_check_goes_on_where_it_was_and_ends_the_same(folder: Path, looked: list[str]) -> None:
    whole = check_folder(folder).fingerprint
    (folder / FILE).unlink()
    with pytest.raises(Stopped):
        check_folder(folder, progress=stopping(9))
    assert (folder / NAME).exists() and not (folder / FILE).exists()
    with (folder / NAME).open("ab") as file:
        file.write(b'[1,"cat/torn')
    looked.clear()
    heard: list[tuple[int, int]] = []
    again = check_folder(folder, progress=lambda done, total: heard.append((done, total)))
    assert len(looked) == 23 - 9 and heard == [(i, 23) for i in range(1, 24)]
    assert again.fingerprint == whole and not (folder / NAME).exists()


def test_files_that_changed_since_are_looked_at_again(folder: Path, looked: list[str]) -> None:
    (folder / "cat" / "3.jpg").write_bytes(b"torn")
    with pytest.raises(SpecError, match=r"cat/3\.jpg"):
        check_folder(folder)
    looked.clear()
    (folder / "cat" / "3.jpg").write_bytes(picture(3))
    os.utime(folder / "dog" / "0.jpg", ns=(1, 1))
    check_folder(folder)
    assert looked == ["cat/3.jpg", "dog/0.jpg"]


def test_what_was_wrong_is_looked_at_again_even_where_the_file_was_not_written(
    folder: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path, file: Listed, by_content: bool) -> Facts:
        if file.title == "cat/3.jpg":
            raise DataError("cat/3.jpg: cannot be read: Permission denied")
        return survey(folder, file, by_content)

    with monkeypatch.context() as patched:
        patched.setattr(check, "survey", refused)
        with pytest.raises(SpecError, match=r"cat/3\.jpg: cannot be read: Permission denied"):
            check_folder(folder)
    with (folder / NAME).open("ab") as file:
        file.write(b'5\n[2,["a"],3,4]\n"torn"\n')
    check_folder(folder)
    assert looked == ["cat/3.jpg"]


def test_members_of_a_tar_that_was_written_since_are_looked_at_again(tmp_path: Path, looked: list[str]) -> None:
    samples = [(f"{i}.jpg", picture(i)) for i in range(5)]
    layout = {"type": "webdataset", "label": "none"}
    grown(tmp_path, {"a.tar": shard(samples), "b.tar": shard([(f"b{name}", content) for name, content in samples])})
    with pytest.raises(Stopped):
        check_folder(tmp_path, layout=layout, progress=stopping(8))
    os.utime(tmp_path / "a.tar", ns=(1, 1))
    looked.clear()
    check_folder(tmp_path, layout=layout)
    assert looked == [*(f"a.tar/{i}.jpg" for i in range(5)), "b.tar/b3.jpg", "b.tar/b4.jpg"]


def test_several_processes_find_what_one_finds(folder: Path) -> None:
    grown(folder, {"cat/torn.jpg": picture(1)[:-30]})
    one = check_folder(folder, skip_broken=True)
    (folder / FILE).unlink()
    two = check_folder(folder, skip_broken=True, workers=2)
    assert two.fingerprint == one.fingerprint and two.manifest == one.manifest


def test_files_where_nobody_may_write_have_their_manifest_elsewhere(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.rglob("*"))
    checked = check_folder(folder, into=tmp_path / "data" / "pets")
    assert sorted(folder.rglob("*")) == before and checked.folder == tmp_path / "data" / "pets"
    dataset = Folder(tmp_path / "data", "train", name="pets", fingerprint=checked.fingerprint)
    assert dataset.item(0, 1, 16).shape == (3, 1, 16, 16)
    again = rf"says 0123; .*: omnitok data check {folder} --into {tmp_path}/data/pets$"
    with pytest.raises(DataError, match=again):
        Folder(tmp_path / "data", "train", name="pets", fingerprint="0123")
    assert check_folder(folder).fingerprint == checked.fingerprint
    with pytest.raises(SpecError, match="cannot be made"):
        check_folder(folder, into=folder / "cat" / "0.jpg" / "x")


def dying(folder: Path, file: Listed) -> str:
    os._exit(1)


def test_a_process_that_dies_is_said_with_the_files_that_it_had(tmp_path: Path) -> None:
    files = [Listed(f"{i}.mp4") for i in range(40)]
    with pytest.raises(
        SpecError, match=r"a process died at one of the 32 files from 0\.mp4 on; --workers 1 shows which"
    ):
        list(check._mapped(functools.partial(dying, tmp_path), files, 2))


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_decoded(folder: Path, looked: list[str]) -> None:
    (folder / NAME).mkdir()
    with pytest.raises(SpecError, match="cannot be written"):
        check_folder(folder)
    assert looked == []


def test_the_command_takes_a_layout_with_its_choices_and_lists_all(folder: Path) -> None:
    said = CliRunner().invoke(main, ["data", "check", str(folder), "--layout", "{type: ucf101, fold: 2}"])
    assert said.exit_code == 2 and "has no ucfTrainTestlist/classInd.txt" in said.output
    said = CliRunner().invoke(main, ["data", "check", str(folder), "--layout", "playn"])
    assert said.exit_code == 2 and "did you mean 'plain'" in said.output
    said = CliRunner().invoke(main, ["data", "check", str(folder), "--workers", "1"])
    assert said.exit_code == 0 and f"fingerprint {load(folder).fingerprint}" in said.output
    said = CliRunner().invoke(main, ["data", "layouts"])
    assert said.exit_code == 0 and all(word in said.output for word in ("ucf101", "fold", "something_something_v2"))


def columns(count: int) -> Columns:
    draw = np.random.default_rng(0)
    classes = tuple(f"n{i:08d}" for i in range(1000))
    labels = np.sort(draw.integers(0, 1000, count)).astype(np.int32)
    sides = draw.integers(200, 600, (2, count)).astype(np.int32)
    keys = np.stack([np.arange(3 * count), np.arange(3 * count) * 512], 1)
    return Columns(
        classes=classes, paths=[f"train/{classes[k]}/{i}.JPEG" for i, k in enumerate(labels)], members=[],
        hashes=draw.integers(0, 256, (count, 32), dtype=np.uint8), sizes=draw.integers(2e4, 3e5, count),
        kinds=np.zeros(count, np.int8), splits=draw.integers(0, 3, count).astype(np.int8), labels=labels,
        heights=sides[0], widths=sides[1], frames=np.ones(count, np.int32), fps=np.zeros(count),
        at=np.full(count, -1), keys=keys, key_starts=3 * np.arange(count + 1),
    )  # fmt: skip


def test_a_large_manifest_comes_back_whole_and_its_parts_are_made_when_asked_for(tmp_path: Path) -> None:
    manifest = Manifest(Files(columns(20_000)), (), {"type": "imagenet"})
    manifest.save(tmp_path)
    found = load(tmp_path)
    assert found.fingerprint == manifest.fingerprint and found.layout == manifest.layout
    part = found.files.of("val")
    assert len(part) == sum(count for (split, _, _), count in found.counts.items() if split == "val")
    assert part[7] == manifest.files[int(part.rows[7])] and part[-1].split == "val" and len(part[7].keys) == 3
    assert list(part[2:5]) == [part[2], part[3], part[4]]
    assert part.labels[3] == found.classes.index(part[3].label)


@pytest.mark.parametrize("column", ["paths", "hashes", "splits", "labels", "frames", "heights"])
def test_the_fingerprint_is_of_everything_that_training_sees(column: str) -> None:
    one, two = columns(10), columns(10)
    if column == "paths":
        two.paths[3] = "other"
    else:
        changed = getattr(two, column)
        changed[3] = (changed[3] + 1) % 3
    assert Manifest(Files(one)).fingerprint != Manifest(Files(two)).fingerprint
    assert Manifest(Files(one)).fingerprint == Manifest(Files(columns(10))).fingerprint
