"""Clips on their way between processes and devices: one byte a value where that is all there is to them."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Packed: TypeAlias = Tensor  # [b c T H W], uint8 or float32


def packed(clips: Float[Tensor, "b c T H W"]) -> Packed:
    """As 8-bit pixels if ``unpacked`` makes the same bits of them, else as they are."""
    pixels = clips.mul(127.5).add_(128.0).to(torch.uint8)
    return pixels if torch.equal(unpacked([pixels], clips.device), clips) else clips


def unpacked(parts: Sequence[Packed], where: torch.device) -> Float[Tensor, "b c T H W"]:
    """The parts of a batch in one, on a device: the same bits on each."""
    clips = torch.empty((sum(map(len, parts)), *parts[0].shape[1:]), device=where)
    white = torch.full((), 127.5, device=where)  # by a number, an accelerator would multiply with its rounded inverse
    for part, place in zip(parts, clips.split([len(part) for part in parts]), strict=True):
        place.copy_(part.to(where, non_blocking=True))
        if part.dtype == torch.uint8:
            place.div_(white).sub_(1.0)
    return clips
