"""How good a reconstruction is, and how a codec came by it. One metric is one number with a protocol."""

from collections.abc import Callable
from typing import Annotated

from omnitok.metrics.causality import CausalityLeak, CodeLeak
from omnitok.metrics.codebook import CodebookPerplexity, CodebookUsage
from omnitok.metrics.contract import Codec as Codec
from omnitok.metrics.contract import Extractor as Extractor
from omnitok.metrics.contract import Identity as Identity
from omnitok.metrics.contract import Measured as Measured
from omnitok.metrics.contract import Metric as Metric
from omnitok.metrics.contract import Pair as Pair
from omnitok.metrics.fidelity import PeakSignalToNoise as PeakSignalToNoise
from omnitok.metrics.fidelity import StructuralSimilarity as StructuralSimilarity
from omnitok.metrics.fidelity import psnr as psnr
from omnitok.metrics.fidelity import ssim as ssim
from omnitok.spec import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    group="omnitok.metrics",
    contract=Metric,
    psnr=PeakSignalToNoise,
    ssim=StructuralSimilarity,
    codebook_usage=CodebookUsage,
    perplexity=CodebookPerplexity,
    causality_leak=CausalityLeak,
    code_leak=CodeLeak,
)
MetricPart = Annotated[Callable[..., Metric], METRICS]
