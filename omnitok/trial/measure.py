"""Measuring what a finished stage left, each metric once."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from omnitok import runs
from omnitok.data import as_pixels
from omnitok.metrics import Metric
from omnitok.model import Reconstructor
from omnitok.spec import Spec, plain, resolve
from omnitok.training import Evaluation
from omnitok.training.devices import OnDevice
from omnitok.training.evaluate import (
    Evaluated,
    Seen,
    evaluation_digest,
    key_of,
    metric_key,
    metric_specs,
    networks_of,
    protocol_of,
)
from omnitok.training.handover import weights_of
from omnitok.training.stage import data_root
from omnitok.trial.failure import failing_into
from omnitok.trial.train import task_of


def evaluate_run(folder: Path, spec: Spec) -> list[str]:
    """Measure what of ``spec`` is not yet measured. -> the digests of all its metrics, in order. Trains nothing.

    Raises Busy, and whatever measuring raises, after ``error.txt`` has it.
    """
    with failing_into(folder, runs.evaluation_error(key_of(spec))):
        return _evaluate(folder.resolve(), spec)


def _evaluate(folder: Path, spec: Spec) -> list[str]:
    evaluation: Evaluation = resolve(spec)(data_root())
    seen = evaluation.seen
    digests = [evaluation_digest(folder.name, spec, metric, seen) for metric in metric_specs(spec)]
    wanted = Wanted(key_of(spec), protocol_of(spec), seen, dict(zip(digests, metric_specs(spec), strict=True)))

    def measure(metrics: Sequence[Spec]) -> tuple[Evaluated, list[Metric]]:
        codec = load(folder, evaluation.weights)
        made = [resolve(metric)(OnDevice(codec)) for metric in metrics]
        return evaluation.measure(codec, made), made

    measure_missing(folder, wanted, measure)
    return digests


class Wanted(NamedTuple):
    """What is to be measured of a run: a short name for the items, all that the metrics have in common, the metrics by
    their digests."""

    key: str
    protocol: dict[str, Any]
    seen: Seen
    metrics: dict[str, Spec]

    def missing(self, folder: Path) -> dict[str, Spec]:
        """Those that have no file yet."""
        return {one: spec for one, spec in self.metrics.items() if not _evaluation_path(folder, one).exists()}


class Found(NamedTuple):
    """What was measured, by which metrics, in how long."""

    evaluated: Evaluated
    metrics: Sequence[Metric]
    seconds: float


def measure_missing(
    folder: Path, wanted: Wanted, measure: Callable[[Sequence[Spec]], tuple[Evaluated, list[Metric]]]
) -> None:
    """Call ``measure`` for the metrics that have no file yet, and write one each; nothing where all have. Raises Busy."""
    if not wanted.missing(folder):
        return
    with runs.lease(folder) as held:
        missing = wanted.missing(folder)  # as it is now that nobody else adds to it
        if not missing:
            return
        begun = time.perf_counter()
        evaluated, metrics = measure(tuple(missing.values()))
        write_measured(held, wanted, missing, Found(evaluated, metrics, time.perf_counter() - begun))


def write_measured(held: runs.Held, wanted: Wanted, missing: Mapping[str, Spec], what: Found) -> None:
    """A file a metric of ``missing``, which ``what`` has in its order, and pictures. Raises Fenced."""
    folder = held.folder
    samples = _write_samples(held, wanted.key, what.evaluated)
    for (found, said), metric, measured in zip(missing.items(), what.metrics, what.evaluated.measured, strict=True):
        result = {
            "digest": found,
            "stage": folder.name,
            "spec": wanted.protocol,
            "metric": plain(said),
            "label": metric.label,
            "key": metric_key(wanted.key, said),
            "unit": metric.unit,
            "better": metric.better,
            "protocol": wanted.seen.protocol(metric),
            "networks": networks_of(metric),
            "value": measured.value,
            "n": wanted.seen.n,
            "items": what.evaluated.items,
            **({"classes": what.evaluated.classes} if what.evaluated.classes else {}),
            "per_item": measured.per_item,
            "interval": measured.interval,
            "details": dict(measured.details),
            "note": measured.note,
            "fingerprint": wanted.seen.fingerprint,
            "pictures": [item for item, _, _ in what.evaluated.pictures],
            "samples": samples,
            "seconds": what.seconds,
        }
        held.write_json(_evaluation_path(folder, found), result)


def load(folder: Path | str, weights: str = "raw") -> Reconstructor:
    """The finished model of a run, in eval mode, on the CPU. ``weights``: raw, or ema.

    Raises ValueError where the run kept no average."""
    folder = Path(folder)
    task = task_of(folder)
    if weights not in ("raw", "ema") or (weights == "ema" and not task.averages):
        raise ValueError(f"{folder.name}: weights={weights}: this run has its trained weights (raw) alone")
    averaged = folder / runs.AVERAGED  # what is its own average, such as a baseline, has no second file
    path = averaged if weights == "ema" and averaged.exists() else folder / runs.WEIGHTS
    task.codec.load_state_dict(weights_of(path))
    return task.codec.eval()


def _evaluation_path(folder: Path, found: str) -> Path:
    return folder / runs.EVALUATIONS / f"{found}.json"


def _write_samples(held: runs.Held, name: str, seen: Evaluated) -> str:
    """The pictures of an evaluation, each as a strip of its frames. -> the folder's name under ``samples``."""
    place = held.folder / runs.SAMPLES / name
    place.mkdir(parents=True, exist_ok=True)
    (held.folder / runs.EVALUATIONS).mkdir(exist_ok=True)
    for i, (_, original, reconstruction) in enumerate(seen.pictures):
        for what, clip in [("original", original), ("reconstruction", reconstruction)]:
            frames = as_pixels(clip)
            strip = frames.transpose(1, 0, 2, 3).reshape(frames.shape[1], -1, frames.shape[3])
            buffer = io.BytesIO()
            Image.fromarray(strip).save(buffer, "PNG")
            held.write(place / f"{i:02}-{what}.png", buffer.getvalue())
    return name
