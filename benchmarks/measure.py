"""What a measurement is: samples of one quantity, their median, what they are held against, and where they are taken."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock


class Row(NamedTuple):
    """One line of the table. ``below``: the target, in the unit of the samples; None where nothing was promised."""

    what: str
    how: str
    unit: str
    samples: tuple[float, ...]
    below: float | None = None
    ratio: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def met(self) -> bool | None:
        return None if self.below is None else self.median < self.below


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def times(a: float, b: float, of: str) -> str:
    """How many times ``b`` fits into ``a``, as the ratio column says it."""
    return f"{a / b:.3g} x {of}"


def python(*words: str) -> str:
    """What a Python process of its own prints. Raises CalledProcessError where it fails."""
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout


def python_json(*words: str) -> Any:
    return json.loads(python(*words))


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder with a runs' folder of its own, for this process and those that it starts."""
    with tempfile.TemporaryDirectory(prefix="omnitok-") as name, mock.patch.dict(os.environ):
        os.environ["OMNITOK_RUNS"] = str(Path(name) / "runs")
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield Path(name)
