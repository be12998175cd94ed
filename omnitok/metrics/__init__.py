"""How good a reconstruction is. One metric is one number with a protocol."""

from collections.abc import Callable
from typing import Annotated

from omnitok.metrics.codebook import CodebookPerplexity, CodebookUsage
from omnitok.metrics.contract import Measured as Measured
from omnitok.metrics.contract import Metric as Metric
from omnitok.metrics.fidelity import PeakSignalToNoise as PeakSignalToNoise
from omnitok.metrics.fidelity import StructuralSimilarity as StructuralSimilarity
from omnitok.metrics.fidelity import psnr as psnr
from omnitok.metrics.fidelity import ssim as ssim
from omnitok.spec import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    psnr=PeakSignalToNoise,
    ssim=StructuralSimilarity,
    codebook_usage=CodebookUsage,
    perplexity=CodebookPerplexity,
)
MetricPart = Annotated[Callable[..., Metric], METRICS]
