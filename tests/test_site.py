"""What nodes find out and what is made of it, without a cluster: two tasks in one folder, and folders that are broken."""

import fcntl
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.cluster import node, probe
from omnitok.cluster.asking import Unanswered
from omnitok.cluster.drill import DIARY
from omnitok.cluster.probe import Asked, _drilled, _judged


def both(work) -> list:
    """What two tasks make of it at once."""
    found: list = [None, None]
    threads = [threading.Thread(target=lambda rank=rank: found.__setitem__(rank, work(rank))) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


def test_two_tasks_of_a_script_that_needs_nothing_of_ours_find_a_good_folder_good(tmp_path):
    words = [sys.executable, "-I", node.__file__, str(tmp_path)]
    tasks = [subprocess.Popen([*words, str(rank), "2"], stdout=subprocess.PIPE, text=True) for rank in (0, 1)]
    said = [json.loads(task.communicate(timeout=240)[0]) for task in tasks]
    assert all(one["met"] and one["violations"] == 0 and one["torn"] == 0 and one["free"] > 0 for one in said)
    assert said[0]["visible_s"] >= 0 and said[0]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert abs(said[0]["skew_s"]) < 60 and said[0]["scratch"]["free"] > 0


def test_the_script_imports_nothing_of_the_package():
    code = f"import runpy, sys; runpy.run_path({node.__file__!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert not {"omnitok", "torch", "numpy", "pydantic"} & set(loaded.stdout.split())


def test_a_lock_that_lets_two_in_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert sum(both(lambda rank: node._compete(tmp_path, rank))) > 0


def test_a_replacement_that_is_not_whole_is_counted(tmp_path, monkeypatch):
    def slowly(partial: Path, target: Path) -> None:
        target.write_bytes(b"")
        node.time.sleep(0.002)
        target.write_bytes(partial.read_bytes())

    monkeypatch.setattr(Path, "replace", slowly)
    assert both(lambda rank: node._rename(tmp_path, rank))[1] > 0


def test_a_file_that_is_never_seen_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(node, "HAND_S", 0.05)
    assert node._hand_over(tmp_path, 0) is None and node._hand_over(tmp_path, 1) is None
    monkeypatch.setattr(node, "MEET_S", 0.05)
    assert not node._meet(tmp_path, 0)


def report(**changes) -> dict:
    python, torch = ".".join(map(str, sys.version_info[:3])), node._version("torch")
    scratch = {"folder": "/tmp", "free": 2**31}
    whole = {
        "node": "n1",
        "python": python,
        "torch": torch,
        "skew_s": 0.1,
        "free": 2**40,
        "scratch": scratch,
        "submits": "",
    }
    return whole | changes


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        ({}, "ok", "2.0 GiB of scratch in /tmp"),
        ({"mlflow": "", "study": ""}, "ok", "reaches MLflow, reaches the study's PostgreSQL"),
        ({"mlflow": "refused"}, "warning", "MLflow cannot be reached: refused"),
        ({"study": "timed out"}, "warning", "the study's PostgreSQL cannot be reached: timed out"),
        ({"skew_s": -7.25}, "warning", "its clock is -7.2 s off the file server's"),
        ({"submits": "no"}, "warning", "jobs there may not submit (no): what failed goes on only with the next launch"),
        ({"scratch": {"folder": "", "why": "read-only"}}, "warning", "no scratch: read-only"),
        ({"python": "3.8.1"}, "refused", "Python is 3.8.1, here 3."),
        ({"torch": ""}, "refused", "torch is missing, here "),
        ({"broken": "Stale file handle"}, "refused", "Stale file handle"),
        ({"missing": "folder"}, "refused", "put the runs (OMNITOK_RUNS) where all nodes see them"),
        ({"missing": "python"}, "refused", "install omnitok where all nodes see it"),
    ],
)
def test_what_a_node_is_has_a_level_and_a_remedy(tmp_path, changes, level, said):
    found = next(iter(_judged(tmp_path / "probe", [report(**changes)], Asked(1))))
    assert (found.what, found.level) == ("node n1", level) and said in found.seen


def shared(**changes) -> list[dict]:
    good = {"violations": 0, "torn": 0, "visible_s": 0.01}
    return [report(**good | changes), report(node="n2", **good)]


@pytest.mark.parametrize(
    ("changes", "what", "level", "said"),
    [
        ({}, "locks", "ok", "flock holds between n1 and n2"),
        ({"violations": 3}, "locks", "refused", "flock does not hold between n1 and n2 (3 times both had it)"),
        ({"torn": 2}, "renames", "refused", "was not whole 2 times on n2"),
        ({"visible_s": 3.5}, "delay", "warning", "after 3.500 s: a lease is taken over that much later"),
        ({"visible_s": None}, "delay", "refused", "was not seen on the other node in 70 s"),
    ],
)
def test_what_two_nodes_find_of_each_other_has_a_level(tmp_path, changes, what, level, said):
    found = {one.what: one for one in _judged(tmp_path / "probe", shared(**changes), Asked(2))}
    one = found[f"shared folder, {what}"]
    assert one.level == level and said in one.seen


def test_one_node_alone_says_what_it_could_not_try_and_a_silent_one_is_missed(tmp_path):
    found = {one.what: one for one in _judged(tmp_path / "probe", [report()], Asked(2))}
    assert found["shared folder"].level == "warning" and "1 of 2 nodes have answered" in found["nodes"].seen


def test_a_probe_without_a_cluster_is_refused_in_words():
    done = CliRunner().invoke(main, ["doctor", "--probe"])
    assert done.exit_code == 2 and "--probe submits jobs: say --cluster slurm as well" in done.output


def test_a_machine_without_slurm_is_told_so(runs_root, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(main, ["doctor", "--cluster", "slurm"])
    assert done.exit_code == 2 and "there is no sbatch on this machine" in done.output


def test_a_signal_that_cannot_be_sent_is_a_finding_and_no_traceback(tmp_path, monkeypatch):
    def refuses(*words: str) -> str:
        raise Unanswered(f"{words[0]}: Invalid job id specified")

    (tmp_path / DIARY).write_text(json.dumps({"what": "start"}) + "\n")
    monkeypatch.setattr(probe, "_submit", lambda *_: "7")
    monkeypatch.setattr(probe, "ask", refuses)
    (found,) = _drilled(tmp_path, tmp_path, Asked(seconds=5))
    assert (found.what, found.level) == ("signal", "refused")
    assert found.seen == "USR2 cannot be sent to job 7: scancel: Invalid job id specified"
