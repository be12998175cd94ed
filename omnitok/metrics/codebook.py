"""How much of its codebooks a tokenizer uses."""

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from omnitok.metrics.contract import Codec, Measured, Metric, Pair


class _Counted(Metric):
    def __init__(self, codec: Codec) -> None:
        self.counts = [torch.zeros(size, dtype=torch.long) for size in codec.codebook_sizes]

    def add(self, pair: Pair) -> None:
        for i, counts in enumerate(self.counts):
            self.counts[i] = counts + torch.bincount(pair.codes[..., i].flatten().cpu(), minlength=len(counts))

    def _mean(self, values: list[float]) -> Measured:
        return Measured(sum(values) / len(values) if values else None, ())


@final
class CodebookUsage(_Counted):
    """Distinct codes over all items as a share of the codebook; the mean over codebooks. Fewer tokens than codes
    bound it from above, so compare at equal items only."""

    label: ClassVar[str] = "codebook_usage"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "codebook_usage[distinct codes over all items / size]"

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)

    def result(self) -> Measured:
        return self._mean([(counts > 0).double().mean().item() for counts in self.counts])


@final
class CodebookPerplexity(_Counted):
    """exp of the entropy (nats) of the codes over all items: how many codes would be used if all were used alike; the
    mean over codebooks."""

    label: ClassVar[str] = "perplexity"
    unit: ClassVar[str] = "codes"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"
    protocol = "perplexity[exp entropy of codes over all items]"

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)

    def result(self) -> Measured:
        return self._mean([_perplexity(counts) for counts in self.counts])


def _perplexity(counts: Tensor) -> float:
    shares = counts[counts > 0].double() / counts.sum()
    return float((-(shares * shares.log()).sum()).exp())
