"""How datasets are computed, which has no identity: numbers in the environment, and what a process keeps of its work."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import numpy as np

from omnitok.data.contract import DataError

KEPT_MIB: Final = 128  # of decoded pixels of a process, where OMNITOK_DECODED does not say


def resource(name: str, usual: int) -> int:
    """The number in the environment variable ``name``. Raises DataError where it holds no whole number from 0 on."""
    said = os.environ.get(name) or str(usual)
    if not said.isdecimal():
        raise DataError(f"{name}={said}: is no whole number from 0 on")
    return int(said)


def kept_mib() -> int:
    """OMNITOK_DECODED: MiB of decoded pixels that a process keeps. Raises DataError where it is no number."""
    return resource("OMNITOK_DECODED", KEPT_MIB)


def unlocked_by_forks(lock: threading.Lock) -> None:
    """See to it that no child is forked while another thread, which the child has not, holds the lock."""
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


class Kept:
    """Arrays that were used last, at most OMNITOK_DECODED MiB of them; shared, so not writable."""

    def __init__(self) -> None:
        self.arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self.bytes, self.lock = 0, threading.Lock()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What ``make`` gave for ``key`` the last time, or gives now."""
        with self.lock:
            if key in self.arrays:
                self.arrays.move_to_end(key)
                return self.arrays[key]
        made = make()
        made.setflags(write=False)
        most = kept_mib() << 20
        with self.lock:
            if key not in self.arrays and made.nbytes <= most:
                self.arrays[key] = made
                self.bytes += made.nbytes
            while self.bytes > most:
                self.bytes -= self.arrays.popitem(last=False)[1].nbytes
        return made


KEPT: Final = Kept()
unlocked_by_forks(KEPT.lock)
