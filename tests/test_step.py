"""One step of training: who learns what from which pass, and what a published step does otherwise."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import EXPERIMENT

from omnitok.discriminators import DISCRIMINATORS
from omnitok.randomness import generator
from omnitok.spec import Map, decode, read_value, resolve
from omnitok.training import TASKS, NonFinite
from omnitok.training.adversary import ADVERSARIES, PatchGan, one_frame
from omnitok.training.average import AVERAGES, lent
from omnitok.training.handover import take_judges
from omnitok.training.stage import read_stages
from omnitok.training.step import STEPS, Batch, Learner, frozen

GAN = {
    "type": "patch_gan",
    "image": {"type": "patch_image", "channels": 2, "layers": 1},
    "video": {"type": "patch_video", "channels": 2, "layers": 1},
}
TWO_PASSES, LEFTOVERS = (
    "two forward passes a step",
    "the discriminator steps on gradients that the generator left behind",
)


def task(stage: int = 1, seed: int = 0, **patch):
    said = read_stages(read_value(EXPERIMENT, "tiny.yaml"))[stage].said
    kept = {k: v for k, v in said.items() if k not in {"init", "handover"}}
    text = Map(kept | patch, said.mark, {**said.marks, **dict.fromkeys(patch, said.mark)})
    return resolve(decode(TASKS, text))(seed, Path())


@pytest.fixture(params=list(STEPS))
def step(request):
    return resolve(STEPS.default(request.param))()


def learner(made, log):
    return Learner(made.codec.train(), made.losses, made.adversary, lambda: log.append("codec") or {}, lambda: log.append("adversary") or {})  # fmt: skip


def batch(frames: int = 3, scales=(1.0,)):
    clip = torch.rand(2, 3, frames, 16, 16, generator=generator(0, "clip")) * 2 - 1
    return Batch(clip, scales, lambda purpose: generator(0, purpose))


def test_the_codec_passes_and_its_codebook_moves_as_often_as_declared(step):
    made, log, codebooks = task(adversary=GAN), [], []
    made.codec.quantizer.register_forward_hook(lambda module, *_: codebooks.append(module.codebook.clone()))
    step(learner(made, log), 0, [batch()])
    assert len(codebooks) == (2 if TWO_PASSES in step.known_defects else 1)
    assert all(not torch.equal(a, b) for a, b in zip(codebooks, codebooks[1:], strict=False))
    assert log == ["codec", "adversary"]


def test_a_discriminator_learns_from_its_own_loss_alone_but_where_the_opposite_is_declared(step):
    made = task(adversary=GAN)
    step(learner(made, []), 0, [batch()])
    found = {name: p.grad.clone() for name, p in made.adversary.named_parameters()}
    apart = task(adversary=GAN)
    apart.codec.train()
    with torch.no_grad():
        reconstruction, _ = apart.codec(batch().clip, generator(0, "bottleneck"))
        if TWO_PASSES in step.known_defects:
            reconstruction, _ = apart.codec(batch().clip, generator(0, "bottleneck/second"))
    pairs = apart.adversary.look(0, batch().clip, reconstruction, batch().draw)
    torch.stack(list(apart.adversary.discriminator_terms(pairs, batch().draw).values())).sum().backward()
    same = all(torch.allclose(found[name], p.grad, atol=1e-6) for name, p in apart.adversary.named_parameters())
    assert same == (LEFTOVERS not in step.known_defects)


def test_batches_of_one_step_come_in_the_order_that_is_promised(step):
    made, log = task(adversary=GAN), []
    step.accumulate = 2
    made.codec.quantizer.register_forward_hook(lambda *_: log.append("pass"))
    step(learner(made, log), 0, [batch(), batch(1)])
    published = [
        "pass",
        "pass",
        "pass",
        "codec",
        "pass",
        "adversary",
    ]  # the second batch's judges see the new tokenizer
    assert log == (published if TWO_PASSES in step.known_defects else ["pass", "pass", "codec", "adversary"])


def test_what_is_frozen_gets_no_gradient_but_passes_it_on():
    made = ADVERSARIES.components["patch_gan"](image=partial(DISCRIMINATORS.components["patch_image"], channels=2))
    made.begin(0)
    back = torch.rand(1, 3, 1, 8, 8, requires_grad=True)
    pairs = made.look(0, torch.rand(1, 3, 1, 8, 8), back, batch().draw)
    with frozen(made):
        terms = made.generator_terms(pairs, batch().draw)
    torch.stack(list(terms.values())).sum().backward()
    assert back.grad.abs().sum() > 0 and all(p.grad is None and p.requires_grad for p in made.parameters())


def test_an_image_meets_the_discriminator_of_images_and_a_clip_both():
    made = task(adversary=GAN).adversary
    original, back = torch.rand(2, 2, 3, 3, 16, 16)
    draw = batch().draw
    assert list(made.look(0, original[:, :, :1], back[:, :, :1], draw)) == ["image"]
    pairs = made.look(0, original, back, draw)
    assert list(pairs) == ["image", "video"]
    assert pairs["image"].original.shape[2] == 1 and pairs["video"].original.shape[2] == 3
    assert task(adversary=GAN | {"begin_at": 3}).adversary.look(2, original, back, draw) == {}
    silent = task(adversary=GAN | {"image_weight": 0.0}).adversary
    assert list(silent.look(0, original, back, draw)) == ["video"]
    every = task(adversary=GAN | {"frames": "all"}).adversary.look(0, original, back, draw)
    assert every["image"].original.shape[2] == 3


def test_the_same_frame_of_both_is_looked_at():
    original = torch.arange(24.0).view(4, 1, 6, 1, 1)
    a, b = one_frame(original, -original, generator(0, "x"))
    assert torch.equal(a, -b) and len({int(x) % 6 for x in a.flatten()}) > 1


def test_the_published_adversary_scales_the_discriminators_loss_and_skips_small_ones():
    plain, published = (ADVERSARIES.components[name](image_weight=0.5) for name in ("patch_gan", "patch_gan_published"))
    assert published.known_defects and not plain.known_defects
    for made in (plain, published):
        made.begin(0)
    clip, back = torch.rand(2, 1, 3, 1, 16, 16)
    terms = [m.discriminator_terms(m.look(0, clip, back, batch().draw), batch().draw) for m in (plain, published)]
    torch.testing.assert_close(terms[1]["discriminator_image"], 0.5 * terms[0]["discriminator_image"])
    before = {name: value.clone() for name, value in published.state_dict().items()}
    terms[1]["discriminator_image"].backward()
    published.last = 0.0005
    assert published.update(0, 10) == {"discriminator_gradient_norm": 0.0}
    assert all(torch.equal(value, before[name]) for name, value in published.state_dict().items())


@pytest.mark.parametrize("name", ["patch_gan", "patch_gan_published"])
def test_the_last_batch_alone_decides_whether_discriminators_step_where_that_is_declared(name):
    """With images last and without a weight, as in the authors' second stage, they never do."""
    made = task(adversary=GAN | {"type": name, "image_weight": 0.0, "optimizer": {"type": "adam", "lr": 0.01}})
    clips, images = batch(), batch(1)
    before = {name: value.clone() for name, value in made.adversary.named_parameters()}
    for last in (images, clips):
        for one in (clips, images, last):
            pairs = made.adversary.look(0, one.clip, one.clip.flip(0), one.draw)
            terms = made.adversary.discriminator_terms(pairs, one.draw)
            assert len(terms) == (one is clips)
            if terms:
                torch.stack(list(terms.values())).sum().backward()
        made.adversary.update(0, 1)
        stays = all(torch.equal(value, before[name]) for name, value in made.adversary.named_parameters())
        declared = "the last batch alone decides whether the discriminators step" in made.adversary.known_defects
        assert stays == (declared and last is images)


