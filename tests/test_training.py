"""Tasks, their handover, and their evaluation."""

from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import EXPERIMENT, SWEEP, write

from omnitok import plan_sweep
from omnitok.data import DataError
from omnitok.launching.launch import launch
from omnitok.model import Tokenizer
from omnitok.model.patch import LinearPatches
from omnitok.randomness import generator, key
from omnitok.runs import Record
from omnitok.schedules.mixing import StepPlan, frame_rates, joint
from omnitok.spec import Map, SpecError, decode, read_value, resolve
from omnitok.training import EVALUATIONS, TASKS, NonFinite
from omnitok.training.devices import compiler, device, recomputes
from omnitok.training.evaluate import Seen, evaluation_digest, key_of, metric_key, metric_specs
from omnitok.training.feed import Places
from omnitok.training.handover import take_over
from omnitok.training.reconstruct import Reconstruct
from omnitok.training.stage import bind, read_stages, restated


def stages(text: str = EXPERIMENT):
    return read_stages(read_value(text, "tiny.yaml"))


def task(stage: int = 0, seed: int = 0, **patch):
    said = stages()[stage].said
    text = Map(
        {k: v for k, v in said.items() if k not in {"init", "handover"}} | patch,
        said.mark,
        {**said.marks, **dict.fromkeys(patch, said.mark)},
    )
    return resolve(decode(TASKS, text))(seed, Path())


@pytest.mark.parametrize("stage", [0, 1])
def test_the_same_seed_gives_the_same_records_and_weights_and_another_does_not(stage):
    one, same, other = task(stage), task(stage), task(stage, seed=1)
    assert list(one.train()) == list(same.train()) != list(other.train())
    assert all(torch.equal(a, b) for a, b in zip(one.weights().values(), same.weights().values(), strict=True))


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_state_taken_after_any_step_goes_on_to_the_same_bits(cut):
    whole, first, second = task(1), task(1), task(1)
    uncut = list(whole.train())
    steps = first.train()
    for _ in range(min(cut, 4)):
        next(steps)
    second.load(first.state())
    assert list(second.train(cut)) == uncut[cut:]
    assert all(torch.equal(a, b) for a, b in zip(whole.weights().values(), second.weights().values(), strict=True))


def test_records_have_one_line_a_step_and_validation_when_due():
    records = list(task().train())
    assert [record.step for record in records] == list(range(5))
    assert [("val/psnr" in record.values) for record in records] == [False, True, False, True, True]
    assert all(isinstance(record, Record) for record in records)


@pytest.mark.parametrize("steps", [600, 601, 602, 1205])
def test_no_kind_of_batch_is_missed_by_a_look_over_a_long_schedule(steps):
    for schedule in (partial(joint, frames=3), lambda step, total: StepPlan(3 if step % 2 else 1)):
        assert Places(schedule, steps, 1).kinds() == {(1, 1.0, 1), (3, 1.0, 1)}
    rare = partial(frame_rates, frames=3, strides=(4, 1), shares=(0.998, 0.002), image_share=0.002)
    assert Places(rare, steps, 2).kinds() == {(1, 1.0, 1), (3, 1.0, 4), (3, 1.0, 1)}


def test_training_learns():
    long = task(steps=40, optimizer={"lr": 1e-2}, validate_every=40)
    first, *_, last = long.train()
    assert last.values["train/l1"] < 0.8 * first.values["train/l1"]


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_term():
    broken = task()
    with torch.no_grad():
        broken.codec.patches.to_first.bias.fill_(float("nan"))
    with pytest.raises(NonFinite, match="train/l1 is nan at step 0"):
        list(broken.train())


def test_a_batch_is_a_function_of_seed_step_and_sample_index():
    keys = {key(s, "sample", step, i) for s in range(3) for step in range(5) for i in range(4)}
    assert len(keys) == 60
    one, two = (torch.rand(3, generator=generator(0, "sample", 2, 1)) for _ in range(2))
    assert torch.equal(one, two)


def weights(**changes):
    return Tokenizer(**({"dim": 12, "patches": partial(LinearPatches, patch=4, temporal_patch=2)} | changes))


