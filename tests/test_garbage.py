"""What sweeps leave beside their runs may go once nobody needs it, and not before."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny
from click.testing import CliRunner

import omnitok
from omnitok import runs
from omnitok.cli import main
from omnitok.cluster import ledger
from omnitok.cluster.piece import Queued
from omnitok.inspection import leftovers
from omnitok.inspection.freed import STALE_S
from omnitok.launching.launch import launch
from omnitok.launching.settled import settle
from omnitok.sweep.stored import store

SMALL = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")


@pytest.fixture
def sweep(tmp_path, runs_root, monkeypatch):
    monkeypatch.setattr(leftovers, "queue", lambda folder: {})
    path = tiny.write(tmp_path, sweep=SMALL)
    launch(path)
    return path


def call(*words: str) -> str:
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def old(path, seconds: float = 2 * STALE_S) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def paths(**asked: bool) -> set[str]:
    return {one.path.name for one in omnitok.collect_garbage(**asked).files}


def submitted(stored, code: str, piece: str = "p") -> None:
    """As a launch on a cluster leaves it, some hours ago."""
    ledger.add(stored, ledger.Entry("2026-01-01T00:00:00+00:00", piece, [piece], "12", 1, code, {}))
    old(stored / ledger.LEDGER)


@pytest.fixture
def frozen(sweep, runs_root):
    """Two copies of the code, of which a job was submitted with one."""
    for name in ("0" * 16, "1" * 16):
        (runs_root / "code" / name / "omnitok").mkdir(parents=True)
        (runs_root / "code" / name / "omnitok" / "a.py").write_text("1234")
    stored = next(runs_root.glob("sweeps/*/plan.json")).parent
    submitted(stored, "1" * 16)
    return stored


def test_frozen_code_goes_with_the_last_job_that_runs_from_it(frozen, runs_root, monkeypatch):
    monkeypatch.setattr(leftovers, "queue", lambda folder: {"p": Queued("12", "running", "")})
    found = omnitok.collect_garbage()
    assert [(one.path.name, one.size) for one in found.files] == [("0" * 16, 4)]
    assert found.kept == ("1 copy of frozen code, which jobs that have not ended run from",)
    assert "stays: 1 copy of frozen code" in call("gc")
    monkeypatch.setattr(leftovers, "queue", lambda folder: {"p": Queued("12", "done", "")})
    assert paths() == {"0" * 16, "1" * 16}
    assert len(list((runs_root / "code").iterdir())) == 2  # nothing goes without --yes
    call("gc", "--yes")
    assert not list((runs_root / "code").iterdir())


def test_frozen_code_stays_for_a_while_after_a_launch_and_where_slurm_is_silent(frozen, runs_root, monkeypatch):
    os.utime(frozen / ledger.LEDGER)
    assert paths() == {"0" * 16}
    (frozen / "jobs").mkdir()
    recent = "submitted less than an hour ago, so that Slurm may not know its jobs yet"
    code, logs = f"1 copy of frozen code, {recent}", f"the logs of 1 finished sweep, {recent}"
    assert omnitok.collect_garbage().kept == (code,) and omnitok.collect_garbage(logs=True).kept == (code, logs)
    old(frozen / ledger.LEDGER)

    def silent(folder):
        raise leftovers.SpecError([])

    monkeypatch.setattr(leftovers, "queue", silent)
    assert paths() == {"0" * 16, "1" * 16}  # everything is done, whatever Slurm would say
    next(runs_root.glob(f"*/{runs.RESULT}")).unlink()
    assert paths() == {"0" * 16}


def test_nothing_of_code_goes_while_somebody_submits(frozen, runs_root, monkeypatch):
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.2)
    with ledger.alone(runs_root / "sweeps"):
        found = omnitok.collect_garbage(free=True)
    assert not found.files and "frozen code and logs stay" in found.kept[0]
    assert len(list((runs_root / "code").iterdir())) == 2


def test_logs_of_a_finished_sweep_go_where_somebody_asks_for_it(frozen, runs_root, monkeypatch):
    (frozen / "jobs").mkdir()
    (frozen / "jobs" / "12_0_log.out").write_text("said")
    assert "jobs" not in paths() and "jobs" in paths(logs=True)
    monkeypatch.setattr(leftovers, "queue", lambda folder: {"p": Queued("12", "running", "")})
    assert "jobs" not in paths(logs=True)
    monkeypatch.setattr(leftovers, "queue", lambda folder: {})
    omnitok.collect_garbage(logs=True, free=True)
    assert not (frozen / "jobs").exists() and (frozen / ledger.LEDGER).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from omnitok import runs
with runs.lease(Path(sys.argv[1])) as held:
    (held.place / "half").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_an_attempt_left_that_was_killed_goes_and_one_that_lives_is_left_alone(sweep, runs_root):
    folder = omnitok.read_logs("ask/fsq+0.5/0").stages[-1].folder
    assert subprocess.run([sys.executable, "-c", KILLED, folder], check=False).returncode == -signal.SIGKILL
    [left] = [path for path in folder.iterdir() if runs.of_lease(path)]
    assert left.name not in paths()  # it may be beating
    old(left)
    found = omnitok.collect_garbage()
    assert [one.path for one in found.files] == [left] and found.size > 1000
    omnitok.collect_garbage(free=True)
    assert not [path for path in folder.iterdir() if runs.of_lease(path)]
    with runs.lease(folder):
        found = omnitok.collect_garbage(free=True)
        assert found.busy == (folder.name,) and not found.files


def test_checkpoints_of_what_a_search_stopped_go_where_somebody_asks_for_it(sweep, runs_root):
    text = SMALL.replace("[0.5]", "[0.25]")
    sweep.write_text(text)
    planned = omnitok.plan_sweep(sweep)
    _, data = settle(runs_root, planned)
    open_ = sorted(digest for digest in planned.runs if not (runs_root / digest / runs.RESULT).exists())
    for digest in open_:
        (runs_root / digest / runs.CHECKPOINT).write_bytes(b"x" * 100)
    place = next(runs_root.glob("sweeps/*/plan.json")).parent / "search" / "fsq"
    place.mkdir(parents=True)
    told = [{"number": 0, "state": "pruned", "runs": [open_[0]]}, {"number": 1, "state": "running", "runs": [open_[1]]}]
    (place / "trials.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    assert not omnitok.collect_garbage().files
    found = omnitok.collect_garbage(stopped=True)
    assert [one.path for one in found.files] == [runs_root / open_[0] / runs.CHECKPOINT]
    assert found.checkpoints == 100 * (len(open_) - 1)
    store(runs_root, planned.asked, data)  # in the plan of a sweep it is wanted after all
    assert not omnitok.collect_garbage(stopped=True).files


def test_what_a_killed_probe_of_the_site_left_goes_once_it_is_old(runs_root):
    for name in (".site-young", ".site-old"):
        (runs_root / name).mkdir(parents=True)
        (runs_root / name / "token").write_text(name)
    old(runs_root / ".site-old")
    assert paths(free=True) == {".site-old"}
    assert [path.name for path in runs_root.iterdir()] == [".site-young"]


def test_what_a_killed_worker_of_a_search_left_goes_and_one_that_lives_is_left_alone(runs_root):
    search = runs_root / "sweeps" / "0123456789abcdef" / "search" / "fsq"
    for place in (search, search / "trials" / "0", search / "trials" / "1"):
        (place / "attempts" / "dead").mkdir(parents=True)
        old(place / "attempts")
    with runs.lease(search / "trials" / "1"):
        found = omnitok.collect_garbage(free=True)
    assert found.busy == ("sweeps/0123456789abcdef/search/fsq/trials/1",)
    assert {one.path for one in found.files} == {search / "attempts", search / "trials" / "0" / "attempts"}
    assert not list(runs_root.rglob("attempts")) and (search / "trials" / "0").is_dir()
