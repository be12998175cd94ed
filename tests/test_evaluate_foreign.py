"""What somebody else's tokenizer made gets numbers, and rows beside ours."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml
from click.testing import CliRunner
from PIL import Image, ImageFilter

import omnitok
from omnitok import runs
from omnitok.cli import main
from omnitok.data import write_clip
from omnitok.launching.launch import launch
from omnitok.model import MODELS
from omnitok.model.files import write_tokenizer
from omnitok.provenance import sha256
from omnitok.report import render
from omnitok.spec import SpecError, decode, resolve
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan_sweep
from omnitok.training import Evaluation
from omnitok.training.recorded import fingerprint_of
from omnitok.training.stage import from_json, restated

DATA = "{type: embedded, short_side: 32}"


def call(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def blur(items: Path, out: Path) -> Path:
    """What a foreign tokenizer might make: every picture blurred, under its own name."""
    for path in sorted(items.rglob("*.png")):
        target = out / path.relative_to(items)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).filter(ImageFilter.BoxBlur(1)).save(target)
    return out


@pytest.fixture
def items(tmp_path, runs_root) -> Path:
    asked = {"data": DATA, "frames": 1, "resolution": 16}
    done = omnitok.export_items(tmp_path / "items", **asked)
    assert done.n == 8 and done.folder.parent == tmp_path / "items"
    return done.folder


@pytest.fixture
def theirs(items, tmp_path) -> Path:
    return blur(items, tmp_path / "theirs")


def baselines(folder: Path, *more: str) -> Path:
    """A sweep of two arms and one seed, with these baselines."""
    path = tiny.write(folder)
    said = path.read_text().replace("baselines: [mean_colour]", f"baselines: [{', '.join(more)}]")
    said = said.replace("  stages.joint.schedule.image_share: [0.0, 0.5]\n", "")
    path.write_text(said.replace("seeds: [0, 1]", "seeds: [0]"))
    return path


def recorded(folder: Path, name: str = "blurred") -> str:
    return f"{{type: recorded, name: {name}, folder: {folder}, fingerprint: {fingerprint_of(folder)}}}"


def test_reconstructions_of_exported_items_are_a_row_with_the_numbers_of_the_pairs(items, theirs, tmp_path):
    direct = {one["label"]: one for one in omnitok.evaluate_pairs(items, theirs, "psnr")}
    sweep = baselines(tmp_path, "mean_colour", recorded(theirs))
    (line,) = [line for line in CliRunner().invoke(main, ["plan", str(sweep)]).output.splitlines() if "blurred" in line]
    assert line.split()[3:7] == ["n/a", "-", "n/a", "-"]  # nobody knows its parameters, FLOPs, tokens, bits
    done = launch(sweep)
    assert {state.status for state in done.states} == {"done"}
    frame = omnitok.rows(sweep)
    (row,) = frame[frame["arm"] == "blurred"].to_dict("records")
    assert row["photos/psnr"] == pytest.approx(direct["psnr"]["value"], abs=1e-9) and row["kind"] == "baseline"
    assert row["photos/psnr"] > frame[frame["arm"] == "mean_colour"]["photos/psnr"].item()
    page = render(done.folder, tmp_path / "out").page
    assert "blurred" in page.read_text() and pd.isna(row["parameters"])
    assert {one["stage"] for one in direct.values()} == {row["digest"]}  # one and the same run


def test_a_tokenizers_file_is_a_row_with_the_numbers_of_its_run(tmp_path, runs_root):
    sweep = baselines(tmp_path)
    launch(sweep)
    file = omnitok.export("ask/vq/0", tmp_path / "vq.safetensors")
    inside = f"{{type: tokenizer, name: again, file: vq.safetensors, sha256: {file.sha256}}}"
    sweep = baselines(tmp_path, inside)
    done = launch(sweep)
    frame = omnitok.rows(sweep)
    columns = ["photos/psnr", "photos/codebook_usage"]
    mine, again = (frame[frame["arm"] == name][columns].to_numpy() for name in ("vq", "again"))
    np.testing.assert_array_equal(mine, again)
    assert frame[frame["arm"] == "again"]["parameters"].item() == frame[frame["arm"] == "vq"]["parameters"].item()
    asked = {"data": DATA, "resolution": 16}
    found = omnitok.evaluate_run(tmp_path / "vq.safetensors", "psnr", **asked)
    assert found[0]["stage"] == done.states[-1].trial["stages"][-1]  # a file is one run wherever it is named
    assert launch(sweep)[2:4] == (0, 0)


def test_where_something_lies_is_no_identity(items, theirs, tmp_path):
    sweep = baselines(tmp_path, recorded(theirs))
    before = plan_sweep(sweep).trials[-1].stages, read_sweep(sweep).digest
    moved = theirs.rename(tmp_path / "elsewhere")
    sweep.write_text(sweep.read_text().replace(str(theirs), "elsewhere").replace("name: blurred", "name: cosmos"))
    assert (plan_sweep(sweep).trials[-1].stages, read_sweep(sweep).digest) == before
    assert launch(sweep).states[-1].status == "done"
    experiment = runs.read_json(runs.root() / before[0][0] / runs.EXPERIMENT)
    assert experiment["files"] == {"baseline.folder": str(moved)} and "folder" not in experiment["spec"]["baseline"]
    assert restated(from_json(experiment), {}) == before[0][0]  # so an old one is found under a newer schema
    (next(moved.iterdir())).write_bytes(b"other")
    with pytest.raises(SpecError, match="fingerprint=.*: the folder .* has"):
        plan_sweep(sweep)


def test_who_saw_no_clips_has_no_number_of_clips(items, theirs, tmp_path):
    sweep = baselines(tmp_path, recorded(theirs, "blurred, on: photos"))
    clips = "  - {name: clips, data: {type: embedded, short_side: 32}, frames: 3, resolution: 16, metrics: [psnr]}\n"
    sweep.write_text(
        sweep.read_text().replace("claims:", f"{clips}claims:").replace("metric: psnr", "on: photos, metric: psnr")
    )
    done = launch(sweep)
    assert {state.status for state in done.states} == {"done"}
    (row,) = omnitok.rows(sweep).query("arm == 'blurred'").to_dict("records")
    assert row["photos/psnr"] > 0 and np.isnan(row["clips/psnr"])


WRONG = [
    ("name: blurred", "name: blurred, on: photo", "baselines[0].on: no evaluation 'photo'; did you mean 'photos'?"),
    ("name: blurred", "name: blurred, on: []", "baselines[0].on: must be the name of an evaluation"),
    ("fingerprint: ", "fingerprint: x", "baselines[0].fingerprint: fingerprint=x"),
    ("name: blurred, ", "name: 3, ", "baselines[0].name: 3 must be text, not a whole number"),
    ("folder: ", "folder: no", "baselines[0].folder"),
    ("type: recorded", "type: recorder", "no baseline 'recorder'; did you mean 'recorded'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_a_wrong_baseline_is_refused_where_it_is_wrong(theirs, tmp_path, old, new, message):
    sweep = baselines(tmp_path, recorded(theirs).replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep)
    assert message in str(caught.value) and "ask.yaml:8: " in str(caught.value)


def test_clips_are_exported_frame_by_frame_and_found_again(tmp_path, runs_root):
    call(
        "evaluate",
        "--export-items",
        tmp_path / "clips",
        "--data",
        DATA,
        "--frames",
        3,
        "--resolution",
        16,
        "--items",
        2,
    )
    (clips,) = (tmp_path / "clips").iterdir()
    index = json.loads((clips / "index.json").read_text())
    assert len(index["items"]) == 2 and index["evaluation"]["frames"] == 3
    folders = sorted(clips.glob("*.frames"))
    assert len(folders) == 2 and [one.name for one in sorted(folders[0].iterdir())] == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    theirs = blur(tmp_path / "clips", tmp_path / "theirs")
    sweep = baselines(tmp_path, recorded(theirs))
    text = "frames: 3, resolution: 16, items: 2, metrics: [psnr, causality_leak]}"
    sweep.write_text(sweep.read_text().replace("frames: 1, resolution: 16, metrics: [psnr, codebook_usage]}", text))
    done = launch(sweep)
    assert done.states[-1].status == "done"
    frame = omnitok.rows(sweep)
    direct = omnitok.evaluate_pairs(tmp_path / "clips", theirs, ["psnr"])
    last = frame[frame["arm"] == "blurred"]
    assert last["photos/psnr"].item() == pytest.approx(direct[0]["value"], abs=1e-9)
    assert last["photos/causality_leak"].isna().item()  # asks a codec for more than was recorded: does not apply
    assert direct[0]["protocol"].endswith("as is 3x16x16, n=2]")


def test_each_tokenizers_file_is_rehearsed_on_what_it_takes(tmp_path, runs_root):
    said = []
    for patch in (4, 8):
        spec = decode(
            MODELS, {"dim": 12, "patches": {"type": "linear", "patch": patch, "temporal_patch": 2}, "quantizer": "fsq"}
        )
        write_tokenizer(tmp_path / f"{patch}.safetensors", resolve(spec)(), spec, {})
        digest = sha256(tmp_path / f"{patch}.safetensors")
        said.append(f"{{type: tokenizer, name: p{patch}, file: {patch}.safetensors, sha256: {digest}}}")
    trials = plan_sweep(baselines(tmp_path, *said)).trials[-2:]
    assert [trial.name for trial in trials] == ["p4", "p8"]
    assert all(trial.facts.flops[trial.facts.largest].encode > 0 for trial in trials)
    arm = plan_sweep(baselines(tmp_path, *said)).trials[0].facts
    assert trials[0].facts.tokens.keys() == arm.tokens.keys() and trials[0].facts.largest == arm.largest
    assert trials[0].facts.tokens["1x16"] == 16 and trials[1].facts.tokens["1x16"] == 4  # at the shapes of the arms
    (tmp_path / "8.safetensors").write_bytes(b"x")
    with pytest.raises(SpecError, match=r"ask.yaml:8: baselines\[1\].sha256: sha256=.*: the file .* has"):
        plan_sweep(baselines(tmp_path, *said))


def test_an_item_that_nobody_reconstructed_is_named(items, theirs, tmp_path, monkeypatch):
    gone = sorted(theirs.iterdir())[0]
    gone.unlink()
    sweep = baselines(tmp_path, recorded(theirs))
    said = rf"ask.yaml:10: baselines\[0\]: .*theirs: has no reconstruction of the item {gone.stem}"
    with pytest.raises(SpecError, match=said):
        plan_sweep(sweep)
    monkeypatch.setattr(Evaluation, "some", lambda self: iter(()))  # among more than are looked at before
    done = launch(sweep)
    assert done.states[-1].status == "failed" and f"of the item {gone.stem}" in done.states[-1].reason


def test_pairs_are_matched_by_name_and_refused_by_name(items, theirs, tmp_path):
    names = sorted(path.stem for path in theirs.iterdir())
    (theirs / f"{names[0]}.png").rename(theirs / "other.png")
    said = call("evaluate", "--originals", items, "--reconstructions", theirs, code=2)
    assert f"{theirs}: has no partner of {names[0]} of {items}" in said and f"{items}: has no partner of other" in said
    (theirs / "other.png").rename(theirs / f"{names[0]}.png")
    Image.new("RGB", (20, 16)).save(theirs / f"{names[1]}.png")
    said = call("evaluate", "--originals", items, "--reconstructions", theirs, code=2)
    assert f"{names[1]}.png: is 1 x 16 x 20 (frames x height x width), and its original is 1 x 16 x 16" in said
    (theirs / f"{names[1]}.jpg").write_bytes((theirs / f"{names[2]}.png").read_bytes())
    assert "so that one cannot be told" in call("evaluate", "--originals", items, "--reconstructions", theirs, code=2)


def test_videos_are_pairs_too(tmp_path, runs_root):
    for side in "ab":
        (tmp_path / side).mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (5, 16, 24, 3), np.uint8)
    write_clip(tmp_path / "a" / "x.mkv", frames, 25.0)
    write_clip(tmp_path / "b" / "x.mp4", frames // 2, 25.0)
    (found,) = omnitok.evaluate_pairs(tmp_path / "a", tmp_path / "b", "psnr")
    assert found["n"] == 1 and "as is 5x16x24" in found["protocol"] and 5 < found["value"] < 20
    write_clip(tmp_path / "b" / "x.mp4", frames[:4], 25.0)
    with pytest.raises(SpecError, match="is 4 x 16 x 24 .* its original is 5 x 16 x 24"):
        omnitok.evaluate_pairs(tmp_path / "a", tmp_path / "b", "psnr")


def test_a_wrong_metric_of_pairs_is_refused_with_the_nearest_name(items, theirs):
    said = call("evaluate", "--originals", items, "--reconstructions", theirs, "--metrics", "psnr, sim", code=2)
    assert "metrics[1]: no metric 'sim'; did you mean 'ssim'?" in said
    said = call("evaluate", "--originals", items, "--reconstructions", theirs, "--metrics", "rfvd", code=2)
    assert "frames=1: rfvd needs" in said


def test_missing_weights_are_one_line_with_the_command(items, theirs, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path / "none"))
    if any(one.found for one in omnitok.list_weights() if one.name == "lpips_alex"):
        pytest.skip("a package that is installed brings them")
    Image.new("RGB", (64, 64)).save(theirs / (name := sorted(items.glob("*.png"))[0]).name)
    Image.new("RGB", (64, 64)).save(name)
    said = call("evaluate", "--originals", items, "--reconstructions", theirs, "--metrics", "lpips_alex", code=2)
    assert said == "evaluate: lpips_alex: it is not here; run: omnitok weights fetch lpips_alex"


def test_folders_are_not_written_over(items, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x.txt").write_text("mine")
    said = call("evaluate", "--export-items", tmp_path / "full", "--data", DATA, "--resolution", 16, code=2)
    assert "holds something else" in said
    (tmp_path / "file").write_text("mine")
    assert "is no folder" in call(
        "evaluate", "--export-items", tmp_path / "file", "--data", DATA, "--resolution", 16, code=2
    )
    words = ["evaluate", "--export-items", items.parent, "--data", DATA, "--resolution", 16]
    call(*words)  # again does the same
    assert len(list(items.glob("*.png"))) == 8
    index = runs.read_json(items / "index.json")
    runs.write_json(items / "index.json", index | {"fingerprint": "other"})
    assert "holds other items (grid 2x2" in call(*words, code=2)
    (items / "index.json").write_text("[]")
    assert "holds something else" in call(*words, code=2)


def test_an_export_that_was_killed_goes_on(tmp_path, runs_root, monkeypatch):
    asked = {"data": DATA, "frames": 1, "resolution": 16}
    names = iter(["one", "two"])
    with monkeypatch.context() as patch:
        patch.setattr("omnitok.evaluation.items.item_name", lambda clip: next(names))
        with pytest.raises(StopIteration):
            omnitok.export_items(tmp_path / "items", **asked)
    assert omnitok.export_items(tmp_path / "items", **asked).files == 8


def test_what_a_sweep_is_told_to_say_of_a_folder_can_be_pasted(items, theirs, tmp_path):
    odd = theirs.rename(tmp_path / "odd, {name}: x")
    said = CliRunner().invoke(main, ["evaluate", "--originals", str(items), "--reconstructions", str(odd)]).output
    line = next(line for line in said.splitlines() if "baselines:" in line)
    (baseline,) = yaml.safe_load(line)["baselines"]
    assert baseline == {"type": "recorded", "name": "NAME", "folder": str(odd), "fingerprint": fingerprint_of(odd)}


def test_a_pipe_is_refused_and_not_waited_for(items, theirs):
    os.mkfifo(theirs / "x.png")
    assert "x.png: is no file" in call("evaluate", "--originals", items, "--reconstructions", theirs, code=2)


def test_one_folder_holds_the_items_of_several_evaluations_each_measured_and_a_row(tmp_path, runs_root):
    both, theirs = tmp_path / "items", tmp_path / "theirs"
    for frames in (1, 3):
        call("evaluate", "--export-items", both, "--data", DATA, "--frames", frames, "--resolution", 16)
    assert len(list(both.iterdir())) == 2
    blur(both, theirs)
    said = call("evaluate", "--originals", both, "--reconstructions", theirs, "--metrics", "psnr")
    assert "as is 1x16x16, n=8" in said and "as is 3x16x16, n=" in said
    assert f"fingerprint: {fingerprint_of(theirs)}" in said
    direct = omnitok.evaluate_pairs(both, theirs, "psnr")
    sweep = baselines(tmp_path, recorded(theirs))
    clips = "  - {name: clips, data: {type: embedded, short_side: 32}, frames: 3, resolution: 16, metrics: [psnr]}\n"
    text = sweep.read_text().replace("claims:", f"{clips}claims:").replace("metric: psnr", "on: photos, metric: psnr")
    sweep.write_text(text)
    assert {state.status for state in launch(sweep).states} == {"done"}
    (row,) = omnitok.rows(sweep).query("arm == 'blurred'").to_dict("records")
    assert [row["photos/psnr"], row["clips/psnr"]] == pytest.approx([one["value"] for one in direct], abs=1e-9)
    assert {one["stage"] for one in direct} == {row["digest"]}
    (one, _) = sorted(both.iterdir())
    (alone,) = omnitok.evaluate_pairs(one, theirs / one.name, "psnr")
    assert alone["value"] in [found["value"] for found in direct]
    said = call("evaluate", "--originals", both, "--reconstructions", theirs, "--metrics", "rfvd", code=2)
    assert f"{one}: frames=1: rfvd needs" in said


def test_two_reconstructions_of_one_item_that_differ_are_refused(items, theirs, tmp_path):
    first = sorted(theirs.iterdir())[0]
    (theirs / "again").mkdir()
    (theirs / "again" / first.name).write_bytes(first.read_bytes())
    sweep = baselines(tmp_path, recorded(theirs))
    assert plan_sweep(sweep).trials
    (theirs / "again" / first.name).write_bytes(sorted(theirs.glob("*.png"))[1].read_bytes())
    with pytest.raises(SpecError, match=f"again/{first.name} are of one item, and they differ"):
        plan_sweep(baselines(tmp_path, recorded(theirs)))


def test_pairs_that_are_refused_leave_no_run_and_only_exported_items_are_for_a_sweep(items, theirs, tmp_path):
    last = sorted(theirs.iterdir())[-1]
    Image.new("RGB", (20, 16)).save(last)
    call("evaluate", "--originals", items, "--reconstructions", theirs, code=2)
    assert not runs.root().exists() or not list(runs.root().iterdir())
    last.write_bytes(sorted(theirs.iterdir())[0].read_bytes())
    assert "baselines: [" in call("evaluate", "--originals", items, "--reconstructions", theirs)
    (items / "index.json").unlink()
    assert "baselines: [" not in call("evaluate", "--originals", items, "--reconstructions", theirs)
