"""How sure soft choices among codes are, and how evenly they use them; in tiles, forwards and backwards."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from omnitok.processes import total, world
from omnitok.quantizers.contract import precise
from omnitok.quantizers.search import rows_at_once

TEMPERATURE = 0.1  # of a soft choice, in squared distances


def entropy_gap(
    tokens: Float[Tensor, "n z"], codebook: Float[Tensor, "k z"], temperature: float = TEMPERATURE
) -> Float[Tensor, ""]:
    """The mean entropy of the soft choices by squared distance less the entropy of their mean over all processes, in
    nats: least where each choice is sure and all codes are used alike (arXiv:2310.05737, sec. 3)."""
    return choice_gap(tokens, 2 * codebook / temperature, codebook.square().sum(-1) / -temperature)


def choice_gap(
    tokens: Float[Tensor, "n z"], keys: Float[Tensor, "k z"], offsets: Float[Tensor, " k"]
) -> Float[Tensor, ""]:
    """The same of choices with the logits ``tokens @ keys.T + offsets``."""
    with precise(tokens):
        gap: Tensor = _Gap.apply(tokens, keys, offsets)
    return gap


class _Gap(torch.autograd.Function):
    """The gap is -1/n of the sum over tokens of KL(choice | mean choice), hence the gradient of each logit."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, keys: Tensor, offsets: Tensor) -> Tensor:
        sure, mean = tokens.new_zeros(()), torch.zeros_like(offsets)
        rows = rows_at_once(tokens, len(keys))
        scratch = [tokens.new_empty(min(rows, len(tokens)), len(keys)) for _ in range(2)]
        for some in tokens.split(rows):
            logs, shares = _choices(some, keys, offsets, scratch)
            mean += shares.sum(0)
            sure -= torch.dot(shares.flatten(), logs.flatten())
        mean = total(mean) / (len(tokens) * world())
        logs = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        ctx.save_for_backward(tokens, keys, offsets, logs)
        return sure / len(tokens) + torch.dot(mean, logs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens, keys, offsets, mean_logs = ctx.saved_tensors
        found = torch.empty_like(tokens), torch.zeros_like(keys), torch.zeros_like(offsets)
        rows = rows_at_once(tokens, len(keys))
        scratch = [tokens.new_empty(min(rows, len(tokens)), len(keys)) for _ in range(2)]
        for some, at in zip(tokens.split(rows), found[0].split(rows), strict=True):
            logs, shares = _choices(some, keys, offsets, scratch)
            torch.sub(mean_logs, logs, out=logs)
            expected = torch.linalg.vecdot(shares, logs)[:, None]
            each = shares.mul_(logs.sub_(expected))
            torch.mm(each, keys, out=at)
            if any(ctx.needs_input_grad[1:]):  # codes of a moving average have none
                found[1].addmm_(each.T, some)
                found[2].add_(each.sum(0))
        factor = gradient / len(tokens)
        return found[0] * factor, found[1] * factor, found[2] * factor


def _choices(
    some: Float[Tensor, "m z"], keys: Float[Tensor, "k z"], offsets: Float[Tensor, " k"], scratch: list[Tensor]
) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m k"]]:
    """Logarithms of the shares, and the shares."""
    logits, shares = (held[: len(some)] for held in scratch)
    torch.addmm(offsets, some, keys.T, out=logits)
    logits.sub_(logits.logsumexp(-1, keepdim=True))
    return logits, torch.exp(logits, out=shares)
