"""A task of a cluster, without one: it trains, saves when told to, and says why it failed; its code is frozen once."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest
import torch
from tiny import EXPERIMENT

from omnitok import provenance, runs, trial
from omnitok.cluster import freeze as freezing
from omnitok.cluster import job as jobs
from omnitok.cluster.freeze import Moving, freeze
from omnitok.cluster.job import Failed, Job
from omnitok.cluster.progress import IDLE, Stuck, check_progress, idle
from omnitok.data import DataError
from omnitok.spec import read_value
from omnitok.spec.plugins import Claim, Origin
from omnitok.training.stage import bind, read_stages

PHOTOS = {
    "type": "reconstruction",
    "data": {"type": "embedded", "short_side": 32},
    "frames": 1,
    "resolution": 16,
    "metrics": [{"type": "psnr"}],
}


@pytest.fixture
def names(runs_root, monkeypatch):
    monkeypatch.setattr(jobs, "HOLD_S", 0.0)
    first, second = read_stages(read_value(EXPERIMENT, "tiny.yaml"))
    one = bind(first, 0, {})
    return trial.create(runs_root, one).name, trial.create(runs_root, bind(second, 0, {"images": one.digest})).name


def made(root, stages, evaluations=(), **said):
    resources = {"environment": {}, "threads": 1, "checkpoint_every_s": 1000.0, "save_s": 10.0}
    return Job(str(root), [data(stages, evaluations)], resources | said)


def data(stages, evaluations=()):
    said = {"label": "tiny/0", "stages": stages, "evaluations": evaluations, "after": [], "search": ""}
    return {"id": stages[-1], **said}


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_task_trains_and_measures_and_again_does_nothing(runs_root, names):
    job = made(runs_root, names, [[names[1], PHOTOS]])
    assert job() == names[1]
    assert all(runs.status(runs_root / name) == "done" for name in names)
    assert len(list((runs_root / names[1] / runs.EVALUATIONS).glob("*.json"))) == 1
    before = [files(runs_root / name) for name in names]
    assert made(runs_root, names, [[names[1], PHOTOS]])() == names[1]
    assert [files(runs_root / name) for name in names] == before


@pytest.mark.parametrize(("stage", "how"), [(0, "checkpoint"), (1, "checkpoint"), (0, "SIGTERM")])
def test_a_task_that_is_told_to_save_goes_on_to_the_same_bits(names, stage, how, monkeypatch, tmp_path):
    runs_root = runs.root()
    job, whole = made(runs_root, names), trial.run

    def slow(folder, *, on_record=lambda record: None, **how):
        return whole(folder, on_record=lambda record: time.sleep(0.05), **how)

    monkeypatch.setattr(trial, "run", slow)
    kept = []

    def tell():
        while runs.last_record(runs_root / names[stage]) is None:
            time.sleep(0.005)
        if how == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            kept.append(job.checkpoint())

    teller = threading.Thread(target=tell)
    teller.start()
    with pytest.raises(trial.Stopped):
        job()
    teller.join()
    assert runs.status(runs_root / names[stage]) == "interrupted"
    monkeypatch.setattr(trial, "run", whole)
    again = pickle.loads(cloudpickle.dumps(kept[0] if kept else job.checkpoint()))
    assert again.result() == names[1]
    assert runs.attempts(runs_root / names[stage])[1]["from_step"] > 0
    for name in names:
        undisturbed = tmp_path / "undisturbed" / name
        undisturbed.mkdir(parents=True)
        (undisturbed / runs.EXPERIMENT).write_bytes((runs_root / name / runs.EXPERIMENT).read_bytes())
        trial.run(undisturbed)
        assert (undisturbed / runs.WEIGHTS).read_bytes() == (runs_root / name / runs.WEIGHTS).read_bytes()


def test_a_task_sets_its_threads_and_what_processes_read(runs_root, names, monkeypatch):
    monkeypatch.setenv("OMNITOK_RECOMPUTE", "0")
    seen = []

    def looked(folder, **how):
        seen.append((torch.get_num_threads(), os.environ["OMNITOK_RECOMPUTE"], how["checkpoint_every_s"]))

    monkeypatch.setattr(trial, "run", looked)
    try:
        made(runs_root, names, threads=2, environment={"OMNITOK_RECOMPUTE": "1"}, checkpoint_every_s=7.0)()
    finally:
        torch.set_num_threads(1)
    assert seen == [(2, "1", 7.0)] * 2


def test_a_death_is_written_where_it_happened_and_ends_the_task(runs_root, names, monkeypatch):
    def broken(*_, **__):
        raise DataError("no such clip")

    monkeypatch.setattr("omnitok.trial.train.task_of", broken)
    with pytest.raises(Failed, match="data: no such clip"):
        made(runs_root, names)()
    assert runs.failure(runs_root / names[0]).kind == "data"
    assert runs.status(runs_root / names[1]) == "planned"


def test_what_cannot_be_measured_fails_the_task_after_all_else_is_done(runs_root, names, monkeypatch):
    def broken(*_, **__):
        raise DataError("no such photo")

    monkeypatch.setattr("omnitok.trial.measure.measure_missing", broken)
    with pytest.raises(Failed, match="data: no such photo; data: no such photo"):
        made(runs_root, names, [[names[1], PHOTOS], [names[1], PHOTOS | {"resolution": 8}]])()
    assert runs.status(runs_root / names[1]) == "done"
    assert len(list((runs_root / names[1] / runs.EVALUATIONS).glob("*.error.txt"))) == 2


def test_of_pieces_in_one_task_one_fails_alone(runs_root, names, monkeypatch):
    def one(folder, **_):
        if folder.name == names[0]:
            raise DataError("no such clip")
        tried.append(folder.name)

    tried, whole = [], {"threads": 1, "environment": {}, "checkpoint_every_s": 9.0, "save_s": 1.0}
    monkeypatch.setattr(trial, "run", one)
    monkeypatch.setattr(trial, "evaluate_run", lambda folder, spec: tried.append(f"measured {folder.name}"))
    pieces = [data([names[0], "after it"], [[names[0], PHOTOS]]), data([names[1]], [[names[1], PHOTOS]])]
    with pytest.raises(Failed, match="^data: no such clip$"):
        Job(str(runs_root), pieces, whole)()
    assert tried == [names[1], f"measured {names[1]}"]


def test_a_task_may_be_a_worker_of_a_search_that_saves_when_told_to(runs_root, names, monkeypatch):
    worked = []

    def work(folder, stop):
        worked.append(folder)
        while not stop():
            time.sleep(0.005)

    monkeypatch.setattr("omnitok.search.worker.work", work)
    job = made(runs_root, names)
    job.pieces = [{**data(names), "stages": [], "search": "sweeps/x/search/arm"}]
    teller = threading.Thread(target=lambda: (until_true(lambda: worked), job.checkpoint()))
    teller.start()
    with pytest.raises(trial.Stopped):
        job()
    teller.join()
    assert worked == [runs_root / "sweeps" / "x" / "search" / "arm"]


def until_true(what):
    while not what():
        time.sleep(0.005)


def test_starts_that_find_nothing_new_are_counted_from_the_last_that_did():
    assert [idle(seen) for seen in ([0], [0, 0], [0, 5, 5, 5], [0, 5, 3, 5, 6], [7, 0, 0])] == [0, 1, 2, 0, 2]


def test_a_job_ends_that_is_requeued_without_a_new_step_and_not_one_that_gets_on(runs_root, names, tmp_path):
    pieces = [data(names)]
    path = runs_root / names[0] / runs.RECORDS
    for step in range(2 * IDLE):  # one new step each time, and all that is forgotten again
        path.write_bytes(runs.encode(runs.Record(step, {})))
        check_progress(tmp_path / "12_3.0", runs_root, pieces)
    for _ in range(IDLE - 1):
        check_progress(tmp_path / "12_3.0", runs_root, pieces)
    with pytest.raises(Stuck, match="requeued 5 times without a new step: a job is too short for it"):
        check_progress(tmp_path / "12_3.0", runs_root, pieces)
    assert runs.failure(runs_root / names[0]).kind == "time_out"
    check_progress(tmp_path / "12_4.0", runs_root, pieces)  # another task of the array


def test_a_worker_of_a_search_gets_on_with_any_of_its_suggestions(tmp_path):
    search = tmp_path / "sweeps" / "x" / "search" / "arm"
    worker = {**data(["s"]), "stages": [], "search": "sweeps/x/search/arm"}

    def start(number, *progress):
        check_progress(tmp_path / "12.0", tmp_path, [worker])
        (search / "trials" / number).mkdir(parents=True, exist_ok=True)
        runs.append_line(search / "trials" / number / runs.ATTEMPTS, {"begun": "now", "progress": list(progress)})
        runs.append_line(search / "trials" / number / runs.ATTEMPTS, {"stopped": "now", "seconds": 1.0})

    for step in range(IDLE):
        start("0", 0, step)
    for number in "123456":
        start(number, 0)
    with pytest.raises(Stuck):
        for _ in range(IDLE + 1):
            start("6", 0)


def test_a_folder_that_another_attempt_holds_is_waited_for_and_then_given_up(runs_root, names, monkeypatch):
    with runs.lease(runs_root / names[0]):
        monkeypatch.setattr(jobs, "BUSY_S", 0.2)
        with pytest.raises(runs.Busy, match="another process works in this folder, and has for 0 minutes"):
            made(runs_root, names)()
    assert not (runs_root / names[0] / runs.ERROR).exists()
    held = runs.lease(runs_root / names[0])
    held.__enter__()
    monkeypatch.setattr(jobs, "BUSY_S", 30.0)
    threading.Timer(0.3, held.__exit__, (None, None, None)).start()
    assert made(runs_root, names)() == names[1]


def test_a_task_crosses_as_a_name_and_plain_data_and_loads_no_torch(runs_root, names):
    crossed = cloudpickle.dumps(made(runs_root, names).checkpoint())
    code = "import pickle, sys; pickle.load(sys.stdin.buffer); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], input=crossed, check=True, capture_output=True).stdout.split()
    assert b"omnitok.cluster.job" in loaded and b"torch" not in loaded


LEAVES = """
import resource, sys, threading, time
from pathlib import Path
import torch
from omnitok.cluster import start

