"""What is measured on: a sweep of 1,000 trials, a sweep of different models, and trials of a few milliseconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

QUICKSTART = Path(__file__).parent.parent / "experiments" / "quickstart.yaml"

TINY = """\
stages:
  images:
    data: {type: embedded, short_side: 32}
    model:
      dim: 12
      patches: {type: linear, patch: 4, temporal_patch: 2}
      encoder:
        - {attention: {type: window, heads: 2, window: 2}}
        - {attention: {type: temporal, heads: 2}}
      decoder:
        - {attention: {type: temporal, heads: 2}}
      quantizer: {type: vq, codebook_size: 16, code_dim: 4}
    steps: 3
    batch: 2
    resolution: 16
"""

QUANTIZERS = {
    "vq": {"type": "vq", "codebook_size": 1024, "code_dim": 4},
    "fsq": {"type": "fsq", "levels": [8, 8, 4, 4]},
}


def write_many(folder: Path, values: int = 5, seeds: int = 4) -> Path:
    """2 quantizers x ``values`` learning rates, schedules and lengths of the quickstart's second stage x ``seeds``."""
    return _write(
        folder / "many.yaml",
        QUICKSTART.read_text(),
        {
            "model.quantizer": QUANTIZERS,
            "stages.joint.optimizer.lr": [1e-3 * (i + 1) for i in range(values)],
            "stages.joint.schedule": {f"share{i}": {"type": "joint", "frames": 5, "image_share": 0.1 * (i + 1)} for i in range(values)},
            "stages.joint.steps": [60 * (i + 1) for i in range(values)],
        },
        range(seeds),
    )  # fmt: skip


def write_different(folder: Path, models: int = 50) -> Path:
    """As many arms of the quickstart as models: each has a width of its own."""
    widths = {"model.dim": [16 + 4 * i for i in range(models)]}
    return _write(folder / "different.yaml", QUICKSTART.read_text(), widths, range(1))


def write_tiny(folder: Path) -> Path:
    """Two arms of a few milliseconds; nothing is evaluated."""
    vary = {"model.quantizer": {"vq": {"type": "vq", "codebook_size": 16}, "fsq": {"type": "fsq", "levels": [4, 4]}}}
    return _write(folder / "tiny.yaml", TINY, vary, range(1), evaluate=())


PHOTOS = {"data": "embedded", "split": "test", "frames": 1, "resolution": 32, "metrics": ["psnr", "ssim"]}


def _write(
    path: Path, experiment: str, vary: dict[str, Any], seeds: range, evaluate: Sequence[dict[str, Any]] = (PHOTOS,)
) -> Path:
    (path.parent / f"experiment-{path.name}").write_text(experiment)
    sweep = {"question": "How long?", "experiment": f"experiment-{path.name}", "vary": vary, "seeds": list(seeds)}
    path.write_text(yaml.safe_dump({**sweep, "evaluate": list(evaluate)}, sort_keys=False))
    return path
