"""What a plan holds on disk, to the byte, and what shared stages save."""

import shutil

import pytest
import safetensors
import tiny
import torch
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.cli.findings import size
from omnitok.reviewing.footprint import Footprints, _bytes
from omnitok.reviewing.review import review
from omnitok.reviewing.saved import sharing
from omnitok.sweep.plan import plan_sweep
from omnitok.trial.failure import Stopped
from omnitok.trial.train import create, run

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
    return tiny.write(tmp_path, sweep=tiny.ONE)


def test_bytes_are_those_of_the_files(tmp_path, runs_root):
    path = tiny.write(tmp_path, JUDGED, tiny.ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", ""))
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


def test_shared_stages_are_paid_for_once(tmp_path, runs_root):
    planned = plan_sweep(tiny.write(tmp_path))
    steps = review(planned).steps
    whole = 2 * 4 * (5 + 4) + 1  # seeds, arms, stages; and the baseline
    assert (steps.whole, steps.once) == (whole, whole - 2 * 2 * 5)  # two shares of images stand on one first stage
    assert steps.saved == pytest.approx(20 / 73)
    assert "shared stages: 53 of 73 steps are trained, 27.4 % less" in CliRunner().invoke(main, ["plan", str(tmp_path / "ask.yaml")]).output  # fmt: skip


def test_several_plans_share_what_they_have_in_common(tmp_path, runs_root):
    one = plan_sweep(tiny.write(tmp_path))
    other = plan_sweep(tmp_path / "ask.yaml", ["seeds=[1, 2]"])
    weights = dict.fromkeys({**one.runs, **other.runs}, 1.0)
    both = sharing([one, other], weights)
    assert both.whole == 2 * (8 * 2 + 1) and both.once == len({**one.runs, **other.runs}) < len(one.runs) + len(
        other.runs
    )


def test_a_disk_that_is_too_small_is_said_with_both_numbers(sweep, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1000))
    found = review(plan_sweep(sweep)).room
    assert found.short and found.free == 1000 and found.wanted > 1000
    output = CliRunner().invoke(main, ["plan", str(sweep)]).output
    assert "would be written at once, and 1 kB are free; see omnitok gc" in output


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (110153, "110 kB"), (8.59e9, "8.59 GB"), (2e12, "2 TB")]
)
def test_bytes_are_said_in_three_digits(count, said):
    assert size(count) == said


def test_a_search_keeps_the_weights_of_every_suggestion_or_its_checkpoint(sweep, runs_root):
    whole = plan_sweep(sweep)
    one, none = review(whole).estimate, Footprints()
    sweep.write_text(tiny.ONE + tiny.SEARCH)
    found = review(plan_sweep(sweep)).estimate
    assert found.kept == found.to_write == 3 * one.kept and found.checkpoint == one.checkpoint
    pruned = review(plan_sweep(sweep, ["search.pruner=median"])).estimate
    assert pruned.to_write == 3 * sum(none.held(run).checkpoint for run in whole.runs.values())
