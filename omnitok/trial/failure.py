"""A death is written down where it happened: its class, one sentence, the traceback."""

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import torch

from omnitok import runs
from omnitok.data import DataError
from omnitok.processes import rank, world
from omnitok.runs import Failure
from omnitok.training import NonFinite
from omnitok.training.loader import WorkerDied

STARVED: Final = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")  # by PyTorch, CUDA and its libraries
BROKEN: Final = ("uncorrectable ECC", "GPU is lost", "no CUDA-capable device", "CUDA driver", "busy or unavailable")
PEERS: Final = ("Connection closed by peer", "Connection reset by peer", "remote process exited")  # gloo's and NCCL's
GONE: Final = (errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESHUTDOWN)


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
    """The class that a policy acts on, one sentence, the traceback, and where it was.

    Of an error that was raised from another the class is that of the first one in the chain that has one: what a
    library wraps stays what it was.
    """
    text = "".join(traceback.format_exception(error))
    sentence = _first_line(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        sentence = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    kind = next(filter(None, map(_kind, _causes(error))), "bug")
    return Failure.here(kind, sentence if kind != "bug" else f"{type(error).__name__}: {sentence}", text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _kind(error: BaseException) -> str:
    """What one exception tells by itself; nothing where it may be a bug."""
    kinds: list[tuple[type[BaseException], str]] = [
        (MemoryError, "out_of_memory"),
        (torch.OutOfMemoryError, "out_of_memory"),
        (NonFinite, "nan"),
        (DataError, "data"),
        (WorkerDied, "killed"),
        (ImportError, "import"),
    ]
    if known := next((name for one, name in kinds if isinstance(error, one)), ""):
        return known
    if isinstance(error, OSError):
        return _of_system(error)
    words = [*((word, "out_of_memory") for word in STARVED), *((word, "node") for word in BROKEN)]
    words += [(word, "killed") for word in PEERS if world() > 1]
    said = _first_line(error) if isinstance(error, RuntimeError) else ""
    return next((name for word, name in words if word in said), "")


def _of_system(error: OSError) -> str:
    """What the operating system refused: memory, a machine or a file system that is gone, or else the disk."""
    if error.errno == errno.ENOMEM:
        return "out_of_memory"
    if isinstance(error, ConnectionError) and world() > 1:
        return "killed"
    return "node" if error.errno in GONE or isinstance(error, ConnectionError | TimeoutError) else "disk"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


@contextmanager
def failing_into(folder: Path, name: str = runs.ERROR, held: runs.Held | None = None) -> Iterator[None]:
    """Leave an error file if what is inside dies, and none if it does not, through the lease where it is ``held``. Of
    several processes the first to die says why: the others can only miss it. A disk that is too full for the file does
    not hide why."""
    try:
        yield
    except (Stopped, runs.Busy, KeyboardInterrupt):
        raise
    except Exception as error:
        if world() == 1 or not (folder / name).exists():
            with suppress(OSError):
                (folder / name).parent.mkdir(exist_ok=True)
                said = classify(error)
                runs.fail_held(held, said, name) if held else runs.fail(folder, said, name)
        raise
    if rank():  # the first may have left before: what is held is no more, and that is no failure of those who followed
        return
    held.remove(folder / name) if held else (folder / name).unlink(missing_ok=True)
