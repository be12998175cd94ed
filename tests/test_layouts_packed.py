"""Datasets in tars and tables are read where they lie, and what is wrong with these is named."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import torch
from pyarrow import parquet
from trees import checked, clip, faults, grown, held, picture, placed, shard

from omnitok.data import DataError, tables
from omnitok.data.content import read
from omnitok.data.folder import Folder
from omnitok.data.layouts.contract import split_of
from omnitok.data.manifest import FILE, Manifest, load

# WebDataset


def webdataset(folder: Path, names: tuple[str, ...] = ("train-000.tar", "train-001.tar", "val-000.tar")) -> Path:
    """Two classes; a picture, and in every second sample a clip, beside its class and a caption."""
    files = {}
    for k, name in enumerate(names):
        members: list[tuple[str, bytes | str]] = []
        for i in range(6):
            members += [
                (f"./{k}{i}.jpg", picture(10 * k + i)),
                (f"./{k}{i}.cls", f"{i % 2}\n"),
                (f"./{k}{i}.txt", "words"),
            ]
            members += [(f"./{k}{i}.side.mp4", clip(10 * k + i))] if i % 2 else []
        files[name] = shard(members)
    return grown(folder, files)


def test_webdataset_shards_have_the_split_of_their_name_and_train_and_val_make_three(tmp_path: Path) -> None:
    found = checked(webdataset(tmp_path), "webdataset")
    assert found.classes == ("0", "1")
    assert placed(found)["val-000.tar/21.side.mp4"] == ("test", "1")
    keys = {title.partition(".tar/")[2].partition(".")[0] for title in held(found, "train-")}
    assert all(f"{key}." in title for title in held(found, "train-") for key in [title.rpartition("/")[2][:2]])
    assert len(keys) == 1 and len(found.files) == 27
    assert {title.rpartition(".")[2] for title in placed(found)} == {"jpg", "mp4"}


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("imagenet1k-validation-00.tar", "val"),
        ("test_data/train-000.tar", "train"),
        ("train/0000.parquet", "train"),
        ("data/Test-00000-of-00001.parquet", "test"),
        ("trained/latest.tar", None),
    ],
)
def test_a_path_says_its_split_by_the_nearest_whole_word(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_webdataset_with_named_classes_without_any_and_in_json(tmp_path: Path) -> None:
    grown(webdataset(tmp_path), {"classnames.txt": "cat\ndog\n"})
    assert checked(tmp_path, "webdataset").classes == ("cat", "dog")
    grown(tmp_path, {"classnames.txt": "cat\n"})
    assert "train-000.tar: 01.cls says class '1', of which there are 1" in faults(tmp_path, "webdataset")
    for names, said in (("cat\ncat\n", "2: 'cat'"), ("cat\n\ndog\n", "3: 'dog'")):
        grown(tmp_path, {"classnames.txt": names})
        assert f"classnames.txt:{said}: expected a class of its own in every line" in faults(tmp_path, "webdataset")
    (tmp_path / "classnames.txt").unlink()
    assert checked(tmp_path, {"type": "webdataset", "label": "none"}).files.labels.tolist() == [-1] * 27
    said = "train-000.tar: 00.jpg has no 00.json with its class"
    assert said in faults(tmp_path, {"type": "webdataset", "label": "json"})
    members = [[(f"{i}.png", picture(i, "PNG")), (f"{i}.json", json.dumps({"name": "ab"[i % 2]}))] for i in range(8)]
    one = grown(tmp_path / "one", {"shard.tar": shard(sum(members, []))})
    found = checked(one, {"type": "webdataset", "label": "json", "field": "name"})
    assert found.classes == ("a", "b") and set(found.counts) == {
        (split, "photo", label) for split in ("train", "val", "test") for label in "ab"
    }
    assert "0.json says no class" in faults(one, {"type": "webdataset", "label": "json", "field": "nam"})


def test_pictures_of_one_sample_are_never_in_two_splits_and_no_member_is_there_twice(tmp_path: Path) -> None:
    members = [(f"{i:02d}.{eye}.jpg", picture(2 * i + (eye == "left"))) for i in range(30) for eye in ("left", "right")]
    grown(tmp_path, {"a.tar": shard(members), "b.TAR": "another"})
    found = placed(checked(tmp_path, {"type": "webdataset", "label": "none"}))
    splits = {key: {split for title, (split, _) in found.items() if f"/{key:02d}." in title} for key in range(30)}
    assert all(len(one) == 1 for one in splits.values()) and len(found) == 60
    assert [sum(one == {split} for one in splits.values()) for split in ("train", "val", "test")] == [24, 3, 3]
    grown(tmp_path, {"a.tar": shard([*members, ("03.left.jpg", picture(99))])})
    assert "a.tar/03.left.jpg: is there twice" in faults(tmp_path, {"type": "webdataset", "label": "none"})


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ('{"label": null}', "0.json says the class None, which is no text and no number"),
        ("[" * 100_000, "0.json says no class"),
    ],
)
def test_json_that_says_no_class_is_refused(tmp_path: Path, said: str, refusal: str) -> None:
    grown(tmp_path, {"a.tar": shard([("0.jpg", picture(0)), ("0.json", said)])})
    assert refusal in faults(tmp_path, {"type": "webdataset", "label": "json"})


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    members = [(f"{i}.{k}", said) for i in range(36) for k, said in (("jpg", picture(i)), ("cls", str(i % 12)))]
    grown(tmp_path / "one", {"a.tar": shard(members)})
    assert checked(tmp_path / "one", "webdataset").classes == tuple(map(str, range(12)))
    square = [(name, "²" if name.endswith("cls") else said) for name, said in members]  # a digit, but no number
    grown(tmp_path / "two", {"a.tar": shard(square)})
    assert checked(tmp_path / "two", "webdataset").classes == ("²",)


def test_a_shard_that_is_compressed_truncated_or_none_is_named(tmp_path: Path) -> None:
    webdataset(tmp_path)
    whole = (tmp_path / "train-001.tar").read_bytes()
    (tmp_path / "train-001.tar").write_bytes(shard([("a.jpg", picture(1)), ("a.cls", "0")], "w:gz"))
    assert "train-001.tar: is no whole tar" in faults(tmp_path, "webdataset")
    (tmp_path / "train-001.tar").rename(tmp_path / "train-001.tar.gz")
    assert "train-001.tar.gz: is compressed; unpack it" in faults(tmp_path, "webdataset")
    (tmp_path / "train-001.tar.gz").unlink()
    last = load_of(tmp_path, whole)[-1]
    for end, said in [
        (last.at + 10, " in ./15.side.mp4"),
        (last.at + -(-last.bytes // 512) * 512, ": it has no end-of-archive block"),
    ]:
        (tmp_path / "train-001.tar").write_bytes(whole[:end])
        assert f"train-001.tar: is truncated{said}" in faults(tmp_path, "webdataset")
    manifest = checked(tmp_path, "webdataset", skip_broken=True)
    assert [one.path for one in manifest.broken] == ["train-001.tar"] and "train-001.tar/10.jpg" in placed(manifest)


def test_a_shard_that_is_cut_between_a_picture_and_its_class_is_truncated_first_of_all(tmp_path: Path) -> None:
    webdataset(tmp_path)
    whole = (tmp_path / "train-001.tar").read_bytes()
    last = [one for one in load_of(tmp_path, whole) if one.name.endswith(".jpg")][-1]
    (tmp_path / "train-001.tar").write_bytes(whole[: last.at + -(-last.bytes // 512) * 512])
    assert faults(tmp_path, "webdataset") == f"{tmp_path}/train-001.tar: is truncated: it has no end-of-archive block"
    found = placed(checked(tmp_path, "webdataset", skip_broken=True))
    assert "train-001.tar/14.jpg" in found and "train-001.tar/15.jpg" not in found


def load_of(folder: Path, content: bytes) -> list[Any]:
    from omnitok.data.layouts.webdataset import index

    path = grown(folder, {".index.tar": content}) / ".index.tar"
    members, said = index(path)
    assert not said and all(content[one.at : one.at + one.bytes] for one in members)
    path.unlink()
    return members


def test_a_damaged_member_is_named_and_left_out(tmp_path: Path) -> None:
    webdataset(tmp_path)
    path = tmp_path / "train-000.tar"
    path.write_bytes(path.read_bytes().replace(picture(2), bytes(len(picture(2)))))
    assert "train-000.tar/02.jpg: is no picture" in faults(tmp_path, "webdataset")
    assert "train-000.tar/02.jpg" not in placed(checked(tmp_path, "webdataset", skip_broken=True))


# Hugging Face


FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def table(numbers: range, features: dict[str, Any] | None = FEATURES) -> arrow.Table:
    rows = [{"image": {"bytes": picture(i), "path": None}, "label": i % 2} for i in numbers]
    said = {"huggingface": json.dumps({"info": {"features": features}})} if features else {}
    return arrow.Table.from_pylist(rows).replace_schema_metadata(said)


def saved(folder: Path) -> Path:
    """As ``save_to_disk`` writes a dictionary of two splits, the first in two files."""
    grown(folder, {"dataset_dict.json": json.dumps({"splits": ["train", "test"]})})
    for split, parts in {"train": [range(6), range(6, 10)], "test": [range(20, 24)]}.items():
        names = [f"data-{i:05d}-of-{len(parts):05d}.arrow" for i in range(len(parts))]
        grown(folder / split, {"state.json": json.dumps({"_data_files": [{"filename": name} for name in names]})})
        for name, numbers in zip(names, parts, strict=True):
            with arrow.OSFile(str(folder / split / name), "wb") as out:
                whole = table(numbers)
                with arrow.ipc.new_stream(out, whole.schema) as stream:
                    stream.write_table(whole, max_chunksize=4)
    return folder


def parquets(folder: Path, **said: Any) -> Path:
    (folder / "data").mkdir(parents=True)
    for name, numbers in {"train-00000-of-00001": range(10), "validation-00000-of-00001": range(20, 24)}.items():
        parquet.write_table(table(numbers, **said), folder / "data" / f"{name}.parquet", row_group_size=3)
    return folder


def test_a_saved_dataset_and_its_parquet_files_hold_the_same_rows(tmp_path: Path) -> None:
    one, two = checked(saved(tmp_path / "one"), "huggingface"), checked(parquets(tmp_path / "two"), "huggingface")
    assert one.classes == two.classes == ("cat", "dog")
    title = "train/data-00001-of-00002.arrow[3].image"
    assert placed(one)[title][1] == placed(two)["data/train-00000-of-00001.parquet[9].image"][1] == "dog"
    for folder, found in ((tmp_path / "one", one), (tmp_path / "two", two)):
        assert {split: len(found.files.of(split)) for split in ("train", "val", "test")} == {
            "train": 9,
            "val": 1,
            "test": 4,
        }
        assert {read(folder, file) for file in found.files} == {picture(i) for i in (*range(10), *range(20, 24))}


def test_columns_are_named_where_nothing_declares_them(tmp_path: Path) -> None:
    parquets(tmp_path, features=None)
    said = "declares no column as Image or Video; say column: (one of image, label)"
    assert said in faults(tmp_path, "huggingface")
    assert "no column 'imag', which column names; did you mean 'image'" in faults(
        tmp_path, {"type": "huggingface", "column": "imag"}
    )
    assert checked(tmp_path, {"type": "huggingface", "column": "image"}).classes == ()
    found = checked(tmp_path, {"type": "huggingface", "column": "image", "label": "label"})
    assert found.classes == ("0", "1")


def labelled(path: Path, labels: list[Any], names: list[str] | None) -> None:
    rows = {"image": [{"bytes": picture(i), "path": None} for i in range(len(labels))], "label": labels}
    features = {"image": {"_type": "Image"}} | ({"label": {"_type": "ClassLabel", "names": names}} if names else {})
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(arrow.table(rows).replace_schema_metadata(said), path)


@pytest.mark.parametrize(
    ("labels", "names", "said"),
    [
        ([0, 1, 7], ["cat", "dog"], "column 'label': says the class 7, of which there are 2"),
        ([0, 1, -2], ["cat", "dog"], "column 'label': says the class -2, of which there are 2"),
        ([0.5, 1.0, 2.0], None, "column 'label': says the class 0.5, which is no text and no number"),
        ([0, 1, 1], ["dog", "cat"], "train.parquet: has other classes than test.parquet, or in another order"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    tmp_path: Path, labels: list[Any], names: list[str] | None, said: str
) -> None:
    labelled(tmp_path / "train.parquet", labels, names)
    labelled(tmp_path / "test.parquet", [0, 1, 1], ["cat", "dog"])
    assert said in faults(tmp_path, {"type": "huggingface", "label": "label"})


def test_numbers_without_names_are_classes_in_their_order(tmp_path: Path) -> None:
    labelled(tmp_path / "all.parquet", [i % 12 for i in range(36)], None)
    assert checked(tmp_path, {"type": "huggingface", "label": "label"}).classes == tuple(map(str, range(12)))


def test_tables_that_are_missing_or_torn_and_pictures_elsewhere_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "one")
    (folder / "train/data-00001-of-00002.arrow").rename(tmp_path / "kept")
    said = "train/data-00001-of-00002.arrow: is not there; train/state.json names it"
    assert said in faults(folder, "huggingface")
    (folder / "train/data-00001-of-00002.arrow").write_bytes((tmp_path / "kept").read_bytes()[:3000])
    assert "train/data-00001-of-00002.arrow: is no whole .arrow file" in faults(folder, "huggingface")
    torn = parquets(tmp_path / "torn") / "data/validation-00000-of-00001.parquet"
    torn.write_bytes(torn.read_bytes()[:3000])
    said = faults(tmp_path / "torn", "huggingface", skip_broken=True)
    assert "test: holds no usable file" in said and f"{torn}: is no whole .parquet file" in said
    (tmp_path / "two").mkdir()
    rows = [{"image": {"bytes": None, "path": f"/elsewhere/{i}.jpg"}} for i in range(3)]
    features = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    parquet.write_table(arrow.Table.from_pylist(rows).replace_schema_metadata(features), tmp_path / "two/x.parquet")
    assert "x.parquet[0].image: has no bytes in it; embed the files" in faults(tmp_path / "two", "huggingface")


def test_a_table_of_whose_values_one_lies_nowhere_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    """pyarrow ends the process where such a value is taken."""
    folder = saved(tmp_path)
    path = folder / "test/data-00000-of-00001.arrow"
    content = path.read_bytes()
    ends = np.cumsum([len(picture(i)) for i in range(20, 24)]).astype("<i4").tobytes()
    assert content.count(ends) == 1
    path.write_bytes(content.replace(ends, ends[:-4] + b"\xff\xff\xff\x7f"))
    assert "test/data-00000-of-00001.arrow[0].image: row 0 cannot be read" in faults(folder, "huggingface")


def test_threads_that_read_one_table_get_their_own_rows(tmp_path: Path) -> None:
    """Two threads in one Parquet file at a time end the process."""
    rows = [{"bytes": bytes([i]) * 20_000, "path": None} for i in range(200)]
    parquet.write_table(arrow.table({"image": rows}), tmp_path / "a.parquet", row_group_size=5)
    numbers = np.random.default_rng(0).integers(0, 200, 1000).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda row: tables.inner(tables.cell(tmp_path / "a.parquet", "image", row))[:1], numbers)
        assert list(found) == [bytes([row]) for row in numbers]


# Training on them


def made(folder: Path, manifest: Manifest) -> Folder:
    return Folder(folder.parent, "train", name=folder.name, fingerprint=manifest.fingerprint)


@pytest.mark.parametrize("layout", ["webdataset", "huggingface"])
def test_items_labels_and_windows_come_out_of_what_holds_them(tmp_path: Path, layout: str) -> None:
    folder = (webdataset if layout == "webdataset" else saved)(tmp_path / "packed")
    dataset = made(folder, checked(folder, layout))
    names = dataset.items(1)
    for i in (0, len(names) - 1):
        assert dataset.item(i, 1, 16).shape == (3, 1, 16, 16)
        found = dataset.label(i, 1)
        assert found is not None and dataset.classes[found] == placed(load(folder))[names[i].rpartition("[")[0]][1]
    if layout == "webdataset":
        window = dataset.sample(torch.Generator().manual_seed(1), 4, 16)
        assert window.shape == (3, 4, 16, 16) and np.isfinite(window.numpy()).all()


@pytest.mark.parametrize("layout", ["webdataset", "huggingface"])
def test_what_is_changed_or_cut_after_the_check_is_named_with_its_member(tmp_path: Path, layout: str) -> None:
    folder = (webdataset if layout == "webdataset" else saved)(tmp_path / "packed")
    manifest = checked(folder, layout)
    dataset = made(folder, manifest)
    entry = next(file for file in manifest.files.of("train") if file.kind == "photo")
    path = folder / entry.path
    content = path.read_bytes()
    path.write_bytes(content.replace(read(folder, entry)[100:], bytes(len(read(folder, entry)) - 100)))
    with pytest.raises(DataError) as refused:
        read(folder, entry)
    assert str(refused.value) == f"{folder / entry.title}: its bytes are not those of the manifest"
    if layout == "webdataset":
        path.write_bytes(content[: entry.at + 5])
        with pytest.raises(DataError, match=rf"{entry.member}: the file ends after 5 of {entry.bytes} bytes"):
            read(folder, entry)
        with pytest.raises(DataError, match=r"train-00\d\.tar: has \d+ bytes, but the manifest says that"):
            made(folder, manifest)
    path.unlink()
    with pytest.raises(DataError, match=rf"{entry.path}: is in the manifest, but: No such file"):
        made(folder, manifest)
    assert dataset.items(1) and (folder / FILE).exists()
