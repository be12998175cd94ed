"""The doctor on a real cluster: its profile is what the cluster is set to, and what is broken is named."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster import Cluster
from daemons import Failed, until

from omnitok.cli import main
from omnitok.cluster import site
from omnitok.cluster.probe import Asked, probe
from omnitok.spec import SpecError

sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny


def call(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    return done.output


def levels(found: site.Site) -> dict[str, tuple[str, str]]:
    return {one.what: (one.level, one.seen) for one in site.findings(found)}


@contextlib.contextmanager
def covered(cluster: Cluster, node: str, place: Path) -> Iterator[None]:
    """On this node alone, something else lies at a path."""
    inside = ["nsenter", f"--target={cluster.daemons.worker(node).pid}", "--mount", "--pid"]
    what = ["-t", "tmpfs", "none"] if place.is_dir() else ["--bind", "/dev/null"]
    subprocess.run([*inside, "mount", *what, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "umount", str(place)], check=True)


@pytest.fixture
def failing(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Makes a command of Slurm's fail in some case, here and on the nodes."""

    def make(command: str, case: str, said: str) -> None:
        path, real = tmp_path / "bin" / command, cluster.ask("sh", "-c", f"command -v {command}")
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\ncase {case}) echo "{said}" >&2; exit 1;; esac\nexec {real} "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{cluster.environment['PATH']}")

    return make


def test_the_profile_is_what_the_cluster_is_set_to(cluster: Cluster, runs_root: Path) -> None:
    cluster.configure(MaxArraySize=37, MaxJobCount=901, JobRequeue=0, KillWait=7, MinJobAge=222)
    output = call("doctor", "--cluster", "slurm")
    found = site.read(runs_root)
    assert (
        found is not None and "at most 37 tasks an array" in output and "its nodes are looked at with --probe" in output
    )
    assert (found.array, found.submitted, found.requeue, found.kill_s, found.remembers_s) == (37, 901, False, 7, 222)
    assert found.version == cluster.ask("sinfo", "--version").split()[1] and found.user_signal and not found.silent
    names = cluster.ask("sinfo", "--noheader", "--format=%R").split()
    assert [one.name for one in found.partitions] == names
    low = found.partition("low")
    assert low is not None and (low.nodes, low.gpus, low.preempted, low.grace_s) == (4, 2, "REQUEUE", 10)
    memory = cluster.ask("sinfo", "--noheader", "--Node", "--partition=low", "--format=%m").split()
    assert low.memory_gb == max(map(int, memory)) / 1024 and found.services is None  # no accounts are enforced
    assert found.partition() == found.partition("all") and found.partition("all").preempted == "OFF"
    assert levels(found)["requeue"][0] == "warning"


def test_limits_of_accounts_and_of_qualities_of_service_count(cluster: Cluster) -> None:
    cluster.ask("sacctmgr", "-i", "modify", "qos", "normal", "set", "MaxSubmitJobsPerUser=55")
    try:
        assert site.asked().submitted == 55
    finally:
        cluster.ask("sacctmgr", "-i", "modify", "qos", "normal", "set", "MaxSubmitJobsPerUser=-1")


def test_an_accounting_that_is_gone_is_named_with_what_it_costs(cluster: Cluster, runs_root: Path) -> None:
    cluster.stop("slurmdbd")
    output = call("doctor", "--cluster", "slurm")
    assert "warning" in output and "how a job ended is known for 300 s only" in output


def test_preemption_that_cancels_is_named(cluster: Cluster) -> None:
    cluster.ask("scontrol", "update", "partitionname=low", "preemptmode=cancel")
    try:
        level, seen = levels(site.asked())["preemption"]
        assert level == "warning" and seen.startswith("low: preempted jobs are cancelled")
        cluster.ask("scontrol", "update", "partitionname=low", "preemptmode=requeue", "gracetime=0")
        level, seen = levels(site.asked())["preemption"]
        assert level == "warning" and "has 5 s (KillWait) to save a checkpoint" in seen
    finally:
        cluster.ask("scontrol", "update", "partitionname=low", "preemptmode=requeue", "gracetime=10")


