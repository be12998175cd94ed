"""What is said of a plan before it is paid for: hours by like runs, disk to the byte, and what the arms do not share."""

import json
import re
import shutil

import pytest
import safetensors
import tiny
import torch
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.cli.findings import size
from omnitok.cluster import site
from omnitok.launching.launch import launch, prepared
from omnitok.reviewing import review as reviewed
from omnitok.reviewing.audit import COLUMNS, SUGGESTED, audit
from omnitok.reviewing.difference import difference
from omnitok.reviewing.footprint import Footprints, _bytes
from omnitok.reviewing.review import Asked, review
from omnitok.reviewing.saved import sharing
from omnitok.search.worker import work
from omnitok.spec import SpecError
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan_sweep
from omnitok.sweep.unfit import refuse_unfit
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
    assert review(planned, Asked(budget_hours=4.1)).estimate.hours_left == pytest.approx(4)
    with pytest.raises(SpecError, match=r"--budget-hours 3.5: what is left takes about 4 h of training on cpu"):
        review(planned, Asked(budget_hours=3.5))
    words = ["plan", str(sweep), "--set", "model.dim=48", "--budget-hours", "1"]
    result = CliRunner().invoke(main, words)
    assert (
        result.exit_code == 2
        and "--budget-hours 1: cannot be held: 18 steps to go are of unknown time; say --probe" in result.output
    )
    assert CliRunner().invoke(main, [*words[:2], "--budget-hours", "0"]).exit_code == 0  # nothing is left
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


GPUS = "resources: {gpus_per_node: 1, stages: {joint: {gpus_per_node: 4, nodes: 2}}}\n"


def test_gpu_hours_are_hours_times_the_gpus_of_each_stage_and_a_budget_of_them_refuses(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 3600.0, "some GPU")
    sweep.write_text(ONE + GPUS)
    planned = plan_sweep(sweep, ["seeds=[1]"])
    found = review(planned).estimate
    assert found.hours_left == pytest.approx(4) and found.gpu_hours_left == pytest.approx(2 * 1 + 2 * 8)
    with pytest.raises(SpecError, match=r"--budget-gpu-hours 17: what is left takes about 18 GPU hours of training"):
        review(planned, Asked(budget_gpu_hours=17))
    with pytest.raises(SpecError) as both:
        review(planned, Asked(budget_hours=1, budget_gpu_hours=17))
    assert len(both.value.faults) == 2
    words = ["plan", str(sweep), "--set", "seeds=[1]", "--budget-gpu-hours"]
    assert CliRunner().invoke(main, [*words, "17"]).exit_code == 2
    output = CliRunner().invoke(main, [*words, "18.1"]).output
    assert (
        "budget of 18.1 GPU hours: is held" in output and "hours of some GPU, 18 GPU hours (training alone)" in output
    )


def test_no_gpu_is_counted_where_none_is_asked_for_and_none_was_used(sweep, runs_root):
    launch(sweep)
    planned = plan_sweep(sweep, ["seeds=[1]"])
    assert review(planned).estimate.gpu_hours_left == 0
    timed(runs_root, 3600.0, "some GPU")
    assert review(planned).estimate.gpu_hours_left == pytest.approx(4)


def test_a_probe_tells_what_no_run_does_and_leaves_nothing(sweep, runs_root):
    planned, said = plan_sweep(sweep, ["seeds=[0, 1]"]), []
    threads = torch.get_num_threads()
    found = review(planned, Asked(probe=True), said.append).estimate
    assert found.unknown == 1 and len(said) == 4  # of two seeds once; the baseline trains nothing
    assert found.device == "cpu" and found.hours_left > 0 and torch.get_num_threads() == threads
    assert {pace.stage for pace in found.paces} == {"images", "joint"} and all(pace.probed >= 3 for pace in found.paces)
    assert not runs_root.exists() or not list(runs_root.iterdir())
    assert [one.partition(" on ")[0] for one in said] == [
        f"probing the stage {stage} of {arm}" for arm in ("vq+0.5", "fsq+0.5") for stage in ("images", "joint")
    ]
    output = CliRunner().invoke(main, ["plan", str(sweep), "--probe", "--budget-hours", "99"]).output
    assert "budget of 99 h: is held" in output  # whatever a baseline takes, which trains nothing
    assert "s a step, measured in a probe of " in output and "steps on cpu" in output


