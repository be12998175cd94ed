"""What ends badly on a real Slurm: seen to by keepers while nobody is logged in, or by who watches; nothing is left behind."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from daemons import until

from omnitok import cancel_sweep, launch_sweep, retry_sweep, runs, sweep_states
from omnitok.cluster import questions
from omnitok.cluster.ledger import read
from omnitok.launching.verdicts import history
from omnitok.sweep.stored import locate

sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny

ONE = tiny.SWEEP.replace("  model.quantizer:\n    vq: {type: vq, codebook_size: 16, code_dim: 4}\n", "").replace(
    "    fsq: {type: fsq, levels: [4, 4]}\n", ""
)
ONE = ONE.replace("{metric: psnr, better: fsq, than: vq}", "{metric: psnr, better: '0.5', than: '0.0'}")
ONE = ONE.replace("seeds: [0, 1]", "seeds: [0]")
LONG = tiny.EXPERIMENT.replace("steps: 5", "steps: 1500").replace("validate_every: 2", "validate_every: 1500")
MINUTES = 300  # a loaded machine takes its time


def rests(cluster: Cluster, folder: Path) -> None:
    """Every job has ended, keepers included, and none comes any more."""

    def idle() -> bool:
        return not cluster.ask("squeue", "--noheader", strict=False)

    try:
        until(idle, MINUTES, "the queue is empty", pause=0.5)
    except Exception:
        for log in sorted((folder / "jobs").glob("*log*")):
            print(log, log.read_text()[-3000:], sep="\n")
        print((folder / "verdicts.jsonl").read_text() if (folder / "verdicts.jsonl").exists() else "nothing judged")
        raise


def statuses(folder: Path) -> dict[str, str]:
    return {f"{state.trial['name']}/{state.trial['seed']}": state.status for state in sweep_states(folder.name)}


def verdicts(folder: Path) -> list[tuple[str, str]]:
    return [(one.kind, one.does) for one in history(folder).verdicts.values()]


def resources(**more: Any) -> str:
    said = {"timeout_min": 60, "mem_gb": 1, "slurm_partition": "all", **more}
    return f"resources: {json.dumps(said)}\n"


def trained_once(root: Path) -> None:
    """Every stage ended well exactly once, and its records are those of one run."""
    for path in root.glob(f"*/{runs.EXPERIMENT}"):
        ends = [one["ended"] for one in runs.attempts(path.parent)]
        assert ends.count("done") == 1, (path, ends)
        steps = [record.step for record in runs.records(path.parent)]
        assert steps == sorted(set(steps))


def test_a_job_that_is_killed_for_its_memory_is_tried_again_with_more_while_nobody_is_there(
    cluster: Cluster, runs_root: Path, tmp_path: Path
) -> None:
    policy = "failures: {out_of_memory: {retry: 2, times: {mem_gb: 4}, with: {recompute: true}}}\n"
    sweep = tiny.write(tmp_path, sweep=ONE + resources(stages={"images": {"mem_gb": 0.2}}) + policy)
    done = launch_sweep(sweep, cluster="slurm")
    rests(cluster, done.folder)
    assert set(statuses(done.folder).values()) == {"done"}
    assert verdicts(done.folder) == [("out_of_memory", "retry")]
    first = next(one.piece for one in history(done.folder).verdicts.values())
    given = [entry.resources["mem_gb"] for entry in read(done.folder) if entry.piece == first]
    assert given == [0.2, 0.8]
    kept = runs.read_json(runs_root / first / runs.PROVENANCE)
    assert kept["deviations"] == ["recompute=true after out_of_memory"]
    others = [path for path in runs_root.glob(f"*/{runs.PROVENANCE}") if path.parent.name != first]
    assert others and all(runs.read_json(path)["deviations"] == [] for path in others)
    trained_once(runs_root)


def test_a_job_whose_node_fails_is_tried_again_on_another(
    cluster: Cluster, runs_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")  # else Slurm itself does it
    how = resources(checkpoint_every_s=0.5)
    done = launch_sweep(tiny.write(tmp_path, experiment=LONG, sweep=ONE + how), cluster="slurm")
    first = next(state.trial["stages"][0] for state in done.states)
    until((runs_root / first / runs.CHECKPOINT).exists, MINUTES, "it trains")
    job = next(entry.job for entry in read(done.folder) if entry.piece == first)
    place = cluster.place(job)
    cluster.crash(place)
    rests(cluster, done.folder)
    assert set(statuses(done.folder).values()) == {"done"}
    assert set(verdicts(done.folder)) == {("node", "retry")}
    last = [entry for entry in read(done.folder) if entry.piece == first][-1]
    assert last.resources["slurm_exclude"] == place and last.attempt == 2
    assert runs.read_json(runs_root / first / runs.PROVENANCE)["host"] != place
    trained_once(runs_root)


def test_a_job_that_ends_at_its_limit_before_it_could_save_is_tried_again(
    cluster: Cluster, runs_root: Path, tmp_path: Path
) -> None:
    hangs = f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; sleep 600; }}"  # before there is anybody to signal
    how = resources(stages={"images": {"timeout_min": 1, "slurm_setup": [hangs]}})
    done = launch_sweep(tiny.write(tmp_path, sweep=ONE + how), cluster="slurm")
    rests(cluster, done.folder)
    assert set(statuses(done.folder).values()) == {"done"}
    assert verdicts(done.folder) == [("time_out", "retry")]
    trained_once(runs_root)


def test_what_is_not_installed_stops_the_sweep_after_two_jobs_and_the_rest_is_cancelled(
    cluster: Cluster, runs_root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text(
        "import time\ntime.sleep(12)\nraise ModuleNotFoundError(\"No module named 'gone'\")\n"
    )
    how = resources(max_parallel=1, slurm_setup=[f"export PYTHONPATH={broken}"])
    text = ONE.replace("seeds: [0]", f"seeds: {list(range(12))}")
    sweep = tiny.write(tmp_path, sweep=text + how)
    done = launch_sweep(sweep, cluster="slurm")
    rests(cluster, done.folder)
    states = sweep_states(done.folder.name)
    assert {state.status for state in states} <= {"cancelled", "blocked", "failed"}
    (why,) = {state.reason for state in states if state.status == "cancelled"}
    assert why.startswith("stopped after ") and "import: ModuleNotFoundError: No module named 'gone'" in why
    assert len([entry for entry in read(done.folder) if entry.attempt > 1]) == 0
    shutil.rmtree(broken)
    again = launch_sweep(sweep, ["seeds=[0]"], cluster="slurm", wait=True)  # mended, it goes on
    assert {state.status for state in again.states} == {"done"}


def test_jobs_that_the_controller_forgets_are_found_missing_and_submitted_again(
    cluster: Cluster, runs_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "UNKNOWN_S", 15.0)
    sweep = tiny.write(tmp_path, sweep=ONE + resources(keeper=False))

    def crash(jobs: Any) -> None:
        cluster.crash("slurmctld")
        cluster.start("slurmctld")

    done = launch_sweep(sweep, cluster="slurm", wait=True, told=crash)
    assert {state.status for state in done.states} == {"done"}
    assert {does for _, does in verdicts(done.folder)} <= {"retry"}
    rests(cluster, done.folder)
    trained_once(runs_root)


def test_cancel_ends_what_waits_and_runs_and_retry_takes_up_what_is_asked_for(
    cluster: Cluster, runs_root: Path, tmp_path: Path
) -> None:
    text = ONE.replace("seeds: [0]", "seeds: [0, 1]")
    sweep = tiny.write(tmp_path, experiment=LONG, sweep=text + resources())
    done = launch_sweep(sweep, cluster="slurm")
    until(lambda: list(runs_root.glob(f"*/{runs.RECORDS}")), MINUTES, "something trains")
    asked = cancel_sweep(sweep)
    assert not asked.done and len(asked.jobs) >= 4 and asked.keepers
    assert cluster.ask("squeue", "--noheader")  # nothing was done
    found = cancel_sweep(sweep, really=True)
    assert (
        found.done and not found.left and {one.job for one in found.jobs} <= {entry.job for entry in read(done.folder)}
    )
    rests(cluster, done.folder)
    assert set(statuses(done.folder).values()) <= {"cancelled", "done"}
    retry_sweep(sweep, ["0.5/1"])
    rests(cluster, done.folder)
    after = statuses(done.folder)
    assert after["0.5/1"] == "done" and after["0.0/0"] == after["0.5/0"] == "cancelled"
    assert locate(runs_root, "ask") == done.folder
