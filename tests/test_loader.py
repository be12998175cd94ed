"""What is loaded ahead, in a thread or by workers, is what would be loaded without."""

import threading
import time

import pytest

from omnitok.training.loader import prefetched


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
