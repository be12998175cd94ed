"""The cluster that the tests of Slurm stand on is a real one, breaks where it is told to, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import submitit
from cluster import Cluster
from daemons import Failed, until


def executor(folder: Path, **parameters: object) -> submitit.AutoExecutor:
    made = submitit.AutoExecutor(folder=folder / "%j", cluster="slurm")
    made.update_parameters(**{"timeout_min": 60, "slurm_partition": "all", **parameters})
    return made


def seen(seconds: float) -> tuple[float, float, str, str]:
    """When a task ran, on which host and on which GPU."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time(), os.uname().nodename, os.environ["CUDA_VISIBLE_DEVICES"]


def ticking(path: str, ticks: int) -> str:
    """Says each tenth of a second who is there, and in the end which attempt this was; a second one is a short one."""
    attempt = os.environ.get("SLURM_RESTART_COUNT", "0")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which submitit would ignore
    for _ in range(ticks if attempt == "0" else 1):
        with Path(path).open("a") as file:
            file.write(f"{attempt} {os.uname().nodename}\n")
        time.sleep(0.1)
    return attempt


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses that these processes, and whatever they started, listen on."""
    pids = {process.pid for process in processes}
    sockets = psutil.net_connections(kind="inet")
    return {s.laddr.ip for s in sockets if s.pid in pids and (s.status == psutil.CONN_LISTEN or not s.raddr)}


def test_an_array_with_a_throttle_has_a_host_and_a_gpu_for_each_task(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.states() == {f"node{i}": "idle" for i in (1, 2, 3, 4)}
    jobs = executor(tmp_path, gpus_per_node=1, slurm_array_parallelism=3).map_array(seen, [0.5] * 7)
    spans = [job.result() for job in jobs]
    assert max(sum(began <= at < ended for began, ended, *_ in spans) for at, *_ in spans) == 3
    assert {host for _, _, host, _ in spans} <= set(cluster.nodes)
    assert {gpu for *_, gpu in spans} == {"0", "1"}


def test_accounting_knows_how_a_job_ended(cluster: Cluster, tmp_path: Path) -> None:
    good, bad = executor(tmp_path).submit(abs, -3), executor(tmp_path).submit(int, "three")
    assert good.result() == 3
    with pytest.raises(submitit.core.utils.FailedJobError, match="invalid literal for int"):
        bad.result()
    until(lambda: cluster.attempts(good.job_id) == ["COMPLETED"], 10, "accounting knows the good job")
    until(lambda: cluster.attempts(bad.job_id) == ["FAILED"], 10, "accounting knows the bad job")
    cluster.stop("slurmdbd")
    with pytest.raises(Failed, match="sacct"):
        cluster.attempts(good.job_id)
    cluster.start("slurmdbd")
    assert cluster.attempts(good.job_id) == ["COMPLETED"]


def test_a_requeued_job_begins_again(cluster: Cluster, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    job = executor(tmp_path).submit(ticking, str(ticks), 300)
    until(lambda: lines(ticks), 20, "the job runs")
    cluster.ask("scontrol", "requeue", job.job_id)
    assert job.result() == "1"
    assert {line.split()[0] for line in lines(ticks)} == {"0", "1"}
    until(lambda: cluster.attempts(job.job_id) == ["REQUEUED", "COMPLETED"], 10, "accounting knows both attempts")


def test_a_job_of_low_priority_makes_way_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    executor(tmp_path, slurm_partition="low", nodes=4, slurm_exclusive=True).submit(ticking, str(ticks), 300)
    until(lambda: len({line.split()[1] for line in lines(ticks)}) == 4, 20, "it runs on every node")
    high = executor(tmp_path, slurm_partition="high").submit(abs, -3)
    assert high.result() == 3
    until(lambda: "1" in {line.split()[0] for line in lines(ticks)}, 30, "it is back", pause=0.2)


def test_a_crashed_node_loses_its_job_to_another(cluster: Cluster, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    job = executor(tmp_path).submit(ticking, str(ticks), 600)
    until(lambda: lines(ticks), 20, "the job runs")
    first = cluster.place(job.job_id)
    cluster.crash(first)
    held = len(lines(ticks))
    time.sleep(0.5)
    assert len(lines(ticks)) == held  # what ran there went with it
    until(lambda: "1" in {line.split()[0] for line in lines(ticks)}, 40, "it runs elsewhere", pause=0.2)
    until(lambda: cluster.attempts(job.job_id) == ["NODE_FAIL", "COMPLETED"], 20, "accounting knows both attempts")
    assert lines(ticks)[-1].split()[1] != first
    assert cluster.states()[first].startswith("down")
    cluster.start(first)
    until(lambda: cluster.states()[first] == "idle", 20, "the node is back")


def test_a_frozen_node_works_on_in_silence(cluster: Cluster, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    job = executor(tmp_path).submit(ticking, str(ticks), 50)
    until(lambda: lines(ticks), 20, "the job runs")
    node = cluster.place(job.job_id)
    cluster.freeze(node)
    held = len(lines(ticks))
    until(lambda: len(lines(ticks)) > held + 5, 10, "the job goes on")
    cluster.thaw(node)
    assert job.result() == "0"


def test_a_controller_that_was_away_knows_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    job = executor(tmp_path).submit(ticking, str(tmp_path / "ticks"), 30)
    until(lambda: lines(tmp_path / "ticks"), 20, "the job runs")
    cluster.stop("slurmctld")
    with pytest.raises(Failed, match="squeue"):
        cluster.ask("squeue")
    cluster.start("slurmctld")
    assert cluster.queued(job.job_id) == "RUNNING"
    assert job.result() == "0"
    cluster.crash("slurmctld")  # and back it comes, by the fixture


def test_a_setting_is_changed_and_taken_back(cluster: Cluster) -> None:
    cluster.configure(MaxArraySize=5)
    with pytest.raises(Failed, match="Invalid job array specification"):
        cluster.ask("sbatch", "--array=0-5", "--wrap=true", "--output=/dev/null")
    cluster.heal()
    cluster.ask("sbatch", "--array=0-5", "--wrap=true", "--output=/dev/null")


def test_everything_listens_on_loopback_only(cluster: Cluster, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    executor(tmp_path, nodes=2).submit(ticking, str(ticks), 300)
    until(lambda: len({line.split()[1] for line in lines(ticks)}) == 2, 20, "the job runs on two nodes")
    assert len([task for task in cluster.tasks() if "submitit.core._submit" in " ".join(task.cmdline())]) >= 2
    names = {process.name() for process in cluster.daemons.family()}
    assert {"munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "srun"} <= names
    assert listening(cluster.daemons.family()) == {"127.0.0.1"}


def test_a_second_up_leaves_a_cluster_that_serves_alone(cluster: Cluster) -> None:
    before = {process.pid for process in cluster.daemons.family()}
    began = time.monotonic()
    assert cluster.up() is False
    assert time.monotonic() - began < 2
    assert {process.pid for process in cluster.daemons.family()} == before


USER = """
import sys, time
from pathlib import Path
from cluster import Cluster
with Cluster(Path(sys.argv[1]), nodes=1).used() as cluster:
    cluster.ask("sbatch", "--wrap=exec sleep 1234", "--output=/dev/null")
    time.sleep(1000)
