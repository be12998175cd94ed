"""A death is written down where it happened: its class, one sentence, the traceback."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from omnitok import runs
from omnitok.data import DataError
from omnitok.processes import world
from omnitok.runs import Failure
from omnitok.training import NonFinite
from omnitok.training.loader import WorkerDied


class Stopped(Exception):
    """The run was asked to stop between two steps; its checkpoint is written."""


def attempt(work: Callable[[], object]) -> Failure | None:
    """Do one piece of work where a death must not end the others'. -> why it failed, or None.

    Busy and Stopped pass through: they are not failures.
    """
    try:
        work()
    except (runs.Busy, Stopped, KeyboardInterrupt):
        raise
    except Exception as error:  # the boundary: the class and the traceback are in the folder, the others go on
        return classify(error)
    return None


def classify(error: BaseException) -> Failure:
    """The class that a policy acts on, one sentence, the traceback."""
    text = "".join(traceback.format_exception(error))
    sentence = str(error).strip().split("\n")[0] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    starved = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if starved:
        return Failure("out_of_memory", sentence, text)
    kinds: list[tuple[type[BaseException], str]] = [
        (NonFinite, "nan"),
        (DataError, "data"),
        (WorkerDied, "killed"),
        (ImportError, "import"),
        (OSError, "disk"),
    ]
    kind = next((name for known, name in kinds if isinstance(error, known)), "bug")
    return Failure(kind, sentence if kind != "bug" else f"{type(error).__name__}: {sentence}", text)


@contextmanager
def failing_into(folder: Path, name: str = runs.ERROR) -> Iterator[None]:
    """Leave an error file if what is inside dies, and none if it does not. Of several processes the first to die says
    why: the others can only miss it."""
    try:
        yield
    except (Stopped, runs.Busy, KeyboardInterrupt):
        raise
    except Exception as error:
        (folder / name).parent.mkdir(exist_ok=True)
        if world() == 1 or not (folder / name).exists():
            runs.fail(folder, classify(error), name)
        raise
    (folder / name).unlink(missing_ok=True)