def test_what_is_known_is_not_probed(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    said = []
    found = review(plan_sweep(sweep, ["seeds=[0, 1]"]), Asked(probe=True), said.append).estimate
    assert not said and found.hours_left == pytest.approx(4 * 36 / 3600)


def test_a_probe_looks_at_the_middle_and_the_end_of_a_stage_too(tmp_path, runs_root, monkeypatch):
    from omnitok.reviewing import probed

    experiment = tiny.EXPERIMENT.replace("steps: 4", "steps: 40")
    schedule = "  stages.joint.schedule:\n    a: {type: progressive, frames: 3, first_share: 1.0, last_share: 0.0}\n    b: joint\n"
    path = tiny.write(tmp_path, experiment, ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", schedule))
    planned = plan_sweep(path)
    first = []
    real = probed._timed
    monkeypatch.setattr(probed, "_timed", lambda task, place: (first.append((task.steps, place)), real(task, place))[1])
    review(planned, Asked(probe=True))
    assert {place for steps, place in first if steps == 40} == {0, 18, 36}


def test_processes_that_share_a_stage_are_timed_as_one_of_them():
    from omnitok.reviewing.probed import _share

    said = _share({"batch": 256, "validate_every": 10, "steps": 500, "resolution": 64}, 32)
    assert said == {"batch": 8, "validate_every": 500, "steps": 500, "resolution": 64}


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


def test_flops_of_a_stage_are_those_of_every_batch(tmp_path, runs_root):
    planned = plan_sweep(tiny.write(tmp_path, sweep=ONE))
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
    text = ONE.replace("baselines: [mean_colour]", "baselines: [{type: mean_colour, on: [photos]}]").replace(
        "evaluate:\n", "evaluate:\n  - {name: clips, data: {type: embedded, short_side: 32}, frames: 3, resolution: 16, metrics: [psnr]}\n"
    )  # fmt: skip
    text = text.replace("metric: psnr, better", "metric: psnr, on: photos, better")
    found = audit(plan_sweep(tiny.write(tmp_path, sweep=text)), Footprints())
    assert found.protocols == ("mean_colour is measured by photos alone",)
    text = tiny.SWEEP[: tiny.SWEEP.index("vary:")]
    data = "{a: {type: embedded, short_side: 32}, b: moving_shapes}"
    path = tiny.write(tmp_path, sweep=f"{text}vary:\n  stages.joint.data: {data}\nseeds: [0]\n")
    assert audit(plan_sweep(path), Footprints()).protocols == ("not trained on the data of a: b",)


def test_a_difference_is_what_a_launch_would_do_and_the_exit_code_says_whether(sweep, runs_root):
    done = CliRunner().invoke(main, ["plan", str(sweep), "--diff"])
    assert done.exit_code == 3 and "to submit 3, queued 0, running 0, done 0 of 8 stages and evaluations" in done.output
    assert "+ joint vq+0.5/0" in done.output and not runs_root.exists()
    launch(sweep)
    done = CliRunner().invoke(main, ["plan", str(sweep), "--diff"])
    assert done.exit_code == 0 and "nothing to do" in done.output and "done 8 of 8" in done.output
    last = plan_sweep(sweep).trials[0].stages[-1]
    (runs_root / last / runs.RESULT).unlink()
    (runs_root / last / runs.ERROR).write_text("nan: the loss is nan at step 3\n\n")
    found = difference(runs_root, plan_sweep(sweep))
    assert [item.label for item in found.submit] == ["joint vq+0.5/0"] and found.done == 7
    assert [item.why for item in found.failed] == ["nan: the loss is nan at step 3"]
    assert found.arms["vq+0.5"] == {"done": 1, "failed": 1} and found.arms["fsq+0.5"] == {"done": 2}
    data = json.loads(CliRunner().invoke(main, ["plan", str(sweep), "--diff", "--json"]).output)
    assert [item["label"] for item in data["submit"]] == ["joint vq+0.5/0"] and data["failed"][0]["why"].startswith(
        "nan"
    )
    assert "failed before: nan" in CliRunner().invoke(main, ["plan", str(sweep), "--diff"]).output
    with runs.lease(runs_root / last):
        found = difference(runs_root, plan_sweep(sweep))
    assert not found.submit and [item.label for item in found.running] == ["joint vq+0.5/0"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--diff", "--probe"], "--diff says nothing else; leave out --probe"),
        (["--diff", "--budget-hours", "3", "--plot", "a.png"], "leave out --budget-hours, --plot"),
        (["--budget-gpu-hours", "-1"], "is not in the range x>=0"),
        (["--cluster", "local"], "is not 'slurm'"),
    ],
)
def test_words_that_do_not_go_together_are_refused(sweep, words, said):
    done = CliRunner().invoke(main, ["plan", str(sweep), *words])
    assert done.exit_code == 2 and said in done.output, done.output


def test_a_disk_that_is_too_small_is_said_with_both_numbers(sweep, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1000))
    found = review(plan_sweep(sweep)).room
    assert found.short and found.free == 1000 and found.wanted > 1000
    output = CliRunner().invoke(main, ["plan", str(sweep)]).output
    assert "would be written at once, and 1 kB are free; see omnitok gc" in output


