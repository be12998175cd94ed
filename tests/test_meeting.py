"""Tasks that train together find each other, hear of each other's deaths, and why, without Slurm and without torch."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from omnitok import runs
from omnitok.cluster import meeting as meetings
from omnitok.cluster.meeting import Meeting, Place, Unmet
from omnitok.runs import Failure


@pytest.fixture
def three(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURMD_NODENAME", "localhost")
    made = [Meeting(Place(rank, 3, 0, tmp_path / "meet.json")) for rank in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Meeting.meet, made))
    yield made
    for one in made:
        one.close()


def heard(meeting, what, seconds=10.0):
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        meeting.look(0.05)
    return what()


def test_all_meet_and_leave_without_a_loss(three):
    first, *others = three
    assert sorted(first.lines) == [1, 2] and all(list(one.lines) == [0] for one in others)
    for one in others:
        one.tell(bye=True)
    assert heard(first, lambda: not first.lines) and not first.lost and first.reason(None) is None


def test_who_closes_without_a_word_was_killed_and_wins_over_those_who_only_missed_it(three):
    first, one, other = three
    other.tell(failed=["bug", "connection closed by peer", "trace"])
    one.close()
    assert heard(first, lambda: first.silent and first.words)
    assert first.reason(Failure("bug", "mine", "t"))[:2] == ("killed", "process 1 of 3 died")


def test_who_said_why_is_believed_before_oneself_and_its_end_is_no_loss(three):
    first, one, other = three
    one.tell(failed=["nan", "train/l1 is nan at step 3", "trace"])
    one.close()
    assert heard(first, lambda: 1 not in first.lines) and first.lost and not first.silent
    other.tell(failed=["bug", "connection closed by peer", "trace"])
    assert heard(first, lambda: len(first.words) == 2)
    assert first.reason(Failure("bug", "mine", "t")) == Failure("nan", "train/l1 is nan at step 3", "trace")


@pytest.mark.parametrize("word", ["held", "over"])
def test_the_first_that_is_requeued_or_ends_is_not_taken_for_killed(three, word):
    first, one, other = three
    first.tell(**{word: True})
    first.lines[1].close()
    assert heard(one, lambda: not one.lines) and getattr(one, word) and not one.silent
    first.lines[2].close()
    assert heard(other, lambda: not other.lines) and not other.silent


def test_the_first_that_is_killed_is_missed(three):
    first, one, _ = three
    first.lines[1].close()
    assert heard(one, lambda: one.silent == [0])
    assert one.reason(None).sentence == "process 0 of 3 died"


def test_who_does_not_come_is_named_and_a_stranger_is_not_taken_for_him(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURMD_NODENAME", "localhost")
    monkeypatch.setattr(meetings, "MEET_S", 2.0)
    file = tmp_path / "meet.json"

    def stranger():
        while not file.exists():
            time.sleep(0.01)
        for word in (b"GET / HTTP/1.1\n", json.dumps({"nonce": "x", "rank": 1}).encode() + b"\n"):
            with socket.create_connection(("localhost", runs.read_json(file)["roll"])) as line:
                line.sendall(word)

    thread = threading.Thread(target=stranger)
    thread.start()
    first = Meeting(Place(0, 3, 0, file))
    with pytest.raises(Unmet, match="process 1, 2 of 3 did not come"):
        first.meet()
    first.close()
    thread.join()
    with pytest.raises(Unmet, match="process 0 of 3 did not come"):
        Meeting(Place(1, 3, 0, tmp_path / "nowhere.json")).meet()
