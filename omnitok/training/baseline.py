"""The tasks that train nothing: a baseline is a stage like any other, so it is evaluated and reported like one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, final

import torch

from omnitok.data import DatasetPart
from omnitok.model import MeanColour
from omnitok.runs import Record
from omnitok.spec import REQUIRED, Count
from omnitok.training.baselines import BaselinePart
from omnitok.training.task import Task, look


class _Untrained(Task):
    """One step, after which a baseline is what it will be."""

    codec_choice: ClassVar[str] = "baseline"
    averages = True  # what is not learned is its own average
    steps = 1

    def state(self) -> dict[str, Any]:
        return {"model": self.codec.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.codec.load_state_dict(state["model"])


@final
class FitBaseline(_Untrained):
    """Give a baseline the mean colour of the training set, and leave it to be evaluated.

    data: the dataset whose training split is averaged; there is no default.
    baseline: which reconstruction.
    resolution: side in pixels at which the training items are averaged.
    """

    def __init__(
        self,
        seed: int,
        data_root: Path,
        *,
        data: Annotated[DatasetPart, REQUIRED],
        baseline: BaselinePart = MeanColour,
        resolution: Count = 64,
    ) -> None:
        super().__init__(seed, data_root)
        self.data, self.resolution = data, resolution
        self.baseline = baseline()
        self.codec = self.baseline.codec
        if not self.baseline.fits:
            raise ValueError("baseline: what was made elsewhere fits no data; its task is foreign")

    def train(self, start: int = 0) -> Iterator[Record]:
        if start < self.steps:
            data = self.data(self.data_root, "train")
            items = [data.item(i, 1, self.resolution) for i in range(len(data.items(1)))]
            self.baseline.fit(torch.stack(items).mean((0, 2, 3, 4)))
            yield Record(0, {"train/items": float(len(items))})

    def shapes(self) -> tuple[tuple[int, int], ...]:
        look(self.data(self.data_root, "train"), 1, self.resolution)
        return ((1, self.resolution),)


@final
class Foreign(_Untrained):
    """Leave what was made elsewhere to be evaluated: a tokenizer's file, or reconstructions. Reads no data.

    baseline: what was made; there is no default.
    """

    by_codec: ClassVar[bool] = True

    def __init__(self, seed: int, data_root: Path, *, baseline: Annotated[BaselinePart, REQUIRED]) -> None:
        super().__init__(seed, data_root)
        self.baseline = baseline()
        self.codec = self.baseline.codec
        if self.baseline.fits:
            raise ValueError("baseline: it fits a training set; its task is baseline, which says the data")

    def train(self, start: int = 0) -> Iterator[Record]:
        if start < self.steps:
            self.baseline.take()
            yield Record(0, {})

    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The smallest clip there is."""
        return ((1, self.codec.multiple),)
