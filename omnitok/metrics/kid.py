"""KID."""

from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from omnitok.metrics.contract import Codec, Measured
from omnitok.metrics.features import EVERY_FRAME, OfFeatures, Resamples
from omnitok.metrics.interval import interval
from omnitok.metrics.kernel import discrepancy, paired_discrepancies
from omnitok.networks import inception
from omnitok.networks.inception import InceptionFeatures
from omnitok.randomness import generator


@final
class KernelInception(OfFeatures):
    """KID of reconstructions (arXiv:1801.01401): the squared maximum mean discrepancy of the features of the Inception of
    2015 under a cubic kernel. Unbiased, so that it may be below 0, and can be had of few items. A frame of a clip is a
    picture.

    preprocessing: how a picture comes to 299x299, as in rfid.
    subsets: 0: of all items at once, no item held against itself, with an interval; else the mean over so many subsets,
        drawn independently before and after; published numbers are of 100.
    subset_size: the pictures of a subset, no more than there are items; published numbers are of 1000.
    resamples: how many sets of items the 95 % interval is made of; 0 makes none.
    """

    label: ClassVar[str] = "rkid"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"

    def __init__(
        self,
        codec: Codec,
        *,
        preprocessing: inception.Preprocessing = "tf",
        subsets: Resamples = 0,
        subset_size: Annotated[int, Field(ge=2)] = 1000,
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(InceptionFeatures(preprocessing))
        self.subsets, self.subset_size, self.resamples = subsets, subset_size, resamples
        self.least_items = subset_size if subsets else 2
        how = f"{subsets} subsets of {subset_size}" if subsets else "pairs of different items"
        self.protocol = f"{self.label}[{self.extractor.name}, rounded to 8 bit, {EVERY_FRAME}, cubic, unbiased, {how}]"

    def result(self) -> Measured:
        before, after = self.sides()
        if self.subsets:
            return self._by_subsets(before.flatten(0, 1), after.flatten(0, 1))
        shares = paired_discrepancies(before, after, self.where)
        value = shares.mean()
        return Measured(float(value), (), interval(float(value), 2 * (shares - value), self.resamples, self.label))

    def _by_subsets(self, before: Float[Tensor, "n d"], after: Float[Tensor, "n d"]) -> Measured:
        draw, found = generator(0, f"subsets of {self.label}"), []
        for _ in range(self.subsets):
            sides = (side[torch.randperm(len(side), generator=draw)[: self.subset_size]] for side in (before, after))
            found.append(discrepancy(*(side.to(self.where) for side in sides)))
        values = torch.tensor(found, dtype=torch.double)
        return Measured(float(values.mean()), details={"deviation of subsets": float(values.std(correction=0))})
