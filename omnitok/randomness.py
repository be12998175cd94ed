"""Every random number is a function of (seed, purpose, indices): nothing depends on what was drawn before."""

import hashlib

import torch
from torch import nn


def key(seed: int, purpose: str, *indices: int | str) -> int:
    """63 bits from what the numbers are for."""
    text = "/".join(map(str, (seed, purpose, *indices)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *indices: int | str) -> torch.Generator:
    """A fresh stream on the CPU for one purpose, step and sample."""
    return torch.Generator().manual_seed(key(seed, purpose, *indices))


def initialise(model: nn.Module, seed: int) -> None:
    """Draw every parameter from (seed, path of its module), so that swapping one component leaves the others' first
    weights alone. A module with parameters of its own has ``reset_parameters``, as torch's own modules do. On the meta
    device there is nothing to draw."""
    for name, module in model.named_modules():
        if any(not parameter.is_meta for parameter in module.parameters(recurse=False)):
            with torch.random.fork_rng(devices=[]):
                # not torch.manual_seed, which also seeds every kind of accelerator, at 100 times the cost
                torch.default_generator.manual_seed(key(seed, "initialise", name))
                module.reset_parameters()
