"""Video datasets in the layouts that they are distributed in, and what is wrong with their lists."""

import csv
import io
import json
from pathlib import Path

import pytest
from trees import checked, clip, faults, grown, held, placed

from omnitok.data.folder import Folder
from omnitok.data.manifest import load

# UCF-101

ARCHERY, PUSHUPS = "Archery", "HandstandPushups"  # whose files are called HandStandPushups


def ucf101(folder: Path) -> Path:
    names = {ARCHERY: "Archery", PUSHUPS: "HandStandPushups"}
    clips = [f"{c}/v_{name}_g{g:02d}_c{i:02d}.avi" for c, name in names.items() for g in range(1, 7) for i in (1, 2)]
    files = {f"UCF-101/{path}": clip(i, ".avi") for i, path in enumerate(clips)}
    index = {ARCHERY: 3, PUSHUPS: 37}
    for fold in (1, 2):
        tests = [path for path in clips if f"_g{fold:02d}_" in path]
        trains = [f"{path} {index[path.split('/')[0]]}" for path in clips if path not in tests]
        files[f"ucfTrainTestlist/trainlist{fold:02d}.txt"] = "\r\n".join(trains)
        files[f"ucfTrainTestlist/testlist{fold:02d}.txt"] = "\r\n".join(tests)
    return grown(folder, files | {"ucfTrainTestlist/classInd.txt": f"3 {ARCHERY}\n37 {PUSHUPS}\n"})


@pytest.mark.parametrize("fold", [1, 2])
def test_ucf101_by_a_fold_with_whole_groups_held_out(tmp_path: Path, fold: int) -> None:
    found = checked(ucf101(tmp_path), {"type": "ucf101", "fold": fold})
    assert found.layout == {"type": "ucf101", "fold": fold} and found.classes == (ARCHERY, PUSHUPS)
    tests = {title for title, (split, _) in placed(found).items() if split == "test"}
    assert len(tests) == 4 and all(f"_g{fold:02d}_" in title for title in tests)
    groups = {title[:-8] for title in held(found, "UCF-101/")}
    assert len(groups) == 1 and len(held(found, "UCF-101/")) == 2
    assert all(file.label == file.path.split("/")[1] and file.kind == "clip" for file in found.files)
    dataset = Folder(tmp_path.parent, "test", name=tmp_path.name, fingerprint=found.fingerprint)
    labels = [dataset.label(i, 5) for i in range(4)]
    assert labels == [0, 0, 1, 1] and dataset.classes == found.classes and len(dataset.items(5)) == 4


def test_ucf101_whose_lists_do_not_agree_is_refused_at_the_line(tmp_path: Path) -> None:
    lists = ucf101(tmp_path) / "ucfTrainTestlist"
    train, classes = lists / "trainlist01.txt", (lists / "classInd.txt").read_text()
    good = train.read_text()
    first = good.splitlines()[0].split()[0]
    for text, said in [
        (f"{first} 37", f"trainlist01.txt:1: says class 37, but {ARCHERY} is 3"),
        (first.replace("Archery/", "Archrey/"), "classInd.txt has no class 'Archrey'; did you mean 'Archery'?"),
        ("Archery/other.avi 3", "'Archery/other.avi' is not called like"),
    ]:
        train.write_text(f"{text}\n")
        assert said in faults(tmp_path, "ucf101")
    train.write_text(good)
    (lists / "classInd.txt").write_text(classes.splitlines()[0])
    assert f"classInd.txt has no class {PUSHUPS!r}" in faults(tmp_path, "ucf101")
    (lists / "classInd.txt").write_text(classes)
    assert "has no ucfTrainTestlist/trainlist03.txt" in faults(tmp_path, {"type": "ucf101", "fold": 3})


def test_missing_and_damaged_videos_are_named_by_their_line_or_left_out(tmp_path: Path) -> None:
    ucf101(tmp_path)
    gone, torn = (f"UCF-101/Archery/v_Archery_g0{g}_c01.avi" for g in (2, 3))
    (tmp_path / gone).unlink()
    (tmp_path / torn).write_bytes((tmp_path / torn).read_bytes()[:3000])
    said = faults(tmp_path, "ucf101").splitlines()
    assert len(said) == 2 and f"{gone}: is not there; ucfTrainTestlist/trainlist01.txt:1 names it" in said[0]
    assert torn in said[1]
    manifest = checked(tmp_path, "ucf101", skip_broken=True)
    assert [one.path for one in manifest.broken] == [gone, torn]
    assert {gone, torn}.isdisjoint(placed(manifest))


