"""What is wrong with a user's folder is found before any training, and a folder is what its manifest says."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omnitok.data import DATASETS, DataError, check_folder, write_clip
from omnitok.data.folder import Folder
from omnitok.data.manifest import FILE, load
from omnitok.data.pixels import resized
from omnitok.spec import Map, Mark, SpecError, decode


def noise(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path)
    return path


def film(path: Path, frames: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, resized(np.stack([noise(100 * seed + i, 3, 4) for i in range(frames)]), 48, 64), 10.0)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        picture(tmp_path / "pets" / "cat" / f"{i}.png", seed=i)
        picture(tmp_path / "pets" / "dog" / f"{i}.jpg", seed=10 + i)
    return tmp_path / "pets"


def faults(folder: Path) -> list[str]:
    with pytest.raises(SpecError) as refused:
        check_folder(folder)
    return [str(fault) for fault in refused.value.faults]


# Folders


def test_the_same_files_have_the_same_fingerprint_whatever_their_times_order_and_place(folder: Path) -> None:
    first = check_folder(folder)
    text = (folder / FILE).read_bytes()
    again = folder.parent / "again"
    for path in sorted(folder.rglob("*.*"), reverse=True):
        (again / path.parent.name).mkdir(parents=True, exist_ok=True)
        if path.name != FILE:
            os.utime(shutil.copy(path, again / path.parent.name / path.name), (1, 1))
    assert check_folder(folder).fingerprint == first.fingerprint
    assert (folder / FILE).read_bytes() == text
    assert check_folder(again).fingerprint == first.fingerprint
    picture(folder / "cat" / "new.png", seed=99)
    assert check_folder(folder).fingerprint != first.fingerprint


def test_the_summary_counts_by_split_kind_and_class_and_lists_what_it_ignores(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_text("x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.png").write_text("x")
    heard: list[tuple[int, int]] = []
    checked = check_folder(folder, progress=lambda done, total: heard.append((done, total)))
    assert checked.ignored == ("notes.txt",)
    assert heard == [(i, 8) for i in range(1, 9)]
    assert checked.manifest.counts == {
        (split, "photo", label): 2 if split == "train" else 1
        for split in ("test", "train", "val")
        for label in ("cat", "dog")
    }
    assert load(folder) == checked.manifest


def test_every_broken_file_is_named_with_its_reason_and_nothing_is_written(folder: Path) -> None:
    (folder / "cat" / "empty.png").touch()
    (folder / "cat" / "text.png").write_text("not a picture")
    (folder / "cat" / "wrong.jpg").write_bytes((folder / "cat" / "0.png").read_bytes())
    (folder / "dog" / "torn.jpg").write_bytes((folder / "dog" / "0.jpg").read_bytes()[:-50])
    film(folder / "dog" / "picture.mp4", 5)
    shutil.copy(folder / "dog" / "picture.mp4", folder / "dog" / "wrong.avi")
    (folder / "dog" / "picture.mp4").rename(folder / "dog" / "picture.png")
    (folder / "dog" / "still.mp4").write_bytes((folder / "dog" / "0.jpg").read_bytes())
    os.mkfifo(folder / "dog" / "pipe.png")
    (folder / "dog" / "nowhere.png").symlink_to(folder / "gone.png")
    found = faults(folder)
    for name, reason in [
        ("cat/empty.png", "is empty"),
        ("cat/text.png", "is no picture by its bytes, whatever its ending; read are PNG, JPEG, WEBP, BMP"),
        ("cat/wrong.jpg", "is a PNG picture, which .jpg does not say"),
        ("dog/torn.jpg", "truncated"),
        ("dog/wrong.avi", "which .avi does not say"),
        ("dog/picture.png", "is no picture"),
        ("dog/still.mp4", "which .mp4 does not say"),
        ("dog/pipe.png", "no regular file"),
        ("dog/nowhere.png", "no regular file"),
    ]:
        assert sum(line.startswith(f"{folder / name}: ") and reason in line for line in found) == 1, (name, found)
    assert len(found) == 9
    assert not (folder / FILE).exists()


def test_skipped_broken_files_are_recorded_and_change_no_fingerprint(folder: Path) -> None:
    clean = check_folder(folder).fingerprint
    (folder / "cat" / "empty.png").touch()
    checked = check_folder(folder, skip_broken=True)
    assert [(file.path, file.reason) for file in load(folder).broken] == [("cat/empty.png", "is empty (0 bytes)")]
    assert checked.fingerprint == clean


def test_a_name_that_is_not_utf8_is_broken_and_can_still_be_printed_and_stored(folder: Path) -> None:
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / os.fsdecode(b"\xff.png"))
    assert "its name is not UTF-8" in faults(folder)[0].encode().decode()
    check_folder(folder, skip_broken=True)
    assert load(folder).broken[0].path == "cat/?.png"


def test_names_that_no_list_can_have_are_refused_in_a_sentence_that_can_be_printed(folder: Path) -> None:
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "a\\b.png")
    (folder / "cat" / "loop.png").symlink_to(folder / "cat" / "loop.png")
    assert [line.partition("cat/")[2] for line in faults(folder)] == [
        "a\\b.png: its name has a backslash, which is another thing elsewhere; rename it",
        "loop.png: is no regular file, or a link to nothing",
    ]
    for split in ("train", "val", "test"):
        (folder / split).mkdir()
    shutil.copy(folder / "cat" / "0.png", folder / os.fsdecode(b"\xff.png"))
    assert any("pets/?.png: lies outside train/" in line.encode().decode() for line in faults(folder))


def test_links_out_of_the_folder_are_refused_and_links_within_it_share_a_split(folder: Path) -> None:
    (folder / "cat" / "twin.png").symlink_to(folder / "cat" / "0.png")
    splits = {file.path: file.split for file in check_folder(folder).manifest.files}
    assert splits["cat/twin.png"] == splits["cat/0.png"]
    (folder / "cat" / "out.png").symlink_to(picture(folder.parent / "outside.png"))
    (folder / "more").symlink_to(folder / "cat")
    first, second = faults(folder)
    assert "out.png: is a link out of the folder" in first
    assert "more: is a link to a folder" in second


def test_copies_of_one_picture_are_never_in_two_splits(tmp_path: Path) -> None:
    for i in range(30):
        picture(tmp_path / f"{i}.png", seed=i % 10)
    files = check_folder(tmp_path).manifest.files
    assert {file.split for file in files} == {"train", "val", "test"}
    assert len({(file.sha256, file.split) for file in files}) == 10


def test_given_splits_are_kept_and_the_class_is_the_folder_inside(tmp_path: Path) -> None:
    for i, (split, label) in enumerate(itertools.product(["train", "val", "test"], ["cat", "dog"])):
        picture(tmp_path / split / label / "x.png", seed=i)
    files = check_folder(tmp_path).manifest.files
    assert [(file.path.split("/")[:2]) for file in files] == [[file.split, file.label] for file in files]
    picture(tmp_path / "loose.png", seed=50)
    assert "loose.png: lies outside train/, val/ and test/" in faults(tmp_path)[0]
    (tmp_path / "loose.png").unlink()
    shutil.copy(tmp_path / "train" / "cat" / "x.png", tmp_path / "val" / "copy.png")
    copied = "train/cat/x.png: has the bytes of val/copy.png, which is in another split (val)"
    assert copied in faults(tmp_path)[0]
    assert check_folder(tmp_path, skip_broken=True).manifest.broken[0].path == "train/cat/x.png"
    shutil.rmtree(tmp_path / "val")
    assert "has train/ and test/ but not val/" in faults(tmp_path)[0]
    (tmp_path / "val").mkdir()
    assert "val: holds no usable file" in faults(tmp_path)[0]


def test_an_absent_an_empty_and_a_too_small_folder_are_refused(tmp_path: Path) -> None:
    assert "no such folder" in faults(tmp_path / "gone")[0]
    assert "holds no picture and no video" in faults(tmp_path)[0]
    picture(tmp_path / "cat" / "0.png", seed=0)
    picture(tmp_path / "cat" / "1.png", seed=1)
    assert "cat: has 2 usable photos; a class needs 3 of a kind" in faults(tmp_path)[0]
    for i in range(3):
        picture(tmp_path / "dog" / f"{i}.png", seed=2)
    once = "dog: has 1 usable photo, as files with the same bytes count once; a class needs 3 of a kind"
    assert once in faults(tmp_path)[1]
    assert "0.png: is a file; what is checked is a folder" in faults(tmp_path / "dog" / "0.png")[0]
    assert faults(tmp_path / "dogs")[0].endswith("dogs: no such folder; did you mean 'dog'?")


def test_a_folder_that_cannot_be_written_is_one_line(folder: Path) -> None:
    (folder / FILE).mkdir()
    (folder / FILE / "x").touch()
    assert "cannot be written" in faults(folder)[0]


# A user's folder


def test_a_folder_without_pictures_takes_single_frames_out_of_its_clips(tmp_path: Path) -> None:
    for i in range(3):
        film(tmp_path / "films" / f"{i}.mkv", 6, seed=i)
    dataset = Folder(tmp_path, "val", name="films", fingerprint=check_folder(tmp_path / "films").fingerprint)
    assert dataset.sample(torch.Generator(), 1, 16).shape == (3, 1, 16, 16)
    assert len(dataset.items(1)) == 1


def test_clips_that_are_too_short_are_not_drawn_from(tmp_path: Path) -> None:
    for i, (split, frames) in enumerate(itertools.product(["train", "val", "test"], (3, 9))):
        film(tmp_path / "films" / split / f"{frames}.mp4", frames, seed=i)
    dataset = Folder(tmp_path, "train", name="films", fingerprint=check_folder(tmp_path / "films").fingerprint)
    assert dataset.items(3) == ("train/3.mp4[0:3]", "train/9.mp4[3:6]")
    assert dataset.items(5) == ("train/9.mp4[2:7]",)


def test_another_fingerprint_is_refused_with_both_and_the_command_that_makes_it(folder: Path) -> None:
    found = check_folder(folder).fingerprint
    with pytest.raises(DataError, match=rf"{found}.*says 0123.*omnitok data check .*pets"):
        Folder(folder.parent, "train", name="pets", fingerprint="0123")


def test_a_fingerprint_must_be_said_because_any_default_would_be_a_trap() -> None:
    with pytest.raises(SpecError, match="fingerprint: must be said"):
        decode(
            DATASETS, Map({"type": "folder", "name": "x"}, Mark("f", 1), {"type": Mark("f", 1), "name": Mark("f", 2)})
        )


@pytest.mark.parametrize("name", ["../pets", "/pets", "", ".", "a/../pets", "pets/", "a\\b"])
def test_a_name_that_leaves_the_root_or_is_not_plain_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match="no plain path below a folder"):
        Folder(folder.parent, "train", name=name, fingerprint=check_folder(folder).fingerprint)


def test_a_misspelt_folder_is_refused_with_the_nearest_that_has_a_manifest(folder: Path) -> None:
    (folder.parent / "pests").mkdir()  # nearer, but no dataset
    check_folder(folder, into=folder.parent / "more" / "cats")
    check_folder(folder)
    for name, meant in [("pests/a", "pets"), ("pest", "pets"), ("more/cat", "more/cats")]:
        with pytest.raises(DataError, match=rf"{name}: no such folder; did you mean '{meant}'; make it with: omnitok"):
            Folder(folder.parent, "train", name=name, fingerprint="")


def test_an_absent_folder_an_unchecked_one_and_a_damaged_manifest_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"dogs: no such folder; make it with: omnitok data check"):
        Folder(folder.parent, "train", name="dogs", fingerprint="")
    with pytest.raises(DataError, match=r"pets: has no omnitok-manifest.json; make it with: omnitok data check"):
        Folder(folder.parent, "train", name="pets", fingerprint="")
    (folder / FILE).write_text('{"format": 1, "files": []}')
    with pytest.raises(DataError, match=r"format: it is not of format 2.*omnitok data check"):
        Folder(folder.parent, "train", name="pets", fingerprint="")
    check_folder(folder)
    text = (folder / FILE).read_text()
    for old, new, said in [
        ('"cat/0.png"', '"../0.png"', r"files\.path: '\.\./0\.png' is no plain path"),
        ('"cat/0.png",', "", r"files: sha256 has 8 values for 7 files"),
        ('"kind":[0', '"kind":[2', r"files: kind is from 0 to 1"),
        ('"class":[0', '"class":[9', r"class is from -1 to 1"),
        ('"height":[24', '"height":[99999999999', r"files: height is from 1 to 2147483647"),
        ('"frames":[1', '"frames":[-1', r"files: frames is from 1 to"),
        ('"format":2', '"format":20', r"format: it is not of format 2"),
    ]:
        (folder / FILE).write_text(text.replace(old, new))
        with pytest.raises(DataError, match=said):
            Folder(folder.parent, "train", name="pets", fingerprint="")
    (folder / FILE).write_text("{")
    with pytest.raises(DataError, match=r"omnitok-manifest\.json: the file: Invalid JSON"):
        Folder(folder.parent, "train", name="pets", fingerprint="")


def test_a_missing_file_a_changed_size_and_changed_bytes_are_refused_by_name(folder: Path) -> None:
    checked = check_folder(folder)
    first = next(file.path for file in checked.manifest.files if file.split == "train")
    content = (folder / first).read_bytes()
    dataset = Folder(folder.parent, "train", name="pets", fingerprint=checked.fingerprint)
    (folder / first).write_bytes(content[:-20] + bytes(20))
    with pytest.raises(DataError, match=rf"{first}: its bytes are not those of the manifest"):
        [dataset.item(i, 1, 16) for i in range(len(dataset.items(1)))]
    (folder / first).write_bytes(content + b"\0")
    with pytest.raises(DataError, match=rf"{first}: has {len(content) + 1} bytes, the manifest says {len(content)}"):
        Folder(folder.parent, "train", name="pets", fingerprint=checked.fingerprint)
    (folder / first).unlink()
    with pytest.raises(DataError, match=rf"{first}: is in the manifest, but: No such file"):
        Folder(folder.parent, "train", name="pets", fingerprint=checked.fingerprint)


def test_a_clip_damaged_after_the_check_is_a_named_data_error_while_sampling(tmp_path: Path) -> None:
    for i in range(3):
        film(tmp_path / "films" / f"{i}.mp4", 20, seed=i)
    checked = check_folder(tmp_path / "films")
    dataset = Folder(tmp_path, "train", name="films", fingerprint=checked.fingerprint)
    path = tmp_path / "films" / dataset.items(5)[0].partition("[")[0]
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=rf"{path.name}: its bytes are not those of the manifest"):
        dataset.sample(torch.Generator(), 5, 16)
