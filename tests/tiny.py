"""The smallest experiment and sweep that go the whole way: two stages, milliseconds a step."""

from pathlib import Path

EXPERIMENT = """\
stages:
  images:
    data: {type: embedded, short_side: 32}
    model:
      dim: 12
      patches: {type: linear, patch: 4, temporal_patch: 2}
      encoder:
        - {type: transformer, attention: {type: window, heads: 2, window: 2}}
        - {type: transformer, attention: {type: temporal, heads: 2}}
      decoder:
        - {type: transformer, attention: {type: temporal, heads: 2}}
      quantizer: {type: vq, codebook_size: 16, code_dim: 4, restart_below: 0.1}
    steps: 5
    batch: 2
    resolution: 16
    validate_every: 2
  joint:
    init: images
    schedule: {type: joint, frames: 3}
    steps: 4
"""

SWEEP = """\
question: Does it go the whole way?
experiment: tiny.yaml
vary:
  model.quantizer:
    vq: {type: vq, codebook_size: 16, code_dim: 4}
    fsq: {type: fsq, levels: [4, 4]}
  stages.joint.schedule.image_share: [0.0, 0.5]
seeds: [0, 1]
baselines: [mean_colour]
evaluate:
  - {name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr, codebook_usage]}
claims:
  - {metric: psnr, better: fsq, than: vq}
"""

ONE = SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")  # two arms, one seed
SEARCH = (
    "search: {space: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}}, objective: val/psnr, trials: 3}\n"
)


def write(folder: Path, experiment: str = EXPERIMENT, sweep: str = SWEEP) -> Path:
    """Both files into ``folder``. -> the sweep's path."""
    (folder / "tiny.yaml").write_text(experiment)
    path = folder / "ask.yaml"
    path.write_text(sweep)
    return path
