"""The bottleneck. One file a quantizer; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.quantizers.contract import Quantized as Quantized
from omnitok.quantizers.contract import Quantizer as Quantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer as FiniteScalarQuantizer
from omnitok.quantizers.gaussian import GaussianBottleneck
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.quantizers.vq_published import PublishedVectorQuantizer
from omnitok.spec import Registry

QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer",
    group="omnitok.quantizers",
    contract=Quantizer,
    vq=VectorQuantizer,
    vq_published=PublishedVectorQuantizer,
    fsq=FiniteScalarQuantizer,
    gaussian=GaussianBottleneck,
)
QuantizerPart = Annotated[Callable[..., Quantizer], QUANTIZERS]
