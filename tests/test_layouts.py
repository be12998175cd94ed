"""Each dataset is read in the layout that it is distributed in, and what is wrong with its lists or files is named."""

import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from trees import checked, faults, grown, held, picture, placed

from omnitok.data import check_folder
from omnitok.data.layouts import LAYOUTS
from omnitok.data.layouts.matlab import structs
from omnitok.data.manifest import FILE, load
from omnitok.spec import SpecError, decode

CATS, DOGS = "n02123045", "n02099601"


# ImageNet


def imagenet(folder: Path, base: str = "", flat: bool = False) -> Path:
    files = {f"{base}train/{c}/{c}_{i}.JPEG": picture(20 * k + i) for k, c in enumerate((CATS, DOGS)) for i in range(8)}
    for i, label in enumerate((DOGS, CATS, DOGS), 1):
        files[f"{base}val/{'' if flat else label + '/'}ILSVRC2012_val_{i:08d}.JPEG"] = picture(60 + i)
    return grown(folder, files)


def devkit(folder: Path, truth: str = "7\n3\n7\n") -> None:
    data = folder / "ILSVRC2012_devkit_t12" / "data"
    grown(data, {"ILSVRC2012_validation_ground_truth.txt": truth})
    rows = np.array([(3, CATS), (7, DOGS), (1001, "n00001740")], dtype=[("ILSVRC2012_ID", "i4"), ("WNID", object)])
    savemat(data / "meta.mat", {"synsets": rows})


def test_imagenet_in_class_folders(tmp_path: Path) -> None:
    found = checked(imagenet(tmp_path), "imagenet")
    assert found.classes == (DOGS, CATS) and found.layout == {"type": "imagenet"}
    tests = {title: label for title, (split, label) in placed(found).items() if split == "test"}
    assert tests == {f"val/{c}/ILSVRC2012_val_{i:08d}.JPEG": c for i, c in ((1, DOGS), (2, CATS), (3, DOGS))}
    assert len(held(found, "train/")) < 8


def test_a_flat_imagenet_by_the_development_kit_and_by_kaggle_is_the_same(tmp_path: Path) -> None:
    devkit(imagenet(tmp_path / "a", flat=True))
    kaggle = imagenet(tmp_path / "b", "ILSVRC/Data/CLS-LOC/", flat=True)
    rows = [f"ILSVRC2012_val_{i:08d},{c} 85 1 499 272 {c} 1 2 3 4" for i, c in ((3, DOGS), (1, DOGS), (2, CATS))]
    grown(kaggle, {"LOC_val_solution.csv": "\n".join(["ImageId,PredictionString", *rows])})
    by_kit, by_list = placed(checked(tmp_path / "a", "imagenet")), placed(checked(kaggle, "imagenet"))
    assert by_kit["val/ILSVRC2012_val_00000002.JPEG"] == ("test", CATS)
    tests = {title: place for title, place in by_kit.items() if title.startswith("val/")}
    assert (
        tests.items() <= {title.removeprefix("ILSVRC/Data/CLS-LOC/"): place for title, place in by_list.items()}.items()
    )


