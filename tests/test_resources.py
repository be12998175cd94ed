"""What jobs are given is said for a sweep, an arm or a stage, is checked before anything runs, and is no identity."""

import pytest
import tiny

from omnitok.spec import SpecError
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan, plan_sweep, used
from omnitok.sweep.resources import Resources, Used, given

MORE = """\
resources:
  mem_gb: 4
  slurm_partition: gpu
  max_parallel: 3
  arms: {vq: {mem_gb: 8}, fsq+0.5: {mem_gb: 16, gpus_per_node: 2}}
  stages: {joint: {timeout_min: 90}}
"""


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=tiny.SWEEP + MORE)


def test_a_stage_is_given_what_its_arms_ask_for_and_what_it_says_itself(sweep):
    planned = plan_sweep(sweep)
    found = {
        digest: given(planned.asked.file.resources, one) for digest, one in used(planned.trials, planned.runs).items()
    }
    by_trial = {(one.name, one.seed): [found[digest] for digest in one.stages] for one in planned.trials}
    base = {"mem_gb": 4, "slurm_partition": "gpu"}
    assert by_trial["mean_colour", None] == [base]
    assert by_trial["vq+0.0", 0] == [base | {"mem_gb": 8}, base | {"mem_gb": 8, "timeout_min": 90}]
    images, joint = by_trial["fsq+0.5", 1]
    assert joint == base | {"mem_gb": 16, "gpus_per_node": 2, "timeout_min": 90}
    assert (
        images == by_trial["fsq+0.0", 1][0] == base | {"mem_gb": 16, "gpus_per_node": 2}
    )  # shared: the larger of both
    assert by_trial["fsq+0.0", 1][1] == base | {"timeout_min": 90}


def test_an_arms_name_wins_over_its_labels_and_a_stage_over_both():
    said = Resources(mem_gb=1, arms={"a": {"mem_gb": 2}, "a+b": {"mem_gb": 3}}, stages={"joint": {"mem_gb": 4}})
    assert given(said, Used("images", {"a+b": ("a", "b")})) == {"mem_gb": 3}
    assert given(said, Used("images", {"a+c": ("a", "c")})) == {"mem_gb": 2}
    assert given(said, Used("joint", {"a+b": ("a", "b")})) == {"mem_gb": 4}
    assert given(Resources(mem_gb=1), Used("joint", {"a+b": ("a", "b"), "a+c": ("a", "c")})) == {"mem_gb": 1}


def test_only_what_has_a_batch_is_trained_by_several_processes(sweep):
    sweep.write_text(sweep.read_text().replace("  mem_gb: 4\n", "  mem_gb: 4\n  nodes: 2\n"))
    planned = plan_sweep(sweep)
    found = {one.stage: given(planned.asked.file.resources, one) for one in used(planned.trials, planned.runs).values()}
    assert {stage: "nodes" in said for stage, said in found.items()} == {
        "images": True, "joint": True, "baseline": False
    }  # fmt: skip


def test_no_resource_is_in_a_digest(sweep):
    before = set(plan_sweep(sweep).runs), read_sweep(sweep).digest
    sweep.write_text(tiny.SWEEP)
    assert (set(plan_sweep(sweep).runs), read_sweep(sweep).digest) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arms: {vq:", "arms: {vqq:", "ask.yaml:18: resources.arms.vqq: no arm or value is called 'vqq'; did you mean 'vq'?"),
        ("fsq+0.5:", "fsq+0.7:", "no arm or value is called 'fsq+0.7'; did you mean 'fsq+0.5'?"),
        ("stages: {joint:", "stages: {joit:", "resources.stages.joit: no stage is called 'joit'; did you mean 'joint'?"),
        ("{timeout_min: 90}", "{timeout: 90}", "resources.stages.joint.timeout: no such resource; did you mean 'timeout_min'?"),
        ("{timeout_min: 90}", "{workers: 2}", "resources.stages.joint.workers: no such resource"),
        ("{mem_gb: 8}", "{mem_gb: 0}", "resources.arms.vq.mem_gb: must be greater than 0, not 0"),
        ("max_parallel: 3", "max_parallel: 0", "resources.max_parallel: must be greater than or equal to 1, not 0"),
        ("slurm_partition: gpu", "slurm_partitoin: gpu", "ask.yaml:16: resources.slurm_partitoin: no option of a Slurm job; did you mean 'slurm_partition'?"),
        ("slurm_partition: gpu", "slurm_time: 5", "resources.slurm_time: is no option here: say timeout_min"),
        ("slurm_partition: gpu", "slurm_setup: module load x", "resources.slurm_setup: must be a list of texts, not 'module load x'"),
        ("slurm_partition: gpu", "slurm_additional_parameters: [1]", "resources.slurm_additional_parameters: must be options of sbatch"),
        ("slurm_partition: gpu", "slurm_additional_parameters: {job_name: mine}", "resources.slurm_additional_parameters: 'job_name' is not said so"),
        ("slurm_partition: gpu", "slurm_additional_parameters: {ntasks: 4}", "'ntasks' is not said so: what runs the sweep sets it"),
        ("slurm_partition: gpu", 'slurm_additional_parameters: {nice: "5\\ntrue"}', "'nice': '5\\ntrue' is no option in a line"),
        ("slurm_partition: gpu", "slurm_srun_args: [--mpi=none, --ntasks=4]", "'--ntasks=4' is not for srun: say nodes and tasks_per_node"),
        ("slurm_partition: gpu", "slurm_exclude: [node1, node2]", "resources.slurm_exclude: must be a number or a text in a line, not ['node1', 'node2']"),
        ("slurm_partition: gpu", 'slurm_partition: "gpu\\ntrue"', "resources.slurm_partition: must be a number or a text in a line, not 'gpu\\ntrue'"),
        ("slurm_partition: gpu", "slurm_signal_delay_s: soon", "resources.slurm_signal_delay_s: must be a number of seconds, not 'soon'"),
        ("{timeout_min: 90}", "{nodes: 1, tasks_per_node: 3}", "ask.yaml:19: resources.stages.joint.nodes: batch=2 of the stage 'joint' cannot be shared by 3 processes (nodes 1 x tasks_per_node 3): it must be a multiple of it"),
        ("{timeout_min: 90}", "{nodes: 2, pack: 4}", "resources.stages.joint.nodes: pack=4: what several processes train together is a job of its own"),
        (
            "gpus_per_node: 2}",
            "slurm_partition: big}",
            "arms that share the stage 'images' ask for slurm_partition=gpu and for slurm_partition=big; "
            "say which under resources.stages.images",
        ),
    ],
)  # fmt: skip
def test_what_the_sweep_does_not_have_or_cannot_give_is_refused(sweep, old, new, said):
    sweep.write_text(sweep.read_text().replace(old, new))
    with pytest.raises(SpecError) as caught:
        plan(read_sweep(sweep))
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1