def profile(**changes) -> site.Site:
    usual = site.Partition("gpu", True, True, 600, 4, 2, "REQUEUE", 30, 64.0)
    whole = site.Site(
        "now", "here", "22.05.8", 3, 100, (usual,), True, True, True, 30, 300, "", services=("normal", "long")
    )
    return whole._replace(**changes)


def test_a_profile_gives_the_arrays_within_its_limits(sweep, runs_root):
    assert review(plan_sweep(sweep)).layout is None
    site.write(runs_root, profile())
    planned = plan_sweep(sweep, ["seeds=[0, 1, 2, 3]"])
    found = review(planned).layout
    assert found.jobs == 4 * 2 + 1 and max(len(array.jobs) for array in found.arrays) <= 3 and not found.left
    named = {piece.id for array in found.arrays for job in array.jobs for piece in job}
    assert len(named) == found.jobs
    output = CliRunner().invoke(main, ["plan", str(sweep), "--set", "seeds=[0, 1, 2, 3]"]).output
    assert f"jobs: {found.jobs} jobs in {len(found.arrays)} arrays" in output and "#1: 3 tasks, at once: " in output
    site.write(runs_root, profile(submitted=5))
    found = review(planned).layout
    assert found.jobs == 4 and len(found.left) == 5  # a quarter is for keepers
    assert "5 pieces for which the site has no room now" in CliRunner().invoke(main, ["plan", str(sweep), "--set", "seeds=[0, 1, 2, 3]"]).output  # fmt: skip


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("{timeout_min: 601}", "timeout_min=601: the partition gpu lets a job take 600 minutes"),
        ("{gpus_per_node: 3}", "gpus_per_node=3: a node of the partition gpu has 2"),
        ("{slurm_partition: gpus}", "slurm_partition='gpus': no such partition; did you mean 'gpu'?"),
        ("{mem_gb: 65}", "mem_gb=65.0: a node of the partition gpu has 64"),
        ("{slurm_qos: lnog}", "slurm_qos='lnog': no such quality of service; did you mean 'long'?"),
    ],
)
def test_what_a_site_would_never_run_is_said(sweep, runs_root, said, sentence):
    site.write(runs_root, profile())
    sweep.write_text(f"{ONE}resources: {said}\n")
    (found,) = review(plan_sweep(sweep)).unfit
    assert found.startswith(sentence)
    line, option = len(sweep.read_text().splitlines()), sentence.partition("=")[0]
    with pytest.raises(SpecError, match=re.escape(f"{sweep}:{line}: resources.{option}: {sentence}")):
        refuse_unfit(plan_sweep(sweep), runs_root)
    sweep.write_text(
        f"{ONE}resources: {{timeout_min: 600, gpus_per_node: 2, slurm_partition: gpu, mem_gb: 64, slurm_qos: long}}\n"
    )
    assert not review(plan_sweep(sweep)).unfit


