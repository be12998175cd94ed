"""Batch norm whose batch is that of all processes together."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.processes import total, world


class GlobalBatchNorm(nn.Module):
    """Batch norm (arXiv:1502.03167) over the batch of all processes, of pictures or clips; torch's own does that on
    accelerators only. In full precision, whatever comes in."""

    running_mean: Float[Tensor, " c"]
    running_var: Float[Tensor, " c"]

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        full = x.to(torch.promote_types(x.dtype, torch.float32))
        own = (self.running_mean, self.running_var, self.weight, self.bias)
        if world() == 1 or not self.training:
            return F.batch_norm(full, *own, self.training, self.momentum, self.eps)
        axes = [0, *range(2, x.ndim)]
        found = total(torch.cat([full.sum(axes), full.new_tensor([full.numel() // full.shape[1]])]))
        mean, count = found[:-1] / found[-1], found[-1].detach()  # processes may have unequal slices
        centred = full - _channels(mean, full)
        variance = total(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * _channels(scale, full) + _channels(self.bias, full)


def _channels(values: Float[Tensor, " c"], like: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in like.shape[2:]))
