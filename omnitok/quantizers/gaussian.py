"""The continuous bottleneck: a diagonal Gaussian for every position, held near the standard one."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.processes import share, world
from omnitok.quantizers.contract import Quantized, Quantizer, precise
from omnitok.spec import Count, Weight


@final
class GaussianBottleneck(Quantizer):
    """Mean and log-variance from the encoder; a sample in training, the mean otherwise (arXiv:1312.6114).

    latent_channels: how wide the latents are; more keep more detail and are harder to generate.
    kl_weight: weight of the divergence, summed over a sample's latents; larger pulls harder to the standard normal.
    """

    def __init__(self, *, latent_channels: Count = 8, kl_weight: Weight = 1e-6) -> None:
        super().__init__()
        self.channels, self.in_channels = latent_channels, 2 * latent_channels
        self.codebook_sizes = ()
        self.kl_weight = kl_weight

    def forward(self, x: Float[Tensor, "b t h w i"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            mean, log_variance = self.moments(x)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / x.shape[0]
            latents = mean
            if draw is not None:
                latents = mean + (log_variance / 2).exp() * _noise(mean, draw)
        codes = torch.empty((*x.shape[:-1], 0), dtype=torch.long, device=x.device)
        return Quantized(latents.to(x.dtype), codes, self.kl_weight * divergence)

    def moments(self, x: Float[Tensor, "b t h w i"]) -> tuple[Float[Tensor, "b t h w z"], Float[Tensor, "b t h w z"]]:
        """Mean and log-variance, the latter between e^-30 and e^20, where its exponential is a number."""
        mean, log_variance = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        raise ValueError("a Gaussian bottleneck has no codebook, so there are no codes to decode")


def _noise(mean: Float[Tensor, "b t h w z"], draw: torch.Generator) -> Float[Tensor, "b t h w z"]:
    """This process's samples of what is drawn for the batch of all."""
    return share(torch.randn((world() * len(mean), *mean.shape[1:]), generator=draw)).to(mean)
