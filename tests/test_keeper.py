"""Keepers: what they wait for, that nobody waits twice, and what a keeper does when it wakes."""

import pytest
import tiny

from omnitok import runs
from omnitok.cluster import Piece, Queued, keeper
from omnitok.cluster.ledger import Entry, add
from omnitok.launching import keep, verdicts
from omnitok.launching.enqueue import Jobs
from omnitok.launching.judge import Case, judge
from omnitok.launching.launch import Launched
from omnitok.spec import Fault, Mark, SpecError, check
from omnitok.sweep.failures import Failures
from omnitok.sweep.stored import SWEEP, asked_of, store

NOTHING = {"stages": {}, "trials": [], "evaluations": []}


@pytest.fixture
def slurm(monkeypatch):
    """A Slurm in which keepers wait until they are told to wake: [[words of each sbatch], the waiting ones]."""
    calls, waiting = [], []

    def ask(command, *words, seconds=30.0):
        if command == "squeue":
            return "\n".join(waiting)
        calls.append(dict(word.lstrip("-").partition("=")[::2] for word in words))
        waiting.append(str(100 + len(calls)))
        return f"{waiting[-1]}\n"

    monkeypatch.setattr(keeper, "ask", ask)
    return calls, waiting


def test_every_job_has_one_keeper_that_wakes_for_it(tmp_path, slurm, monkeypatch):
    calls, waiting = slurm
    given = {"slurm_partition": "gpu", "slurm_account": "us", "mem_gb": 64, "gpus_per_node": 8}
    jobs = {"12_0": "afternotok", "12_1": "afternotok", "13": "afterany"}
    assert keeper.cover(tmp_path, tmp_path / "code", jobs, given) == ["101"]
    assert calls[0]["dependency"] == "afternotok:12_0?afternotok:12_1?afterany:13"
    assert calls[0]["kill-on-invalid-dep"] == "yes"  # it goes when nothing of that can come any more
    assert (calls[0]["partition"], calls[0]["account"], calls[0]["cpus-per-task"]) == ("gpu", "us", "1")
    assert "gres" not in calls[0] and "gpus-per-node" not in calls[0]
    assert keeper.cover(tmp_path, tmp_path / "code", jobs, given) == []
    assert keeper.cover(tmp_path, tmp_path / "code", jobs | {"14": "afternotok"}, given) == ["102"]
    assert calls[1]["dependency"] == "afternotok:14"
    waiting.remove("101")  # it has woken, and waits for nothing any more
    assert keeper.cover(tmp_path, tmp_path / "code", {"12_1": "afternotok", "14": "afternotok"}, given) == ["103"]
    assert calls[2]["dependency"] == "afternotok:12_1"


def test_of_many_jobs_each_keeper_waits_for_some_and_one_for_room(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(keeper, "MOST", 3)
    jobs = dict.fromkeys((f"1_{i}" for i in range(8)), "afternotok")
    assert len(keeper.cover(tmp_path, tmp_path / "code", jobs, {}, room=True)) == 4
    assert [call["dependency"].count("afternotok") for call in slurm[0]] == [3, 3, 2, 0]
    assert slurm[0][3]["dependency"] == "afterany:1_0,afterany:1_1"
    assert keeper.cover(tmp_path, tmp_path / "code", jobs, {}, room=True) == []


def test_what_a_keeper_runs_is_quoted(tmp_path, slurm):
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    keeper.cover(folder, tmp_path / "code", {"1": "afternotok"}, {})
    script = (folder / keeper.LOGS / "keeper.sh").read_text()
    assert "'\"'\"'" in script and "-m omnitok.launching.keep" in script and str(tmp_path / "code") in script


@pytest.fixture
def folder(tmp_path, runs_root):
    """A sweep as a launch leaves it."""
    from omnitok.sweep.file import read_sweep

    return store(runs_root, read_sweep(tiny.write(tmp_path)), NOTHING)


def test_a_keeper_launches_what_was_launched_under_the_policies_and_waits_for_a_silent_controller(
    folder, monkeypatch, capsys
):
    asked, silent = (
        [],
        [SpecError([Fault(Mark("--cluster slurm"), "", "Slurm does not answer (squeue: no)")]), runs.Busy("x")],
    )

    def launch(what, *, cluster, told, wish):
        if silent:
            raise silent.pop()
        asked.append((what.digest, cluster, wish.by_hand))
        notes = ["no keeper sees to what ends badly"] if len(asked) == 1 else []
        return Launched(folder, [], 0, 0, interrupted=False, jobs=Jobs([], 0, 0, [], [], notes=notes))

    monkeypatch.setattr(keep, "launch_asked", launch)
    monkeypatch.setattr(keep, "PAUSE_S", 0.0)
    keep.keep(folder)
    assert asked == [(asked_of(folder).digest, "slurm", False)] * 2  # until the next keeper waits
    said = capsys.readouterr().out
    assert "does not answer" in said and "no keeper sees to what ends badly; again in" in said
    silent.append(SpecError([Fault(Mark("resources"), "", "Slurm refuses it")]))
    with pytest.raises(SpecError, match="refuses"):
        keep.keep(folder)
    verdicts.stop(folder, "cancelled on Monday")
    keep.keep(folder)
    assert len(asked) == 2 and "cancelled on Monday" in capsys.readouterr().out


def test_a_keeper_is_no_launch(folder, runs_root):
    said = runs.read_json(folder / SWEEP) | {"launched": "2020-01-01T00:00:00+00:00"}
    runs.write_json(folder / SWEEP, said)
    store(runs_root, asked_of(folder), NOTHING, by_hand=False)
    assert runs.read_json(folder / SWEEP)["launched"] == said["launched"]
    store(runs_root, asked_of(folder), NOTHING)
    assert runs.read_json(folder / SWEEP)["launched"] != said["launched"]


def test_a_worker_that_found_nothing_more_to_search_is_left_alone_while_another_is_at_it(tmp_path):
    folder = tmp_path / "sweeps" / "a"
    folder.mkdir(parents=True)
    workers = [Piece(f"search.a.{i}", "search a", (), (), (), {}, "sweeps/a/search/a") for i in range(2)]
    for i, one in enumerate(workers):
        add(folder, Entry("2026-01-01T00:00:00+00:00", one.id, [], str(i), 1, "code", {}))
    done, runs_on = Queued("0", "done", "COMPLETED"), Queued("1", "running", "RUNNING")

    def ready(*jobs):
        queued = {one.id: job for one, job in zip(workers, jobs, strict=True)}
        return [one.id for one in judge(Case(tmp_path, folder, workers, queued, {}), check(Failures, {})).ready]

    assert ready(done, runs_on) == ["search.a.1"]
    assert ready(done, done._replace(job="1")) == ["search.a.0", "search.a.1"]  # all have gone, and nothing has won
