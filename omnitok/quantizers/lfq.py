"""Lookup-free quantization: the signs of channels."""

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.quantizers.binary import SignQuantizer
from omnitok.spec import Count, Positive, Weight


@final
class LookupFreeQuantizer(SignQuantizer):
    """The sign of each channel, 1 or -1 (MAGVIT-v2, arXiv:2310.05737). In training each choice is to be sure and all codes
    are to be used alike, by the entropies of a softmax over all codes of -(squared distance) / temperature.

    bits: how many channels there are; one more doubles the codebook.
    commitment_weight: how hard latents are pulled to their code, on the mean squared distance.
    entropy_weight: how much the entropies count; larger uses more of the codebook.
    diversity_gamma: how much the use of all codes counts against sure choices.
    temperature: of the softmax; larger spreads a choice over more codes.
    group_size: how many bits have their codes' mean probabilities taken jointly; bits beyond form further groups, whose
        entropies are summed; larger sees more dependence among bits, at memory for 2^group_size.
    """

    corner = 1.0

    def __init__(
        self,
        *,
        bits: Count = 10,
        commitment_weight: Weight = 0.25,
        entropy_weight: Weight = 0.1,
        diversity_gamma: Weight = 1.0,
        temperature: Positive = 0.01,
        group_size: Count = 18,
    ) -> None:
        super().__init__(
            bits=bits,
            commitment_weight=commitment_weight,
            entropy_weight=entropy_weight,
            diversity_gamma=diversity_gamma,
            temperature=temperature,
            group_size=group_size,
        )

    def _commitment(self, latents: Tensor, chosen: Tensor) -> Float[Tensor, ""]:
        return F.mse_loss(latents, chosen)
