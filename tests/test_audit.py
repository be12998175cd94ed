"""Whether the arms of a plan are compared fairly: what they do not share, and what is not measured alike."""

import json
import shutil

import pytest
import tiny
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.launching.launch import launch
from omnitok.reviewing.audit import COLUMNS, SUGGESTED, audit
from omnitok.reviewing.footprint import Footprints
from omnitok.reviewing.review import review
from omnitok.sweep.plan import plan_sweep


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=tiny.ONE)


def test_arms_are_told_apart_by_what_they_do_not_share(tmp_path, runs_root):
    found = audit(plan_sweep(tiny.write(tmp_path)), Footprints())
    assert found.equal == ("steps", "bits a token")
    rows = {row.name: row.cells for row in found.unequal}
    assert rows["vq+0.0"]["images"] == (10, 1.0) and rows["vq+0.0"]["clips"] == (8, 1.0)
    assert rows["vq+0.5"]["images"] == (14, 1.4) and rows["fsq+0.5"]["clips"] == (4, 0.5)
    assert rows["vq+0.5"]["tokens seen"] == (14 * 16 + 4 * 32, 352 / 416)
    assert rows["fsq+0.0"]["parameters"][1] < 1


def test_arms_that_share_everything_have_no_table(tmp_path, runs_root):
    text = tiny.ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", "  optimizer.lr: [0.001, 0.002]\n")
    text = "\n".join(line for line in text.splitlines() if "quantizer" not in line and "q: {" not in line and "claim" not in line
                     and "better" not in line)  # fmt: skip
    path = tiny.write(tmp_path, sweep=text + "\n")
    found = audit(plan_sweep(path), Footprints())
    assert not found.unequal and len(found.equal) == 7
    output = CliRunner().invoke(main, ["plan", str(path)]).output
    assert "not alike" not in output and "alike in all arms: parameters, FLOPs" in output


def test_tokens_of_a_schedule_are_those_of_every_step(tmp_path, runs_root):
    schedule = "{type: progressive, frames: 3, scales: [1.0, 0.5]}"
    path = tiny.write(tmp_path, tiny.EXPERIMENT.replace("{type: joint, frames: 3}", schedule).replace("steps: 4", "steps: 9"), tiny.ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", ""))  # fmt: skip
    planned = plan_sweep(path)
    joint = next(run for run in planned.runs.values() if run.name == "joint")
    from omnitok.spec import decode, resolve
    from omnitok.training import TASKS

    plans = [resolve(decode(TASKS, joint.spec).schedule)(step, 9) for step in range(9)]
    images = 2 * sum(plan.frames == 1 for plan in plans)
    seen = Footprints().seen(joint)
    assert (seen.images, seen.clips) == (images, 18 - images)
    assert seen.tokens == images * (16 + 4) / 2 + (18 - images) * (32 + 8) / 2


def test_the_review_is_printed_and_in_the_json(sweep, runs_root):
    launch(sweep)
    shutil.rmtree(next(path.parent for path in runs_root.glob(f"*/{runs.RESULT}")))
    output = CliRunner().invoke(main, ["plan", str(sweep)]).output
    assert "stages: " in output and "disk: weights" in output
    data = json.loads(CliRunner().invoke(main, ["plan", str(sweep), "--json"]).output)["review"]
    assert data["estimate"]["status"]["done"] == 4 and data["audit"]["equal"]


def test_flops_of_a_stage_are_those_of_every_batch(tmp_path, runs_root):
    planned = plan_sweep(tiny.write(tmp_path, sweep=tiny.ONE))
    images = next(run for run in planned.runs.values() if run.name == "images")
    prints, trial = Footprints(), planned.trials[0]
    from omnitok.model.cost import cost

    seen = prints.seen(images)
    codec = next(iter(prints.codecs.values()))
    assert prints.flops(images) == 3 * (seen.images * cost(codec, 1, 16).flops)
    baseline = planned.runs[planned.trials[-1].stages[0]]
    assert prints.flops(baseline) == 0 and trial.kind == "arm"


@pytest.mark.parametrize(
    ("vary", "differs"),
    [
        ("  model.dim: [12, 24]\n", {"parameters", "FLOPs"}),
        ("  stages.joint.steps: [4, 8]\n", {"steps", "images", "clips", "tokens seen"}),
        ("  stages.joint.batch: [2, 4]\n", {"images", "clips", "tokens seen"}),
        ("  stages.joint.schedule.image_share: [0.0, 0.5]\n", {"images", "clips", "tokens seen"}),
        ("  stages.images.resolution: [16, 24]\n", {"FLOPs", "tokens seen"}),
        ("  model.quantizer.code_dim: [4, 2]\n", {"parameters", "FLOPs"}),
        ("  model.quantizer.codebook_size: [16, 32]\n", {"FLOPs", "bits a token"}),
        ("  optimizer.lr: [0.001, 0.002]\n", set()),
    ],
)
def test_each_column_of_the_audit_tells_arms_apart_by_itself(tmp_path, runs_root, vary, differs):
    text = tiny.SWEEP[: tiny.SWEEP.index("vary:")] + "vary:\n" + vary + "seeds: [0]\n"
    found = audit(plan_sweep(tiny.write(tmp_path, sweep=text)), Footprints())
    assert set(found.columns) == differs and set(found.equal) | differs == set(COLUMNS)


def test_other_columns_are_told_apart_too(sweep):
    planned = plan_sweep(sweep)
    found = audit(planned, Footprints(), {"trials searched": {"vq+0.5": 20, "fsq+0.5": 30}})
    rows = {row.name: row.cells["trials searched"] for row in found.unequal}
    assert rows == {"vq+0.5": (20, 1.0), "fsq+0.5": (30, 1.5)}
    assert "trials searched" in audit(planned, Footprints(), {"trials searched": {"vq+0.5": 5, "fsq+0.5": 5}}).equal


def test_what_is_not_measured_or_trained_alike_is_said(tmp_path, runs_root):
    text = tiny.ONE.replace("baselines: [mean_colour]", "baselines: [{type: mean_colour, on: [photos]}]").replace(
        "evaluate:\n", "evaluate:\n  - {name: clips, data: {type: embedded, short_side: 32}, frames: 3, resolution: 16, metrics: [psnr]}\n"
    )  # fmt: skip
    text = text.replace("metric: psnr, better", "metric: psnr, on: photos, better")
    found = audit(plan_sweep(tiny.write(tmp_path, sweep=text)), Footprints())
    assert found.protocols == ("mean_colour is measured by photos alone",)
    text = tiny.SWEEP[: tiny.SWEEP.index("vary:")]
    data = "{a: {type: embedded, short_side: 32}, b: moving_shapes}"
    path = tiny.write(tmp_path, sweep=f"{text}vary:\n  stages.joint.data: {data}\nseeds: [0]\n")
    assert audit(plan_sweep(path), Footprints()).protocols == ("not trained on the data of a: b",)


def test_suggestions_of_a_search_are_part_of_fairness_and_of_what_is_unknown(sweep, runs_root):
    sweep.write_text(tiny.ONE + tiny.SEARCH)
    planned = plan_sweep(sweep)
    found = review(planned)
    assert found.audit.equal == (SUGGESTED,)  # nothing else is known before something has won
    assert found.estimate.unknown == found.estimate.steps_left == 2 * 3 * (5 + 4) + 1
    labels = [item.label for item in found.difference.submit]
    assert labels.count("search vq+0.5") == labels.count("search fsq+0.5") == 3  # no more workers than suggestions
