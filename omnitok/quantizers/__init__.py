"""The bottleneck. One file a quantizer; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.quantizers.bsq import BinarySphericalQuantizer
from omnitok.quantizers.contract import Quantized as Quantized
from omnitok.quantizers.contract import Quantizer as Quantizer
from omnitok.quantizers.factorised import FactorisedQuantizer
from omnitok.quantizers.factorised import joined as joined
from omnitok.quantizers.factorised import split as split
from omnitok.quantizers.fsq import FiniteScalarQuantizer as FiniteScalarQuantizer
from omnitok.quantizers.gaussian import GaussianBottleneck
from omnitok.quantizers.grouped import GroupedQuantizer
from omnitok.quantizers.ibq import IndexBackpropagationQuantizer
from omnitok.quantizers.lfq import LookupFreeQuantizer
from omnitok.quantizers.multi_scale import MultiScaleQuantizer
from omnitok.quantizers.none import NoQuantizer
from omnitok.quantizers.residual import ResidualQuantizer
from omnitok.quantizers.simvq import SimVectorQuantizer
from omnitok.quantizers.softvq import SoftVectorQuantizer
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.quantizers.vq_learned import LearnedVectorQuantizer
from omnitok.quantizers.vq_published import PublishedVectorQuantizer
from omnitok.spec import Registry

QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer",
    group="omnitok.quantizers",
    contract=Quantizer,
    vq=VectorQuantizer,
    vq_learned=LearnedVectorQuantizer,
    vq_published=PublishedVectorQuantizer,
    fsq=FiniteScalarQuantizer,
    gaussian=GaussianBottleneck,
    simvq=SimVectorQuantizer,
    ibq=IndexBackpropagationQuantizer,
    softvq=SoftVectorQuantizer,
    none=NoQuantizer,
    lfq=LookupFreeQuantizer,
    bsq=BinarySphericalQuantizer,
    residual=ResidualQuantizer,
    grouped=GroupedQuantizer,
    multi_scale=MultiScaleQuantizer,
    factorised=FactorisedQuantizer,
)
QuantizerPart = Annotated[Callable[..., Quantizer], QUANTIZERS]