def test_a_probe_finds_a_whole_cluster_well_and_leaves_nothing(cluster: Cluster, runs_root: Path) -> None:
    output = call("doctor", "--cluster", "slurm", "--probe", "--nodes", 3, "--wait", 200)
    assert output.count("of scratch in") == 3 and "probing: two jobs in the default partition" in output
    assert "flock holds between node1 and node2" in output and "checkpoint() reached" in output
    assert "is back" in output and "an end is known after" in output and "NO " not in output
    found = site.read(runs_root)
    assert found is not None and found.free is not None and found.free > 0
    assert {path.name for path in runs_root.iterdir()} == {"site.json", "code"}
    until(lambda: not cluster.ask("squeue", "--noheader"), 20, "nothing is left in the queue", pause=0.2)
    call("doctor", "--cluster", "slurm")  # what jobs have found stays known
    assert site.read(runs_root).nodes == found.nodes


def test_a_node_without_the_folder_and_one_without_python_are_named(cluster: Cluster, runs_root: Path) -> None:
    runs_root.mkdir(exist_ok=True)
    with covered(cluster, "node1", runs_root), covered(cluster, "node2", Path(sys.executable).resolve()):
        found = probe(runs_root, site.asked(), Asked(nodes=2, seconds=100))
    seen = {one.what: (one.level, one.seen) for one in found.nodes}
    assert seen["node node1"] == (
        "refused",
        f"does not see {runs_root}; put the runs (OMNITOK_RUNS) where all nodes see them",
    )
    level, said = seen["node node2"]
    assert level == "refused" and "has no working" in said and "install omnitok where all nodes see it" in said
    assert seen["shared folder"][0] == "warning" and seen["signal, requeued job"][0] == "warning"


def test_a_job_that_cannot_be_requeued_is_named_and_gone(
    cluster: Cluster, runs_root: Path, failing: Callable[[str, str, str], None]
) -> None:
    failing("scontrol", '"$1" in requeue', "Requested operation is presently disabled")
    found = probe(runs_root, site.asked(), Asked(nodes=1, seconds=200))
    seen = {one.what: one for one in found.nodes}
    assert seen["signal"].level == "ok" and seen["requeued job"].level == "refused"
    assert "remedy: JobRequeue=1" in seen["requeued job"].seen
    until(lambda: not cluster.ask("squeue", "--noheader"), 20, "the probe's job is gone", pause=0.2)


def test_a_probe_that_gets_no_node_ends_at_its_deadline_and_is_cancelled(cluster: Cluster, runs_root: Path) -> None:
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=drain", "reason=test")
    output = call("doctor", "--cluster", "slurm", "--probe", "--wait", 3, code=2)
    assert "srun said nothing in 3 seconds; --wait gives it longer" in output
    until(lambda: not cluster.ask("squeue", "--noheader"), 20, "nothing waits for ever", pause=0.2)
    assert not list(runs_root.glob(".site-*"))


def test_a_partition_that_is_not_there_is_refused_before_anything_is_submitted(
    cluster: Cluster, runs_root: Path
) -> None:
    with pytest.raises(SpecError, match="no partition lowest"):
        probe(runs_root, site.asked(), Asked(partition="lowest"))


SWEEP = tiny.SWEEP.replace("baselines: [mean_colour]\n", "")
RESOURCES = "resources: {timeout_min: 60, mem_gb: 1, keeper: false}\n"


@pytest.fixture
def sweep(tmp_path: Path, runs_root: Path) -> Path:
    """Two quantizers, two shares of images, two seeds: 4 first stages with 2 children each."""
    return tiny.write(tmp_path, sweep=SWEEP + RESOURCES)


def test_a_plan_has_the_arrays_that_a_launch_then_submits(cluster: Cluster, sweep: Path, runs_root: Path) -> None:
    cluster.configure(MaxArraySize=3)
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=drain", "reason=test")
    output = call("plan", sweep, "--cluster", "slurm")
    assert "jobs: 12 jobs in 6 arrays" in output and not runs_root.exists()
    planned = json.loads(call("plan", sweep, "--cluster", "slurm", "--json"))["review"]["layout"]
    assert sorted(len(array["jobs"]) for array in planned) == [1, 2, 2, 2, 2, 3]
    call("launch", sweep, "--cluster", "slurm")
    queued = cluster.ask("squeue", "--noheader", "--array", "--format=%F").split()
    assert sorted(Counter(queued).values()) == [1, 2, 2, 2, 2, 3]