def test_resources_are_judged_also_where_all_is_done_and_where_all_is_still_searched(sweep, runs_root, monkeypatch):
    monkeypatch.setattr(site, "asked", profile)
    monkeypatch.setattr(reviewed, "submitted", lambda: 0)
    words = ["plan", str(sweep), "--cluster", "slurm", "--set"]
    launch(sweep)
    done = CliRunner().invoke(main, [*words, "resources={mem_gb: 64, slurm_qos: long}"])
    assert done.exit_code == 0 and "5 of them done" in done.output, done.output
    refused = CliRunner().invoke(main, [*words, "resources={mem_gb: 1e6, slurm_qos: lnog}"])
    assert refused.exit_code == 2 and "resources.mem_gb: mem_gb=1000000.0: a node" in refused.output
    assert "resources.slurm_qos: slurm_qos='lnog': no such quality of service" in refused.output
    search = (
        "search: {space: {optimizer.lr: {type: float, low: 1e-3, high: 1e-1}}, objective: val/psnr_clips, trials: 2}\n"
    )
    sweep.write_text(f"{ONE.replace('baselines: [mean_colour]', '')}{search}")
    planned = plan_sweep(sweep, ["resources={mem_gb: 65}"])
    assert planned.searches and not planned.trials and review(planned).unfit == ()
    with pytest.raises(SpecError, match="mem_gb=65.0: a node of the partition gpu has 64"):
        review(planned, Asked(cluster=True))


def test_a_profile_of_before_says_nothing_of_memory_and_of_qualities_of_service(sweep, runs_root):
    site.write(runs_root, profile())
    assert site.read(runs_root) == profile()
    said = runs.read_json(runs_root / site.SITE)
    del said["services"], said["partitions"][0]["memory_gb"]
    runs.write_json(runs_root / site.SITE, said)
    found = site.read(runs_root)
    assert list(site.unfit(found, {"mem_gb": 1e6, "slurm_qos": "any"})) == [] and found.partition("gpu").minutes == 600


def test_memory_and_gpus_of_a_partition_are_those_of_its_largest_node():
    lines = "all|64000|gpu:a100:2(S:0-1)\nall|128000|(null)\nold|1|gpu:1,gpu:k80:3"
    assert site._gpus(lines) == {"all": 2, "old": 4} and site._memory(lines) == {"all": 125.0}


def test_of_several_partitions_one_that_fits_is_enough():
    gpu = profile().partitions[0]
    two = profile(partitions=(gpu, gpu._replace(name="long", default=False, minutes=None, gpus=0)))
    asked = {"slurm_partition": "gpu,long", "timeout_min": 900}
    assert list(site.unfit(two, asked)) == []
    assert len(list(site.unfit(two, {**asked, "gpus_per_node": 3}))) == 3
    assert list(site.unfit(two, {"nodes": 5})) == ["nodes=5: the partition gpu has 4"]
    (gone,) = site.unfit(two, {"slurm_partition": "gpu,lang"})
    assert gone.startswith("slurm_partition='lang': no such partition; did you mean 'long'?")


def test_a_profile_that_is_none_is_refused_with_the_way_to_a_new_one(sweep, runs_root):
    runs_root.mkdir()
    for text in ("{", "[]", '{"partitions": [], "nodes": []}'):
        (runs_root / site.SITE).write_text(text)
        done = CliRunner().invoke(main, ["plan", str(sweep)])
        assert done.exit_code == 2 and "write it anew with: omnitok doctor --cluster slurm" in done.output


@pytest.mark.parametrize(
    ("changes", "what", "level", "said"),
    [
        ({}, "accounting", "ok", "sacct answers"),
        ({"silent": "sacct: no"}, "accounting", "warning", "sacct: no; how a job ended is known for 300 s only"),
        ({"requeue": False}, "requeue", "warning", "JobRequeue=0"),
        ({"array": 1}, "arrays", "warning", "each job is submitted by itself"),
        ({"preempts": False}, "preemption", "ok", "jobs are not preempted"),
        ({"user_signal": False}, "preemption", "ok", "only SIGTERM comes"),
        ({"partitions": ()}, "partitions", "warning", "each sweep says resources.slurm_partition"),
    ],
)
def test_what_a_site_is_has_a_level_and_its_cost(changes, what, level, said):
    found = {one.what: one for one in site.findings(profile(**changes))}
    assert found[what].level == level and said in found[what].seen


