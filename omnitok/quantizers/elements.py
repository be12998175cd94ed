"""Quantizers that others are made of: residual, grouped and factorised ones each take one of these."""

from collections.abc import Callable
from typing import Annotated

from omnitok.quantizers.contract import Quantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Registry

ELEMENTS: Registry[Quantizer] = Registry(
    "element",
    group="omnitok.elements",
    contract=Quantizer,
    vq=VectorQuantizer,
    fsq=FiniteScalarQuantizer,
)
ElementPart = Annotated[Callable[..., Quantizer], ELEMENTS]