def test_a_flat_imagenet_without_lists_or_with_wrong_ones_is_refused(tmp_path: Path) -> None:
    imagenet(tmp_path, flat=True)
    assert "has no ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt" in faults(tmp_path, "imagenet")
    devkit(tmp_path, "7\n3\n7\n3\n")
    truth = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    assert f"val/ILSVRC2012_val_00000004.JPEG: is not there; {truth}:4 names it" in faults(tmp_path, "imagenet")
    devkit(tmp_path, "7\n3\n")
    assert "ILSVRC2012_val_00000003.JPEG: no list names it" in faults(tmp_path, "imagenet")
    devkit(tmp_path, "7\n5\n7\n")
    assert "ground_truth.txt:2: '5' is no number of a class" in faults(tmp_path, "imagenet")
    (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"MATLAB 5.0")
    assert "meta.mat: is not the development kit's table of classes" in faults(tmp_path, "imagenet")
    (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").unlink()
    assert faults(tmp_path, "imagenet") == f"{tmp_path}: has no ILSVRC2012_devkit_t12/data/meta.mat"
    shutil.rmtree(tmp_path / "train" / CATS)
    devkit(tmp_path)
    assert f"val/ILSVRC2012_val_00000002.JPEG: its class {CATS} has no picture in train/" in faults(
        tmp_path, "imagenet"
    )
    grown(tmp_path, {"train/cats/1.JPEG": picture(1)})
    assert "lies in cats/, which is no wnid" in faults(tmp_path, "imagenet")


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_of_matlab_is_what_scipy_reads_and_a_damaged_one_is_refused(packed: bool) -> None:
    """scipy's reader ends the process at some of these."""
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", object), ("words", object), ("children", object)]
    rows = [(300 * i + 1, f"n{i:08d}", "kit fox, rénard", np.arange(i % 3)) for i in range(5)]
    out = io.BytesIO()
    savemat(out, {"other": np.eye(3), "synsets": np.array(rows, kinds).reshape(5, 1)}, do_compression=packed)
    found = list(structs(out.getvalue(), "synsets"))
    expected = loadmat(out, squeeze_me=True)["synsets"]
    for name in ("ILSVRC2012_ID", "WNID", "words"):
        assert [one[name] for one in found] == expected[name].tolist()
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        torn = bytearray(out.getvalue())
        torn[draw.integers(100, len(torn))] = draw.integers(256)
        try:
            list(structs(bytes(torn[: draw.integers(100, 2 * len(torn))]), "synsets"))
        except ValueError:
            refused += 1
    assert 200 < refused <= 500
    with pytest.raises(ValueError, match="no array of structs called synset"):
        list(structs(out.getvalue(), "synset"))


def test_an_official_png_with_another_ending_is_taken_and_a_damaged_file_is_not(tmp_path: Path) -> None:
    odd = f"train/{CATS}/n02105855_2933.JPEG"
    grown(imagenet(tmp_path), {odd: picture(99, "PNG")})
    assert odd in placed(checked(tmp_path, "imagenet"))
    grown(tmp_path, {odd: picture(99)[:-40]})
    assert f"{odd}: cannot be decoded" in faults(tmp_path, "imagenet")


# Faces


def celeba(folder: Path, base: str = "CelebA-HQ-img/", first: int = 0) -> Path:
    """Two pictures before, and two behind, each of the borders of CelebA's partition."""
    numbers = [162769, 162770, 162771, 182637, 182638, 7, 8, 9]
    rows = [f"{i}          {n - 1}     {n:06d}.jpg" for i, n in enumerate(numbers)]
    grown(folder, {"CelebA-HQ-to-CelebA-mapping.txt": "\n".join(["idx  orig_idx  orig_file", *rows])})
    return grown(folder, {f"{base}{i + first}.jpg": picture(i) for i in range(len(numbers))})


def test_celeba_hq_by_the_numbers_and_by_the_list_of_celeba(tmp_path: Path) -> None:
    found = checked(celeba(tmp_path), "celeba_hq")
    splits = ["train", "train", "val", "val", "test", "train", "train", "train"]
    assert placed(found) == {f"CelebA-HQ-img/{i}.jpg": (split, "") for i, split in enumerate(splits)}
    assert found.classes == ()
    grown(tmp_path, {"list_eval_partition.txt": "".join(f"{n:06d}.jpg {n % 3}\n" for n in range(1, 200000))})
    listed = [found.split for found in checked(tmp_path, "celeba_hq").files]
    assert listed == [("train", "val", "test")[n % 3] for n in (162769, 162770, 162771, 182637, 182638, 7, 8, 9)]


def test_celeba_hq_that_begins_at_one_is_said_so(tmp_path: Path) -> None:
    celeba(tmp_path, "", first=1)
    assert "CelebA-HQ-img/0.jpg: is not there; CelebA-HQ-to-CelebA-mapping.txt:2" in faults(tmp_path, "celeba_hq")
    assert len(checked(tmp_path, {"type": "celeba_hq", "first": 1}).files) == 8


def test_ffhq_in_its_folders_by_number_and_by_its_metadata(tmp_path: Path) -> None:
    numbers = [*range(10), 59999, 60000, 69999]
    grown(tmp_path, {f"images1024x1024/{n // 1000 * 1000:05d}/{n:05d}.png": picture(n, "PNG") for n in numbers})
    grown(tmp_path, {f"thumbnails128x128/00000/{n:05d}.png": picture(50 + n, "PNG") for n in range(3)})
    found = placed(checked(tmp_path, "ffhq"))
    assert {title[-9:-4]: split for title, (split, _) in found.items() if split == "test"} == {
        "60000": "test",
        "69999": "test",
    }
    assert len(held(load(tmp_path), "images1024x1024/")) == 1 and len(found) == len(numbers)
    (tmp_path / "thumbnails128x128").rename(tmp_path / "small")
    said = "thumbnails128x128: holds nothing, but images1024x1024/ does; say its size"
    assert said in faults(tmp_path, {"type": "ffhq", "size": 128})
    shutil.rmtree(tmp_path / "small")
    said = {
        str(n): {
            "category": "training" if n < 5 else "validation",
            "metadata": {"photo_url": f"photos/{n // 2}"},
            "image": {"file_path": f"images1024x1024/x/{n:05d}.png"},
        }
        for n in numbers
    }
    grown(tmp_path, {"ffhq-dataset-v2.json": json.dumps(said)})
    found = placed(checked(tmp_path, "ffhq"))
    assert sum(split == "test" for split, _ in found.values()) == len(numbers) - 5
    photos = [{int(title[-9:-4]) // 2 for title, (split, _) in found.items() if split == s} for s in ("train", "val")]
    assert photos[0].isdisjoint(photos[1])
    said["4"]["image"]["file_path"] = "images1024x1024/00000/00004.png"
    grown(tmp_path, {"ffhq-dataset-v2.json": json.dumps(said)})
    (tmp_path / "images1024x1024/00000/00004.png").unlink()
    assert "00000/00004.png: is not there; ffhq-dataset-v2.json names it" in faults(tmp_path, "ffhq")


# What all have in common


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_an_empty_folder_is_refused_in_any_layout_with_what_is_missing(tmp_path: Path, name: str) -> None:
    said = faults(tmp_path, name)
    assert str(tmp_path) in said and "Traceback" not in said
    assert not (tmp_path / FILE).exists()


def test_a_layout_that_there_is_not_and_a_choice_that_it_has_not_are_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"did you mean .?ucf101"):
        check_folder(Path(), layout="ucf-101")
    with pytest.raises(SpecError, match="fold"):
        decode(LAYOUTS, {"type": "ucf101", "fold": 4})


def test_a_copy_of_a_test_picture_in_train_is_refused_or_left_out_of_train(tmp_path: Path) -> None:
    copied = f"train/{CATS}/copy.JPEG"
    grown(imagenet(tmp_path), {copied: picture(61)})
    said = f"has the bytes of val/{DOGS}/ILSVRC2012_val_00000001.JPEG, which is in another split (test)"
    assert f"{copied}: {said}" in faults(tmp_path, "imagenet")
    manifest = checked(tmp_path, "imagenet", skip_broken=True)
    assert [(one.path, one.reason) for one in manifest.broken] == [(copied, said)]
    assert copied not in placed(manifest)


def test_what_is_held_out_does_not_depend_on_which_other_files_there_are(tmp_path: Path) -> None:
    """Of many names, whose hashes decide alone."""
    from omnitok.data.layouts import Listed
    from omnitok.data.splitting import HELD, placed
    from omnitok.data.survey import Facts

    files = [Listed(f"{i}.png", "train", group=f"g{i // 3}") for i in range(6000)] + [Listed("t.png", "test")]
    facts = {file.path: Facts(f"{i:064x}", 1, "photo", 1, 1, 1, 0.0, ()) for i, file in enumerate(files)}
    whole, _ = placed(tmp_path, files, facts, held=True)
    fewer, _ = placed(tmp_path, files[::2], facts, held=True)
    assert fewer == {title: whole[title] for title in fewer}
    val = {title for title, split in whole.items() if split == "val"}
    assert 0.5 * HELD < len(val) / 6000 < 1.5 * HELD
    groups = [{whole[f"{i}.png"] for i in range(3 * g, 3 * g + 3)} for g in range(2000)]
    assert all(len(splits) == 1 for splits in groups)


@pytest.mark.parametrize("make", [imagenet, celeba])
def test_the_same_tree_elsewhere_has_the_same_fingerprint(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    layout = "imagenet" if make is imagenet else "celeba_hq"
    one, two = (check_folder(make(tmp_path / name), layout=layout) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert one.ignored == ()
    assert {split for split, _ in itertools.chain(placed(one.manifest).values())} == {"train", "val", "test"}
