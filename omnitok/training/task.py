"""What every task promises: to train a stage step by step, and to leave something that can be evaluated."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from omnitok.data import DataError, Dataset
from omnitok.model import Reconstructor
from omnitok.runs import Record


class NonFinite(ArithmeticError):
    """A loss term stopped being a number; the message names the step and the term."""


class Facts(NamedTuple):
    """What a stage costs, known before it is paid for."""

    parameters: int
    tokens: dict[str, int]  # "frames x resolution" -> tokens a sample
    bits_per_token: float


def look(data: Dataset, frames: int, resolution: int) -> None:
    """Raises DataError where a split has nothing of that many frames, or would have to enlarge its pictures."""
    if not data.items(frames):
        raise DataError(f"frames={frames}: the {data.split} split has nothing with that many frames")
    if resolution > (finest := data.finest(frames)):
        raise DataError(
            f"resolution={resolution}: the smallest picture of the {data.split} split has {finest} pixels a side"
        )


class Task(ABC):
    """One stage's work. ``Component(seed, data_root, *, ...)``; everything random is a function of (seed, step).

    ``roles``: which parents it takes. ``unseen``: choices that a rehearsal does not depend on.
    ``codec_choice``: the choice that makes the codec. ``steps``: how many records ``train(0)`` yields.
    ``averages``: whether it has weights of the kind ``ema``.
    """

    version: ClassVar[int] = 1
    roles: ClassVar[tuple[str, ...]] = ()
    unseen: ClassVar[tuple[str, ...]] = ()
    codec_choice: ClassVar[str]
    averages: bool = False
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

    def judges(self) -> nn.Module:
        """What judged the codec; a child stage may take it over. It has no weights where nobody did."""
        return nn.Module()

    @abstractmethod
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every (frames, resolution) that training will meet, after a look at whether the data has them.

        Raises DataError where it has not.
        """
