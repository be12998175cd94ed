"""How good a reconstruction is, and how a codec came by it. One metric is one number with a protocol."""

from collections.abc import Callable
from typing import Annotated

from omnitok.metrics.causality import CausalityLeak, CodeLeak
from omnitok.metrics.classification import ClassAgreement
from omnitok.metrics.codebook import CodebookPerplexity, CodebookUsage, DeadCodes
from omnitok.metrics.contract import Codec as Codec
from omnitok.metrics.contract import Extractor as Extractor
from omnitok.metrics.contract import Identity as Identity
from omnitok.metrics.contract import MeanOfItems as MeanOfItems
from omnitok.metrics.contract import Measured as Measured
from omnitok.metrics.contract import Metric as Metric
from omnitok.metrics.contract import Pair as Pair
from omnitok.metrics.fid import FrechetClassifier, FrechetInception, FrechetInceptionLayer, FrechetVideo
from omnitok.metrics.fidelity import PeakSignalToNoise as PeakSignalToNoise
from omnitok.metrics.fidelity import PooledPeakSignalToNoise
from omnitok.metrics.fidelity import psnr as psnr
from omnitok.metrics.kid import KernelInception
from omnitok.metrics.neighbours import Coverage, Density, Precision, Recall
from omnitok.metrics.parity import ChunkParity, TilingParity
from omnitok.metrics.perceptual import LpipsAlex, LpipsVgg
from omnitok.metrics.rates import BitsPerPixel, EntropyBitsPerPixel
from omnitok.metrics.spectrum import SpectrumError
from omnitok.metrics.structure import GaussianSimilarity, MultiScaleSimilarity
from omnitok.metrics.structure import StructuralSimilarity as StructuralSimilarity
from omnitok.metrics.structure import ssim as ssim
from omnitok.metrics.temporal import Flicker, TemporalPeakSignalToNoise
from omnitok.spec import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    group="omnitok.metrics",
    contract=Metric,
    psnr=PeakSignalToNoise,
    psnr_clip=PooledPeakSignalToNoise,
    ssim=StructuralSimilarity,
    ssim_gaussian=GaussianSimilarity,
    ms_ssim=MultiScaleSimilarity,
    temporal_psnr=TemporalPeakSignalToNoise,
    flicker=Flicker,
    spectrum_error=SpectrumError,
    lpips_alex=LpipsAlex,
    lpips_vgg=LpipsVgg,
    rfid=FrechetInception,
    rkid=KernelInception,
    rfvd=FrechetVideo,
    precision=Precision,
    recall=Recall,
    density=Density,
    coverage=Coverage,
    frechet_inception=FrechetInceptionLayer,
    frechet_efficientnet=FrechetClassifier,
    class_agreement=ClassAgreement,
    codebook_usage=CodebookUsage,
    perplexity=CodebookPerplexity,
    dead_codes=DeadCodes,
    bits_per_pixel=BitsPerPixel,
    entropy_bits_per_pixel=EntropyBitsPerPixel,
    causality_leak=CausalityLeak,
    code_leak=CodeLeak,
    chunk_parity=ChunkParity,
    tiling_parity=TilingParity,
)
MetricPart = Annotated[Callable[..., Metric], METRICS]
