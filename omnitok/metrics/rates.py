"""What a reconstruction was paid with."""

import math
from typing import ClassVar, Literal, final

from omnitok.metrics.codebook import Counted
from omnitok.metrics.contract import Codec, MeanOfItems, Measured, Pair


def _places(pair: Pair) -> int:
    """Of the latent grid of one item."""
    return math.prod(pair.codes.shape[1:-1])


def _pixels(pair: Pair) -> int:
    """Of one item."""
    return math.prod(pair.original.shape[2:])


@final
class BitsPerPixel(MeanOfItems):
    """What codes of a fixed length take: the positions of the latent grid, each at the sum of log2 of its codebooks'
    sizes (by their rates, where a scale has fewer codes than there are positions), over the pixels of all frames. Says
    nothing where nothing is discrete."""

    label: ClassVar[str] = "bits_per_pixel"
    unit: ClassVar[str] = "bits"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    silence: ClassVar[str] = "says nothing where there is no codebook"
    protocol = "bits_per_pixel[tokens x log2 of codebook sizes / (frames x height x width)]"

    def add(self, pair: Pair) -> None:
        if self.codec.codebook_sizes:
            spent = _places(pair) * self.codec.bits_per_token / _pixels(pair)
            self.values += [spent] * len(pair.original)


@final
class EntropyBitsPerPixel(Counted):
    """What an ideal entropy coder takes that knows how often each code occurs and nothing else: as bits_per_pixel, with
    the entropy of each codebook's codes over all items in place of log2 of its size. Estimated from the codes that there
    were, so log2 of their number bounds it: compare at equal items only. Says nothing where nothing is discrete."""

    label: ClassVar[str] = "entropy_bits_per_pixel"
    unit: ClassVar[str] = "bits"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    protocol = (
        "entropy_bits_per_pixel[tokens x entropy of each codebook's codes over all items / (frames x height x width)]"
    )

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self.rates = codec.rates or (1.0,) * len(codec.codebook_sizes)
        self.places = self.pixels = 0

    def add(self, pair: Pair) -> None:
        super().add(pair)
        self.places += len(pair.original) * _places(pair)
        self.pixels += len(pair.original) * _pixels(pair)

    def result(self) -> Measured:
        if not self.tallies:
            return Measured(None)
        spent = sum(rate * tally.entropy() for rate, tally in zip(self.rates, self.tallies, strict=True)) / math.log(2)
        return Measured(self.places * spent / self.pixels)
