"""The experiments of the repository: they plan, and they are as right or as wrong as they say."""

from pathlib import Path

import pytest

from omnitok import networks
from omnitok.networks import weights
from omnitok.spec import read_yaml, specs_in
from omnitok.sweep.plan import plan_one
from omnitok.training.stage import read_stages

ROOT = Path(__file__).parent.parent / "experiments"
FILES = sorted(ROOT.glob("*.yaml"))
OTHERS = sorted(ROOT.glob("*/*.yaml"))  # of data that is fetched; the sweeps that name them plan them
PUBLISHED = {
    "scrambled PEG",
    "patch LayerNorm",
    "keys and values from the un-normalised residual",
    "position bias dropped by fused attention",
    "non-square inputs refused",
    "two forward passes a step",
    "the discriminator steps on gradients that the generator left behind",
    "LPIPS fed the wrong range",
}
MILLIONS = {
    "omnitokenizer_s": 6.8,
    "omnitokenizer_b": 51.6,
    "omnitokenizer_l": 171.9,
    "omnitokenizer_xl": 405.5,
    "omnitokenizer_published": 51.6,
    "backbone_causal_cnn": 6.9,
    "backbone_cnn_2d": 6.8,
    "backbone_vit": 6.8,
    "backbone_titok": 6.8,
}


def defects(path: Path) -> set[str]:
    """Of every component that a file names, at any depth."""
    named = [part for stage in read_stages(read_yaml(path)) for part in specs_in(stage.spec)]
    return {defect for part in named for defect in getattr(part.component, "known_defects", ())}


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """Weights are there, for a plan that only asks whether they are."""
    monkeypatch.setattr(weights, "locate", lambda name: tmp_path)
    return networks


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_plans(path, fetched, runs_root):
    runs, facts = plan_one(path, [], 0)
    assert runs and facts.parameters > 0
    if path.stem in MILLIONS:
        assert facts.parameters / 1e6 == pytest.approx(MILLIONS[path.stem], abs=0.1)


@pytest.mark.parametrize("path", [*FILES, *OTHERS], ids=lambda path: path.stem)
def test_only_what_is_called_published_has_defects(path):
    assert bool(defects(path)) == path.stem.endswith("_published")


def test_the_published_experiment_has_every_published_defect():
    assert defects(ROOT / "omnitokenizer_published.yaml") >= PUBLISHED