def test_a_handover_keeps_what_it_does_not_name_and_leaves_fresh_what_it_does():
    parent, child = weights(), weights()
    before = {name: value.clone() for name, value in child.state_dict().items()}
    take_over(child, parent.state_dict(), {"decoder": "fresh", "decoder.0": "keep"})
    for name, value in child.state_dict().items():
        fresh = name.startswith("decoder.") and not name.startswith("decoder.0.")
        assert torch.equal(value, before[name] if fresh else parent.state_dict()[name]), name


def test_an_inflated_part_is_made_from_what_images_taught():
    parent, child = weights(), weights()
    take_over(child, parent.state_dict(), {"patches": "inflate"})
    assert not torch.equal(child.patches.rest.weight, parent.patches.rest.weight)
    torch.testing.assert_close(child.patches.rest.weight[:, :16], parent.patches.first.weight[:, :16] / 2)


@pytest.mark.parametrize(
    ("changes", "parts", "message"),
    [
        ({"dim": 16}, {}, "does not fit: the parent has .*12.* and this stage .*16.*say fresh"),
        ({}, {"decodr": "keep"}, "no part 'decodr'; did you mean 'decoder'"),
        ({}, {"decoder": "inflate"}, r"cannot be inflated.*known: patches"),
    ],
)
def test_a_handover_that_does_not_fit_is_refused(changes, parts, message):
    with pytest.raises(ValueError, match=message):
        take_over(weights(**changes), weights().state_dict(), parts)


def test_a_changed_quantizer_is_taken_over_where_it_is_said_to_be_fresh():
    from omnitok.quantizers import FiniteScalarQuantizer

    child = weights(quantizer=FiniteScalarQuantizer)
    parts = {"quantizer": "fresh", "to_latents": "fresh", "from_latents": "fresh"}
    take_over(child, weights().state_dict(), parts)


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        stages(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{stages: {}}", "stages: must be a mapping of at least one stage"),
        ("{stage: {a: {}}}", "stage: no such key; did you mean 'stages'"),
        ("{stages: {a: {data: embedded, init: b}}}", "stages.a.init: no earlier stage 'b'"),
        ("{stages: {a: {data: embedded, handover: {}}}}", "stages.a.handover: there is no parent"),
        ("{stages: {a: {data: embedded}, b: {init: a, handover: {parts: {x: kept}}}}}", "stages.b.handover.parts.x"),
        ("{stages: {a: {data: embedded}, b: 3}}", "stages.b: expected a mapping"),
        ("{stages: {a: {task: reconstrct}}}", "no task 'reconstrct'; did you mean 'reconstruct'"),
        ("{stages: {a: {steps: 3}}}", "stages.a.data: must be said"),
        ("{stages: {a: {task: baseline, data: embedded}, b: {init: a}}}", "takes no such parent"),
    ],
)
def test_stages_that_cannot_be_are_refused(text, message):
    assert message in refused(text)


def test_a_digest_covers_parents_seed_data_and_every_default():
    first, second = stages()
    one = bind(first, 0, {})
    assert one.digest == bind(first, 0, {}).digest != bind(first, 1, {}).digest
    child = bind(second, 0, {"images": one.digest})
    assert child.parents == {"init": one.digest}
    assert child.digest != bind(second, 0, {"images": "0" * 16}).digest
    assert one.fingerprints["data"] and one.spec["optimizer"]["lr"] == 1e-3
    assert one._replace(name="other", files={"init": "x"}).digest == one.digest  # labels and places are no identity


def test_an_old_run_keeps_its_identity_when_a_defaulted_choice_is_added():
    run = bind(stages()[0], 0, {})
    old = run._replace(spec={k: v for k, v in run.spec.items() if k != "clip_norm"})
    assert old.digest != run.digest == restated(old, {})
    raised = old._replace(versions=old.versions | {"quantizer.vq": 0})
    assert restated(raised, {}) != run.digest  # made by an older version of a component: not the same results


REFUSED = [
    ({"joint": "handover: {weights: ema}"}, "", "handover: weights=ema: images keeps no average; say raw"),
    ({"joint": "handover: {adversary: keep}"}, "", "handover: adversary=keep: this stage has no discriminators"),
    ({"joint": "handover: {adversary: keep}\n    adversary: patch_gan"}, "", "handover: adversary=keep: the parent has no discriminators"),
    ({"images": "schedule: {type: image_only, scales: [1.0, 1.3]}"}, "", "patch=4 must divide the frame, which is 21 x 21"),
    ({"images": "schedule: {type: image_only, scales: []}"}, "", "stages.images.schedule.scales"),
    ({"images": "losses: [lpips]"}, "", "stages.images.losses: losses need "),
    ({}, "weights: ema, ", "evaluate[0]: weights=ema: the last stage keeps no average; say average: ema there"),
]  # fmt: skip


