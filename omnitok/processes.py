"""Several processes that train one model on slices of one batch: who is here, and what is summed over all of them.

A process that is alone needs no process group: everything here is then the identity.
"""

import os
import threading
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world() -> int:
    """How many processes train together; 1 where no process group is there."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if world() > 1 else 0


def end_with_input() -> None:
    """End this process at once when the one that started it, which holds the other end of its input, is gone."""
    threading.Thread(target=_read_to_the_end, daemon=True).start()


def _read_to_the_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


class _Total(torch.autograd.Function):
    """The gradient of a sum over processes is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        found = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(found)
        return found

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        found = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(found)
        return found


def total(x: Tensor) -> Tensor:
    """The sum of ``x`` over all processes, differentiable; every process gets it."""
    found: Tensor = _Total.apply(x) if world() > 1 else x
    return found


def gathered(x: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; as many from each. Not differentiable."""
    if world() == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every gradient becomes its mean over the processes, which all have gradients of the same parameters."""
    if world() == 1:
        return
    held = [p.grad for p in parameters if p.grad is not None]
    if held:
        flat = torch.cat([gradient.flatten() for gradient in held])
        dist.all_reduce(flat)
        for gradient, part in zip(held, (flat / world()).split([g.numel() for g in held]), strict=True):
            gradient.copy_(part.view_as(gradient))


def share(rows: Tensor) -> Tensor:
    """This process's slice of what was drawn for the batch of all processes."""
    return rows if world() == 1 else rows.chunk(world())[rank()]


def told(said: str) -> str:
    """What the first of all processes says, which each of them calls at the same place; what the others say is lost."""
    if world() == 1:
        return said
    heard = [said]
    dist.broadcast_object_list(heard, src=0)
    return heard[0]


@torch.no_grad()
def mean_values(values: dict[str, float]) -> dict[str, float]:
    """Each value's mean over the processes, which all hand in the same names in the same order."""
    if world() == 1:
        return values
    where = "cuda" if dist.get_backend() == "nccl" else "cpu"
    held = torch.tensor(list(values.values()), dtype=torch.double, device=where)
    dist.all_reduce(held)
    return dict(zip(values, (held / world()).tolist(), strict=True))