def test_a_difference_names_what_is_queued_and_what_is_no_longer_wanted(
    cluster: Cluster, sweep: Path, runs_root: Path
) -> None:
    cluster.ask("scontrol", "update", "nodename=node[1-4]", "state=drain", "reason=test")
    assert "to submit 12, queued 0" in call("plan", sweep, "--diff", code=3)
    call("launch", sweep, "--cluster", "slurm")
    output = call("plan", sweep, "--diff")
    assert "to submit 0, queued 12, running 0" in output and "nothing to do" in output and output.count("= ") == 12
    sweep.write_text((SWEEP + RESOURCES).replace("[0.0, 0.5]", "[0.0]"))
    data = json.loads(call("plan", sweep, "--diff", "--json", code=3))
    wanted = {one["piece"] for one in data["submit"]}
    assert len(wanted) == 4 and not data["queued"]  # a first stage and its only child are one piece now
    assert all("which another sweep has there" in one["why"] for one in data["submit"])
    left = {one["label"] for one in data["unwanted"]}
    assert len(data["unwanted"]) == 4 and all(label.startswith("joint ") for label in left)
    before = cluster.ask("squeue", "--noheader", "--array", "--format=%i")
    output = call("plan", sweep, "--diff", code=3)
    assert "4 jobs of this sweep as it was" in output and output.count("cancel it with: scancel ") == 4
    assert cluster.ask("squeue", "--noheader", "--array", "--format=%i") == before  # nobody was cancelled


def test_what_a_site_would_never_run_is_refused_before_it_is_submitted(
    cluster: Cluster, sweep: Path, runs_root: Path
) -> None:
    sweep.write_text(SWEEP + "resources: {timeout_min: 90, gpus_per_node: 3, slurm_partition: lwo}\n")
    assert "slurm_partition='lwo': no such partition; did you mean 'low'?" in call(
        "plan", sweep, "--cluster", "slurm", code=2
    )
    sweep.write_text(SWEEP + "resources: {timeout_min: 90, gpus_per_node: 3, slurm_partition: low}\n")
    assert "gpus_per_node=3: a node of the partition low has 2" in call("plan", sweep, "--cluster", "slurm", code=2)
    sweep.write_text(SWEEP + "resources: {timeout_min: 90, mem_gb: 1e5, slurm_partition: low}\n")
    assert "mem_gb=100000.0: a node of the partition low has " in call("plan", sweep, "--cluster", "slurm", code=2)
    with pytest.raises(Failed, match=r"[Mm]emory|[Nn]ode configuration"):  # in Slurm's own words
        cluster.ask("sbatch", "--test-only", "--partition=low", "--mem=100000G", "--wrap=true")
    sweep.write_text(SWEEP + "resources: {timeout_min: 90, gpus_per_node: 3, slurm_partition: low}\n")
    call("doctor", "--cluster", "slurm")
    assert "jobs would never run: gpus_per_node=3" in call("plan", sweep)
    refused = call("launch", sweep, "--cluster", "slurm", code=2)
    assert "gpus_per_node=3" in refused and "if the site has changed: omnitok doctor --cluster slurm" in refused
    assert not cluster.ask("squeue", "--noheader")


def test_what_nodes_may_not_do_and_cannot_reach_is_said_with_what_it_costs(
    cluster: Cluster, runs_root: Path, failing: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("sbatch", '"$(uname -n)" in node*', "Access denied")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("OMNITOK_STUDY", "postgresql://me:secret@127.0.0.1:9/study")
    found = probe(runs_root, site.asked(), Asked(nodes=1, seconds=200))
    said = next(one for one in found.nodes if one.what.startswith("node "))
    assert said.level == "warning" and "secret" not in str(found)
    assert "jobs there may not submit (Access denied): what failed goes on only with the next launch" in said.seen
    assert "MLflow cannot be reached" in said.seen and "the study's PostgreSQL cannot be reached" in said.seen
    assert all(one.level != "refused" for one in found.nodes)
