"""A sweep's pieces on a real Slurm: trained where nodes come and go, to the same bits, once each."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cluster import Cluster
from daemons import until
from tiny import EXPERIMENT

from omnitok import provenance, runs, trial
from omnitok.cluster import Piece, queue, submit
from omnitok.spec import read_value
from omnitok.training.stage import bind, read_stages

LONG = EXPERIMENT.replace("steps: 5", "steps: 500").replace("validate_every: 2", "validate_every: 500")
HERE = Path(__file__).parent


class Resources(NamedTuple):
    threads: int = 1
    checkpoint_every_s: float = 1000.0
    max_parallel: int | None = 2
    environment: dict[str, str] = {}
    job: dict[str, Any] = {"timeout_min": 60, "mem_gb": 1, "slurm_partition": "all"}


def stages(root: Path, text: str = EXPERIMENT, seed: int = 0) -> tuple[str, str]:
    """The folders of both stages of an experiment."""
    first, second = read_stages(read_value(text, "tiny.yaml"))
    one = bind(first, seed, {})
    return trial.create(root, one).name, trial.create(root, bind(second, seed, {"images": one.digest})).name


def piece(*names: str, after: tuple[str, ...] = ()) -> Piece:
    return Piece(names[-1], f"tiny {names[-1]}", names, (), after, {})


def broken(root: Path, name: str) -> None:
    """What nobody can train: a choice that no schema knows."""
    said = runs.read_json(root / name / runs.EXPERIMENT)
    said["spec"]["steps"] = "many"
    runs.write_json(root / name / runs.EXPERIMENT, said)


def weights(folder: Path) -> bytes:
    return (folder / runs.WEIGHTS).read_bytes()


@pytest.fixture
def sweep(runs_root: Path) -> Path:
    """A sweep's folder, as a launch leaves it."""
    folder = runs_root / "sweeps" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


def done(folder: Path, names: list[str], seconds: float = 180) -> None:
    root = folder.parent.parent

    def ended() -> bool:
        return all((root / name / runs.RESULT).exists() for name in names)

    try:
        until(ended, seconds, "everything is trained")
    except Exception:
        for log in sorted((folder / "jobs").glob("*_log.*")):
            print(log, log.read_text(), sep="\n")
        raise


def steps(folder: Path) -> int:
    last = runs.last_record(folder)
    return last.step if last else -1


