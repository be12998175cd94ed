"""The life of a process that loads data: told once what, it writes part after part until nobody reads."""

import json
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import torch

from omnitok.data import DataError, Dataset
from omnitok.processes import end_with_input
from omnitok.training.feed import Feed
from omnitok.training.loader import AHEAD, parts, prefetched
from omnitok.training.packed import Packed, packed


def serve(answers: IO[bytes]) -> None:
    """A line of JSON before each part says what it is, or how making it ended."""
    feed, start, index, workers = pickle.load(sys.stdin.buffer)  # the process that trains wrote it into our own pipe
    end_with_input()
    try:
        data: Dataset = feed.data()
        _say(answers, fingerprint=data.fingerprint)
        for part in prefetched(_made(feed, data, start, index, workers), AHEAD):
            _say(answers, dtype=str(part.dtype).removeprefix("torch."), shape=list(part.shape))
            answers.write(part.numpy().data)
            answers.flush()
    except DataError as error:
        _say(answers, data=str(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # the boundary: the process that trains says it
        _say(answers, failed=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())


def _made(feed: Feed, data: Dataset, start: int, index: int, workers: int) -> Iterator[Packed]:
    for step in range(start, feed.places.steps):
        for place, plan in enumerate(feed.places.plans(step)):
            for part in parts(feed, step, place, workers):
                if part.worker == index:
                    yield packed(feed.clips(data, step, plan, part.samples)).contiguous()


def _say(answers: IO[bytes], **words: Any) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    for asked in (signal.SIGINT, signal.SIGTERM):  # the training saves first, and then ends this
        signal.signal(asked, signal.SIG_IGN)
    torch.set_num_threads(1)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not look like a part
    with suppress(BrokenPipeError):
        serve(out)
    os._exit(0)
