"""What is loaded ahead, in a thread or by workers, is what would be loaded without."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from loaded import Broken, Changing, Noise
from test_training import task

from omnitok.data import DataError
from omnitok.data.embedded import Embedded
from omnitok.schedules.mixing import StepPlan, joint
from omnitok.sweep.resources import Resources
from omnitok.training import loader
from omnitok.training.feed import Feed, Places, Size
from omnitok.training.loader import WORKERS, WorkerDied, loading, parts, prefetched
from omnitok.training.packed import packed, unpacked
from omnitok.trial.failure import classify

SCHEDULE = partial(joint, frames=3, image_share=0.5)
EMBEDDED = partial(Embedded, short_side=32)


def feed(data=EMBEDDED, steps=4, batch=4, **more):
    return Feed(data, Path(), 0, Places(SCHEDULE, steps, 2), Size(batch, 16), **more)


def loaded(monkeypatch, workers, asked, start=0):
    monkeypatch.setenv(WORKERS, str(workers))
    with loading(asked, start) as steps:
        return [[batch.clip for batch in batches] for batches in steps]


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) for found, wanted in zip(one, other, strict=True) for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(
    ("data", "batch", "start"), [(EMBEDDED, 4, 0), (Noise, 3, 2), (partial(Noise, pixels=True), 1, 0)]
)
def test_workers_change_no_bit_wherever_they_begin_and_however_small_a_batch_is(monkeypatch, data, batch, start):
    asked = feed(data, batch=batch)
    alone = loaded(monkeypatch, 0, asked)
    assert len(alone) == 4
    assert {clip.shape[2] for batches in alone for clip in batches} == {1, 3}
    assert same(loaded(monkeypatch, 2, asked, start), alone[start:])
    assert not threads()


def test_processes_that_train_together_load_what_one_would():
    ranks = [feed(batch=6, rank=rank, world=2) for rank in range(2)]
    for place in range(2):
        assert [i for one in ranks for i in one.samples(place)] == list(feed(batch=6).samples(place))


@pytest.mark.parametrize(("batch", "workers"), [(4, 2), (5, 3), (1, 4), (16, 1)])
def test_each_sample_is_made_by_one_worker_and_all_have_as_much_to_do(batch, workers):
    asked, made = feed(batch=batch), dict.fromkeys(range(workers), 0)
    for step in range(12):
        for place in range(2):
            found = parts(asked, step, place, workers)
            assert [i for part in found for i in part.samples] == list(asked.samples(place))
            for part in found:
                made[part.worker] += len(part.samples)
    assert max(made.values()) - min(made.values()) <= 1


def test_a_training_is_the_same_with_workers_and_goes_on_with_others(monkeypatch):
    monkeypatch.delenv(WORKERS, raising=False)
    alone = list(task(1).train())
    monkeypatch.setenv(WORKERS, "2")
    first, second = task(1), task(1)
    steps = first.train()
    begun = [next(steps), next(steps)]
    second.load(first.state())
    steps.close()
    assert not threads()
    monkeypatch.setenv(WORKERS, "1")
    assert begun + list(second.train(2)) == alone


@pytest.mark.parametrize(
    ("how", "workers", "kind", "sentence"),
    [
        ("data", 1, "data", r'^clips/a "b".mp4: ends at frame 7$'),
        ("killed", 2, "killed", r"^worker 1 of 2 that load the data died \(SIGKILL; out of memory\?\)$"),
        ("bug", 1, "bug", r"worker 0 of 1 that load the data failed: ZeroDivisionError: one by nothing\nTraceback"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_said_at_its_step(monkeypatch, how, workers, kind, sentence):
    monkeypatch.setenv(WORKERS, str(workers))
    seen = []
    expected = {"data": DataError, "killed": WorkerDied, "bug": RuntimeError}[how]
    with pytest.raises(expected, match=sentence) as caught, loading(feed(partial(Broken, how=how))) as steps:
        for batches in steps:
            seen.append(batches)
    assert len(seen) == 2 or (how == "killed" and len(seen) < 2)  # what a killed worker held ready is lost
    assert classify(caught.value).kind == kind
    assert not threads()


def test_data_that_changes_while_training_begins_is_refused(monkeypatch):
    with pytest.raises(DataError, match="changed while training began"):
        loaded(monkeypatch, 2, feed(Changing))


def test_what_cannot_be_told_to_a_worker_is_refused_in_a_sentence(monkeypatch):
    odd = feed()._replace(places=Places(lambda step, total: StepPlan(1), 1, 1))
    with pytest.raises(ValueError, match=r"OMNITOK_DATA_WORKERS=1: what is loaded cannot be told to another process"):
        loaded(monkeypatch, 1, odd)
    with pytest.raises(DataError, match="OMNITOK_DATA_WORKERS=two: is no whole number"):
        loaded(monkeypatch, "two", odd)


def test_the_number_of_workers_is_a_resource_that_a_sweep_hands_on():
    assert Resources(data_workers=2, compile=True, attention="sdpa").environment == {
        WORKERS: "2",
        "OMNITOK_COMPILE": "1",
        "OMNITOK_ATTENTION": "sdpa",
    }
    assert Resources(data_workers=0).environment == {WORKERS: "0"}


def test_workers_end_with_whatever_stops_the_training(monkeypatch):
    monkeypatch.setenv(WORKERS, "2")
    started = []
    monkeypatch.setattr(loader._Worker, "end", _told(started, loader._Worker.end))
    with pytest.raises(KeyboardInterrupt), loading(feed(steps=10**6)) as steps:
        next(steps)
        raise KeyboardInterrupt
    assert len(started) == 2
    assert None not in [worker.handle.poll() for worker in started]
    assert not threads()


def _told(seen, call):
    def told(self):
        seen.append(self)
        call(self)

    return told


PARENT = """
import os, sys, time
from test_loader import feed
from omnitok.sweep.resources import Resources
from omnitok.training import loader
started = []
begin = loader._Worker.__init__
loader._Worker.__init__ = lambda self, *more: (begin(self, *more), started.append(self.handle.pid))[0]
with loader.loading(feed(steps=10**6)) as steps:
    next(steps)
    print(*started, flush=True)
    time.sleep(600)