def test_a_fork_is_trained_each_branch_after_its_trunk_and_nothing_twice(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    trunk, one = stages(runs_root)
    other = stages(runs_root, EXPERIMENT.replace("frames: 3", "frames: 5"))[1]
    alone = stages(runs_root, seed=1)
    pieces = [piece(trunk), piece(one, after=(trunk,)), piece(other, after=(trunk,)), piece(*alone)]
    jobs = dict(submit(runs_root, sweep, pieces, Resources()))
    assert jobs.keys() == {each.id for each in pieces}
    assert submit(runs_root, sweep, pieces, Resources()) == []
    assert {job.partition("_")[0] for job in (jobs[one], jobs[other])} == {str(int(jobs[trunk].split("_")[0]) + 1)}
    assert {one.state for one in queue(sweep).values()} <= {"pending", "running", "done", "unknown"}
    done(sweep, [trunk, one, other, *alone])
    until(lambda: {one.state for one in queue(sweep).values()} == {"done"}, 60, "all are known to be done")
    assert submit(runs_root, sweep, pieces, Resources()) == []
    assert all(len(runs.attempts(runs_root / name)) == 1 for name in (trunk, one, other, *alone))


def test_a_requeued_job_ends_where_an_undisturbed_one_does(
    cluster: Cluster, runs_root: Path, sweep: Path, tmp_path: Path
) -> None:
    first, last = stages(runs_root, LONG)
    [submitted] = submit(runs_root, sweep, [piece(first, last)], Resources())
    until(lambda: steps(runs_root / first) > 20, 120, "it trains")
    cluster.ask("scancel", "--signal=USR2", submitted.job)
    done(sweep, [first, last])
    begun = runs.attempts(runs_root / first)
    assert len(begun) > 1 and begun[1]["from_step"] == begun[0]["to_step"] > 20
    for name in (first, last):
        undisturbed = tmp_path / "undisturbed" / name
        undisturbed.mkdir(parents=True)
        shutil.copy(runs_root / name / runs.EXPERIMENT, undisturbed)
        trial.run(undisturbed)
        assert weights(undisturbed) == weights(runs_root / name)


def test_a_job_that_has_its_node_for_itself_is_one_task(cluster: Cluster, runs_root: Path, sweep: Path) -> None:
    first, _ = stages(runs_root)
    alone = Resources(job={**Resources().job, "slurm_exclusive": True})
    [submitted] = submit(runs_root, sweep, [piece(first)], alone)
    done(sweep, [first])
    said = cluster.ask("squeue", "--noheader", "--states=all", f"--jobs={submitted.job}", "--format=%C")
    assert int(said) > 1  # it has cores for more
    assert len(list((sweep / "jobs").glob("*_log.out"))) == 1


def test_a_signal_that_comes_before_a_task_can_handle_it_does_not_end_it(
    cluster: Cluster, runs_root: Path, sweep: Path
) -> None:
    first, last = stages(runs_root)
    [submitted] = submit(runs_root, sweep, [piece(first, last)], Resources())
    until(lambda: list((sweep / "jobs").glob("*_log.out")), 60, "its step begins", pause=0.01)
    cluster.ask("scancel", "--signal=USR2", submitted.job)
    done(sweep, [first, last])


def test_a_failed_trunk_releases_its_branches(cluster: Cluster, runs_root: Path, sweep: Path) -> None:
    trunk, branch = stages(runs_root)
    whole = runs.read_json(runs_root / trunk / runs.EXPERIMENT)
    broken(runs_root, trunk)
    pieces = [piece(trunk), piece(branch, after=(trunk,))]
    submit(runs_root, sweep, pieces, Resources())
    until(lambda: {one.state for one in queue(sweep).values()} == {"failed", "cancelled"}, 120, "both have ended")
    assert "steps" in (runs_root / trunk / runs.ERROR).read_text()
    runs.write_json(runs_root / trunk / runs.EXPERIMENT, whole)  # mended and launched again, it goes on
    assert len(submit(runs_root, sweep, pieces, Resources())) == 2
    done(sweep, [trunk, branch])


SUBMIT = """
import sys
from pathlib import Path
sys.path += sys.argv[3].split(":")
from test_jobs import Resources, piece
from omnitok.cluster import submit
print(submit(Path(sys.argv[1]), Path(sys.argv[2]), [piece(*sys.argv[4:])], Resources()._replace(job={
    "timeout_min": 60, "mem_gb": 1, "slurm_partition": "all", "slurm_additional_parameters": {"hold": True}}))[0].job)
"""


def test_what_runs_is_what_was_submitted(
    cluster: Cluster, runs_root: Path, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, source = stages(runs_root), tmp_path / "source"
    shutil.copytree(provenance.PACKAGE, source / "omnitok", ignore=shutil.ignore_patterns("__pycache__"))

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *who, *words], cwd=source, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "as it was")
    edited = source / "omnitok" / "trial" / "__init__.py"
    edited.write_text(edited.read_text() + "# before it was submitted\n")
    monkeypatch.setenv("PYTHONPATH", str(source))
    words = [sys.executable, "-c", SUBMIT, str(runs_root), str(sweep), f"{HERE}:{HERE.parent}", *names]
    job = subprocess.run(words, cwd=source, check=True, capture_output=True, text=True).stdout.strip()
    edited.write_text("raise SystemExit('after it was submitted')\n")
    cluster.ask("scontrol", "release", job)
    done(sweep, list(names))
    kept = runs.read_json(runs_root / names[1] / runs.PROVENANCE)
    assert (kept["commit"], kept["dirty"]) == (git("rev-parse", "HEAD").strip(), True)
    diff = (runs_root / names[1] / "code.diff").read_text()
    assert "# before it was submitted" in diff and "SystemExit" not in diff
    assert len(list((runs_root / "code").iterdir())) == 1