def test_a_discriminator_in_the_wrong_place_is_refused():
    with pytest.raises(ValueError, match="image=PatchVideo judges a video, not a image"):
        PatchGan(image=DISCRIMINATORS.components["patch_video"])


@pytest.mark.parametrize("name", list(STEPS))
def test_sizes_that_come_are_rehearsed_and_drawn(name):
    schedule = {"type": "joint", "frames": 3, "scales": [0.5, 1.0, 1.3]}
    made = task(schedule=schedule, step=name, steps=12, batch=1)
    sides = {8, 16, 21 if name == "shared" else 20}
    assert made.shapes() == tuple(sorted((frames, side) for frames in (1, 3) for side in sides))
    seen = {record.values["train/resolution"] for record in task(schedule={"type": "joint", "frames": 3, "scales": [0.5, 1.0]}, step=name, steps=8, batch=1).train()}  # fmt: skip
    assert seen == {8.0, 16.0}


def test_accumulated_batches_are_summed_over_and_see_both_kinds():
    records = list(
        task(schedule={"type": "joint", "frames": 3}, step={"type": "shared", "accumulate": 2}, steps=2).train()
    )
    assert [record.values["train/frames"] for record in records] == [2.0, 2.0]  # the mean of 1 and 3
    one, both = task(), task()
    shared = STEPS.components["shared"]
    for made, count in ((one, 1), (both, 2)):
        known = learner(made, [])
        made.codec.quantizer.eval()  # a codebook that moves would make the second batch another
        shared(accumulate=count)(known, 0, [batch()] * count)
    for a, b in zip(one.codec.parameters(), both.codec.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)


