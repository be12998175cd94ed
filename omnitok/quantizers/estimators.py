"""How a gradient passes the choice of a code, which has none of its own."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from omnitok.quantizers.contract import straight_through

Estimator = Literal["straight_through", "rotation"]
SHORT = 1e-6  # a vector is not divided by a length below this


def passed(
    estimator: Estimator, latents: Float[Tensor, "*n z"], chosen: Float[Tensor, "*n z"]
) -> Float[Tensor, "*n z"]:
    """``chosen`` forwards; backwards the gradient of the decoder reaches ``latents`` as the estimator has it."""
    return straight_through(latents, chosen) if estimator == "straight_through" else rotated(latents, chosen)


def rotated(latents: Float[Tensor, "*n z"], chosen: Float[Tensor, "*n z"]) -> Float[Tensor, "*n z"]:
    """The rotation and rescaling that takes each latent to its code, held constant: the gradient keeps its angle to the
    code when it goes over to the latent (Fifty et al. 2024, arXiv:2410.06424, sec. 4.2)."""
    start, length = _direction(latents.detach())
    end, wanted = _direction(chosen.detach())
    middle, _ = _direction(start + end)
    reflected = latents - 2 * _along(latents, middle) * middle
    turned = (reflected + 2 * _along(latents, start) * end) * (wanted / length)
    return straight_through(turned, chosen)


def _direction(x: Float[Tensor, "*n z"]) -> tuple[Float[Tensor, "*n z"], Float[Tensor, "*n 1"]]:
    length = x.norm(dim=-1, keepdim=True).clamp_min(SHORT)
    return x / length, length


def _along(x: Float[Tensor, "*n z"], direction: Float[Tensor, "*n z"]) -> Float[Tensor, "*n 1"]:
    return (x * direction).sum(-1, keepdim=True)
