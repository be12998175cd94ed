"""What is needed next, made while the last is worked on: in a thread."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made in a thread that is at most ``depth`` + 1 of them ahead.

    What the iterable raises is raised where its item would have come. The thread begins with the first item that is
    asked for, and ends with the last, or when the generator is closed; then the iterable is closed too, if it can be.
    """
    made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), name="prefetched", daemon=True)
    thread.start()
    try:
        while True:
            more, item = made.get()
            if not more:
                if item is not None:
                    raise item  # type: ignore[misc]
                return
            yield item  # type: ignore[misc]
    finally:
        left.set()
        while thread.is_alive():  # it may wait for room
            _empty(made)
            thread.join(0.01)


def _make(
    items: Iterable[T], made: "queue.Queue[tuple[bool, T | BaseException | None]]", left: threading.Event
) -> None:
    ended: BaseException | None = None
    try:
        for item in items:
            made.put((True, item))
            if left.is_set():
                break
    except BaseException as error:  # noqa: BLE001  whatever it is, it belongs to whoever asks
        ended = error
    finally:
        if isinstance(items, Generator):
            items.close()
    made.put((False, ended))


def _empty(made: "queue.Queue[tuple[bool, T | BaseException | None]]") -> None:
    try:
        while True:
            made.get_nowait()
    except queue.Empty:
        return
