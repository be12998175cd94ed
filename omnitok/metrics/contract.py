"""What every metric promises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Measured(NamedTuple):
    """One number over all items, and one an item where the metric is a mean of such. ``value`` is None where the
    metric does not apply (codebook usage of a continuous bottleneck)."""

    value: float | None
    per_item: tuple[float, ...]


@runtime_checkable
class Codec(Protocol):
    """What is measured, as far as a metric needs to know it: takes a clip on the CPU and gives one back there."""

    codebook_sizes: tuple[int, ...]
    frame_step: int  # a clip has one frame more than a multiple of this

    def reconstruct(
        self, clip: Float[Tensor, "b c T H W"]
    ) -> tuple[Float[Tensor, "b c T H W"], Int[Tensor, "b t h w q"]]: ...


@final
class Identity:
    """The codec that gives back what it was given, without codes."""

    codebook_sizes: tuple[int, ...] = ()
    frame_step: int = 1

    def reconstruct(
        self, clip: Float[Tensor, "b c T H W"]
    ) -> tuple[Float[Tensor, "b c T H W"], Int[Tensor, "b t h w q"]]:
        return clip, torch.empty((*clip.shape[:1], 1, 1, 1, 0), dtype=torch.long)


class Metric(ABC):
    """``Component(codec, *, ...)``: fed batches by ``add``, asked once by ``result``.

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
