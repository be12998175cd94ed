"""Datasets that worker processes can import, made to go wrong where a test says."""

import os
import signal
from pathlib import Path

import torch

from omnitok.data import DataError, Dataset


class Noise(Dataset):
    """Clips of random numbers that are no 8-bit pixels, unless ``pixels``."""

    def __init__(self, root: Path, split: str, *, pixels: bool = False) -> None:
        self.split, self.pixels, self.fingerprint = split, pixels, "noise"

    def items(self, frames: int) -> tuple[str, ...]:
        return tuple(f"noise[{i}]" for i in range(3))

    def finest(self, frames: int) -> int:
        return 1024

    def item(self, index: int, frames: int, resolution: int) -> torch.Tensor:
        return self.sample(torch.Generator().manual_seed(index), frames, resolution)

    def view(self, frames: int, resolution: int) -> str:
        return "noise"

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> torch.Tensor:
        shape = (3, frames, resolution, resolution)
        if self.pixels:
            return torch.randint(256, shape, generator=draw).float().div_(127.5).sub_(1.0)
        return torch.rand(shape, generator=draw)


class Broken(Noise):
    """Breaks as ``how`` says at the sample of (seed 0, step 2, sample 3)."""

    def __init__(self, root: Path, split: str, *, how: str) -> None:
        super().__init__(root, split, pixels=True)
        self.how = how

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> torch.Tensor:
        from omnitok.randomness import key

        if draw.initial_seed() == key(0, "sample", 2, 3):
            if self.how == "data":
                raise DataError('clips/a "b".mp4: ends at frame 7')
            if self.how == "bug":
                raise ZeroDivisionError("one by nothing")
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(draw, frames, resolution, stride)


class Changing(Noise):
    """Has another fingerprint in every process."""

    def __init__(self, root: Path, split: str) -> None:
        super().__init__(root, split)
        self.fingerprint = str(os.getpid())