"""


def running(folder: Path) -> list[str]:
    """The command lines of all processes that know the folder, by argument or by environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            found.append(" ".join(process.cmdline()))
    return found


def test_nothing_outlives_whoever_used_a_cluster(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Not even if that process is killed; ``cluster`` is another one, which goes on."""
    folder, hosts = tmp_path_factory.mktemp("second"), Path("/etc/hosts").read_bytes()
    command = [sys.executable, "-c", USER, str(folder)]
    with subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL) as user:
        try:
            until(
                lambda: any(words.startswith("sleep 1234") for words in running(folder)), 30, "its job runs", pause=0.2
            )
        finally:
            user.kill()
    until(lambda: not running(folder), 20, "all have ended", pause=0.2)
    assert {path.name for path in folder.iterdir()} <= {".lock", "devices", "etc", "log", "pids", "run"}
    assert Path("/etc/hosts").read_bytes() == hosts
    assert cluster.serves()


def test_a_folder_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="at most 72 characters"):
        Cluster(tmp_path / ("deep" * 20)).up()


def test_it_is_started_and_stopped_by_hand_as_well(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> None:
    folder, script = tmp_path_factory.mktemp("by-hand"), Path(__file__).with_name("cluster.py")
    up = subprocess.run([sys.executable, script, "up", folder], capture_output=True, text=True, check=True)
    assert f"export SLURM_CONF='{folder}/etc/slurm.conf'" in up.stdout
    other = Cluster(folder)
    assert other.ask("sinfo", "--noheader", "--format=%D", "--partition=all") == "4"
    subprocess.run([sys.executable, script, "crash", folder, "node2"], check=True)
    assert other.up() is True  # half dead, so made anew
    subprocess.run([sys.executable, script, "down", folder], check=True)
    assert not running(folder)
