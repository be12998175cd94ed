"""What training pulls at, beside what the bottleneck itself asks for."""

from collections.abc import Callable
from typing import Annotated

from omnitok.losses.contract import Loss as Loss
from omnitok.losses.perceptual import PerceptualDistance, PublishedPerceptualDistance
from omnitok.losses.pixels import AbsoluteError, SquaredError
from omnitok.spec import Registry

LOSSES: Registry[Loss] = Registry(
    "loss",
    group="omnitok.losses",
    contract=Loss,
    l1=AbsoluteError,
    l2=SquaredError,
    lpips=PerceptualDistance,
    lpips_published=PublishedPerceptualDistance,
)
LossPart = Annotated[Callable[..., Loss], LOSSES]
