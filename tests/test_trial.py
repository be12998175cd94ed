"""One stage in its folder: cut short anywhere it ends where an uncut one does; finished it costs nothing."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from tiny import EXPERIMENT

from omnitok import provenance, runs, trial
from omnitok.data import DataError
from omnitok.launching.progress import sentence
from omnitok.launching.work import Work
from omnitok.runs import Record
from omnitok.spec import decode, read_value
from omnitok.training import EVALUATIONS, NonFinite
from omnitok.training.evaluate import key_of
from omnitok.training.handover import weights_of
from omnitok.training.reconstruct import Reconstruct
from omnitok.training.stage import bind, read_stages
from omnitok.trial import memory

STEPS = 5


def planned(seed: int = 0):
    first, second = read_stages(read_value(EXPERIMENT, "tiny.yaml"))
    one = bind(first, seed, {})
    return one, bind(second, seed, {"images": one.digest})


@pytest.fixture
def folder(runs_root):
    return trial.create(runs_root, planned()[0])


def left(folder):
    return (
        (folder / runs.WEIGHTS).read_bytes(),
        (folder / runs.RECORDS).read_bytes(),
        (folder / runs.RESULT).read_bytes(),
    )


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    whole = trial.create(tmp_path_factory.mktemp("uncut"), planned()[0])
    trial.run(whole)
    return left(whole)


class Killed(BaseException):
    """Like a SIGKILL: nothing after it runs that could tidy up."""


@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize("every_s", [0.0, 60.0])
def test_a_run_cut_at_any_step_ends_with_the_bits_of_an_uncut_one(folder, uncut, step, every_s):
    def kill(record: Record) -> None:
        if record.step == step:
            raise Killed

    with pytest.raises(Killed):
        trial.run(folder, checkpoint_every_s=every_s, on_record=kill)
    with (folder / runs.RECORDS).open("ab") as file:
        file.write(b'{"step": 99, "torn')  # what a kill in the middle of a line leaves
    assert runs.status(folder) == "interrupted"
    trial.run(folder)
    assert left(folder) == uncut


def test_a_run_killed_by_the_kernel_ends_with_the_bits_of_an_uncut_one(folder, uncut):
    code = (
        "import sys, torch, time; torch.set_num_threads(1); from pathlib import Path; from omnitok import trial; "
        "trial.run(Path(sys.argv[1]), checkpoint_every_s=0.0, on_record=lambda record: time.sleep(0.2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    while not (folder / runs.CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert runs.status(folder) == "interrupted"
    trial.run(folder)
    assert left(folder) == uncut
    (attempt,) = (folder / runs.ATTEMPTS).read_text().splitlines()  # the killed one could say nothing
    assert '"ended": "done"' in attempt and runs.seconds(folder) > 0


def test_asked_to_stop_it_saves_after_the_step_and_goes_on_later(folder, uncut):
    with pytest.raises(trial.Stopped):
        trial.run(folder, stop=lambda: True)
    assert (folder / runs.CHECKPOINT).exists() and runs.last_record(folder).step == 0
    assert not (folder / runs.ERROR).exists()
    trial.run(folder)
    assert left(folder) == uncut


def test_a_finished_run_costs_nothing(folder, monkeypatch):
    first = trial.run(folder)
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained twice"))
    assert trial.run(folder) == first
    assert not (folder / runs.CHECKPOINT).exists()


def test_a_half_done_stage_under_changed_code_starts_again_and_says_so(folder, uncut, monkeypatch):
    with pytest.raises(trial.Stopped):
        trial.run(folder, stop=lambda: runs.last_record(folder).step == 2)
    monkeypatch.setattr(provenance, "code", lambda: "changed")
    trial.run(folder)
    assert left(folder) == uncut
    assert runs.last_attempt(folder)["restarted"] == "code changed since step 3 was saved"
    work = Work(folder.name, "images", STEPS, (), {})
    assert "(from the beginning: code changed" in sentence(folder.parent, work, "done")


def test_a_half_done_stage_on_other_threads_starts_again(folder, uncut):
    with pytest.raises(trial.Stopped):
        trial.run(folder, stop=lambda: True)
    torch.set_num_threads(2)
    try:
        trial.run(folder)
    finally:
        torch.set_num_threads(1)
    assert runs.last_attempt(folder)["restarted"] == "threads changed since step 1 was saved"


def test_what_a_kill_leaves_lying_is_tidied(folder):
    for place in ("attempts/0123456789abcdef", ".fenced.fedcba9876543210"):  # of attempts that died, or were put out
        (folder / place).mkdir(parents=True)
        (folder / place / "checkpoint.pt.12345678").write_bytes(b"half")
    trial.run(folder)
    (folder / runs.CHECKPOINT).write_bytes(b"left between the result and its removal")
    trial.run(folder)
    assert not (folder / runs.CHECKPOINT).exists()
    assert not (folder / "attempts").exists() and not list(folder.glob(".*"))


def test_a_torn_line_of_attempts_is_no_attempt(folder):
    runs.append_line(folder / runs.ATTEMPTS, {"seconds": 1.0})
    with (folder / runs.ATTEMPTS).open("ab") as file:
        file.write(b'{"seconds": 9')
    runs.append_line(folder / runs.ATTEMPTS, {"seconds": 2.0})
    assert runs.seconds(folder) == 3.0


def test_an_evaluation_that_fails_says_so_beside_its_results(folder, monkeypatch):
    from omnitok.data import Dataset
    from omnitok.data.embedded import Embedded

    trial.run(folder)
    spec = evaluation("psnr")

    def torn(self, *words):
        raise DataError("chelsea.png: torn")

    with monkeypatch.context() as patch:
        patch.setattr(Embedded, "item", torn)
        assert trial.attempt(lambda: trial.evaluate_run(folder, spec)).kind == "data"
    assert issubclass(Embedded, Dataset) and runs.status(folder) == "done"
    name = runs.evaluation_error(key_of(spec))
    assert runs.failure(folder, name).sentence == "chelsea.png: torn"
    trial.evaluate_run(folder, spec)
    assert runs.failure(folder, name) is None


def test_a_child_begins_with_its_parents_weights(runs_root):
    one, two = (trial.create(runs_root, run) for run in planned())
    with pytest.raises(FileNotFoundError):
        trial.run(two)
    trial.run(one)
    trial.run(two)
    assert runs.status(two) == "done" and runs.failure(two) is None
    assert {record.values["train/frames"] for record in runs.records(two)} == {1.0, 3.0}


JUDGED = """\
    adversary:
      type: patch_gan
      image: {type: patch_image, channels: 2, layers: 1}
      video: {type: patch_video, channels: 2, layers: 1}
    average: {type: ema, decay: 0.5}
    steps: 5
