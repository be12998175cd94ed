"""What is said of a plan before it is paid for: hours by like runs, disk to the byte, and what the arms do not share."""

import json
import shutil

import pytest
import safetensors
import tiny
import torch
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.cli.findings import size
from omnitok.spec import SpecError
from omnitok.sweep.audit import audit, review
from omnitok.sweep.footprint import Footprints, _bytes
from omnitok.sweep.launch import launch
from omnitok.sweep.plan import plan_sweep
from omnitok.trial.failure import Stopped
from omnitok.trial.train import create, run

ONE = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")
JUDGED = """\
stages:
  images:
    data: {type: embedded, short_side: 32}
    model:
      dim: 12
      patches: {type: linear, patch: 4, temporal_patch: 2}
      encoder: [{type: transformer, attention: {type: window, heads: 2, window: 2}}]
      decoder: [{type: transformer, attention: {type: window, heads: 2, window: 2}}]
      quantizer: {type: vq, codebook_size: 16, code_dim: 4}
    adversary: patch_gan
    schedule: {type: joint, frames: 3}
    validate_every: 6
    average: ema
    steps: 6
    batch: 2
    resolution: 16
"""


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=ONE)


def timed(root, seconds: float, device: str = "cpu") -> None:
    """Say of every run that it took so long."""
    for path in root.glob(f"*/{runs.ATTEMPTS}"):
        lines = [{**one, "seconds": seconds} for one in runs.attempts(path.parent)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        ran = runs.read_json(path.parent / runs.PROVENANCE)
        runs.write_json(path.parent / runs.PROVENANCE, {**ran, "device": device})


def test_nothing_is_known_before_the_first_run_and_nothing_is_invented(sweep):
    found = review(plan_sweep(sweep)).estimate
    assert (found.steps_left, found.unknown, found.hours_left, found.paces) == (2 * (5 + 4) + 1, 19, 0.0, ())
    assert found.status == {"planned": 5}


def test_more_seeds_and_more_steps_are_timed_by_the_runs_of_before(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    more = review(plan_sweep(sweep, ["seeds=[0, 1]"])).estimate
    assert more.unknown == 0 and more.steps_left == 18 and more.status == {"done": 5, "planned": 4}
    assert more.hours_left == pytest.approx(4 * 36 / 3600) and more.device == "cpu"
    assert all(pace.alike and (runs_root / pace.of[0]).is_dir() for pace in more.paces)
    longer = review(plan_sweep(sweep, ["steps=10"])).estimate
    images = [pace for pace in longer.paces if pace.stage == "images"]
    assert images[0].seconds == pytest.approx(36 / 5) and longer.unknown == 0
    assert review(plan_sweep(sweep)).estimate.hours_left == 0


def test_a_model_as_large_is_said_to_be_one_and_another_is_unknown(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    near = review(plan_sweep(sweep, ["model.encoder[1].attention.heads=3"])).estimate
    assert near.paces and not any(pace.alike for pace in near.paces if pace.stage == "joint")
    assert near.unknown == 10  # of the first stages no plan says a cost
    large = review(plan_sweep(sweep, ["model.dim=48"])).estimate
    assert large.unknown == large.steps_left == 18 and not large.paces


def test_a_checkpoint_counts_and_the_machine_is_the_one_that_says_most(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0, "some GPU")
    planned = plan_sweep(sweep, ["seeds=[0, 1]"])
    first = next(run for run in planned.runs.values() if run.seed == 1)
    seen = []
    folder = create(runs_root, first)
    with pytest.raises(Stopped):
        run(folder, stop=lambda: len(seen) == 2, on_record=seen.append)
    found = review(plan_sweep(sweep, ["seeds=[0, 1]"])).estimate
    assert found.device == "some GPU" and found.steps_left == 18 - 2 and found.status["interrupted"] == 1
    assert found.hours_left == pytest.approx((4 * 36 - 2 * 36 / 5) / 3600)


def test_a_budget_refuses_and_says_where_nothing_is_known(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 3600.0)
    planned = plan_sweep(sweep, ["seeds=[0, 1]"])
    assert review(planned, 4.1).estimate.hours_left == pytest.approx(4)
    with pytest.raises(SpecError, match=r"--budget-hours 3.5: what is left takes about 4 h of training on cpu"):
        review(planned, 3.5)
    words = ["plan", str(sweep), "--set", "model.dim=48", "--budget-hours", "1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and "cannot be held for 18 steps of unknown time" in result.output
    assert CliRunner().invoke(main, ["plan", str(sweep), "--set", "seeds=[0, 1]", "--budget-hours", "1"]).exit_code == 2


def test_bytes_are_those_of_the_files(tmp_path, runs_root):
    path = tiny.write(tmp_path, JUDGED, ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", ""))
    planned = plan_sweep(path)
    first = next(run for run in planned.runs.values() if run.name == "images")
    folder, seen = create(runs_root, first), []
    with pytest.raises(Stopped):
        run(folder, stop=lambda: len(seen) == 4, on_record=seen.append)  # images and clips were both seen
    held = Footprints().held(first)
    assert held.checkpoint == _bytes(torch.load(folder / runs.CHECKPOINT, weights_only=True)["state"])
    run(folder)
    for name, count in [
        (runs.WEIGHTS, held.weights), (runs.AVERAGED, held.averaged), (runs.ADVERSARY, held.adversary),
    ]:  # fmt: skip
        with safetensors.safe_open(folder / name, "pt") as file:
            assert count == sum(_bytes(file.get_tensor(key)) for key in file.keys()) > 0  # noqa: SIM118


def test_arms_are_told_apart_by_what_they_do_not_share(tmp_path, runs_root):
    found = audit(plan_sweep(tiny.write(tmp_path)), Footprints())
    assert found.equal == ("steps", "bits a token")
    rows = {row.name: row.cells for row in found.unequal}
    assert rows["vq+0.0"]["images"] == (10, 1.0) and rows["vq+0.0"]["clips"] == (8, 1.0)
    assert rows["vq+0.5"]["images"] == (14, 1.4) and rows["fsq+0.5"]["clips"] == (4, 0.5)
    assert rows["vq+0.5"]["tokens seen"] == (14 * 16 + 4 * 32, 352 / 416)
    assert rows["fsq+0.0"]["parameters"][1] < 1


def test_arms_that_share_everything_have_no_table(tmp_path, runs_root):
    text = ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", "  optimizer.lr: [0.001, 0.002]\n")
    text = "\n".join(line for line in text.splitlines() if "quantizer" not in line and "q: {" not in line and "claim" not in line
                     and "better" not in line)  # fmt: skip
    path = tiny.write(tmp_path, sweep=text + "\n")
    found = audit(plan_sweep(path), Footprints())
    assert not found.unequal and len(found.equal) == 7
    output = CliRunner().invoke(main, ["plan", str(path)]).output
    assert "not alike" not in output and "alike in all arms: parameters, FLOPs" in output


def test_tokens_of_a_schedule_are_those_of_every_step(tmp_path, runs_root):
    schedule = "{type: progressive, frames: 3, scales: [1.0, 0.5]}"
    path = tiny.write(tmp_path, tiny.EXPERIMENT.replace("{type: joint, frames: 3}", schedule).replace("steps: 4", "steps: 9"), ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", ""))  # fmt: skip
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


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (110153, "110 kB"), (8.59e9, "8.59 GB"), (2e12, "2 TB")]
)
def test_bytes_are_said_in_three_digits(count, said):
    assert size(count) == said