@pytest.mark.parametrize(
    ("said", "minutes"),
    [("UNLIMITED", None), ("NONE", None), ("00:30:00", 30), ("1-01:00:00", 1500), ("2-00:00:30", 2880)],
)
def test_times_of_slurm_are_whole_minutes(said, minutes):
    assert site.minutes_of(said) == minutes


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (110153, "110 kB"), (8.59e9, "8.59 GB"), (2e12, "2 TB")]
)
def test_bytes_are_said_in_three_digits(count, said):
    assert size(count) == said


SEARCH = (
    "search: {space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}}, objective: val/psnr, trials: 3}\n"
)


def test_suggestions_of_a_search_are_part_of_fairness_and_of_what_is_unknown(sweep, runs_root):
    sweep.write_text(ONE + SEARCH)
    planned = plan_sweep(sweep)
    found = review(planned)
    assert found.audit.equal == (SUGGESTED,)  # nothing else is known before something has won
    assert found.estimate.unknown == found.estimate.steps_left == 2 * 3 * (5 + 4) + 1
    labels = [item.label for item in found.difference.submit]
    assert labels.count("search vq+0.5") == labels.count("search fsq+0.5") == 3  # no more workers than suggestions


def test_what_a_search_takes_at_most_is_told_by_runs_like_its_arms_and_held_to_a_budget(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    sweep.write_text(ONE + SEARCH)
    found = review(plan_sweep(sweep)).estimate
    assert found.unknown == 0 and found.hours_left == pytest.approx(2 * 3 * 2 * 36 / 3600)
    assert found.steps_left == found.searched == 2 * 3 * (5 + 4)
    more = review(plan_sweep(sweep, ["seeds=[0, 1]"])).estimate  # what wins is trained on the other seed, too
    assert more.hours_left == pytest.approx(2 * (3 + 1) * 2 * 36 / 3600) and more.searched == found.searched
    capped = review(plan_sweep(sweep, ["seeds=[0, 1]", "search.hours=0.01"])).estimate
    assert capped.hours_left == pytest.approx(2 * (0.01 + 2 * 36 / 3600))
    budget = Asked(budget_gpu_hours=0.1)
    with pytest.raises(SpecError, match=r"--budget-gpu-hours 0.1: what is left takes about 0.12 GPU hours"):
        review(plan_sweep(sweep, ["resources.gpus_per_node=1"]), budget)
    assert "54 of the steps are those of a search" in CliRunner().invoke(main, ["plan", str(sweep)]).output


def test_stages_that_no_suggestion_touches_count_once_and_what_was_suggested_no_more(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    sweep.write_text(ONE + SEARCH.replace("optimizer.lr", "stages.joint.optimizer.lr"))
    none = review(plan_sweep(sweep)).estimate
    assert none.hours_left == pytest.approx(2 * 3 * 36 / 3600)  # the first stages are those of before
    assert none.steps_left == none.searched == 2 * 3 * 4
    _, settled = prepared(runs_root, read_sweep(sweep))
    passed = []
    work(settled.planned.searches[0].folder, lambda: passed.count("told") == 2, passing=passed.append)
    left = review(plan_sweep(sweep)).estimate
    assert left.searched == (2 * 3 - 1) * 4  # the end of the second is told when somebody looks for a third


def test_a_search_keeps_the_weights_of_every_suggestion_or_its_checkpoint(sweep, runs_root):
    whole = plan_sweep(sweep)
    one, none = review(whole).estimate, Footprints()
    sweep.write_text(ONE + SEARCH)
    found = review(plan_sweep(sweep)).estimate
    assert found.kept == found.to_write == 3 * one.kept and found.checkpoint == one.checkpoint
    pruned = review(plan_sweep(sweep, ["search.pruner=median"])).estimate
    assert pruned.to_write == 3 * sum(none.held(run).checkpoint for run in whole.runs.values())


def test_a_probe_also_tells_how_long_a_search_takes(sweep, runs_root):
    sweep.write_text(ONE + SEARCH)
    found = review(plan_sweep(sweep), Asked(probe=True)).estimate
    assert found.unknown == 1 and found.hours_left > 0  # a baseline trains nothing
    assert not list(runs_root.glob("*/records.jsonl"))
