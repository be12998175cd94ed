"""The task that trains nothing: a baseline is a stage like any other, so it is evaluated and reported like one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, final

import torch

from omnitok.data import DatasetPart
from omnitok.model import BaselinePart, MeanColour
from omnitok.runs import Record
from omnitok.spec import REQUIRED, Count
from omnitok.training.task import Task, look


@final
class FitBaseline(Task):
    """Give a baseline the mean colour of the training set, and leave it to be evaluated.

    data: the dataset whose training split is averaged; there is no default.
    baseline: which reconstruction.
    resolution: side in pixels at which the training items are averaged.
    """

    codec_choice: ClassVar[str] = "baseline"
    averages = True  # what is not learned is its own average

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
        self.data, self.resolution, self.steps = data, resolution, 1
        self.baseline = self.codec = baseline()

    def train(self, start: int = 0) -> Iterator[Record]:
        if start < self.steps:
            data = self.data(self.data_root, "train")
            items = [data.item(i, 1, self.resolution) for i in range(len(data.items(1)))]
            self.baseline.fit(torch.stack(items).mean((0, 2, 3, 4)))
            yield Record(0, {"train/items": float(len(items))})

    def state(self) -> dict[str, Any]:
        return {"model": self.codec.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.codec.load_state_dict(state["model"])

    def shapes(self) -> tuple[tuple[int, int], ...]:
        look(self.data(self.data_root, "train"), 1, self.resolution)
        return ((1, self.resolution),)
