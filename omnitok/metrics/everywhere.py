"""What several processes have seen of one set, brought together so that each of them finds the same number.

An evaluation is one process so far: this is for whoever feeds a metric in several."""

import torch
import torch.distributed as dist
from torch import Tensor

from omnitok.processes import gathered, world


def everyones(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of their ranks, however many each has; on the CPU. A process without rows
    may not know how large one is."""
    if world() == 1:
        return rows
    where = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    sizes = gathered(torch.tensor([rows.shape], device=where))
    counts, shape = sizes[:, 0].tolist(), sizes[:, 1:].amax(0).tolist()
    padded = torch.zeros((max(counts), *shape), dtype=rows.dtype, device=where)
    padded[: len(rows)] = rows.view(len(rows), *shape)
    parts = gathered(padded).cpu().split(max(counts))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
