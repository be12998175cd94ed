"""What every metric promises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Measured(NamedTuple):
    """One number over all items, and one an item where the metric is a mean of such. ``value`` is None where the
    metric does not apply (codebook usage of a continuous bottleneck)."""

    value: float | None
    per_item: tuple[float, ...]


class Metric(ABC):
    """``Component(codebook_sizes, *, ...)``: fed batches by ``add``, asked once by ``result``.

    Best at identity; the order of batches does not matter; many small batches are one large one. ``protocol`` says
    everything that moves the number, so that two protocols are never taken for one.
    """

    version: ClassVar[int] = 1
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    least_side: ClassVar[int] = 1  # of a frame, in pixels
    better: ClassVar[Literal["higher", "lower", "neither"]]
    protocol: str

    @abstractmethod
    def add(
        self,
        original: Float[Tensor, "b c T H W"],
        reconstruction: Float[Tensor, "b c T H W"],
        codes: Int[Tensor, "b t h w q"],
    ) -> None: ...

    @abstractmethod
    def result(self) -> Measured: ...