def begun(folder):
    layer = torch.nn.Linear(64, 64)
    def work():
        while True:
            layer(torch.randn(8, 64)).sum().backward()
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.5)
    print(resource.getrlimit(resource.RLIMIT_CORE))
    {how}

start.start = begun
start.main(Path("nowhere"))
"""


@pytest.mark.parametrize(("how", "code"), [("sys.exit(-1)", 255), ("raise ValueError('why')", 1), ("pass", 0)])
def test_a_task_ends_as_it_is_told_though_its_work_goes_on_in_torch(how, code):
    words = [sys.executable, "-c", LEAVES.replace("{how}", how)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (code, "(0, 0)\n"), done.stderr  # the interpreter's own end aborts: -6
    assert ("ValueError: why" in done.stderr) == (code == 1)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of ours that may be edited."""
    place = tmp_path / "source" / "omnitok"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "provenance.py").write_bytes((provenance.PACKAGE / "provenance.py").read_bytes())
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "old.pyc").write_bytes(b"old")
    (place / "data.json").write_text("{}")
    monkeypatch.setattr(provenance, "PACKAGE", place)
    return place


def test_the_same_code_is_frozen_once_and_other_code_apart(package, tmp_path):
    first = freeze(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: freeze(tmp_path), range(16))) == {first}
    found = {str(path.relative_to(first)) for path in first.rglob("*") if path.is_file()}
    assert found == {"frozen.json", "omnitok/__init__.py", "omnitok/provenance.py", "omnitok/data.json"}
    (package / "data.json").write_text("[]")
    assert freeze(tmp_path) != first and (first / "omnitok" / "data.json").read_text() == "{}"
    assert len(list((tmp_path / "code").iterdir())) == 2