@pytest.mark.usefixtures("runs_root")
@pytest.mark.parametrize(("said", "measured", "message"), REFUSED)
def test_what_training_cannot_do_is_refused_when_it_is_planned(said, measured, message, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path))
    text = EXPERIMENT
    for stage, more in said.items():
        line = "    init: images\n" if stage == "joint" else "    batch: 2\n"
        text = text.replace(line, f"{line}    {more}\n")
    path = write(tmp_path, text, SWEEP.replace("frames: 1, ", f"frames: 1, {measured}"))
    with pytest.raises(SpecError) as caught:
        plan_sweep(path)
    assert message in str(caught.value)


def test_resources_of_a_sweep_reach_training_and_no_digest(tmp_path, runs_root, monkeypatch):
    monkeypatch.delenv("OMNITOK_COMPILE", raising=False)
    monkeypatch.setenv("OMNITOK_RECOMPUTE", "0")
    seen = []
    monkeypatch.setattr(Reconstruct, "_place", lambda self: seen.append((recomputes(), compiler())))
    path = write(tmp_path, sweep=SWEEP.replace("seeds: [0, 1]", "seeds: [0]"))
    before = set(plan_sweep(path).runs)
    path.write_text(path.read_text() + "resources: {recompute: true, compile: true}\n")
    assert set(plan_sweep(path).runs) == before
    assert launch(path).trained and set(seen) == {(True, "inductor")}
    assert (recomputes(), compiler()) == (False, "")


def test_a_device_that_does_not_exist_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("OMNITOK_DEVICE", "cudda")
    with pytest.raises(DataError, match="OMNITOK_DEVICE=cudda: names no device"):
        device()


def evaluation(text: str):
    return decode(EVALUATIONS, read_value(text, "here"))


SEEN = Seen("f", "cc16", 4)


def test_an_evaluation_is_known_by_its_protocol_and_a_metric_by_its_own():
    spec = evaluation("{data: embedded, frames: 1, resolution: 16, metrics: [psnr, ssim]}")
    psnr, ssim = metric_specs(spec)
    assert key_of(spec) == "embedded.test.1x16"
    assert key_of(evaluation("{data: {type: embedded, short_side: 32}, frames: 1, resolution: 16}")) != key_of(spec)
    found = {evaluation_digest(stage, spec, metric, SEEN) for stage in "ab" for metric in (psnr, ssim)}
    assert len(found) == 4
    alone = evaluation("{data: embedded, frames: 1, resolution: 16, metrics: [ssim]}")
    assert evaluation_digest("a", alone, metric_specs(alone)[0], SEEN) in found  # adding a metric changes no other


def test_two_protocols_are_two_columns_and_two_identities(monkeypatch):
    text = "{data: embedded, frames: 1, resolution: 16, metrics: [rfid, {type: rfid, preprocessing: clean}]}"
    usual, clean = metric_specs(evaluation(text))
    names = [metric_key("pets.test.1x64", one) for one in (usual, clean)]
    assert names[0] == "pets.test.1x64/rfid" and names[1].startswith("pets.test.1x64/rfid-")
    average = evaluation("{data: embedded, frames: 1, resolution: 16, weights: ema}")
    assert key_of(average) == "embedded.test.1x16.ema"
    before = evaluation_digest("a", average, usual, SEEN)
    monkeypatch.setattr(Seen, "protocol", lambda self, metric: "rfid[said otherwise]")
    assert evaluation_digest("a", average, usual, SEEN) != before


def test_an_evaluation_does_not_depend_on_its_batches(monkeypatch):
    spec = evaluation("{data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}")
    codec = task().codec
    results = []
    for batch in (1, 3):
        monkeypatch.setattr("omnitok.training.evaluate.MOST_ITEMS", batch)
        metric = resolve(metric_specs(spec)[0])(codec)
        results.append(resolve(spec)(Path()).measure(codec, [metric]))
    one, three = results
    assert one.measured[0].per_item == pytest.approx(three.measured[0].per_item, abs=1e-4)
    assert one.items == three.items and len(one.pictures) == len(three.pictures) >= 2
