"""Metrics of one tokenizer on one split: a node of its own, so that adding a metric trains nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, final

import torch
from torch import Tensor

from omnitok.data import Dataset, DatasetPart
from omnitok.metrics import Identity, Measured, Metric, MetricPart, Pair
from omnitok.metrics.fidelity import PeakSignalToNoise, StructuralSimilarity
from omnitok.model import Reconstructor
from omnitok.spec import REQUIRED, Count, Spec, digest, identity, plain, version_of, versions
from omnitok.training.devices import device
from omnitok.training.task import look

BATCH = 8  # items at once; the numbers do not depend on it
PICTURES = 4  # items kept to look at


class Evaluated(NamedTuple):
    """What an evaluation found: the metrics asked for, in order, and a few items before and after."""

    items: tuple[str, ...]
    measured: tuple[Measured, ...]
    pictures: tuple[tuple[str, Tensor, Tensor], ...]  # (item, original, reconstruction), each [c T H W]


@final
class Evaluation:
    """Reconstruct every fixed item of a split and measure.

    data: the dataset; there is no default.
    split: the split; test is looked at once.
    frames: how many frames an item has; 1 is images.
    resolution: side of an item in pixels.
    metrics: what is measured; adding one later measures it alone.
    weights: which weights of the stage are measured: as trained, or their moving average.
    """

    version = 1

    def __init__(
        self,
        data_root: Path,
        *,
        data: Annotated[DatasetPart, REQUIRED],
        split: Literal["val", "test"] = "test",
        frames: Annotated[Count, REQUIRED],
        resolution: Annotated[Count, REQUIRED],
        metrics: tuple[MetricPart, ...] = (PeakSignalToNoise, StructuralSimilarity),
        weights: Literal["raw", "ema"] = "raw",
    ) -> None:
        self.dataset: Dataset = data(data_root, split)
        self.frames, self.resolution, self.metrics, self.weights = frames, resolution, metrics, weights

    def shape(self) -> tuple[int, int]:
        """(frames, resolution) of the items. Raises DataError where the split has none such, ValueError where they are
        too small for a metric."""
        look(self.dataset, self.frames, self.resolution)
        for metric in self.metrics:
            made: Metric = metric(Identity())
            if self.resolution < made.least_side:
                raise ValueError(f"resolution={self.resolution}: {made.label} needs {made.least_side} pixels a side")
        return self.frames, self.resolution

    @torch.no_grad()
    def measure(self, codec: Reconstructor, metrics: Sequence[Metric]) -> Evaluated:
        """Feed every item through ``codec`` and to each of ``metrics``."""
        codec.eval()
        names = self.dataset.items(self.frames)
        kept = set(range(0, len(names), max(1, -(-len(names) // PICTURES))))
        pictures = []
        for start in range(0, len(names), BATCH):
            indices = range(start, min(start + BATCH, len(names)))
            original = torch.stack([self.dataset.item(i, self.frames, self.resolution) for i in indices])
            clip, codes = (part.cpu() for part in codec.to(device()).reconstruct(original.to(device())))
            pair = Pair(original, clip, codes, device())
            for metric in metrics:
                metric.add(pair)
            pictures += [(names[i], original[i - start], clip[i - start]) for i in indices if i in kept]
        return Evaluated(names, tuple(metric.result() for metric in metrics), tuple(pictures))


def metric_specs(spec: Spec) -> tuple[Spec, ...]:
    """The metrics that an evaluation names, in order."""
    metrics: tuple[Spec, ...] = spec.metrics  # type: ignore[attr-defined]
    return metrics


def protocol_of(spec: Spec) -> dict[str, Any]:
    """An evaluation without its metrics: what they are all measured on."""
    return {name: value for name, value in plain(spec).items() if name not in {"metrics", "type"}}


def key_of(spec: Spec) -> str:
    """A short name for the items of an evaluation: "embedded.test.1x64", with a hash where the dataset is not at its
    defaults."""
    said = protocol_of(spec)
    data = dict(said["data"])
    name = data.get("name") or data["type"]
    usual = type(spec.data).model_construct().model_dump(mode="json")  # type: ignore[attr-defined]
    odd = {k: v for k, v in data.items() if k not in {"type", "name", "fingerprint"} and v != usual.get(k)}
    suffix = f"-{digest(odd)[:4]}" if odd else ""
    return f"{name}{suffix}.{said['split']}.{said['frames']}x{said['resolution']}"


def evaluation_digest(stage: str, spec: Spec, metric: Spec, fingerprint: str) -> str:
    """The identity of one metric's protocol on one split with one stage run's weights."""
    known = versions(metric) | {"dataset": version_of(spec.data.component), "evaluation": Evaluation.version}  # type: ignore[attr-defined]
    return identity({**protocol_of(spec), "metric": plain(metric)}, known, stage=stage, fingerprint=fingerprint)