def test_a_frozen_copy_knows_its_commit_and_its_changes_without_git(package, tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *who, *words], cwd=package.parent, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "as it was")
    clean = freeze(tmp_path)
    (package / "__init__.py").write_text("changed = True\n")
    code = "from omnitok import provenance as p; print(p.commit(), p.diff(), p.code())"
    environment = {"PYTHONPATH": str(freeze(tmp_path)), "PATH": ""}
    said = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert git("rev-parse", "HEAD") in said and "'dirty': True" in said and "+changed = True" in said
    assert provenance.code.__wrapped__(package) in said
    assert clean != freeze(tmp_path)
    git("commit", "-qam", "as it is")
    assert len({clean, freeze(tmp_path)}) == 2


def test_a_disk_that_is_full_leaves_no_half_of_a_copy(package, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        freeze(tmp_path)
    assert list((tmp_path / "code").iterdir()) == []


def test_code_that_changes_while_it_is_read_is_refused(package, tmp_path, monkeypatch):
    def edited(place):
        (package / "data.json").write_text(str(time.monotonic_ns()))
        return {}

    monkeypatch.setattr(freezing.provenance, "standing", edited)
    with pytest.raises(Moving, match="submit when they are at rest"):
        freeze(tmp_path)


def test_packages_that_bring_components_are_frozen_too(package, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "theirs").mkdir(parents=True)
    (other / "theirs" / "__init__.py").write_text("")
    (other / "alone.py").write_text("")
    monkeypatch.syspath_prepend(str(other))
    origins = [Origin("a", "1", "theirs.quantizers:One"), Origin("b", "1", "alone:Two"), Origin("c", "1", "omnitok:X")]
    monkeypatch.setattr(freezing, "claims", lambda: [Claim("omnitok.quantizers", "x", each, list) for each in origins])
    frozen = freeze(tmp_path)
    assert {path.name for path in frozen.iterdir()} == {"omnitok", "theirs", "alone.py", "frozen.json"}
    assert runs.read_json(frozen / "frozen.json").keys() == {"omnitok", "theirs", "alone.py"}
    monkeypatch.setattr(provenance, "_git", lambda *_: pytest.fail("a frozen copy is in no repository"))
    assert provenance.commit.__wrapped__(frozen / "alone.py") == {"commit": None, "dirty": False, "diff_sha256": None}
