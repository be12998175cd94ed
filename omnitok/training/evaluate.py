"""Metrics of one tokenizer on one split: a node of its own, so that adding a metric trains nothing."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, final

import torch
from pydantic import Field
from torch import Tensor

from omnitok.data import Dataset, DatasetPart
from omnitok.metrics import Identity, Measured, Metric, MetricPart, Pair, PeakSignalToNoise, StructuralSimilarity
from omnitok.model import Reconstructor
from omnitok.networks import weights as networks
from omnitok.spec import REQUIRED, Count, Spec, choices, counted, digest, identities, plain, resolve, versions
from omnitok.training.devices import decoding, device
from omnitok.training.loader import prefetched
from omnitok.training.recorded import Unrecorded
from omnitok.training.task import look

MOST_PIXELS = 2**21  # of a batch: seven clips of 17 x 128 x 128; the numbers do not depend on it
MOST_ITEMS = 64  # of a batch
UNRECORDED = "asks more of a tokenizer than reconstructions of the items can say"
PICTURES = 4  # items kept to look at


class Seen(NamedTuple):
    """What a number stands on beside its metric: which bytes, how an item comes of them, how many items."""

    fingerprint: str
    view: str
    n: int

    def protocol(self, metric: Metric) -> str:
        """All that moves a number, in its name: "rfid[tf2015, bilinear, cc256, n=50000]"."""
        label, _, terms = metric.protocol.removesuffix("]").partition("[")
        return f"{label}[{', '.join(filter(None, (terms, self.view, f'n={self.n}')))}]"


class Evaluated(NamedTuple):
    """What an evaluation found: the metrics asked for, in order, and a few items before and after."""

    items: tuple[str, ...]
    measured: tuple[Measured, ...]
    pictures: tuple[tuple[str, Tensor, Tensor], ...]  # (item, original, reconstruction), each [c T H W]
    classes: tuple[str, ...] = ()  # what is in each item, where the dataset knows it of all


@final
class Evaluation:
    """Reconstruct the fixed items of a split and measure.

    data: the dataset; there is no default.
    split: the split; test is looked at once.
    frames: how many frames an item has; 1 is images.
    resolution: side of an item in pixels.
    items: how many, spread evenly over the split; 0 is all.
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
        items: Annotated[int, Field(ge=0)] = 0,
        metrics: tuple[MetricPart, ...] = (PeakSignalToNoise, StructuralSimilarity),
        weights: Literal["raw", "ema"] = "raw",
    ) -> None:
        self.dataset: Dataset = data(data_root, split)
        self.frames, self.resolution, self.metrics, self.weights = frames, resolution, metrics, weights
        self.items = items

    @functools.cached_property
    def indices(self) -> tuple[int, ...]:
        """Of the items that are measured. Raises ValueError where the split has fewer than were asked for."""
        there = self.dataset.count(self.frames)
        if self.items > there:
            raise ValueError(
                f"items={self.items}: the {self.dataset.split} split has {there} of {counted(self.frames, 'frame')}"
            )
        return tuple(spread(there, self.items or there))

    @property
    def seen(self) -> Seen:
        view = self.dataset.view(self.frames, self.resolution)
        return Seen(self.dataset.fingerprint, view, len(self.indices))

    def shape(self) -> tuple[int, int]:
        """(frames, resolution) of the items. Raises DataError where the split has none such, ValueError where they are
        too small, too short or too few for a metric."""
        look(self.dataset, self.frames, self.resolution)
        for metric in self.metrics:
            refuse_unfit(metric(Identity()), self.frames, self.resolution, len(self.indices))
        return self.frames, self.resolution

    def some(self) -> Iterator[Tensor]:
        """As many items as a batch has, [c T H W], spread over those that are measured."""
        there = len(self.indices)
        for place in spread(there, min(there, batch_size(self.frames * self.resolution**2))):
            yield self._item(self.indices[place])

    def measure(self, codec: Reconstructor, metrics: Sequence[Metric]) -> Evaluated:
        """Feed every item through ``codec`` and to each of ``metrics``; the next batch is decoded meanwhile."""
        found = measured(self._pairs(codec.to(device()).eval()), metrics, len(self.indices))
        return found._replace(classes=self._classes())

    def _classes(self) -> tuple[str, ...]:
        """What is in each item, by name; nothing where that is not known of all."""
        labels = [self.dataset.label(index, self.frames) for index in self.indices] if self.dataset.classes else []
        return () if None in labels else tuple(self.dataset.classes[label] for label in labels if label is not None)

    def _pairs(self, codec: Reconstructor) -> Iterator[tuple[Sequence[str], Pair]]:
        names = self.dataset.items(self.frames)
        with closing(prefetched(self._batches(), 1)) as batches:
            for indices, original in batches:
                clip, codes = (part.cpu() for part in codec.reconstruct(original.to(device())))
                yield [names[i] for i in indices], Pair(original, clip, codes, device())

    def _batches(self) -> Iterator[tuple[Sequence[int], Tensor]]:
        size = batch_size(self.frames * self.resolution**2)
        with ThreadPoolExecutor(decoding()) as pool:
            for start in range(0, len(self.indices), size):
                indices = self.indices[start : start + size]
                yield indices, torch.stack(list(pool.map(self._item, indices)))

    def _item(self, index: int) -> Tensor:
        return self.dataset.item(index, self.frames, self.resolution)


