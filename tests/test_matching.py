"""Arms made equal: by FLOPs, parameters and bits; what cannot be is refused, and a plan says what was solved."""

import json
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.quantizers import QUANTIZERS as SLOT
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.spec import Origin, SpecError
from omnitok.sweep import rehearse
from omnitok.sweep.file import read_sweep
from omnitok.sweep.match import LARGEST, around
from omnitok.sweep.plan import plan, plan_one, plan_sweep, to_json

EXPERIMENT = tiny.EXPERIMENT.replace("dim: 12", "dim: 24")
HEADS = "  model.encoder: {wide: [{attention: {type: window, heads: 2, window: 2}}], deep: [{depth: 3, attention: {type: full, heads: 2}}]}"
PATCHES = "  model.patches: {linear: {type: linear, patch: 4, temporal_patch: 2}, cnn: {type: cnn, patch: 4, temporal_patch: 2}}"
QUANTIZERS = (
    "  model.quantizer: {vq: {type: vq, code_dim: 4}, fsq: fsq, rvq: {type: residual, of: {type: vq, decay: 0.9}}}"
)
TWO = "  model.quantizer: {vq: {type: vq, code_dim: 4}, fsq: fsq}"


def written(folder: Path, match: str, vary: str, rest: str = "seeds: [0]", experiment: str = EXPERIMENT) -> Path:
    return tiny.write(
        folder, experiment, f"question: q\nexperiment: tiny.yaml\nvary:\n{vary}\nmatch: {match}\n{rest}\n"
    )


def arms(path: Path, *sets: str) -> dict[str, dict]:
    return {trial["name"]: trial for trial in to_json(plan(read_sweep(path, sets)))["trials"]}


def flops(trial: dict) -> int:
    return sum(trial["flops"][trial["largest"]].values())


def refused(path: Path, *sets: str) -> str:
    with pytest.raises(SpecError) as caught:
        plan(read_sweep(path, sets))
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("power", [1, 1.7, 2, 3])
@pytest.mark.parametrize("start", [1, 64, 4096])
def test_the_numbers_beside_a_target_are_found_in_a_few_looks(power, start):
    looked = []

    def cost(number: int) -> float:
        looked.append(number)
        return 10 * number + number**power

    for target in (cost(8) - 1, 1e4, 3.3e5, cost(800)):
        looked.clear()
        beside = around(cost, target, 8, start)
        found = sorted(number for number, _ in beside)
        assert all(number % 8 == 0 for number in found) and abs(beside[0][1] - target) <= abs(beside[-1][1] - target)
        assert (
            found == [8]
            or beside[0][1] == target
            or (cost(found[0]) <= target < cost(found[1]) and found[1] - found[0] == 8)
        )
        assert len(looked) < 20