"""
KEEP = "    handover: {weights: ema, adversary: keep}\n    schedule: {type: joint, frames: 3}\n"


def judged(
    text: str = EXPERIMENT.replace("    steps: 5\n", JUDGED).replace("    schedule: {type: joint, frames: 3}\n", KEEP),
):
    first, second = read_stages(read_value(text, "tiny.yaml"))
    one = bind(first, 0, {})
    return one, bind(second, 0, {"images": one.digest})


def files(folder):
    return {name: (folder / name).read_bytes() for name in (runs.WEIGHTS, runs.AVERAGED, runs.ADVERSARY, runs.RECORDS)}


def test_a_child_begins_with_the_average_and_the_judges_of_its_parent_where_that_is_said(runs_root, monkeypatch):
    one, two = (trial.create(runs_root, run) for run in judged())
    trial.run(one)
    seen = []
    monkeypatch.setattr(Reconstruct, "train", lambda self, start: seen.append(self) or iter(()))
    trial.run(two)
    begun = {name: value for part in (seen[0].weights(), seen[0].judges().state_dict()) for name, value in part.items()}
    given = {name: value for part in (runs.AVERAGED, runs.ADVERSARY) for name, value in weights_of(one / part).items()}
    assert begun.keys() == given.keys() and all(torch.equal(value, given[name]) for name, value in begun.items())
    trained = weights_of(one / runs.WEIGHTS)
    assert any(not torch.equal(value, given[name]) for name, value in trained.items())


@pytest.mark.parametrize("step", [0, 2])
def test_a_child_with_judges_and_an_average_that_is_cut_ends_with_the_bits_of_an_uncut_one(runs_root, tmp_path, step):
    found = []
    for root, cut in ((tmp_path / "uncut", None), (runs_root, step)):
        for run in judged():
            folder = trial.create(root, run)
            if cut is not None:
                with pytest.raises(trial.Stopped):
                    trial.run(folder, stop=lambda folder=folder: runs.last_record(folder).step == step)
            trial.run(folder)
        found.append(files(folder))
    assert found[0] == found[1]


def test_the_average_is_loaded_and_measured_where_it_is_asked_for(folder, runs_root):
    one = trial.create(runs_root, judged()[0])
    trial.run(one)
    raw, averaged = trial.load(one).state_dict(), trial.load(one, "ema").state_dict()
    assert any(not torch.equal(value, averaged[name]) for name, value in raw.items())
    values = []
    for kind in ("raw", "ema"):
        (digest,) = trial.evaluate_run(one, evaluation("psnr", f", weights: {kind}"))
        values.append(runs.read_json(one / runs.EVALUATIONS / f"{digest}.json")["value"])
    assert values[0] != values[1]
    trial.run(folder)
    assert not (folder / runs.AVERAGED).exists() and not (folder / runs.ADVERSARY).exists()
    with pytest.raises(ValueError, match=r"weights=ema: this run has its trained weights \(raw\) alone"):
        trial.load(folder, "ema")


def test_two_processes_never_hold_one_folder(folder):
    inside, go_on = threading.Event(), threading.Event()

    def slow(record: Record) -> None:
        inside.set()
        go_on.wait(20)

    thread = threading.Thread(target=trial.run, args=(folder,), kwargs={"on_record": slow})
    thread.start()
    try:
        assert inside.wait(20)
        assert runs.status(folder) == "running"
        with pytest.raises(runs.Busy):
            trial.run(folder)
    finally:
        go_on.set()
        thread.join()
    assert runs.status(folder) == "done"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFinite("train/l1 is nan at step 3"), "nan"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (DataError("cat.png: truncated"), "data"),
        (ImportError("no module"), "import"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk"),
        (KeyError("x"), "bug"),
    ],
)
def test_a_death_leaves_its_class_and_traceback_and_a_later_success_removes_them(folder, monkeypatch, error, kind):
    def die(self, start=0):
        raise error
        yield

    with monkeypatch.context() as patched:
        patched.setattr(Reconstruct, "train", die)
        assert trial.attempt(lambda: trial.run(folder)).kind == kind
    died = runs.failure(folder)
    assert died.kind == kind and "Traceback" in died.traceback and "\n" not in died.sentence
    assert runs.status(folder) == "failed"
    trial.run(folder)
    assert runs.status(folder) == "done" and runs.failure(folder) is None


def test_a_full_disk_loses_nothing_that_was_there(folder, monkeypatch):
    path = folder / "thing.json"
    runs.write_json(path, {"a": 1})

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runs.write_json(path, {"a": 2})
    assert runs.read_json(path) == {"a": 1}
    assert not list(folder.glob(".*partial"))


def evaluation(metrics: str, more: str = ""):
    text = f"{{data: {{type: embedded, short_side: 32}}, frames: 1, resolution: 16, metrics: [{metrics}]{more}}}"
    return decode(EVALUATIONS, read_value(text, "here"))


def test_adding_a_metric_measures_it_alone_and_trains_nothing(folder, monkeypatch):
    trial.run(folder)
    (first,) = trial.evaluate_run(folder, evaluation("psnr"))
    path = folder / runs.EVALUATIONS / f"{first}.json"
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained"))
    again, second = trial.evaluate_run(folder, evaluation("psnr, codebook_usage"))
    assert again == first != second and path.stat().st_mtime_ns == before
    found = runs.read_json(path)
    assert len(found["items"]) == len(found["per_item"]) == 8
    assert found["value"] == pytest.approx(sum(found["per_item"]) / 8)
    pictures = sorted(path.name for path in (folder / runs.SAMPLES / found["samples"]).iterdir())
    assert pictures[:2] == ["00-original.png", "00-reconstruction.png"] and len(pictures) == 8


def test_a_loaded_model_is_the_trained_one_on_any_thread(folder):
    trial.run(folder)
    model = trial.load(folder)
    assert not model.training
    state = trial.load(str(folder)).state_dict()
    assert all((value == state[name]).all() for name, value in model.state_dict().items())


def test_an_attempt_says_how_many_worked_and_the_most_memory_that_they_held(folder):
    trial.run(folder)
    said = runs.last_attempt(folder)
    assert said["processes"] == 1
    assert 2**26 < said["peak_bytes"] < 2**35


def test_a_peak_is_of_what_came_after_it_was_forgotten():
    device, big = torch.device("cpu"), torch.ones(2**28 // 4)  # 256 MiB, touched
    before = memory.peak(device)
    del big
    if not memory.begin(device):
        pytest.skip("this system does not let a process forget its peak of memory")
    after, held = memory.peak(device), torch.ones(2**27 // 4)
    assert before - after > 2**27
    assert held.nbytes / 2 < memory.peak(device) - after < 2 * held.nbytes