def test_half_precision_trains_with_full_precision_where_it_matters():
    seen = {}
    made = task(adversary=GAN, step={"type": "shared", "precision": "bfloat16"}, batch=2, steps=6)

    def watch(name, module, dtype):
        module.register_forward_hook(lambda m, x, y: seen.update({name: dtype(m, y)} | seen))

    watch("codebook", made.codec.quantizer, lambda m, y: m.codebook.dtype)
    watch("pixels", made.codec, lambda m, y: y[0].dtype)
    watch("logits", made.adversary.discriminators["image"], lambda m, y: y.logits.dtype)
    watch("qkv", made.codec.encoder[0].layers[0].attention.within.qkv, lambda m, y: y.dtype)
    half = list(made.train())
    assert seen == {"codebook": torch.float32, "pixels": torch.float32, "logits": torch.float32, "qkv": torch.bfloat16}
    full = list(task(adversary=GAN, batch=2, steps=6).train())
    assert half[-1].values["train/l1"] == pytest.approx(full[-1].values["train/l1"], rel=0.1)


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("name", list(STEPS))
def test_training_with_everything_goes_on_to_the_same_bits(name, cut):
    everything = {
        "adversary": GAN | {"begin_at": 1},
        "step": {"type": name, "accumulate": 2},
        "average": {"type": "ema", "decay": 0.5},
        "schedule": {"type": "joint", "frames": 3, "scales": [0.5, 1.0]},
    }
    whole, first, second = (task(**everything) for _ in range(3))
    uncut = list(whole.train())
    steps = first.train()
    for _ in range(cut):
        next(steps)
    second.load(first.state())
    assert list(second.train(cut)) == uncut[cut:]
    for part in ("weights", "judges"):
        a, b = (getattr(made, part)() for made in (whole, second))
        a, b = (x if isinstance(x, dict) else x.state_dict() for x in (a, b))
        assert a and all(torch.equal(a[key], b[key]) for key in a)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.weights("ema").values(), second.weights("ema").values(), strict=True)
    )


@pytest.mark.parametrize(
    ("part", "message"), [("codec", "train/l1 is nan at step 0"), ("adversary", "train/gan_image is nan at step 0")]
)
def test_every_term_that_is_no_number_is_named(part, message):
    broken = task(adversary=GAN)
    with torch.no_grad():
        next(getattr(broken, part).parameters()).fill_(float("nan"))
    with pytest.raises(NonFinite, match=message):
        list(broken.train())


