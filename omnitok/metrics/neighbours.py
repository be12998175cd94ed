"""Precision and recall, density and coverage."""

from typing import ClassVar, Literal, final

from torch import Tensor

from omnitok.metrics import manifold
from omnitok.metrics.contract import Codec, Measured
from omnitok.metrics.features import EVERY_FRAME, OfFeatures, Resamples
from omnitok.metrics.interval import interval
from omnitok.networks import inception
from omnitok.networks.inception import InceptionFeatures
from omnitok.spec import Count


class _Neighbours(OfFeatures):
    def __init__(self, k: int, resamples: int, preprocessing: inception.Preprocessing) -> None:
        super().__init__(InceptionFeatures(preprocessing))
        self.k, self.resamples = k, resamples
        self.least_items = k + 1
        self.protocol = (
            f"{self.label}[{self.extractor.name}, rounded to 8 bit, {EVERY_FRAME}, k={k}, balls with their border]"
        )

    def among(self, before: bool) -> tuple[int, manifold.Inside]:
        """How many items there are, and how the balls around what was before and the points after lie; or the other way
        round."""
        sides = self.sides()
        centres, points = (side.flatten(0, 1) for side in (sides if before else sides[::-1]))
        reach = manifold.radii(centres, self.k, self.where)
        return len(sides[0]), manifold.inside(centres, reach, points, self.where)

    def mean(self, items: int, values: Tensor) -> Measured:
        """The mean of what there is a vector; the interval is over the items that these are of, and the balls stay."""
        found = values.double().view(items, -1).mean(1)
        value = found.mean()
        return Measured(float(value), (), interval(float(value), found - value, self.resamples, self.label))


class _OfThree(_Neighbours):
    """By three neighbours, as arXiv:1904.06991 has it."""

    def __init__(
        self,
        codec: Codec,
        *,
        k: Count = 3,
        preprocessing: inception.Preprocessing = "tf",
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(k, resamples, preprocessing)


class _OfFive(_Neighbours):
    """By five neighbours, as arXiv:2002.09797 has it."""

    def __init__(
        self,
        codec: Codec,
        *,
        k: Count = 5,
        preprocessing: inception.Preprocessing = "tf",
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(k, resamples, preprocessing)


@final
class Precision(_OfThree):
    """How many reconstructions look like some original (arXiv:1904.06991): the share that lies in a ball around an original
    which reaches to the k-th nearest of these, by features of the Inception of 2015. The paper's own network is VGG16, so
    compare with none of its numbers. A frame of a clip is a picture.

    k: which neighbour a ball reaches to; more makes the number larger.
    preprocessing: how a picture comes to 299x299, as in rfid.
    resamples: how many sets of items the 95 % interval is made of; 0 makes none.
    """

    label: ClassVar[str] = "precision"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"

    def result(self) -> Measured:
        items, found = self.among(before=True)
        return self.mean(items, found.of_points > 0)


@final
class Recall(_OfThree):
    """How many originals look like some reconstruction (arXiv:1904.06991): as precision, the other way round.

    k: which neighbour a ball reaches to; more makes the number larger.
    preprocessing: how a picture comes to 299x299, as in rfid.
    resamples: how many sets of items the 95 % interval is made of; 0 makes none.
    """

    label: ClassVar[str] = "recall"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"

    def result(self) -> Measured:
        items, found = self.among(before=False)
        return self.mean(items, found.of_points > 0)


@final
class Density(_OfFive):
    """How densely originals lie around reconstructions (arXiv:2002.09797): in how many balls of originals a reconstruction
    lies, divided by k. At identity (k + 1) / k, as a ball has its border; the authors' code leaves that out and finds 1. More
    where reconstructions crowd, so that more is not always better. A frame of a clip is a picture.

    k: which neighbour a ball reaches to.
    preprocessing: how a picture comes to 299x299, as in rfid.
    resamples: how many sets of items the 95 % interval is made of; 0 makes none.
    """

    label: ClassVar[str] = "density"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "neither"

    def result(self) -> Measured:
        items, found = self.among(before=True)
        return self.mean(items, found.of_points.double() / self.k)


@final
class Coverage(_OfFive):
    """How many originals have a reconstruction near them (arXiv:2002.09797): the share of balls around originals in which
    one lies. A frame of a clip is a picture.

    k: which neighbour a ball reaches to; more makes the number larger.
    preprocessing: how a picture comes to 299x299, as in rfid.
    resamples: how many sets of items the 95 % interval is made of; 0 makes none.
    """

    label: ClassVar[str] = "coverage"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"

    def result(self) -> Measured:
        items, found = self.among(before=True)
        return self.mean(items, found.of_balls > 0)