def test_costs_that_do_not_grow_or_not_far_enough_are_refused():
    with pytest.raises(ValueError, match="does not grow with it: 7 at 8, 7 at 16"):
        around(lambda number: 7.0, 9, 8, 8)
    with pytest.raises(ValueError, match="and 100 is wanted"):
        around(lambda number: 1 - 1 / number, 100, LARGEST // 4, 1)


def test_arms_are_made_equal_by_flops_to_the_precision_that_is_shown(tmp_path, runs_root):
    path = written(tmp_path, "{by: flops, solve: model.dim, multiple_of: 2, within: 0.1}", HEADS)
    data = to_json(plan_sweep(path))
    assert data["match"] == {"by": "flops", "solve": "model.dim", "to": "base", "multiple_of": 2, "within": 0.1,
                             "target": data["match"]["target"]}  # fmt: skip
    for trial in data["trials"]:
        solved = trial["solved"]
        assert solved["cost"] == flops(trial) and solved["shape"] == trial["largest"] == "3x16"
        assert solved["off"] == solved["cost"] / data["match"]["target"] - 1 and abs(solved["off"]) <= 0.1
    wide, deep = data["trials"]
    assert wide["solved"]["value"] > deep["solved"]["value"] and wide["solved"]["value"] % 2 == 0
    alone = plan_one(tmp_path / "tiny.yaml", [], 0)[1]
    assert data["match"]["target"] == sum(alone.flops[alone.largest])


def test_a_solved_value_is_a_choice_of_every_stage_and_in_the_digest(tmp_path, runs_root):
    path = written(tmp_path, "{by: params, solve: model.dim, to: 40000, multiple_of: 2, within: 0.2}", PATCHES)
    planned = plan_sweep(path)
    for trial in planned.trials:
        assert trial.solved and {planned.runs[stage].spec["model"]["dim"] for stage in trial.stages} == {
            trial.solved.value
        }
        assert trial.facts.parameters == trial.solved.cost
    assert not set(planned.runs) & set(plan(read_sweep(path, ["match.to=20000"])).runs)


def test_a_convolution_and_a_transformer_are_brought_to_the_same_flops(tmp_path, runs_root):
    path = written(tmp_path, "{by: flops, solve: model.dim, to: 3000000, multiple_of: 2, within: 0.04}", PATCHES)
    found = arms(path)
    assert {abs(flops(trial) / 3e6 - 1) <= 0.04 for trial in found.values()} == {True} and len(found) == 2


BACKBONES = """\
  backbone:
    transformer: {set: {"model.position": none}}
    cnn: {set: {"model.patches": {type: causal_cnn, patch: 4, temporal_patch: 2}, "model.encoder": [], "model.decoder": []}}"""


def test_backbones_are_brought_to_the_same_parameters_and_the_plan_says_so(tmp_path, runs_root):
    path = written(tmp_path, "{by: params, solve: model.dim, to: 200000, multiple_of: 4, within: 0.1}", BACKBONES)
    transformer, cnn = arms(path).values()
    assert abs(transformer["parameters"] / cnn["parameters"] - 1) < 0.2 and flops(cnn) > 2 * flops(transformer)
    result = CliRunner().invoke(main, ["plan", str(path)], catch_exceptions=False)
    line = next(line for line in result.output.splitlines() if line.startswith("cnn")).split()
    assert str(cnn["solved"]["value"]) in line and f"{100 * cnn['solved']['off']:+.2g}" in line
    said = "matched by parameters: 200,000, as was said, to 10 %; solved: model.dim in steps of 4"
    assert said in result.output and "3x16:" in result.output


def test_by_bits_each_quantizer_takes_its_first_setting_and_keeps_what_is_said(tmp_path, runs_root):
    path = written(tmp_path, "{by: bits, solve: model.quantizer, to: 6}", QUANTIZERS)
    planned = plan_sweep(path)
    assert {trial.facts.bits_per_token for trial in planned.trials} == {6}
    vq, fsq, rvq = (planned.runs[trial.stages[-1]].spec["model"]["quantizer"] for trial in planned.trials)
    assert (vq["codebook_size"], vq["code_dim"], fsq["levels"]) == (64, 4, [8, 8])
    assert rvq["of"]["codebook_size"] ** rvq["depth"] == 64 and rvq["of"]["decay"] == 0.9


def test_a_quantizer_inside_another_is_the_one_that_is_said_and_what_fits_stays(tmp_path, runs_root):
    vary = "  model.quantizer: {own: {type: grouped, of: fsq}, there: {type: fsq, levels: [2, 2, 2, 2, 2, 2]}}"
    planned = plan_sweep(written(tmp_path, "{by: bits, solve: model.quantizer, to: 6}", vary))
    own, there = (planned.runs[trial.stages[-1]].spec["model"]["quantizer"] for trial in planned.trials)
    assert own["of"]["type"] == "fsq" and there["levels"] == [2] * 6
    assert planned.trials[1].solved == ({"type": "fsq", "levels": [2] * 6}, 6, "", 0)


REFUSED = [
    ("{by: flops, solve: model.dim}", HEADS, "ask.yaml:5: match: the arm 'deep' does not come within 2 % of the"),
    ("{by: flops, solve: model.dim}", HEADS, "FLOPs of base: model.dim=16 has"),
    ("{by: params, solve: model.dim, to: 3}", HEADS, "of the 3 parameters: model.dim=8 has 4,"),
    ("{by: params, solve: model.dim, multiple_of: 3}", HEADS, "with model.dim=27, which was tried: heads=2 must divide the width"),
    ("{by: params, solve: model.quantizer.codebook_size}", HEADS, "the number of parameters does not grow with it"),
    ("{by: params, solve: model.dmi}", HEADS, "ask.yaml:5: stages.images.model.dmi: no such choice of model 'omnitok'; did you mean 'dim'?"),
    ("{by: params, solve: model.quantizer.decay}", HEADS, "a whole number is solved for, and this is a number"),
    ("{by: flops, solve: model.quantizer}", HEADS, "and this is the quantizer 'vq'"),
    ("{by: bits, solve: model.dim}", HEADS, "by bits a quantizer is solved for, and this is a whole number"),
    ("{by: params, solve: stages}", HEADS, "names a stage, not a choice of one"),
    ("{by: params, solve: stages.imges.model.dim}", HEADS, "no stage 'imges'; did you mean 'images'?"),
    ("{by: params, solve: model.dim}", "  model.dim: [16, 24]", "ask.yaml:5: match.solve: model.dim is varied; it cannot be solved for too"),
    ("{by: bits, solve: model.quantizer}", "  model.quantizer: {kl: gaussian}", "the arm 'kl': no setting of 'gaussian'"),
    ("{by: bits, solve: model.quantizer, to: 1}", "  model.quantizer: {a: {type: grouped, of: fsq}}", "no setting of 'grouped', as it is, spends 1 bits"),
    ("{by: bits, solve: model.quantizer, to: 1.5}", HEADS, "ask.yaml:5: match.to: bits a token are whole, not 1.5"),
    ("{by: bits, solve: model.quantizer, multiple_of: 4}", HEADS, "match.multiple_of: by bits no number is searched"),
    ("{by: params, solve: model.dim, to: bse}", HEADS, "match.to: must be base, which is the experiment as it stands, or a number"),
    ("{by: prams, solve: model.dim}", HEADS, "match.by: must be 'flops', 'params' or 'bits', not 'prams'"),
    ("{by: params, slove: model.dim}", HEADS, "match.slove: no such key; did you mean 'solve'?"),
]  # fmt: skip


@pytest.mark.parametrize(("match", "vary", "message"), REFUSED)
def test_what_cannot_be_solved_is_refused_at_its_line(tmp_path, runs_root, match, vary, message):
    assert message in refused(written(tmp_path, match, vary))


def test_a_base_without_whole_bits_is_refused_and_a_broken_arm_is_blamed_where_it_is_broken(tmp_path, runs_root):
    odd = EXPERIMENT.replace(
        "type: vq, codebook_size: 16, code_dim: 4, restart_below: 0.1", "type: fsq, levels: [5, 3]"
    )
    path = written(tmp_path, "{by: bits, solve: model.quantizer}", QUANTIZERS, experiment=odd)
    assert "match.to: the experiment as it stands has 3.907 bits a token; say a whole number" in refused(path)
    path = written(tmp_path, "{by: flops, solve: model.dim, to: 1e6}", HEADS.replace("window: 2}}]", "window: 0}}]"))
    assert "ask.yaml:4: stages.images.model.encoder[0].attention.window: must be greater" in refused(path)
    path = written(tmp_path, "{by: flops, solve: model.dim, to: 1e6}", "  model.patches.patch: [5]")
    assert "ask.yaml:4: stages.images.model.patches.patch: patch=5 must divide the frame" in refused(path)


def test_match_is_part_of_what_a_sweep_is_and_set_reaches_it(tmp_path, runs_root):
    path = written(tmp_path, "{by: params, solve: model.dim, within: 0.5}", PATCHES)
    before = read_sweep(path).digest
    assert read_sweep(path, ["match.multiple_of=8"]).digest == before != read_sweep(path, ["match.within=0.4"]).digest
    assert refused(path, "match.to=3").startswith("ask.yaml:5: match: the arm 'linear'")
    path.write_text(path.read_text().replace("match: {by: params, solve: model.dim, within: 0.5}\n", ""))
    assert read_sweep(path).digest != before


def test_seeds_and_what_no_model_sees_share_a_solution(tmp_path, runs_root, monkeypatch):
    asked = []
    count = rehearse.cost
    monkeypatch.setattr(rehearse, "cost", lambda *given: asked.append(given) or count(*given))
    match = "{by: flops, solve: model.dim, to: 2000000, multiple_of: 2, within: 0.2}"
    one = len(to_json(plan_sweep(written(tmp_path, match, PATCHES)))["trials"])
    alone = len(asked)
    path = written(tmp_path, match, f"{PATCHES}\n  optimizer.lr: [0.1, 0.2, 0.3]", "seeds: [0, 1, 2]")
    assert len(arms(path)) == 3 * one and len(asked) == 2 * alone


@pytest.mark.parametrize("design", ["one_at_a_time", "cumulative"])
def test_the_experiment_itself_is_an_arm_that_stays_as_it_is(tmp_path, runs_root, design):
    match = "{by: params, solve: model.dim, multiple_of: 10, within: 0.9}"
    path = written(tmp_path, match, "  model.quantizer: {fsq: fsq}", f"seeds: [0]\ndesign: {design}")
    base = arms(path)["base"]["solved"]
    assert (base["value"], base["off"]) == (24, 0)


def test_a_later_stage_that_says_the_solved_path_itself_is_noticed(tmp_path, runs_root):
    again = EXPERIMENT.replace(
        "    init: images\n", "    init: images\n    model: {quantizer: {commitment_weight: 0.1}}\n"
    )
    vary = "  model.quantizer: {vq: {type: vq, code_dim: 4}}"
    planned = plan_sweep(written(tmp_path, "{by: bits, solve: model.quantizer, to: 5}", vary, experiment=again))
    assert any(
        "match.solve: model.quantizer: the stage 'joint' says model.quantizer itself" in said
        for said in planned.notices
    )
    assert planned.trials[0].facts.bits_per_token == 5


def test_a_plan_with_solved_values_is_json_and_reproducible(tmp_path, runs_root):
    path = written(tmp_path, "{by: bits, solve: model.quantizer, to: 6}", QUANTIZERS)
    one, two = (json.dumps(to_json(plan_sweep(path))) for _ in range(2))
    assert one == two and '"value": {"type": "fsq", "levels": [8, 8]}' in one


@pytest.mark.parametrize("settings", [lambda bits: 1 // 0, lambda bits: (bits for _ in "a"), lambda: ()])
def test_another_packages_quantizer_whose_settings_fail_is_refused_and_ours_is_a_bug(
    settings, tmp_path, runs_root, monkeypatch
):
    path = written(tmp_path, "{by: bits, solve: model.quantizer, to: 6}", TWO)
    monkeypatch.setattr(FiniteScalarQuantizer, "settings", staticmethod(settings))
    with pytest.raises((ZeroDivisionError, TypeError)):
        plan(read_sweep(path))
    monkeypatch.setitem(SLOT.origins, "fsq", Origin("their-parts", "0.3", "parts:Signs"))
    said = (
        "ask.yaml:5: match.solve: model.quantizer: the arm 'fsq': 'fsq' of their-parts 0.3: its settings of 6 bits fail"
    )
    assert refused(path).startswith(said)


def test_more_bits_than_any_token_has_are_refused_at_once(tmp_path, runs_root):
    path = written(tmp_path, "{by: bits, solve: model.quantizer, to: 1000000}", TWO)
    assert refused(path) == "ask.yaml:5: match.to: a token has at most 1024 bits, not 1000000"
    listed = CliRunner().invoke(main, ["components", "quantizer", "--bits", "1000000"])
    assert (listed.exit_code, listed.output) == (2, "--bits 1000000: a token has at most 1024 bits\n")
    assert FiniteScalarQuantizer.settings(10**6) == ()
