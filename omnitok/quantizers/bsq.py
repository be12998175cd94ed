"""Binary spherical quantization: the signs of channels, on the unit sphere."""

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.quantizers.binary import SignQuantizer
from omnitok.spec import Count, Positive, Weight


@final
class BinarySphericalQuantizer(SignQuantizer):
    """Latents are brought to unit length, then the sign of each channel is kept, 1 or -1 over the root of their number
    (arXiv:2406.07548). In training each choice is to be sure and all bits are to be used alike, by the entropies of a
    softmax over all codes of -(squared distance) / temperature; the paper's tau is 2 / temperature. By default
    weights and temperature are those of its authors' code.

    bits: how many channels there are; one more doubles the codebook.
    commitment_weight: how hard latents are pulled to their code, on the squared distance.
    entropy_weight: how much the entropies count; larger uses more of the codebook.
    diversity_gamma: how much the use of all codes counts against sure choices.
    temperature: of the softmax; larger spreads a choice over more codes.
    group_size: how many bits have their codes' mean probabilities taken jointly; entropies of groups are summed, with 1
        those of single bits as in the paper; larger sees more dependence among bits, at memory for 2^group_size.
    """

    def __init__(
        self,
        *,
        bits: Count = 18,
        commitment_weight: Weight = 0.0,
        entropy_weight: Weight = 0.1,
        diversity_gamma: Weight = 1.0,
        temperature: Positive = 1.0,
        group_size: Count = 1,
    ) -> None:
        super().__init__(
            bits=bits,
            commitment_weight=commitment_weight,
            entropy_weight=entropy_weight,
            diversity_gamma=diversity_gamma,
            temperature=temperature,
            group_size=group_size,
        )
        self.corner = bits**-0.5

    def begin(self, x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "b t h w z"]:
        return F.normalize(x, dim=-1)

    def _commitment(self, latents: Tensor, chosen: Tensor) -> Float[Tensor, ""]:
        return F.mse_loss(latents, chosen) * self.channels
