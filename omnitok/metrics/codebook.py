"""How much of its codebooks a tokenizer uses."""

import math
from collections import Counter
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Int
from torch import Tensor

from omnitok.metrics.contract import Codec, Measured, Metric, Pair

PENDING = 2**16  # distinct codes of single batches that are kept apart before they are counted together
LEAST = -6  # the power of two below which rarely used codes are counted together


class Tally:
    """How often each code of a codebook occurred; memory grows with the codes that did, not with the codebook."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen = 0
        self.known: tuple[Tensor, Tensor] = (torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long))
        self.pending: list[tuple[Tensor, Tensor]] = []  # (codes, how often)

    def add(self, codes: Int[Tensor, " *n"]) -> None:
        """Raises ValueError where one is not of the codebook."""
        found, counts = codes.cpu().long().unique(return_counts=True)
        if len(found) and (found[0] < 0 or found[-1] >= self.size):
            raise ValueError(f"codes from {found[0]} to {found[-1]} are not all of a codebook of {self.size}")
        self.seen += codes.numel()
        self.pending.append((found, counts))
        if sum(len(some) for some, _ in self.pending) > max(PENDING, len(self.known[0])):
            self._merge()

    @property
    def counts(self) -> Int[Tensor, " k"]:
        """Of the codes that occurred, in the order of codes."""
        self._merge()
        return self.known[1]

    def entropy(self) -> float:
        """In nats."""
        shares = self.counts.double() / self.seen
        return float(-(shares * shares.log()).sum())

    def histogram(self) -> dict[str, float]:
        """How many codes were used how often: {"unused": n, "used 2^-3": n, ...}, where a code that all tokens would use
        alike is used once, "used 2^-3" is from an eighth to less than a quarter of that, and rarer ones are in "used 2^-6"."""
        alike = self.seen / self.size
        found = {"unused": float(self.size - len(self.counts))}
        powers = (self.counts.double() / alike).log2().floor().clamp(min=LEAST).long()
        for power, codes in zip(*powers.unique(return_counts=True), strict=True):
            found[f"used 2^{int(power)}"] = float(codes)
        return found

    def _merge(self) -> None:
        codes, counts = (torch.cat(parts) for parts in zip(self.known, *self.pending, strict=True))
        found, where = codes.unique(return_inverse=True)
        self.known = found, torch.zeros_like(found).index_add_(0, where, counts)
        self.pending = []


class Counted(Metric):
    """One number from how often the codes of each codebook occurred over all items."""

    silence: ClassVar[str] = "says nothing where there is no codebook"

    def __init__(self, codec: Codec) -> None:
        self.tallies = [Tally(size) for size in codec.codebook_sizes]

    def add(self, pair: Pair) -> None:
        for i, tally in enumerate(self.tallies):
            tally.add(pair.codes[..., i])


def _mean(values: list[float]) -> Measured:
    return Measured(sum(values) / len(values) if values else None)


@final
class CodebookUsage(Counted):
    """Distinct codes over all items as a share of the codebook; the mean over codebooks. Fewer tokens than codes
    bound it from above, so compare at equal items only. Its details are a histogram, summed over codebooks."""

    label: ClassVar[str] = "codebook_usage"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "codebook_usage[distinct codes over all items / size]"

    def result(self) -> Measured:
        found = _mean([len(tally.counts) / tally.size for tally in self.tallies])
        together: Counter[str] = Counter()
        for tally in self.tallies:
            together.update(tally.histogram())
        return found._replace(details=dict(together))


@final
class DeadCodes(Counted):
    """Codes that no token of any item used; the mean over codebooks. Fewer tokens than codes bound it from below, so
    compare at equal items only."""

    label: ClassVar[str] = "dead_codes"
    unit: ClassVar[str] = "codes"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    protocol = "dead_codes[size - distinct codes over all items, mean over codebooks]"

    def result(self) -> Measured:
        return _mean([float(tally.size - len(tally.counts)) for tally in self.tallies])


@final
class CodebookPerplexity(Counted):
    """exp of the entropy (nats) of the codes over all items: how many codes would be used if all were used alike; the
    mean over codebooks."""

    label: ClassVar[str] = "perplexity"
    unit: ClassVar[str] = "codes"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "perplexity[exp entropy of codes over all items]"

    def result(self) -> Measured:
        return _mean([math.exp(tally.entropy()) for tally in self.tallies])