def test_a_loss_of_discriminators_that_is_no_number_is_named(step, monkeypatch):
    made = task(adversary=GAN)
    nan = {"discriminator_video": torch.tensor(float("nan"), requires_grad=True)}
    monkeypatch.setattr(made.adversary, "discriminator_terms", lambda *_: nan)
    with pytest.raises(NonFinite, match="train/discriminator_video is nan at step 7"):
        step(learner(made, []), 7, [batch()])


@pytest.mark.parametrize(
    ("part", "message"),
    [("codec", "the gradient's norm is nan at step 0"), ("adversary", "train/discriminator_gradient_norm is nan")],
)
def test_a_gradient_that_is_no_number_is_named(part, message):
    broken = task(adversary=GAN)
    next(getattr(broken, part).parameters()).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NonFinite, match=message):
        list(broken.train())


def test_the_average_is_looked_at_too_and_leaves_the_weights_as_they_are():
    schedule = {"type": "joint", "frames": 3}
    plain, averaged = (task(schedule=schedule, validate_every=1, average=name) for name in ("none", "ema"))
    for one, other in zip(plain.train(), averaged.train(), strict=True):
        more = {"val/psnr_ema", "val/psnr_clips_ema"}
        assert {k: v for k, v in other.values.items() if k not in more} == one.values
        assert more <= other.values.keys() and other.values["val/psnr_ema"] != other.values["val/psnr"]
    with lent(averaged.codec, averaged.weights("ema")):
        held = averaged.codec.state_dict()
        assert all(torch.equal(value, held[name]) for name, value in averaged.weights("ema").items())


def test_a_loss_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="losses: 'l1' stands twice"):
        task(losses=["l1", {"type": "l1", "weight": 2.0}])


def test_a_moving_average_is_its_recurrence_and_keeps_buffers_as_they_are():
    model = torch.nn.BatchNorm1d(2)
    average = AVERAGES.components["ema"](decay=0.9)
    average.begin(model)
    expected = torch.ones(2)
    for step in range(3):
        with torch.no_grad():
            model.weight.fill_(step)
            model.running_mean.fill_(step)
        average.update(model)
        expected = 0.9 * expected + 0.1 * step
    torch.testing.assert_close(average.weights()["weight"], expected)
    assert torch.equal(average.weights()["running_mean"], torch.full((2,), 2.0))
    assert AVERAGES.components["none"]().weights() == {}


def test_discriminators_are_handed_over_as_said():
    parent, child = task(adversary=GAN).adversary, task(seed=1, adversary=GAN).adversary
    take_judges(child, parent.state_dict(), "fresh")
    assert not torch.equal(child.discriminators["image"].last.weight, parent.discriminators["image"].last.weight)
    take_judges(child, parent.state_dict(), "keep")
    assert all(
        torch.equal(a, b) for a, b in zip(child.state_dict().values(), parent.state_dict().values(), strict=True)
    )
    take_judges(child, parent.state_dict(), "inflate_last")
    kernel = child.discriminators["video"].hidden[0].convolution.weight
    assert torch.equal(kernel[:, :, -1], parent.discriminators["image"].hidden[0].convolution.weight)
    with pytest.raises(ValueError, match="the parent has no discriminators"):
        take_judges(child, {}, "keep")
    with pytest.raises(ValueError, match="this stage has no discriminators"):
        take_judges(task().adversary, parent.state_dict(), "keep")


def test_recomputing_changes_no_bit(monkeypatch):
    plain = list(task(steps=2).train())
    monkeypatch.setenv("OMNITOK_RECOMPUTE", "1")
    assert list(task(steps=2).train()) == plain


COMPILED = """
import os, torch
torch.set_num_threads(1)
from test_step import task
plain = list(task(steps=2).train())
os.environ["OMNITOK_COMPILE"] = "eager"
for a, b in zip(task(steps=2).train(), plain, strict=True):
    assert all(abs(a.values[name] - b.values[name]) < 1e-4 * (1 + abs(b.values[name])) for name in b.values), (a, b)
"""


@pytest.mark.service
def test_compiling_changes_no_result_beyond_rounding():
    """In a process of its own: the checks of shapes that tests have in every function cannot be compiled."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], check=False, cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
