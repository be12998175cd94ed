"""Rows and curves from the files of a stored sweep, in every state that a sweep can be in."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from report_sweep import Synthetic, name_of

from omnitok import runs
from omnitok.results import curves, rows
from omnitok.results.collect import slug
from omnitok.spec import SpecError


@pytest.fixture
def sweep(tmp_path: Path) -> Synthetic:
    return Synthetic(tmp_path)


def test_a_row_holds_labels_choices_metrics_and_where_they_came_from(sweep: Synthetic) -> None:
    frame = rows(sweep.write())
    assert len(frame) == 4 * 3 + 2
    row = frame[(frame["arm"] == "fsq+joint") & (frame["seed"] == 1)].iloc[0]
    assert (row["sweep"], row["kind"], row["status"], row["reason"]) == ("quickstart", "arm", "done", "")
    assert (row["model.quantizer"], row["stages.joint.schedule"]) == ("fsq", "joint")
    assert (row["model.quantizer.type"], row["model.quantizer.levels"], row["steps"]) == ("fsq", (8, 5), 300)
    assert row["digests"] == (sweep.first("fsq+joint", 1), row["digest"])
    assert row["digest"] == sweep.last("fsq+joint", 1)
    assert row["photos/psnr"] == sweep.values["fsq+joint", 1]["photos/psnr"]
    assert (row["parameters"], row["seconds"], row["device"], row["dirty"]) == (123456, 25.0, "cpu", False)
    assert list(frame.columns[-4:]) == ["photos/psnr", "photos/ssim", "photos/usage", "clips/psnr"]
    assert frame["kind"].tolist()[-2:] == ["baseline", "baseline"]
    assert frame["seed"].isna().tolist()[-2:] == [True, True]


def test_a_sweep_that_was_never_started_is_all_holes(sweep: Synthetic) -> None:
    frame = rows(sweep.store())
    assert set(frame["status"]) == {"planned"}
    assert set(frame["reason"]) == {""}
    assert frame["photos/psnr"].isna().all()
    assert curves(sweep.stored).empty


def test_a_folder_without_a_stored_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing: no stored sweep here \(no sweep.json\); launch it first"):
        rows(tmp_path / "nothing")


def test_status_says_how_far_a_trial_came(sweep: Synthetic) -> None:
    sweep.write()
    sweep.fail(sweep.last("vq+joint", 0))
    sweep.fail(sweep.first("fsq+joint", 1), "nan", "the loss is not a number")
    interrupted = sweep.root / sweep.last("vq+joint", 1)
    (interrupted / runs.RESULT).unlink()
    (interrupted / runs.EVALUATIONS / f"{name_of(interrupted.name, 'photos', 'psnr')}.json").unlink()
    for arm, seed in (("vq+joint", 2), ("vq+progressive", 2)):
        half = sweep.root / sweep.last(arm, seed)
        (half / runs.EVALUATIONS / f"{name_of(half.name, 'clips', 'psnr')}.json").unlink()
    runs.fail(half, runs.Failure("data", "no such clip", ""), runs.evaluation_error("embedded.test.9x64"))
    shutil.rmtree(sweep.root / sweep.last("vq+progressive", 1))
    frame = rows(sweep.stored)
    keys = zip(frame["arm"], frame["seed"].fillna(-1), strict=True)
    said = dict(zip(keys, zip(frame["status"], frame["reason"], strict=True), strict=True))
    assert said["vq+joint", 0] == (
        "failed",
        "stage 'joint': out_of_memory: CUDA out of memory at step 120",
    )
    assert (
        said["fsq+joint", 1]
        == said["fsq+progressive", 1]
        == ("blocked", "stage 'images': nan: the loss is not a number")
    )
    assert said["vq+joint", 1] == ("interrupted", "")
    assert said["vq+joint", 2] == ("unevaluated", "1 metric to measure")
    assert said["vq+progressive", 2] == ("failed", "evaluation 'clips': data: no such clip")
    assert said["vq+progressive", 1] == ("interrupted", "")
    assert said["vq+progressive", 0] == ("done", "")


def test_a_run_that_somebody_holds_is_running(sweep: Synthetic) -> None:
    sweep.write()
    folder = sweep.root / sweep.last("vq+joint", 0)
    (folder / runs.RESULT).unlink()
    with runs.lease(folder):
        assert rows(sweep.stored)["status"].tolist()[0] == "running"


def test_a_null_metric_is_not_a_number_and_not_a_hole(sweep: Synthetic) -> None:
    sweep.values["vq+joint", 0]["photos/usage"] = None
    row = rows(sweep.write()).iloc[0]
    assert row["status"] == "done"
    assert math.isnan(row["photos/usage"])


def test_a_mirror_that_disagrees_with_a_folder_is_refused_with_both_numbers(sweep: Synthetic) -> None:
    stored, digest = sweep.write(), sweep.last("vq+joint", 0)
    key = name_of(digest, "photos", "psnr")
    value = sweep.values["vq+joint", 0]["photos/psnr"]
    assert value is not None
    assert rows(stored, {(digest, key): value * (1 + 1e-12)})["photos/psnr"].iloc[0] == value
    with pytest.raises(SpecError) as refusal:
        rows(stored, {(digest, key): value * (1 + 1e-6)})
    for said in (digest, "photos/psnr", repr(value), repr(value * (1 + 1e-6))):
        assert said in str(refusal.value)
    with pytest.raises(SpecError, match="None"):
        rows(stored, {(blank := sweep.baseline("mean_colour"), name_of(blank, "photos", "usage")): 0.5})


def test_what_a_mirror_holds_of_another_evaluation_is_no_disagreement(sweep: Synthetic) -> None:
    stored, digest = sweep.write(), sweep.last("vq+joint", 0)
    assert rows(stored, {(digest, name_of("a picture replaced since")): 1.0})["status"].iloc[0] == "done"


def test_a_mirror_speaks_for_folders_that_are_out_of_reach(sweep: Synthetic) -> None:
    stored, digest = sweep.store(), sweep.last("vq+joint", 0)
    columns = (("photos", "psnr"), ("photos", "ssim"), ("photos", "usage"), ("clips", "psnr"))
    mirror = {(digest, name_of(digest, *column)): 20.0 + i for i, column in enumerate(columns)}
    frame = rows(stored, mirror)
    assert frame.loc[0, ["photos/psnr", "photos/ssim", "photos/usage", "clips/psnr"]].tolist() == [
        20.0,
        21.0,
        22.0,
        23.0,
    ]
    assert frame["status"].tolist()[:2] == ["done", "planned"]


def test_a_stage_that_arms_share_has_its_curve_once_under_what_they_have_in_common(sweep: Synthetic) -> None:
    frame = curves(sweep.write(), ["val/psnr"])
    assert set(frame["arm"][frame["stage"] == "images"]) == {"vq", "fsq"}
    assert set(frame["arm"][frame["stage"] == "joint"]) == set(sweep.arms)
    assert not frame.duplicated(["arm", "stage", "seed", "step", "quantity"]).any()
    assert frame[(frame["arm"] == "vq") & (frame["seed"] == 2)]["step"].tolist() == [0, 50, 100, 150, 200, 250]
    assert set(frame["quantity"]) == {"val/psnr"}


def test_a_torn_last_record_is_not_read(sweep: Synthetic) -> None:
    stored = sweep.write()
    with (sweep.root / sweep.last("vq+joint", 0) / runs.RECORDS).open("ab") as file:
        file.write(b'{"step": 999, "train/lo')
    assert curves(stored)["step"].max() == 298


def test_a_torn_attempt_or_record_breaks_nothing(sweep: Synthetic) -> None:
    stored, folder = sweep.write(), sweep.root / sweep.last("vq+joint", 0)
    for name in (runs.ATTEMPTS, runs.RECORDS):
        with (folder / name).open("ab") as file:
            file.write(b'{"step": 999, "train/lo\n{"torn\n')
    assert rows(stored)["seconds"].iloc[0] == 25.0
    assert curves(stored)["step"].max() == 298


def test_the_column_of_a_factor_is_empty_where_an_arm_or_baseline_leaves_it_as_it_was(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path, factors={"steps": ["10"], "model.quantizer": ["vq", "fsq"]}, design="one_at_a_time")
    frame = rows(sweep.write())
    labels = (
        frame.drop_duplicates("arm")
        .set_index("arm")[["steps", "model.quantizer"]]
        .map(lambda label: None if label is pd.NA else label)
    )
    assert labels.to_dict("index") == {
        "base": {"steps": None, "model.quantizer": None},
        "10": {"steps": "10", "model.quantizer": None},
        "vq": {"steps": None, "model.quantizer": "vq"},
        "fsq": {"steps": None, "model.quantizer": "fsq"},
        "mean_colour": {"steps": None, "model.quantizer": None},
        "patch_mean": {"steps": None, "model.quantizer": None},
    }


def test_names_that_lose_something_as_a_folder_name_are_told_apart() -> None:
    names = ("a-b", "a b", "a_b", "a/b", "\u6f22", "\u5b57", "quickstart.v2")
    found = [slug(name, f"{i}" * 16) for i, name in enumerate(names)]
    assert found == ["a-b", "a-b-111111", "a_b", "a-b-333333", "unnamed-444444", "unnamed-555555", "quickstart.v2"]


def test_the_report_loads_no_torch_and_no_tracker() -> None:
    code = "import sys, omnitok.report as r; r.render; print(sorted({'torch', 'mlflow', 'matplotlib.pyplot'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
