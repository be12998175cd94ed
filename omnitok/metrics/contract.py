"""What every metric promises."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Clip = Float[Tensor, "b c T H W"]
NOTHING: Mapping[str, float] = MappingProxyType({})


class Measured(NamedTuple):
    """One number over all items, and one an item where the metric is a mean of such. ``value`` is None where the
    metric does not apply (codebook usage of a continuous bottleneck). ``interval``: the 95 % interval over items where
    there is no number an item; ``details``: other numbers that belong to it, by name (FID at smaller n). ``note``: why
    there is no value, or no detail."""

    value: float | None
    per_item: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    details: Mapping[str, float] = NOTHING
    note: str = ""


@runtime_checkable
class Extractor(Protocol):
    """A pretrained network that tells what is in pictures. Hashable: equal ones give equal features."""

    @property
    def weights(self) -> str: ...  # the name of its weight file

    @property
    def name(self) -> str: ...  # as protocols say it: whose network, which output, how pictures come to its size

    @property
    def width(self) -> int: ...  # of a feature vector

    def __call__(self, clip: Clip) -> Float[Tensor, "b k d"]:
        """Of clips in [-1, 1] where they lie: a vector a frame (k = T), or one a clip (k = 1)."""


@final
class Pair:
    """A batch of items before and after, on the CPU, with their codes. What several metrics ask of one network is
    computed once, on ``device``."""

    def __init__(
        self,
        original: Clip,
        reconstruction: Clip,
        codes: Int[Tensor, "b t h w q"],
        device: torch.device | None = None,
    ) -> None:
        self.original, self.reconstruction, self.codes = original, reconstruction, codes
        self.device = device or torch.device("cpu")
        self._features: dict[Extractor, tuple[Tensor, Tensor]] = {}

    def features(self, extractor: Extractor) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k d"]]:
        """Of the original and of the reconstruction, float32 on the CPU. Raises WeightsError."""
        if extractor not in self._features:
            sides = (self.original, self.reconstruction)
            with torch.no_grad():
                original, reconstruction = (extractor(side.to(self.device)).float().cpu() for side in sides)
            self._features[extractor] = original, reconstruction
        return self._features[extractor]


@runtime_checkable
class Codec(Protocol):
    """What is measured, as far as a metric needs to know it: takes a clip on the CPU and gives one back there."""

    codebook_sizes: tuple[int, ...]
    rates: tuple[float, ...]  # how many of each code there are a position of the latent grid; () is one of each
    bits_per_token: float  # what is spent on a position
    multiple: int  # what both sides of a frame must be a multiple of, in pixels
    frame_step: int  # a clip has one frame more than a multiple of this
    chunk_step: int  # frames that every chunk of a long clip but the first has a multiple of

    def reconstruct(self, clip: Clip) -> tuple[Clip, Int[Tensor, "b t h w q"]]: ...

    def reconstruct_chunks(self, clip: Clip, frames: Sequence[int]) -> Clip | None:
        """The same of chunks of so many frames, each given alone after those before it; None where it takes none."""


@final
class Identity:
    """The codec that gives back what it was given, without codes."""

    codebook_sizes: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    bits_per_token: float = 0.0
    multiple: int = 1
    frame_step: int = 1
    chunk_step: int = 1

    def reconstruct(self, clip: Clip) -> tuple[Clip, Int[Tensor, "b t h w q"]]:
        return clip, torch.empty((*clip.shape[:1], 1, 1, 1, 0), dtype=torch.long)

    def reconstruct_chunks(self, clip: Clip, frames: Sequence[int]) -> Clip | None:
        return clip


class Metric(ABC):
    """``Component(codec, *, ...)``: fed batches by ``add``, asked once by ``result``.

    Best at identity; the order of batches does not matter; many small batches are one large one. ``protocol`` says
    everything in the metric that moves the number, as "label[term, term]", so that two protocols are never taken for
    one; how the items came to be and how many they are is added to it where it is measured. ``silence``: what one says of
    that has no value.
    """

    version: ClassVar[int] = 1
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    least_side: ClassVar[int] = 1  # of a frame, in pixels
    least_frames: ClassVar[int] = 1  # of an item
    least_items: int = 1  # fewer are refused
    silence: ClassVar[str] = ""
    networks: tuple[str, ...] = ()  # the names of the weight files that it needs
    better: ClassVar[Literal["higher", "lower", "neither"]]
    protocol: str

    @abstractmethod
    def add(self, pair: Pair) -> None: ...

    @abstractmethod
    def result(self) -> Measured: ...


class MeanOfItems(Metric):
    """One number an item, None where no item has one, and their mean. Raises ValueError where one is not finite."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.values: list[float] = []

    def result(self) -> Measured:
        if not all(map(math.isfinite, self.values)):
            raise ValueError(f"{self.label}: what is found of an item is nan or infinite")
        mean = math.fsum(self.values) / len(self.values) if self.values else None
        return Measured(mean, tuple(self.values))
