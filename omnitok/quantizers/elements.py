"""Quantizers that others are made of: residual, grouped and factorised ones each take one of these."""

from collections.abc import Callable
from typing import Annotated

from omnitok.quantizers.bsq import BinarySphericalQuantizer
from omnitok.quantizers.contract import Quantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.quantizers.lfq import LookupFreeQuantizer
from omnitok.quantizers.simvq import SimVectorQuantizer
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.quantizers.vq_learned import LearnedVectorQuantizer
from omnitok.spec import Registry

ELEMENTS: Registry[Quantizer] = Registry(
    "element",
    group="omnitok.elements",
    contract=Quantizer,
    vq=VectorQuantizer,
    fsq=FiniteScalarQuantizer,
    vq_learned=LearnedVectorQuantizer,
    simvq=SimVectorQuantizer,
    lfq=LookupFreeQuantizer,
    bsq=BinarySphericalQuantizer,
)
ElementPart = Annotated[Callable[..., Quantizer], ELEMENTS]
