"""The tokenizer as a whole: one set of weights for images and video, of any size that fits."""

import pytest
import torch

from omnitok.attention import ATTENTION
from omnitok.model import BASELINES, MODELS, Inflatable
from omnitok.model.position import POSITIONS
from omnitok.quantizers import QUANTIZERS
from omnitok.randomness import generator, initialise
from omnitok.spec import decode, read_value, resolve

TEXT = """
{{dim: 12, patch: 4, temporal_patch: 2, spatial: [{{type: window, heads: 2, window: 2}}, {{type: full, heads: 2}}],
  temporal: [{{type: temporal, heads: 2}}, {{type: temporal, heads: 2}}], quantizer: {quantizer}}}
"""


def tokenizer(quantizer: str = "fsq", dtype: torch.dtype = torch.double):
    made = resolve(decode(MODELS, read_value(TEXT.format(quantizer=quantizer), "here")))()
    initialise(made, 0)
    return made.to(dtype).eval()


@pytest.fixture
def clip():
    return torch.rand(2, 3, 5, 8, 16, dtype=torch.double) * 2 - 1  # not square


@pytest.mark.parametrize("quantizer", list(QUANTIZERS))
def test_a_clip_goes_in_and_comes_out(quantizer, clip):
    model = tokenizer(quantizer)
    quantized = model.encode(clip)
    assert quantized.latents.shape == (2, 3, 2, 4, model.quantizer.channels)
    assert model.decode(quantized.latents).shape == clip.shape
    if model.codebook_sizes:
        torch.testing.assert_close(model.decode_codes(quantized.codes), model.decode(quantized.latents))
    assert model.reconstruct(clip).codes.shape == quantized.codes.shape


def test_a_later_frame_changes_no_earlier_latent_and_no_earlier_pixel_by_one_bit(clip):
    model = tokenizer("gaussian")
    changed = clip.clone()
    changed[:, :, 3:] = 7.0
    a, b = model.encode(clip).latents, model.encode(changed).latents
    assert torch.equal(a[:, :2], b[:, :2]) and not torch.equal(a[:, 2], b[:, 2])
    assert torch.equal(model.decode(a)[:, :, :3], model.decode(b)[:, :, :3])


def test_an_image_is_the_first_frame_of_its_clip_and_a_prefix_is_a_prefix(clip):
    model = tokenizer("gaussian")
    whole = model.encode(clip).latents
    torch.testing.assert_close(model.encode(clip[:, :, :1]).latents, whole[:, :1], rtol=0, atol=1e-10)
    torch.testing.assert_close(model.encode(clip[:, :, :3]).latents, whole[:, :2], rtol=0, atol=1e-10)


def test_brightness_is_seen():
    model, dark = tokenizer("gaussian"), torch.full((1, 3, 1, 8, 8), -1.0, dtype=torch.double)
    assert (model.encode(dark).latents - model.encode(-dark).latents).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 4, 8, 8), "frames=4 must be 1 more than a multiple of temporal_patch=2"),
        ((1, 3, 1, 10, 8), "patch=4 must divide the frame, which is 10 x 8"),
        ((1, 3, 1, 12, 8), "window=2 must divide the latent grid, which is 3 x 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(shape, message):
    with pytest.raises(ValueError, match=message):
        tokenizer().encode(torch.zeros(shape, dtype=torch.double))


def test_it_says_which_sizes_fit():
    model = tokenizer()
    assert (model.multiple, model.frame_step) == (8, 2)
    model.encode(torch.zeros(1, 3, 1 + model.frame_step, model.multiple, 3 * model.multiple, dtype=torch.double))


def test_swapping_the_quantizer_leaves_the_encoders_first_weights_alone():
    one, other = tokenizer("fsq").state_dict(), tokenizer("vq").state_dict()
    shared = [name for name in one if name.startswith(("encoder", "patches", "decoder", "pixels"))]
    assert shared and all(torch.equal(one[name], other[name]) for name in shared)
    again = tokenizer("fsq").state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_inflated_weights_embed_and_give_back_a_still_clip_as_its_picture():
    model = tokenizer("gaussian")
    for module in model.modules():
        if isinstance(module, Inflatable):
            module.inflate()
    still = torch.rand(1, 3, 1, 8, 8, dtype=torch.double).expand(-1, -1, 5, -1, -1)
    tokens = model.patches(still)
    torch.testing.assert_close(tokens[:, 1], tokens[:, 0])
    pixels = model.pixels(tokens)
    torch.testing.assert_close(pixels[:, :, 1:], pixels[:, :, :1].expand(-1, -1, 4, -1, -1))


def test_a_probe_on_the_meta_device_counts_tokens_and_trains_nothing():
    with torch.device("meta"):
        model = resolve(decode(MODELS, read_value(TEXT.format(quantizer="vq"), "here")))()
    assert model.probe(5, 16) == 3 * 4 * 4
    with pytest.raises(ValueError, match="window=2"):
        model.probe(1, 20)


@pytest.mark.parametrize("name", list(POSITIONS))
def test_a_position_does_not_depend_on_the_size_of_the_grid(name):
    position = resolve(POSITIONS.default(name))(12)
    x = torch.randn(1, 3, 4, 5, 12)
    torch.testing.assert_close(position(x)[:, :2, :3, :2], position(x[:, :2, :3, :2]))


def test_sinusoids_tell_every_place_apart():
    added = POSITIONS.components["sinusoidal"](12)(torch.zeros(1, 4, 8, 8, 12)).flatten(0, -2)
    assert torch.cdist(added, added).fill_diagonal_(1).min() > 1e-3


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_gives_back_a_flat_clip_of_the_mean_colour_exactly(name):
    baseline = BASELINES.components[name]()
    colour = torch.tensor([0.1, -0.2, 0.3])
    baseline.fit(colour)
    clip = colour.view(1, 3, 1, 1, 1).expand(2, 3, 3, 8, 16)
    torch.testing.assert_close(baseline.reconstruct(clip).clip, clip)
    assert baseline.reconstruct(clip).codes.shape[-1] == 0


def test_patch_mean_keeps_each_patchs_mean_and_refuses_what_does_not_fit():
    baseline, clip = BASELINES.components["patch_mean"](patch=4), torch.rand(1, 3, 2, 8, 8)
    back = baseline.reconstruct(clip).clip
    torch.testing.assert_close(back[0, 1, 1, 4:, :4], clip[0, 1, 1, 4:, :4].mean().expand(4, 4))
    with pytest.raises(ValueError, match="patch=4 must divide the frame, which is 10 x 8"):
        baseline.reconstruct(torch.rand(1, 3, 1, 10, 8))


def test_every_component_that_draws_is_a_function_of_its_draw(clip):
    model = tokenizer("gaussian").train()
    first = model(clip, generator(0, "x"))[0]
    assert torch.equal(model(clip, generator(0, "x"))[0], first)
    assert not torch.equal(model(clip, generator(0, "y"))[0], first)
    assert {name for name in ATTENTION if ATTENTION.components[name].causal} == {"temporal"}
