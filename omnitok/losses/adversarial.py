"""What generator and discriminator want of each other's logits and features; all in full precision."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Logits = Float[Tensor, "..."]


def hinge_discriminator(real: Logits, fake: Logits) -> Float[Tensor, ""]:
    """Half the sum of the means of relu(1 - real) and relu(1 + fake) (arXiv:1705.02894)."""
    return 0.5 * (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean())


def vanilla_discriminator(real: Logits, fake: Logits) -> Float[Tensor, ""]:
    """Half the sum of the cross entropies (arXiv:1406.2661)."""
    return 0.5 * (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())


def generator_loss(fake: Logits) -> Float[Tensor, ""]:
    """Minus the mean logit of what was made."""
    return -fake.float().mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """The sum over layers of the mean absolute difference of features (arXiv:1711.11585); the real ones are fixed."""
    return torch.stack([F.l1_loss(b.float(), a.detach().float()) for a, b in zip(real, fake, strict=True)]).sum()
