"""What a process of its own measures of attentions: ``python -m benchmarks.attention_child NAME JSON``."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.tokenizer_child import highest_memory, watch_memory
from omnitok.attention.backends import mixed

WAYS = ("manual", "sdpa")


def parts(sequences: int, tokens: int, heads: int, width: int, gradient: bool) -> list[Tensor]:
    """Queries, keys and values as a projection to all three leaves them: beside each other, token by token."""
    generator = torch.Generator().manual_seed(0)
    projected = torch.randn(sequences, tokens, 3, heads, width, generator=generator)
    return [part.detach().requires_grad_(gradient) for part in projected.permute(2, 0, 3, 1, 4)]


def times(
    *, sequences: int, tokens: int, heads: int, width: int, biased: bool, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of the processor, the ways in turn: {pass: {way: samples}}."""
    bias = torch.zeros(heads, tokens, tokens).requires_grad_() if biased else None
    plain, trained = (parts(sequences, tokens, heads, width, gradient) for gradient in (False, True))
    gradient, leaves = torch.ones_like(plain[0]), [*trained, bias] if bias is not None else trained

    def forward() -> None:
        with torch.inference_mode():
            mixed(plain[0], plain[1], plain[2], bias)

    def training() -> None:
        torch.autograd.grad(mixed(trained[0], trained[1], trained[2], bias), leaves, gradient)

    found: dict[str, dict[str, list[float]]] = {name: {way: [] for way in WAYS} for name in ("forward", "training")}
    for i in range(repeats + 1):
        for way in WAYS:
            with mock.patch.dict(os.environ, {"OMNITOK_ATTENTION": way}):
                for name, call in (("forward", forward), ("training", training)):
                    taken = _processor_seconds(call)
                    if i:  # the first loads what is loaded once
                        found[name][way].append(taken)
    return found


def _processor_seconds(call: Callable[[], None]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def peak(*, sequences: int, tokens: int, heads: int, width: int, way: str) -> float:
    """MiB that a forward and a backward pass need above queries, keys and values."""
    with mock.patch.dict(os.environ, {"OMNITOK_ATTENTION": way}):
        for size in (2, tokens):  # a small one before, so that libraries have loaded what they load once
            q, k, v = parts(sequences, size, heads, width, gradient=True)
            gradient, before = torch.ones_like(q), watch_memory()
            torch.autograd.grad(mixed(q, k, v), (q, k, v), gradient)
    return highest_memory() - before


MEASURES: dict[str, Callable[..., Any]] = {"times": times, "peak": peak}

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(MEASURES[sys.argv[1]](**json.loads(sys.argv[2]))))
