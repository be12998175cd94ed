"""What every task promises: to train a stage step by step, and to leave something that can be evaluated."""

import bisect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from omnitok.data import DataError, Dataset, span
from omnitok.model import Reconstructor
from omnitok.runs import Record


class Flops(NamedTuple):
    """Floating-point operations of one clip, there and back."""

    encode: int
    decode: int


class Facts(NamedTuple):
    """What a stage costs, known before it is paid for."""

    parameters: int | None  # None: not known of what was made elsewhere
    tokens: dict[str, int]  # "frames x resolution" -> tokens a sample
    bits_per_token: float
    flops: dict[str, Flops]  # the same, of the longest clip at each resolution
    largest: str  # of these shapes, the one with the most pixels


def look(data: Dataset, frames: int, resolution: int, stride: int = 1) -> None:
    """Raises DataError where a split has nothing of that many frames, or would have to enlarge its pictures."""
    length = span(frames, stride)
    if not data.count(length):
        asked = f"frames={frames}" if stride == 1 else f"strides={stride}: {frames} frames span {length}"
        there = f"has nothing with that many frames; its longest clip has {_longest(data, length)}"
        raise DataError(f"{asked}: the {data.split} split {there}")
    if resolution > (finest := data.finest(length)):
        raise DataError(
            f"resolution={resolution}: the smallest picture of the {data.split} split has {finest} pixels a side"
        )


def _longest(data: Dataset, too_many: int) -> int:
    """The most frames that an item has, which are fewer than ``too_many``; 0 where there is nothing."""
    return bisect.bisect_left(range(1, too_many), True, key=lambda frames: not data.count(frames))


class Task(ABC):
    """One stage's work. ``Component(seed, data_root, *, ...)``; everything random is a function of (seed, step).

    ``roles``: which parents it takes. ``unseen``: choices that a rehearsal does not depend on.
    ``codec_choice``: the choice that makes the codec. ``steps``: how many records ``train(0)`` yields.
    ``averages``: whether it has weights of the kind ``ema``. ``by_codec``: whether its shapes are what its codec takes.
    """

    version: ClassVar[int] = 1
    roles: ClassVar[tuple[str, ...]] = ()
    unseen: ClassVar[tuple[str, ...]] = ()
    codec_choice: ClassVar[str]
    averages: bool = False
    by_codec: ClassVar[bool] = False
    steps: int
    codec: Reconstructor

    def __init__(self, seed: int, data_root: Path) -> None:
        self.seed, self.data_root = seed, data_root

    @abstractmethod
    def train(self, start: int = 0) -> Iterator[Record]:
        """Steps ``start`` onwards. Yields what each measured; never logs, prints or saves.

        Raises NonFinite, DataError.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that a later ``load`` needs to go on to the same bits."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None: ...

    def weights(self, kind: str = "raw") -> Mapping[str, Tensor]:
        """What a child stage or an evaluation takes over: ``raw`` as trained, or ``ema``, their average."""
        return self.codec.state_dict()

    def watched(self) -> tuple[str, ...]:
        """What its records say of the validation split: ``val/psnr`` and the like, by which a search can go."""
        return ()

    def judges(self) -> nn.Module:
        """What judged the codec; a child stage may take it over. It has no weights where nobody did."""
        return nn.Module()

    @abstractmethod
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every (frames, resolution) that training will meet, after a look at whether the data has them.

        Raises DataError where it has not.
        """