def test_of_very_many_missing_videos_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    ucf101(tmp_path)
    train = tmp_path / "ucfTrainTestlist" / "trainlist01.txt"
    gone = [f"Archery/v_Archery_g{g:02d}_c{c:02d}.avi 3" for g in range(10, 26) for c in range(1, 8)]
    train.write_text("\n".join([train.read_text(), *gone]))
    said = faults(tmp_path, "ucf101").splitlines()
    assert len(said) == 101 and "v_Archery_g10_c01.avi: is not there" in said[0]
    assert said[-1] == f"{tmp_path}: and 12 more; --skip-broken leaves all of them out"
    assert len(checked(tmp_path, "ucf101", skip_broken=True).broken) == 112


# Kinetics

LABELS = {"abseiling": "aaaaaaaaaa{}", "shaking hands": "bbb_bb-bbb{}"}


def table(rows: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_MINIMAL).writerows(rows)
    return out.getvalue()


def kinetics(folder: Path, folders: bool, lists: str = "annotations/", val: str = "val") -> Path:
    files: dict[str, bytes | str] = {}
    for k, (split, count) in enumerate({"train": 5, val: 2}.items()):
        rows: list[list[object]] = [["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]]
        for j, (label, name) in enumerate(LABELS.items()):
            for i in range(count):
                video = name.format(5 * k + i)
                rows.append([label, video, 10 * i, 10 * i + 10, split, 0])
                place = f"{label.replace(' ', '_')}/" if folders else ""
                files[f"{split}/{place}{video}_{10 * i:06d}_{10 * i + 10:06d}.mp4"] = clip(20 * k + 10 * j + i)
        files[f"{lists}{split}.csv"] = table(rows)
    return grown(folder, files)


def test_kinetics_in_class_folders_and_as_the_foundation_packs_it(tmp_path: Path) -> None:
    one = checked(kinetics(tmp_path / "one", True), "kinetics")
    two = checked(kinetics(tmp_path / "two", False, "", "validate"), "kinetics")
    (tmp_path / "two" / "train.csv").rename(tmp_path / "two" / "kinetics-400_train.csv")
    assert placed(checked(tmp_path / "two", "kinetics")) == placed(two)
    grown(tmp_path / "two", {"annotations/train.csv": ""})
    assert "kinetics-400_train.csv: and annotations/train.csv are both lists" in faults(tmp_path / "two", "kinetics")
    (tmp_path / "two" / "annotations" / "train.csv").rename(tmp_path / "two" / "annotations" / "train.txt")
    (tmp_path / "two" / "kinetics-400_train.csv").replace(tmp_path / "two" / "annotations" / "train.txt")
    assert placed(checked(tmp_path / "two", "kinetics")) == placed(two)  # as the whole lists of Kinetics-600 are called
    for found in (one, two):
        assert found.classes == ("abseiling", "shaking hands")
        assert [file.label for file in found.files if file.split == "test"] == ["abseiling"] * 2 + ["shaking hands"] * 2
        assert held(found, "train/")
    names = [{file.path.rpartition("/")[2] for file in found.files if file.split == "val"} for found in (one, two)]
    assert names[0] == names[1]


def test_replacements_of_damaged_kinetics_videos_are_taken(tmp_path: Path) -> None:
    kinetics(tmp_path, False)
    name = "aaaaaaaaaa1_000010_000020.mp4"
    grown(tmp_path, {f"train/{name}": b"torn", f"replacement/replacement_for_corrupted_k400/{name}": clip(77)})
    assert f"replacement/replacement_for_corrupted_k400/{name}" in placed(checked(tmp_path, "kinetics"))


def test_kinetics_whose_folders_or_lists_are_wrong_is_refused(tmp_path: Path) -> None:
    kinetics(tmp_path, True)
    extra = tmp_path / "train" / "abseiling" / "zzzzzzzzzzz_000000_000010.mp4"
    extra.write_bytes(clip(90))
    checked(tmp_path, "kinetics")
    assert "zzzzzzzzzzz_000000_000010.mp4" not in str(placed(load(tmp_path)))
    moved = tmp_path / "train" / "abseiling" / "bbb_bb-bbb1_000010_000020.mp4"
    (tmp_path / "train" / "shaking_hands" / moved.name).rename(moved)
    said = f"{moved}: lies in abseiling/, but its class is 'shaking hands'; annotations/train.csv:8"
    assert said in faults(tmp_path, "kinetics")
    moved.unlink()
    assert f"train/{moved.name}: is not there; annotations/train.csv:8 names it" in faults(tmp_path, "kinetics")
    (tmp_path / "annotations" / "train.csv").write_text("label,youtube_id\n")
    assert "train.csv:1: expected the columns label, youtube_id, time_start" in faults(tmp_path, "kinetics")


# Moments in Time


def moments(folder: Path) -> Path:
    files: dict[str, bytes | str] = {"moments_categories.txt": "singing,1\nadult+female+singing,0\n"}
    for k, part in enumerate(("training", "validation")):
        paths = [
            f"{c}/yt-{c[0]}{v}_{i}.mp4" for c in ("adult+female+singing", "singing") for v in range(3) for i in (1, 23)
        ]
        files |= {f"{part}/{path}": clip(30 * k + i) for i, path in enumerate(paths)}
        files[f"{part}Set.csv"] = table([[path, path.split("/")[0], 3, 0] for path in paths])
    return grown(folder, files)


def test_moments_in_time_holds_out_whole_videos(tmp_path: Path) -> None:
    found = checked(moments(tmp_path), "moments_in_time")
    assert found.classes == ("adult+female+singing", "singing")
    assert {title.split("/")[0] for title, (split, _) in placed(found).items() if split == "test"} == {"validation"}
    names = held(found, "training/")
    assert len(names) == 2 and len({name.rpartition("_")[0] for name in names}) == 1


def test_moments_in_time_with_a_class_that_the_list_has_not_is_refused(tmp_path: Path) -> None:
    moments(tmp_path)
    grown(tmp_path, {"moments_categories.txt": "adult+female+singing,0\n"})
    assert "trainingSet.csv:7: moments_categories.txt has no class 'singing'" in faults(tmp_path, "moments_in_time")
    grown(tmp_path, {"moments_categories.txt": "adult+female+singing\n"})
    assert "moments_categories.txt:1: expected a class" in faults(tmp_path, "moments_in_time")
    moments(tmp_path)
    grown(tmp_path, {"validationSet.csv": "singing/yt-s1_1.mp4,adult+female+singing,3,0\n"})
    assert "validationSet.csv:1: singing/yt-s1_1.mp4 is said to be" in faults(tmp_path, "moments_in_time")


# Something-Something v2


def something(folder: Path, lists: str = "labels/") -> Path:
    labels = {"Holding something": "1", "Moving something away from the camera": "0"}
    templates = ["Holding [something]", "Moving [something] away from the camera"]
    rows = [
        {"id": str(i), "label": "holding a cup", "template": templates[i % 2], "placeholders": ["a cup"]}
        for i in range(8)
    ]
    files: dict[str, bytes | str] = {f"20bn-something-something-v2/{i}.webm": clip(i, ".webm") for i in range(8)}
    texts = {"labels": labels, "train": rows[:6], "validation": rows[6:], "test": [{"id": "9"}]}
    return grown(folder, files | {f"{lists}{name}.json": json.dumps(text) for name, text in texts.items()})


@pytest.mark.parametrize("lists", ["labels/", "something-something-v2-"])
def test_something_something_by_its_templates(tmp_path: Path, lists: str) -> None:
    found = checked(something(tmp_path, lists), "something_something_v2")
    assert found.classes == ("Moving something away from the camera", "Holding something")
    places = placed(found)
    assert places["20bn-something-something-v2/6.webm"] == ("test", "Holding something")
    assert sum(split == "test" for split, _ in places.values()) == 2 and len(held(found, "v2/")) == 1


def test_something_something_with_an_unknown_template_is_refused(tmp_path: Path) -> None:
    grown(something(tmp_path), {"labels/labels.json": '{"Holding something": "0"}'})
    said = "1 is 'Moving [something] away from the camera', which labels/labels.json does not have"
    assert said in faults(tmp_path, "something_something_v2")
    grown(tmp_path, {"labels/labels.json": "{"})
    assert "labels.json: is no JSON" in faults(tmp_path, "something_something_v2")
