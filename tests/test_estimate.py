"""Hours, GPU hours and budgets of a plan by the runs of before, by a probe, or unknown."""

import json

import pytest
import tiny
import torch
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.launching.launch import launch, prepared
from omnitok.reviewing.review import Asked, review
from omnitok.search.worker import work
from omnitok.spec import SpecError
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan_sweep
from omnitok.trial.failure import Stopped
from omnitok.trial.train import create, run


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=tiny.ONE)


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


GPUS = "resources: {gpus_per_node: 1, stages: {joint: {gpus_per_node: 4, nodes: 2}}}\n"


def test_gpu_hours_are_hours_times_the_gpus_of_each_stage_and_a_budget_of_them_refuses(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 3600.0, "some GPU")
    sweep.write_text(tiny.ONE + GPUS)
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
    path = tiny.write(tmp_path, experiment, tiny.ONE.replace("  stages.joint.schedule.image_share: [0.5]\n", schedule))
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


def test_what_a_search_takes_at_most_is_told_by_runs_like_its_arms_and_held_to_a_budget(sweep, runs_root):
    launch(sweep)
    timed(runs_root, 36.0)
    sweep.write_text(tiny.ONE + tiny.SEARCH)
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
    sweep.write_text(tiny.ONE + tiny.SEARCH.replace("optimizer.lr", "stages.joint.optimizer.lr"))
    none = review(plan_sweep(sweep)).estimate
    assert none.hours_left == pytest.approx(2 * 3 * 36 / 3600)  # the first stages are those of before
    assert none.steps_left == none.searched == 2 * 3 * 4
    _, settled = prepared(runs_root, read_sweep(sweep))
    passed = []
    work(settled.planned.searches[0].folder, lambda: passed.count("told") == 2, passing=passed.append)
    left = review(plan_sweep(sweep)).estimate
    assert left.searched == (2 * 3 - 1) * 4  # the end of the second is told when somebody looks for a third


def test_a_probe_also_tells_how_long_a_search_takes(sweep, runs_root):
    sweep.write_text(tiny.ONE + tiny.SEARCH)
    found = review(plan_sweep(sweep), Asked(probe=True)).estimate
    assert found.unknown == 1 and found.hours_left > 0  # a baseline trains nothing
    assert not list(runs_root.glob("*/records.jsonl"))
