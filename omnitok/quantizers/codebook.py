"""What quantizers with one codebook have in common."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.quantizers.contract import Quantizer, precise

MOST_BITS = 24


class OneCodebook(Quantizer):
    """k vectors, one of which stands for each token."""

    def __init__(self, codebook_size: int, code_dim: int) -> None:
        super().__init__()
        self.in_channels = self.channels = code_dim
        self.codebook_sizes = (codebook_size,)

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        return ({"codebook_size": 2**bits},) if 1 <= bits <= MOST_BITS else ()

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        with precise(codes):
            return F.embedding(codes[..., 0], self.codes())

    @abstractmethod
    def codes(self) -> Float[Tensor, "k z"]:
        """The vectors as they are searched and given to the decoder."""
