"""A plan held to the profile of a site: its arrays, and what would never run there."""

import re

import pytest
import tiny
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.cluster import site
from omnitok.launching.launch import launch
from omnitok.reviewing import review as reviewed
from omnitok.reviewing.review import Asked, review
from omnitok.spec import SpecError
from omnitok.sweep.plan import plan_sweep
from omnitok.sweep.unfit import refuse_unfit


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=tiny.ONE)


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
    sweep.write_text(f"{tiny.ONE}resources: {said}\n")
    (found,) = review(plan_sweep(sweep)).unfit
    assert found.startswith(sentence)
    line, option = len(sweep.read_text().splitlines()), sentence.partition("=")[0]
    with pytest.raises(SpecError, match=re.escape(f"{sweep}:{line}: resources.{option}: {sentence}")):
        refuse_unfit(plan_sweep(sweep), runs_root)
    sweep.write_text(
        f"{tiny.ONE}resources: {{timeout_min: 600, gpus_per_node: 2, slurm_partition: gpu, mem_gb: 64, slurm_qos: long}}\n"
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
    sweep.write_text(f"{tiny.ONE.replace('baselines: [mean_colour]', '')}{search}")
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
