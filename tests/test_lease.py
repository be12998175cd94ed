"""One holder of a folder at a time, whoever dies, freezes or comes late; and nothing of a stale one is ever seen."""

import os
import secrets
import signal
import subprocess
import sys
import time

import pytest

from omnitok import runs
from omnitok.runs import leases
from omnitok.trial.failure import failing_into

CHILD = """
import os, signal, sys, time
from contextlib import ExitStack
from pathlib import Path
import fcntl
from omnitok import runs
from omnitok.runs import leases
folder, leases.STALE_S, how = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
if "lockless" in how:
    fcntl.flock = lambda *_: None  # gives everybody the lock
stack, freeze = ExitStack(), lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
def take():
    global held, growing
    held = stack.enter_context(runs.lease(folder))
    held.write(folder / "old", b"old")
    growing = stack.enter_context(held.growing(folder / "records.jsonl", b'{"step": 0}\\n'))
def last_moment():
    really, leases.Held.check = leases.Held.check, lambda self: (really(self), freeze())
    try:
        growing.append(b'{"step": 1}\\n')
    finally:
        leases.Held.check = really
def often():
    left = 10
    while left:
        try:
            with runs.lease(folder):
                os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
                time.sleep(0.002)
                (folder / "inside").unlink()
                left -= 1
        except runs.Busy as busy:
            assert type(busy) is runs.Busy, busy
        time.sleep(0.01)
does = {
    "take": take,
    "write": lambda: held.write(folder / "result.json", b"theirs"),
    "line": lambda: held.append_line(folder / "attempts.jsonl", {"by": "theirs"}),
    "remove": lambda: held.remove(folder / "old"),
    "fail": lambda: runs.fail_held(held, runs.Failure("bug", "it broke", "")),
    "grow": lambda: held.growing(folder / "records.jsonl", b"theirs").__enter__(),
    "append": lambda: growing.append(b'{"step": 1}\\n'),
    "leave": stack.close,
    "last_moment": last_moment,
    "freezing": lambda: setattr(os, "fsync", freeze),
    "often": often,
}
print("ready", flush=True)
for line in sys.stdin:
    try:
        does[line.strip()]()
        said = "done"
    except runs.Busy as error:
        said = type(error).__name__
    except Exception as error:
        said = repr(error)
    print(said, flush=True)
"""


