"""A value of a factor that patches several paths together."""

from pathlib import Path

import pytest
import tiny

import omnitok
from omnitok.spec import SpecError
from omnitok.sweep.plan import plan_sweep

VARY = """question: q
experiment: tiny.yaml
seeds: [0]
vary:
  size:
    usual: {set: {}}
    small: {set: {model.dim: 16, stages.joint.steps: 3}}
    tiny: {set: {model.dim: 8}}
"""


@pytest.fixture
def sweep(tmp_path, runs_root) -> Path:
    path = tiny.write(tmp_path)
    path.write_text(VARY)
    return path


def refusal(sweep: Path) -> str:
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep)
    return str(caught.value).replace(f"{sweep.parent}/", "")


def test_every_path_is_patched_and_the_label_names_the_arm(sweep):
    planned = plan_sweep(sweep)
    found = {trial.name: planned.runs[trial.stages[-1]].spec for trial in planned.trials}
    assert list(found) == ["usual", "small", "tiny"] and planned.factors == {"size": ["usual", "small", "tiny"]}
    assert [spec["model"]["dim"] for spec in found.values()][1:] == [16, 8]
    assert found["small"]["steps"] == 3 and found["tiny"]["steps"] == found["usual"]["steps"] != 3


def test_a_fault_within_is_placed_at_its_line(sweep):
    sweep.write_text(VARY.replace("{model.dim: 8}", "{model.dmi: 8}"))
    assert refusal(sweep).startswith("ask.yaml:8: stages.images.model.dmi: no such choice")


def test_one_path_and_several_do_not_mix(sweep):
    sweep.write_text(VARY.replace("tiny: {set: {model.dim: 8}}", "tiny: 8"))
    assert "ask.yaml:5: vary.size: either every value patches several paths" in refusal(sweep)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("{set: 3}", "set must be a mapping"),
        ("{set: {model.dim: 8}, also: 1}", "'also' beside set"),
        ("{sett: {model.dim: 8}}", "no such key 'sett'"),
    ],
)
def test_a_value_that_does_not_say_its_paths_right_is_refused(sweep, said, reason):
    sweep.write_text(VARY.replace("{set: {model.dim: 8}}", said))
    assert f"ask.yaml:5: vary.size: tiny: {reason}; what patches several paths is" in refusal(sweep)


def test_a_misspelt_way_to_compute_attention_is_refused_before_anything_runs(sweep, monkeypatch):
    monkeypatch.setenv("OMNITOK_ATTENTION", "nonsense")
    with pytest.raises(SpecError) as caught:
        omnitok.plan_sweep(sweep)
    assert str(caught.value) == "environment: OMNITOK_ATTENTION=nonsense must be one of auto, manual, sdpa, flex"


def test_a_later_stage_that_says_a_path_of_several_itself_is_noticed(sweep):
    path = sweep.parent / "tiny.yaml"
    path.write_text(path.read_text() + "    model: {dim: 24}\n")
    with pytest.raises(SpecError):  # another width does not fit the parent's weights
        plan_sweep(sweep)
    path.write_text(path.read_text().replace("model: {dim: 24}", "optimizer: {type: adam}"))
    sweep.write_text(VARY.replace("{model.dim: 8}", "{optimizer.lr: 0.5}"))
    assert any("'joint' says optimizer itself" in notice for notice in plan_sweep(sweep).notices)