"""


def test_workers_of_a_killed_training_end_and_signals_for_the_training_leave_them(tmp_path):
    environment = os.environ | {WORKERS: "2", "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        time.sleep(0.3)
        assert len(workers) == 2
        assert all(map(_lives, workers))
        parent.kill()
    ended = time.monotonic() + 10
    while any(map(_lives, workers)) and time.monotonic() < ended:
        time.sleep(0.05)
    assert not any(map(_lives, workers))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("where", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_clips_of_pixels_travel_as_bytes_and_arrive_with_the_same_bits(where):
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    clips = torch.arange(256).float().div_(127.5).sub_(1.0).reshape(2, 1, 2, 8, 8)
    assert packed(clips).dtype == torch.uint8
    assert torch.equal(unpacked([packed(clips)], torch.device(where)).cpu(), clips)
    odd = clips + 1e-3
    assert packed(odd).dtype == torch.float32
    mixed = unpacked([packed(clips), packed(odd)], torch.device(where)).cpu()
    assert torch.equal(mixed, torch.cat([clips, odd]))


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetched"]


def test_what_is_prefetched_comes_in_order_and_leaves_no_thread():
    assert list(prefetched(range(100), depth=3)) == list(range(100))
    assert list(prefetched([])) == []
    assert not threads()


def test_no_more_is_made_ahead_than_was_said():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    ahead = prefetched(items(), depth=2)
    assert next(ahead) == 0
    time.sleep(0.1)
    assert len(made) <= 1 + 2 + 1
    ahead.close()
    assert not threads()


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        yield 2
        raise ValueError("the third is broken")

    ahead = prefetched(items(), depth=5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="the third is broken"):
        next(ahead)
    assert not threads()


def test_whoever_stops_early_closes_the_source_and_its_thread():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    for _ in prefetched(items(), depth=1):
        break
    assert closed == [True]
    assert not threads()