class Other:
    """Another process, which does with the folder what it is told."""

    def __init__(self, folder, stale_s=4.0, *how):
        words = [sys.executable, "-c", CHILD, str(folder), str(stale_s), *how]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "ready"

    def tell(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def heard(self):
        return self.process.stdout.readline().strip()

    def ask(self, what):
        self.tell(what)
        return self.heard()

    def send(self, number):
        self.process.send_signal(number)

    def stopped(self):
        """Wait until it has stopped itself."""
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.fixture
def others():
    """Starts them, and ends them."""
    begun = []
    yield lambda *words: begun.append(Other(*words)) or begun[-1]
    for other in begun:
        other.process.kill()
        other.process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(leases, "STALE_S", 4.0)


def taken(folder, seconds=60):
    """The lease, as soon as it can be had."""
    until = time.monotonic() + seconds
    while True:
        held = runs.lease(folder)
        try:
            return held, held.__enter__()
        except runs.Busy:
            assert time.monotonic() < until
            time.sleep(0.05)


def seen(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_lease_is_free_again_at_once_and_leaves_nothing(tmp_path):
    with runs.lease(tmp_path) as held:
        held.write_json(tmp_path / "a.json", {"a": 1})
        assert runs.leased(tmp_path)
        with pytest.raises(runs.Busy, match="another process works in this folder"), runs.lease(tmp_path):
            pytest.fail("two hold it")
    assert not runs.leased(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_holder_that_is_killed_frees_its_folder_at_once(tmp_path, others):
    other = others(tmp_path, 4.0)
    assert other.ask("take") == "done" and runs.leased(tmp_path)
    other.send(signal.SIGKILL)
    other.process.wait()
    assert not runs.leased(tmp_path)
    with runs.lease(tmp_path) as held:  # with a patience of 40 s, which is not needed
        assert [path.name for path in (tmp_path / "attempts").iterdir()] == [held.token]
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("how", [(), ("lockless",)])
def test_whatever_a_frozen_holder_writes_after_it_was_taken_over_is_refused(tmp_path, others, impatient, how):
    other = others(tmp_path, 4.0, *how)
    assert other.ask("take") == "done" and other.ask("append") == "done"
    other.send(signal.SIGSTOP)
    lease, held = taken(tmp_path)
    held.append_line(tmp_path / runs.ATTEMPTS, {"by": "ours"})
    held.write(tmp_path / runs.RESULT, b"ours")
    with held.growing(tmp_path / runs.RECORDS, runs.before(tmp_path, 1)):
        there = seen(tmp_path)
        other.send(signal.SIGCONT)
        for what in ("append", "write", "line", "remove", "fail", "grow", "append", "leave"):
            assert other.ask(what) == "Fenced", what
            assert seen(tmp_path) == there, what
    lease.__exit__(None, None, None)
    assert seen(tmp_path) == there and there[runs.RECORDS] == b'{"step": 0}\n'
    assert not (tmp_path / "attempts").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("what", ["write", "line", "fail", "grow"])
def test_a_holder_that_is_frozen_in_the_middle_of_a_write_publishes_nothing(tmp_path, others, impatient, what):
    other = others(tmp_path, 4.0)
    assert other.ask("take") == "done" and other.ask("freezing") == "done"
    other.tell(what)
    other.stopped()
    lease, held = taken(tmp_path)
    held.write(tmp_path / runs.RESULT, b"ours")
    there = seen(tmp_path)
    other.send(signal.SIGCONT)
    assert other.heard() == "Fenced" and seen(tmp_path) == there
    lease.__exit__(None, None, None)


def test_what_is_appended_in_the_last_moment_goes_where_nobody_reads(tmp_path, others, impatient):
    other = others(tmp_path, 4.0)
    assert other.ask("take") == "done"
    other.tell("last_moment")  # it knows that it holds the lease, and then it is frozen
    other.stopped()
    lease, held = taken(tmp_path)
    with held.growing(tmp_path / runs.RECORDS, runs.before(tmp_path, 1)) as records:
        other.send(signal.SIGCONT)
        assert other.heard() == "done"  # into a file without a name
        records.append(b'{"step": 1}\n')
    assert [record.step for record in runs.records(tmp_path)] == [0, 1]
    assert other.ask("append") == "Fenced"
    lease.__exit__(None, None, None)


@pytest.mark.parametrize("how", [(), ("lockless",)])
def test_of_many_that_take_a_stale_lease_over_one_is_in_at_a_time(tmp_path, others, how):
    dead = tmp_path / "attempts" / "0123456789abcdef"
    dead.mkdir(parents=True)
    (dead / "lease").write_text('{"kernel": []}')
    os.utime(dead / "lease", (1.0, 1.0))
    crowd = [others(tmp_path, 20.0, *how) for _ in range(5)]
    for other in crowd:
        other.tell("often")
    assert [other.heard() for other in crowd] == ["done"] * 5
    assert not (tmp_path / "attempts").exists() and not list(tmp_path.glob(".*"))


def test_where_locks_keep_nobody_out_there_is_still_one_holder(tmp_path, others):
    first, second = (others(tmp_path, 20.0, "lockless") for _ in range(2))
    assert first.ask("take") == "done"
    assert second.ask("take") == "Busy" and second.ask("take") == "Busy"
    assert first.ask("leave") == "done" and second.ask("take") == "done"


def test_a_holder_on_another_machine_is_waited_for_until_it_is_stale(tmp_path, others, impatient):
    other = others(tmp_path, 4.0)
    assert other.ask("take") == "done"
    [place] = (tmp_path / "attempts").iterdir()
    said = runs.read_json(place / "lease")
    runs.write_json(place / "lease", said | {"kernel": ["another machine's"]})
    other.send(signal.SIGKILL)
    other.process.wait()
    assert runs.leased(tmp_path)  # no kernel says that it is dead
    lease, _ = taken(tmp_path)
    lease.__exit__(None, None, None)


@pytest.mark.parametrize("moment", [1.0, 4e9])
def test_a_clock_that_is_set_takes_no_lease_from_who_lives_and_keeps_none_for_the_dead(
    tmp_path, others, impatient, moment
):
    other = others(tmp_path, 4.0, "lockless")
    assert other.ask("take") == "done"
    [place] = (tmp_path / "attempts").iterdir()
    for _ in range(3):
        os.utime(place / "lease", (moment, moment))
        with pytest.raises(runs.Busy), runs.lease(tmp_path):
            pytest.fail("it lives")
    assert other.ask("write") == "done"
    other.send(signal.SIGKILL)
    other.process.wait()
    os.utime(place / "lease", (moment, moment))
    with runs.lease(tmp_path):
        pass


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_the_clock_of_this_machine_does_not_matter(tmp_path, others, monkeypatch, skew):
    other, now = others(tmp_path, 40.0), time.time
    assert other.ask("take") == "done"
    monkeypatch.setattr(time, "time", lambda: now() + skew)
    assert runs.leased(tmp_path)
    other.send(signal.SIGKILL)
    other.process.wait()
    assert not runs.leased(tmp_path)


def test_a_holder_that_writes_nothing_for_long_keeps_its_lease(tmp_path, others, monkeypatch):
    other = others(tmp_path, 4.0)  # beats twice a second
    monkeypatch.setattr(leases, "STALE_S", 6.0)
    assert other.ask("take") == "done"
    until = time.monotonic() + 8
    while time.monotonic() < until:
        with pytest.raises(runs.Busy), runs.lease(tmp_path):
            pytest.fail("it lives")
        time.sleep(0.5)
    assert other.ask("append") == "done" and other.ask("leave") == "done"


def test_a_line_is_appended_without_what_is_torn(tmp_path):
    path = tmp_path / runs.ATTEMPTS
    path.write_bytes(b'{"a": 1}\n{"a"\n{"a": 2}\n{"a": 3')
    with runs.lease(tmp_path) as held:
        held.append_line(path, {"a": 4})
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n{"a": 4}\n'


def test_a_failure_is_written_for_nobody_who_was_followed(tmp_path):
    why = runs.Failure("killed", "the process died", "")
    with runs.lease(tmp_path):
        runs.fail(tmp_path, why)
    assert runs.failure(tmp_path) is None
    runs.fail(tmp_path, why)
    assert runs.failure(tmp_path).kind == "killed" and not runs.leased(tmp_path)


def test_a_token_is_nobody_elses(tmp_path):
    tokens = set()
    for _ in range(50):
        with runs.lease(tmp_path) as held:
            tokens.add(held.token)
    assert len(tokens) == 50 and all(len(token) == len(secrets.token_hex(8)) for token in tokens)


def test_who_follows_may_leave_after_the_first_has(tmp_path, monkeypatch):
    """Were it refused, it would begin the stage again while the first is at the next, and all would wait for ever."""
    with runs.lease(tmp_path) as held:
        pass
    monkeypatch.setattr("omnitok.trial.failure.rank", lambda: 1)
    with failing_into(tmp_path, held=held):
        pass
    monkeypatch.setattr("omnitok.trial.failure.rank", lambda: 0)
    with pytest.raises(runs.Fenced), failing_into(tmp_path, held=held):
        pass
