"""Recipes of stages train as they say; frozen parts stay to the byte; losses follow their curves."""

from pathlib import Path

import pytest
import torch
from test_step import GAN, batch, learner, task
from tiny import EXPERIMENT

import omnitok
from omnitok import runs
from omnitok.quantizers import QUANTIZERS
from omnitok.schedules.curves import delayed
from omnitok.spec import SpecError, read_yaml
from omnitok.sweep.plan import plan_one
from omnitok.training.handover import weights_of
from omnitok.training.step import STEPS

ROOT = Path(__file__).parent.parent / "experiments"
RECIPES = sorted(ROOT.glob("recipe_*.yaml"))
SMALL = {"steps": 2, "batch": 2, "validate_every": 2, "resolution": 32}


def shrunk(path: Path) -> list[str]:
    """What makes each stage of a recipe small, said where the stage says it."""
    stages = read_yaml(path)["stages"]
    sets = [f"stages.{name}.{key}={SMALL[key]}" for name, said in stages.items() for key in SMALL if key in said]
    return [*sets, "model.dim=32", "stages.high.resolution=64"] if "high" in stages else [*sets, "model.dim=32"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_trains(path, runs_root):
    done = omnitok.run_experiment(path, shrunk(path))
    assert done.trained == 2 and all((folder / runs.RESULT).exists() for folder in done.folders)
    first, second = (weights_of(folder / "weights.safetensors") for folder in done.folders)
    changed = {name.split(".")[0] for name in first if name in second and first[name].shape == second[name].shape
               and not torch.equal(first[name], second[name])}  # fmt: skip
    if path.stem == "recipe_low_then_high":
        assert changed == {"decoder", "from_latents", "patches"}
        assert all(torch.equal(first[n], second[n]) for n in first if n.startswith(("encoder", "quantizer", "to_lat")))
    else:
        assert {"encoder", "decoder", "to_latents"} - changed <= {"to_latents"}


def test_the_recipes_are_the_four_orders_of_stages():
    said = {path.stem.removeprefix("recipe_"): list(read_yaml(path)["stages"]) for path in RECIPES}
    orders = ["image_then_joint", "kl_then_vq", "low_then_high", "vq_then_kl"]
    assert list(said) == orders and all(len(stages) == 2 for stages in said.values())


PARTS = [("encoder",), ("quantizer",), ("decoder",), ("encoder", "quantizer"), ("quantizer", "decoder")]
EVERYTHING = {
    "optimizer": {"lr": 0.01, "weight_decay": 0.5},
    "adversary": GAN,
    "schedule": {"type": "joint", "frames": 3},
    "average": {"type": "ema", "decay": 0.5},
    "batch": 4,
}


def state(made, parts):
    """Every weight and buffer of some parts."""
    modules = [module for part in parts for module in made.codec.modules_of(part)]
    return [value.clone() for module in modules for value in module.state_dict().values()]


@pytest.mark.parametrize("step", list(STEPS))
@pytest.mark.parametrize("parts", PARTS, ids="+".join)
def test_what_is_frozen_stays_to_the_byte_and_the_rest_learns(parts, step):
    made = task(**EVERYTHING, frozen=list(parts), step=step)
    rest = [part for part in ("encoder", "quantizer", "decoder") if part not in parts]
    kept, others = state(made, parts), [state(made, [part]) for part in rest]
    list(made.train())
    assert kept and all(torch.equal(a, b) for a, b in zip(kept, state(made, parts), strict=True))
    for part, before in zip(rest, others, strict=True):
        assert not all(torch.equal(a, b) for a, b in zip(before, state(made, [part]), strict=True)), part
    held = {id(p) for group in made.optimizer.param_groups for p in group["params"]}
    assert held.isdisjoint(id(p) for part in parts for p in made.codec.parameters_of(part))
    averaged = made.weights("ema")
    frozen = {id(p) for part in parts for p in made.codec.parameters_of(part)}
    for name, parameter in made.codec.named_parameters():
        if id(parameter) in frozen:
            assert torch.equal(parameter, averaged[name]), name


@pytest.mark.parametrize("quantizer", list(QUANTIZERS))
def test_a_frozen_bottleneck_keeps_every_byte_and_lets_the_encoder_learn(quantizer):
    made = task(model=small(quantizer), frozen=["quantizer"], steps=2)
    kept, before = state(made, ["quantizer"]), state(made, ["encoder"])
    list(made.train())
    assert all(torch.equal(a, b) for a, b in zip(kept, state(made, ["quantizer"]), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, state(made, ["encoder"]), strict=True))


def small(quantizer):
    return {"dim": 12, "patches": {"type": "linear", "patch": 4, "temporal_patch": 2}, "quantizer": quantizer,
            "encoder": ["norm"], "decoder": ["norm"]}  # fmt: skip


def test_statistics_of_batches_are_frozen_with_their_part():
    patches = {"type": "cnn", "patch": 4, "temporal_patch": 2}
    made = task(model=small("fsq") | {"patches": patches}, frozen=["encoder"], steps=2)
    kept = state(made, ["encoder"])
    assert any("running" in name for name in made.codec.state_dict())
    list(made.train())
    assert all(torch.equal(a, b) for a, b in zip(kept, state(made, ["encoder"]), strict=True))


@pytest.mark.parametrize("cut", [1, 3])
def test_a_run_with_a_frozen_encoder_goes_on_to_the_same_bits(cut):
    whole, first, second = (task(**EVERYTHING, frozen=["encoder"]) for _ in range(3))
    uncut = list(whole.train())
    steps = first.train()
    for _ in range(cut):
        next(steps)
    second.load(first.state())
    assert list(second.train(cut)) == uncut[cut:]
    for kind in ("raw", "ema"):
        pairs = zip(whole.weights(kind).values(), second.weights(kind).values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("quantizer", ["vq", "fsq"])
def test_a_stage_in_which_nothing_learns_is_refused_at_its_line(quantizer, tmp_path, runs_root):
    frozen = "encoder, decoder" if quantizer == "fsq" else "encoder, quantizer, decoder"
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT.replace("    steps: 4\n", f"    frozen: [{frozen}]\n    steps: 4\n"))
    sets = ["model.quantizer=fsq"] if quantizer == "fsq" else []
    line = 1 + path.read_text().split("\n").index(f"    frozen: [{frozen}]")
    with pytest.raises(SpecError, match=rf"x.yaml:{line}: stages.joint.frozen: .* 0 are left to learn"):
        plan_one(path, sets, 0)


def test_a_part_that_is_frozen_twice_is_refused():
    with pytest.raises(ValueError, match=r"^frozen=\['encoder', 'encoder'\]: of 2 parts 1 are different$"):
        task(frozen=["encoder", "encoder"])


REFUSED = [
    ("schedule: {type: frame_rates, frames: 5, strides: [2, 20]}", r"joint.schedule.strides: strides=20: 5 frames span 81: the train split has nothing with that many frames; its longest clip has 61"),
    ("schedule: {type: joint, frames: 99}", r"joint.schedule.frames: frames=99: .*its longest clip has 61"),
    ("schedule: {type: clip_lengths, lengths: [3, 5], shares: [0.2, 0.2]}", r"joint.schedule.shares: shares=.*sum is 0.4"),
    ("schedule: {type: mixing, points: [[0, 1.0], [0.5, 0.0]]}", r"joint.schedule.points: points=.* must rise from 0 to 1"),
    ("curve: {type: wsd, warmup_share: 0.5, decay_share: 0.6}", r"joint.curve.decay_share: decay_share=0.6: with warmup_share=0.5"),
    ("losses: [{type: l1, curve: {type: delayed, begin_share: 1.0}}]", r"joint.losses\[0\].curve.begin_share: begin_share=1.0: with rise_share=0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "message"), REFUSED, ids=[said.split(":")[0] + str(i) for i, (said, _) in enumerate(REFUSED)])  # fmt: skip
def test_schedules_and_curves_that_cannot_be_are_refused_when_planned(said, message, tmp_path, runs_root):
    path = tmp_path / "x.yaml"
    text = EXPERIMENT.replace("    schedule: {type: joint, frames: 3}\n", "")
    path.write_text(text.replace("    init: images\n", f"    init: images\n    {said}\n"))
    with pytest.raises(SpecError, match=message):
        plan_one(path, [], 0)


def test_clips_come_in_the_lengths_and_strides_of_the_curriculum():
    rates = task(schedule={"type": "frame_rates", "frames": 3, "strides": [4, 1], "image_share": 0.5}, steps=8, batch=1)
    seen = [(record.values["train/frames"], record.values.get("train/stride")) for record in rates.train()]
    assert seen == [(3, 4), (1, None)] * 2 + [(3, None), (1, None)] * 2
    lengths = task(schedule={"type": "clip_lengths", "lengths": [3, 5]}, steps=4, batch=1)
    assert [record.values["train/frames"] for record in lengths.train()] == [3, 3, 5, 5]
    assert lengths.shapes() == ((3, 16), (5, 16))


@pytest.mark.parametrize("step", list(STEPS))
def test_terms_are_multiplied_by_their_curves_and_left_out_where_these_are_nothing(step):
    def values(at, **patch):
        made = task(**patch)
        shared = STEPS.components[step]()
        return shared(learner(made, [])._replace(steps=10, bottleneck_curve=made.bottleneck_curve), at, [batch()])

    late = {"type": "delayed", "begin_share": 0.2, "rise_share": 0.4}
    usual = values(0, adversary=GAN, losses=["l1", "l2"])
    every = {"adversary": GAN | {"weight_curve": late}, "losses": ["l1", {"type": "l2", "curve": late}]}
    none, some = values(1, **every), values(3, **every, bottleneck_curve=late)
    assert {"l2", "gan_image", "gan_video", "features_image", "features_video"} == usual.keys() - none.keys()
    assert none["discriminator_image"] == usual["discriminator_image"]  # judges learn meanwhile
    part = delayed(3, 10, begin_share=0.2, rise_share=0.4)
    assert part == 0.5 and some["l1"] == usual["l1"]
    for name in ("l2", "bottleneck", "gan_image", "gan_video", "features_image", "features_video"):
        assert some[name] == pytest.approx(part * usual[name]), name


def test_what_nothing_is_learned_from_is_no_error():
    late = {"type": "delayed", "begin_share": 0.5, "rise_share": 0.0}
    made = task(model=small("fsq"), losses=[{"type": "l1", "curve": late}], steps=4)
    before = [p.clone() for p in made.codec.parameters()]
    steps = made.train()
    assert next(steps).values["train/gradient_norm"] == 0.0
    assert "train/l1" in list(steps)[-1].values
    assert not all(torch.equal(a, b) for a, b in zip(before, made.codec.parameters(), strict=True))
