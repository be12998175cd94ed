"""Measuring what a finished stage left, each metric once."""

import io
import time
from pathlib import Path

from PIL import Image

from omnitok import runs
from omnitok.data import as_pixels
from omnitok.model import Reconstructor
from omnitok.spec import Spec, plain, resolve
from omnitok.training import Evaluation
from omnitok.training.devices import OnDevice
from omnitok.training.evaluate import Evaluated, evaluation_digest, key_of, metric_specs, protocol_of
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
    stage = folder.name
    evaluation: Evaluation = resolve(spec)(data_root())
    digests = [evaluation_digest(stage, spec, m, evaluation.dataset.fingerprint) for m in metric_specs(spec)]
    if all(_evaluation_path(folder, found).exists() for found in digests):
        return digests
    with runs.lease(folder):
        wanted = [
            (found, metric)
            for found, metric in zip(digests, metric_specs(spec), strict=True)
            if not _evaluation_path(folder, found).exists()
        ]
        codec = load(folder, evaluation.weights)
        metrics = [resolve(metric)(OnDevice(codec)) for _, metric in wanted]
        begun = time.perf_counter()
        seen = evaluation.measure(codec, metrics)
        seconds = time.perf_counter() - begun
        samples = _write_samples(folder, key_of(spec), seen)
        for (found, said), metric, measured in zip(wanted, metrics, seen.measured, strict=True):
            result = {
                "digest": found,
                "stage": stage,
                "spec": protocol_of(spec),
                "metric": plain(said),
                "label": metric.label,
                "key": f"{key_of(spec)}/{metric.label}",
                "unit": metric.unit,
                "better": metric.better,
                "protocol": metric.protocol,
                "value": measured.value,
                "items": seen.items,
                "per_item": measured.per_item,
                "interval": measured.interval,
                "details": dict(measured.details),
                "fingerprint": evaluation.dataset.fingerprint,
                "pictures": [item for item, _, _ in seen.pictures],
                "samples": samples,
                "seconds": seconds,
            }
            runs.write_json(_evaluation_path(folder, found), result)
    return digests


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


def _write_samples(folder: Path, name: str, seen: Evaluated) -> str:
    """The pictures of an evaluation, each as a strip of its frames. -> the folder's name under ``samples``."""
    place = folder / runs.SAMPLES / name
    place.mkdir(parents=True, exist_ok=True)
    (folder / runs.EVALUATIONS).mkdir(exist_ok=True)
    for i, (_, original, reconstruction) in enumerate(seen.pictures):
        for what, clip in [("original", original), ("reconstruction", reconstruction)]:
            frames = as_pixels(clip)
            strip = frames.transpose(1, 0, 2, 3).reshape(frames.shape[1], -1, frames.shape[3])
            buffer = io.BytesIO()
            Image.fromarray(strip).save(buffer, "PNG")
            runs.write(place / f"{i:02}-{what}.png", buffer.getvalue())
    return name
