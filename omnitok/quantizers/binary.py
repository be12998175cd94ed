"""Codes that are the signs of channels, and the entropies of the soft choice among all of them.

Among corners of a box the softmax of squared distances is a product over channels, so nothing here ever holds tokens x
codes: the entropy of a choice is a sum over bits, and the mean of all choices is a product of two narrow matrices.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from omnitok.processes import total, world
from omnitok.quantizers.contract import Quantized, precise, straight_through
from omnitok.quantizers.nested import Nested

ROWS = 1024  # tokens whose probabilities are held at once
MOST_BITS = 31  # of one code
MOST_JOINT = 20  # bits of one table of probabilities


class SignQuantizer(Nested):
    """The sign of each of ``bits`` channels; the first channel is the lowest bit of the code."""

    powers: Int[Tensor, " z"]
    one: Float[Tensor, ""]
    corner: float  # how far the codes are from zero in every channel

    def __init__(
        self,
        *,
        bits: int,
        commitment_weight: float,
        entropy_weight: float,
        diversity_gamma: float,
        temperature: float,
        group_size: int,
    ) -> None:
        super().__init__()
        if bits > MOST_BITS:
            raise ValueError(f"bits={bits} make codes of more than {MOST_BITS} bits; say more codes of fewer bits")
        if group_size > MOST_JOINT:
            raise ValueError(f"group_size={group_size} needs a table of 2^{group_size}; there may be 2^{MOST_JOINT}")
        self.in_channels = self.channels = bits
        self.codebook_sizes = (2**bits,)
        self.commitment_weight, self.entropy_weight = commitment_weight, entropy_weight
        self.diversity_gamma, self.temperature, self.group_size = diversity_gamma, temperature, group_size
        self.register_buffer("powers", 2 ** torch.arange(bits, dtype=torch.int32), persistent=False)
        self.register_buffer("one", torch.ones(()), persistent=False)

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        return ({"bits": bits},) if 1 <= bits <= MOST_BITS else ()

    @property
    def ratio(self) -> Float[Tensor, " z"]:
        return self.one.expand(self.channels) / 2

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            latents = self.begin(x.to(torch.promote_types(x.dtype, torch.float32)))
            above = latents.detach() > 0
            chosen = self._corners(above).to(latents.dtype)
            loss = self.commitment_weight * self._commitment(latents, chosen)
            if self.training and self.entropy_weight:
                logits = latents.flatten(0, -2) * (4 * self.corner / self.temperature)
                each, shortfall = entropies(logits, self.group_size)
                loss = loss + self.entropy_weight * (each + self.diversity_gamma * shortfall)
            codes = (above * self.powers).sum(-1, keepdim=True, dtype=torch.int32).long()
            passed = straight_through(latents, chosen) if self.training else chosen
        return Quantized(passed, codes, loss)

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        return self._corners(codes.bitwise_and(self.powers) > 0)

    def _corners(self, above: Tensor) -> Float[Tensor, "b t h w z"]:
        return (above.to(self.one.dtype) * (2 * self.corner)).sub_(self.corner)

    @abstractmethod
    def _commitment(self, latents: Tensor, chosen: Tensor) -> Float[Tensor, ""]:
        """How far latents are from their codes."""


def entropies(logits: Float[Tensor, "n z"], group_size: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Of bits with these log-odds, in nats: the mean entropy of a token's choice among all codes, and what the entropy of
    the mean choice over all processes lacks of its most. The latter is summed over groups of ``group_size`` successive
    bits, exact within each; a sum over several groups is the least that can be lacking."""
    sure = logits.abs()
    each = (F.softplus(-sure) + sure * (-sure).sigmoid()).sum() / len(logits)
    count = len(logits) * world()
    most = logits.shape[-1] * logits.new_tensor(2.0).log()
    if group_size == 1:
        mean = total(logits.sigmoid().sum(0)) / count
        return each, most - _entropy(torch.stack([mean, 1 - mean]))
    parts = logits.T.split(group_size)
    found = [_entropy(total(_Table.apply(part)) / count) for part in parts]
    return each, most - torch.stack(found).sum()


def _entropy(shares: Tensor) -> Float[Tensor, ""]:
    return -(shares * shares.clamp_min(torch.finfo(shares.dtype).tiny).log()).sum()


class _Table(torch.autograd.Function):
    """The sum over tokens of the probability of every code: [codes of the lower half of the bits, of the upper half]."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Float[Tensor, "z n"]) -> Float[Tensor, "low high"]:
        ctx.save_for_backward(logits)
        half = len(logits) // 2
        table = logits.new_zeros(2**half, 2 ** (len(logits) - half))
        for some in logits.split(ROWS, dim=1):
            table.addmm_(_products(some[:half]), _products(some[half:]).T)
        return table

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Float[Tensor, "z n"]:
        (logits,) = ctx.saved_tensors  # type: ignore[attr-defined]
        half = len(logits) // 2
        bits = [_bits(half, gradient), _bits(len(logits) - half, gradient)]
        found = torch.empty_like(logits)
        with precise(logits):
            for some, out in zip(logits.split(ROWS, dim=1), found.split(ROWS, dim=1), strict=True):
                low, high = _products(some[:half]), _products(some[half:])
                by_low = (gradient @ high).mul_(low)
                by_high = (gradient.T @ low).mul_(high)
                out.copy_(
                    torch.cat([bits[0] @ by_low, bits[1] @ by_high]).addcmul_(some.sigmoid(), by_low.sum(0), value=-1)
                )
        return found


def _products(logits: Float[Tensor, "z n"]) -> Float[Tensor, "codes n"]:
    """The probability of every code of these bits, the first the lowest."""
    yes, no = logits.sigmoid(), (-logits).sigmoid()
    found = logits.new_ones(2 ** len(logits), logits.shape[1])
    for i in range(len(logits)):
        torch.mul(found[: 2**i], yes[i], out=found[2**i : 2 ** (i + 1)])
        found[: 2**i] *= no[i]
    return found


def _bits(count: int, like: Tensor) -> Float[Tensor, "z codes"]:
    """Which bits every code has."""
    codes, powers = (torch.arange(n, device=like.device) for n in (2**count, count))
    return (codes >> powers[:, None]).bitwise_and(1).to(like.dtype)
