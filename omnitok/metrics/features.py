"""What metrics have in common that compare what a network sees in all items before and in all items after."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from omnitok.metrics.contract import Extractor, Metric, Pair
from omnitok.metrics.everywhere import everyones

Resamples = Annotated[int, Field(ge=0)]
Items = Float[Tensor, "n k d"]  # k vectors an item: one a frame, or one
EVERY_FRAME = "every frame"  # of a clip counts as a picture


def finite(sides: tuple[Items, Items], label: str) -> tuple[Items, Items]:
    """Features before and after. Raises ValueError where they are not numbers, as those of a broken model."""
    if not all(side.isfinite().all() for side in sides):
        raise ValueError(f"{label}: what the network sees in an item is nan or infinite")
    return sides


class OfFeatures(Metric):
    """Keeps the features of all items, in float32."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.networks = (extractor.weights,)
        self.kept: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.where = torch.device("cpu")

    def add(self, pair: Pair) -> None:
        if pair.device.type == "cuda":  # others have no float64
            self.where = pair.device
        for kept, found in zip(self.kept, self.found(pair), strict=True):
            kept.append(found)

    def found(self, pair: Pair) -> tuple[Items, Items]:
        return finite(pair.features(self.extractor), self.label)

    def sides(self) -> tuple[Items, Items]:
        """Before and after, of all processes. Raises ValueError for fewer items than there must be."""
        before, after = (everyones(torch.cat(kept) if kept else self._nothing()) for kept in self.kept)
        self._enough(len(before))
        return before, after

    def _enough(self, items: int) -> None:
        if items < self.least_items:
            raise ValueError(f"{self.label} is of {self.least_items} items or more, not {items}")

    def _nothing(self) -> Items:
        return torch.zeros(0, 1, self.extractor.width)