def batch_size(pixels: int) -> int:
    """How many items of so many pixels are taken at once."""
    return max(1, min(MOST_ITEMS, MOST_PIXELS // pixels))


def spread(total: int, count: int) -> list[int]:
    """``count`` of ``total`` places, evenly."""
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


@torch.no_grad()
def measured(pairs: Iterable[tuple[Sequence[str], Pair]], metrics: Sequence[Metric], total: int) -> Evaluated:
    """Feed batches, each with its items' names, to each of ``metrics``. ``total``: items of all batches.

    A metric that asks more of a codec than was recorded of it does not apply, so it has no value."""
    kept = set(range(0, total, max(1, -(-total // PICTURES))))
    names: list[str] = []
    pictures = []
    silent: set[int] = set()
    for some, pair in pairs:
        for place, metric in enumerate(metrics):
            try:
                if place not in silent:
                    metric.add(pair)
            except Unrecorded:
                silent.add(place)
        for i, name in enumerate(some):
            if len(names) + i in kept:
                pictures.append((name, pair.original[i], pair.reconstruction[i]))
        names += some
    found = [Measured(None, note=UNRECORDED) if i in silent else _result(metric) for i, metric in enumerate(metrics)]
    return Evaluated(tuple(names), tuple(found), tuple(pictures))


def _result(metric: Metric) -> Measured:
    found = metric.result()
    return found._replace(note=metric.silence) if found.value is None else found


def refuse_unfit(metric: Metric, frames: int, side: int, items: int) -> None:
    """Raises ValueError with both numbers where items are too small, too short or too few for a metric."""
    if side < metric.least_side:
        raise ValueError(f"resolution={side}: {metric.label} needs {metric.least_side} pixels a side")
    if frames < metric.least_frames:
        raise ValueError(f"frames={frames}: {metric.label} needs {metric.least_frames} frames")
    if items < metric.least_items:
        few = "; few: true takes fewer" if "few" in choices(type(metric)) and metric.least_items > 2 else ""
        raise ValueError(f"items={items}: {metric.label} needs {metric.least_items}{few}")


def locate_networks(metric: Metric) -> None:
    """Raises WeightsMissing with the command that fetches them, WeightsError where a file is another one."""
    for name in metric.networks:
        networks.locate(name)


def networks_of(metric: Metric) -> dict[str, str]:
    """{name of a weight file: its sha256}: what a metric computes with."""
    return {name: networks.known(name).sha256 for name in metric.networks}


def metric_specs(spec: Spec) -> tuple[Spec, ...]:
    """The metrics that an evaluation names, in order."""
    metrics: tuple[Spec, ...] = spec.metrics  # type: ignore[attr-defined]
    return metrics


def label_of(metric: Spec) -> str:
    """What a metric is called in tables."""
    return str(metric.component.label)  # type: ignore[attr-defined]


def protocol_of(spec: Spec) -> dict[str, Any]:
    """An evaluation without its metrics: what they are all measured on."""
    return {name: value for name, value in plain(spec).items() if name not in {"metrics", "type"}}


def key_of(spec: Spec) -> str:
    """A short name for the items of an evaluation: "embedded.test.1x64", with a hash where the dataset is not at its
    defaults, with their number where it is not all, and with the weights where they are not those trained."""
    said, data = protocol_of(spec), spec.data  # type: ignore[attr-defined]
    name = said["data"].get("name") or said["data"]["type"]
    some = f".n{said['items']}" if said["items"] else ""
    average = "" if said["weights"] == "raw" else f".{said['weights']}"
    return f"{name}{_odd(data)}.{said['split']}.{said['frames']}x{said['resolution']}{some}{average}"


def metric_key(items: str, metric: Spec) -> str:
    """What a number of such items is called where numbers of all sweeps stand in one column, as in MLflow: two choices of
    one metric are two columns."""
    return f"{items}/{label_of(metric)}{_odd(metric)}"


def _odd(spec: Spec) -> str:
    """A hash of what is not at its default, for a name; nothing where all is."""
    usual = type(spec).model_construct().model_dump(mode="json")
    odd = {k: v for k, v in plain(spec).items() if k not in {"type", "name", "fingerprint"} and v != usual.get(k)}
    return f"-{digest(odd)[:4]}" if odd else ""


def evaluation_digest(stage: str, spec: Spec, metric: Spec, seen: Seen) -> str:
    """The identity of one metric's protocol on one split with one stage run's weights."""
    return evaluation_digests(spec, metric, seen)(stage)


def evaluation_digests(spec: Spec, metric: Spec, seen: Seen) -> Callable[[str], str]:
    """``evaluation_digest`` of many stage runs: what they share is looked up once."""
    known = versions(metric) | versions(spec.data) | {"evaluation": Evaluation.version}  # type: ignore[attr-defined]
    named = identities({**protocol_of(spec), "metric": plain(metric)}, known)
    by = measured_by(metric, seen)
    return lambda stage: named(stage=stage, **by)


def measured_by(metric: Spec, seen: Seen) -> dict[str, Any]:
    """What of an evaluation's identity its text does not say: the bytes, the whole name of the protocol, the networks."""
    made = resolve(metric)(Identity())
    return {"fingerprint": seen.fingerprint, "protocol": seen.protocol(made), "networks": networks_of(made)}
