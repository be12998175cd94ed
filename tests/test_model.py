"""The tokenizer as a whole: one set of weights for images and video, of any size that fits."""

import pytest
import torch

from omnitok.attention import ATTENTION
from omnitok.model import MODELS, Inflatable
from omnitok.model.block import Transformer, in_pieces
from omnitok.model.gated import geglu
from omnitok.model.patch import PATCHES
from omnitok.model.peg import PEGS
from omnitok.model.position import POSITIONS
from omnitok.model.tokenizer import START, _refuse_others
from omnitok.model.trunk import BLOCKS
from omnitok.quantizers import QUANTIZERS
from omnitok.randomness import generator, initialise
from omnitok.spec import choices, decode, read_value, resolve
from omnitok.training.baselines import BASELINES

TEXT = """
{{dim: 12, patches: {{type: linear, patch: 4, temporal_patch: 2}},
  encoder: [{{attention: {{type: window, heads: 2, window: 2}}}}, {{attention: {{type: full, heads: 2}}}},
    {{attention: {{type: temporal, heads: 2}}, peg: convolution, depth: 2}}, norm],
  decoder: [{{attention: {{type: temporal_cosine, heads: 2, dim_head: 4}}, peg: convolution}},
    {{attention: {{type: cosine, heads: 2, dim_head: 4, places: rope}}}}, norm], quantizer: {quantizer}}}
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


STREAMED = """
{dim: 12, patches: {type: linear, patch: 4, temporal_patch: 2}, quantizer: gaussian, position: POSITION,
  encoder: [{attention: {type: window, heads: 2, window: 3}, peg: convolution}, POOL {attention: {type: temporal, heads: 2, context: 2}},
    {attention: {type: temporal_cosine, heads: 2, dim_head: 4, places: rope}, peg: convolution, depth: 2}, norm],
  decoder: [{attention: {type: temporal_cosine, heads: 2, dim_head: 4, places: alibi}, peg: convolution}, REPEAT
    {attention: {type: cosine, heads: 2, dim_head: 4, places: rope}, peg: convolution}, norm]}
"""


@pytest.mark.parametrize("position", ["none", "sinusoidal"])
@pytest.mark.parametrize("pools", [False, True])
def test_a_long_clip_in_chunks_is_the_clip_in_one(position, pools):
    text = STREAMED.replace("POSITION", position)
    text = text.replace("POOL", "pool_time, " * pools).replace("REPEAT", "repeat_time, " * pools)
    model = resolve(decode(MODELS, read_value(text, "here")))()
    initialise(model, 0)
    model = model.double().eval()
    step = model.frame_step
    clip = torch.rand(1, 3, 1 + 6 * step, 12, 20, dtype=torch.double) * 2 - 1
    whole = model.encode(clip).latents
    pixels = model.decode(whole)
    for cut in ([1, 1, 1, 1, 1, 1, 1], [3, 2, 2], [7]):
        frames = [1 + (cut[0] - 1) * step, *(n * step for n in cut[1:])]
        cache, back, latents, shown = START, START, [], []
        for part in clip.split(frames, dim=2):
            quantized, cache = model.encode_chunk(part, cache)
            made, back = model.decode_chunk(quantized.latents, back)
            latents.append(quantized.latents)
            shown.append(made)
        torch.testing.assert_close(torch.cat(latents, dim=1), whole, rtol=0, atol=1e-10)
        torch.testing.assert_close(torch.cat(shown, dim=2), pixels, rtol=0, atol=1e-10)


def held(past) -> int:
    """Bytes of the storages behind a cache, each once."""
    tensors = [past] if isinstance(past, torch.Tensor) else []
    for part in past if isinstance(past, tuple) else ():
        tensors += [part] if isinstance(part, torch.Tensor) else []
    inner = sum(held(part) for part in past if isinstance(part, tuple)) if isinstance(past, tuple) else 0
    return inner + sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_a_cache_is_not_changed_by_going_on_from_it_and_a_finite_context_bounds_it():
    text = STREAMED.replace("POSITION", "none").replace("POOL", "").replace("REPEAT", "")
    text = text.replace("places: rope}, peg", "places: rope, context: 3}, peg", 1)
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    _, begun = model.encode_chunk(torch.rand(1, 3, 7, 8, 8))
    part = torch.rand(1, 3, 4, 8, 8)
    once, cache = model.encode_chunk(part, begun)
    again, _ = model.encode_chunk(part, begun)
    assert torch.equal(once.latents, again.latents) and cache.seen == begun.seen + 2
    sizes = []
    for _ in range(4):
        _, cache = model.encode_chunk(part, cache)
        sizes.append(cache.nbytes)
    assert len(set(sizes)) == 1 and sizes[0] > 0
    assert held(cache.past) == cache.nbytes  # no view keeps more alive than it shows
    with pytest.raises(ValueError, match="frames=3 of a later chunk must be a multiple of 2"):
        model.encode_chunk(part[:, :, :3], cache)


@pytest.mark.parametrize(
    ("part", "change"), [("peg", "causal: false"), ("attention", "causal: false"), ("peg", "scrambled")]
)
def test_what_looks_ahead_cannot_be_given_a_clip_in_chunks(part, change):
    peg = (
        "scrambled"
        if change == "scrambled"
        else "{type: convolution, causal: %s}" % ("false" if part == "peg" else "true")
    )
    causal = "false" if part == "attention" else "true"
    text = f"""{{dim: 12, encoder: [{{attention: {{type: temporal_cosine, heads: 2, dim_head: 4, causal: {causal}}},
        peg: {peg}}}], decoder: [norm], patches: {{type: linear, patch: 4, temporal_patch: 2}}}}"""
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    with pytest.raises(ValueError, match="is not causal"):
        model.encode_chunk(torch.rand(1, 3, 3, 8, 8))


def test_sides_are_counted_through_pools():
    text = "{dim: 12, patches: {type: linear, patch: 4, temporal_patch: 2}, encoder: [pool_space, pool_space], decoder: [repeat_space, repeat_space]}"
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    assert model.multiple == 16 and model.reconstruct(torch.rand(1, 3, 1, 16, 32)).clip.shape == (1, 3, 1, 16, 32)
    with pytest.raises(ValueError, match="a latent grid of 1 x 2 cannot be pooled"):
        model.encode(torch.rand(1, 3, 1, 8, 16))
    text = text.replace("decoder: [", "decoder: [{attention: {type: window_published, heads: 2, window: 3}}, ")
    assert resolve(decode(MODELS, read_value(text, "here")))().multiple == 48


@pytest.mark.parametrize("size", [(8, 20), (20, 12), (4, 4)])
def test_any_size_that_the_patch_divides_goes_through(size):
    text = STREAMED.replace("POSITION", "none").replace("POOL", "").replace("REPEAT", "")
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    clip = torch.rand(1, 3, 5, *size)
    assert model.reconstruct(clip).clip.shape == clip.shape


@pytest.mark.parametrize("most", [1, 7, 33])
def test_work_in_pieces_is_work_on_the_whole(most, monkeypatch):
    model, clip = tokenizer("gaussian"), torch.rand(2, 3, 5, 12, 8, dtype=torch.double)
    whole = model.reconstruct(clip).clip
    monkeypatch.setattr("omnitok.model.block.PIECE", most)
    with torch.no_grad():
        torch.testing.assert_close(model.reconstruct(clip).clip, whole.detach(), rtol=0, atol=1e-12)


def test_pieces_are_no_larger_than_said_and_cover_everything_once(monkeypatch):
    monkeypatch.setattr("omnitok.model.block.PIECE", 10)
    seen = []
    with torch.no_grad():
        x = torch.zeros(2, 3, 4, 5, 1)
        made = in_pieces(lambda part: (seen.append(part.numel()), part + 1)[1], x, (0, 1, 2))
        assert made.min() == made.max() == 1 and max(seen) == 10 and sum(seen) == x.numel()
        seen.clear()
        in_pieces(lambda part: (seen.append(part.numel()), part + 1)[1], x, (0, 2, 3))
        assert max(seen) == 9 and sum(seen) == x.numel()


def test_the_gated_product_and_its_gradients_are_the_equation():
    x, enter, leave = (
        torch.randn(size, dtype=torch.double, requires_grad=True) for size in ((2, 5, 12), (26, 12), (12, 13))
    )
    assert torch.autograd.gradcheck(geglu, (x, enter, leave))
    value, gate = (x @ enter.T).chunk(2, dim=-1)
    expected = (value * 0.5 * gate * (1 + torch.erf(gate / 2**0.5))) @ leave.T
    torch.testing.assert_close(geglu(x, enter, leave), expected)


def test_recomputing_gives_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        model = tokenizer("gaussian").train()
        for module in model.modules():
            if isinstance(module, Transformer):
                module.recompute = recompute
        model(torch.linspace(-1, 1, 3 * 5 * 64, dtype=torch.double).view(1, 3, 5, 8, 8))[0].square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert gradients[0] and all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("patches", ["linear", "linear_published"])
@pytest.mark.parametrize("upscale", [2, 4])
def test_a_decoder_that_enlarges_gives_back_what_it_is_given_in_small(patches, upscale):
    text = TEXT.format(quantizer="gaussian").replace("type: linear,", f"type: {patches}, upscale: {upscale},")
    model = resolve(decode(MODELS, read_value(text, "here")))().eval()
    small = torch.rand(1, 3, 5, 8, 12)
    large = model.decode(model.encode(small).latents)
    assert large.shape == (1, 3, 5, 8 * upscale, 12 * upscale) and model.multiple == 4 * upscale
    again = small.repeat_interleave(upscale, dim=3).repeat_interleave(upscale, dim=4)
    torch.testing.assert_close(model.reconstruct(again).clip, large)


def test_brightness_is_seen():
    model, dark = tokenizer("gaussian"), torch.full((1, 3, 1, 8, 8), -1.0, dtype=torch.double)
    assert (model.encode(dark).latents - model.encode(-dark).latents).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 4, 8, 8), "frames=4 must be 1 more than a multiple of temporal_patch=2"),
        ((1, 3, 1, 10, 8), "patch=4 must divide the frame, which is 10 x 8"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(shape, message):
    with pytest.raises(ValueError, match=message):
        tokenizer().encode(torch.zeros(shape, dtype=torch.double))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(1, 3, 8, 8), r"a clip is \[b, 3, T, H, W\], an image has T = 1; this is \[1, 3, 8, 8\]"),
        (torch.zeros(1, 1, 1, 8, 8), r"this is \[1, 1, 1, 8, 8\]"),
        (torch.zeros(1, 3, 1, 8, 8, dtype=torch.uint8), "numbers in \\[-1, 1\\], not torch.uint8"),
    ],
)
def test_what_is_no_clip_is_refused(clip, message):
    with pytest.raises(ValueError, match=message):
        _refuse_others(clip)


def test_it_says_which_sizes_fit():
    model = tokenizer()
    assert (model.multiple, model.frame_step) == (4, 2)  # the patch alone: windows take any grid
    model.encode(torch.zeros(1, 3, 1 + model.frame_step, model.multiple, 3 * model.multiple, dtype=torch.double))


def test_swapping_the_quantizer_leaves_the_encoders_first_weights_alone():
    one, other = tokenizer("fsq").state_dict(), tokenizer("vq").state_dict()
    shared = [name for name in one if name.startswith(("encoder", "patches", "decoder"))]
    assert shared and all(torch.equal(one[name], other[name]) for name in shared)
    again = tokenizer("fsq").state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_inflated_weights_embed_and_give_back_a_still_clip_as_its_picture():
    model = tokenizer("gaussian")
    for module in model.modules():
        if isinstance(module, Inflatable):
            module.inflate()
    still = torch.rand(1, 3, 1, 8, 8, dtype=torch.double).expand(-1, -1, 5, -1, -1)
    tokens = model.patches.embed(still)
    torch.testing.assert_close(tokens[:, 1], tokens[:, 0])
    pixels = model.patches.pixels(tokens)
    torch.testing.assert_close(pixels[:, :, 1:], pixels[:, :, :1].expand(-1, -1, 4, -1, -1))


def test_a_probe_on_the_meta_device_counts_tokens_and_trains_nothing():
    with torch.device("meta"):
        model = resolve(decode(MODELS, read_value(TEXT.format(quantizer="vq"), "here")))()
    assert model.probe(5, 16) == 3 * 4 * 4
    with pytest.raises(ValueError, match="patch=4"):
        model.probe(1, 18)


@pytest.mark.parametrize("name", list(POSITIONS))
def test_a_position_does_not_depend_on_the_size_of_the_grid(name):
    position = resolve(POSITIONS.default(name))(12)
    x = torch.randn(1, 3, 4, 5, 12)
    torch.testing.assert_close(position(x)[:, :2, :3, :2], position(x[:, :2, :3, :2]))


def test_sinusoids_are_no_coarser_than_the_tokens_that_they_are_added_to():
    position, x = POSITIONS.components["sinusoidal"](96), torch.zeros(1, 5, 32, 32, 96)
    torch.testing.assert_close(position(x.bfloat16()).float(), position(x), rtol=0, atol=0.005)


def test_sinusoids_tell_every_place_apart():
    added = POSITIONS.components["sinusoidal"](12)(torch.zeros(1, 4, 8, 8, 12)).flatten(0, -2)
    assert torch.cdist(added, added).fill_diagonal_(1).min() > 1e-3


@pytest.mark.parametrize("name", [name for name, one in BASELINES.components.items() if one.fits])
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
    causal = {name for name in ATTENTION if resolve(ATTENTION.default(name))(8).causal}
    assert causal == {
        "temporal", "temporal_block_causal", "temporal_cosine", "temporal_cosine_published", "space_time",
    }  # fmt: skip


SHAPE = {"patch": 4, "temporal_patch": 2}


@pytest.mark.parametrize("name", list(PATCHES))
def test_patches_cut_and_join_clips_of_any_size_that_fits(name, clip):
    component = PATCHES.components[name]
    patches = component(12, **{said: SHAPE[said] for said in SHAPE if said in choices(component)}).double().eval()
    tokens, step = patches.embed(clip), patches.temporal_patch
    assert tokens.shape == (2, 1 + 4 // step, 2, 4, 12) and patches.pixels(tokens).shape == clip.shape
    torch.testing.assert_close(patches.embed(clip[:, :, :1]), tokens[:, :1])
    if step > 1:
        with pytest.raises(ValueError, match="frames=4 must be 1 more"):
            patches.embed(clip[:, :, :4])
    patches.inflate()


def test_published_patches_are_blind_to_brightness_as_they_declare():
    published, corrected = (PATCHES.components[name](12, **SHAPE).double() for name in ("linear_published", "linear"))
    patch = torch.rand(1, 3, 1, 4, 4, dtype=torch.double)
    assert "patch LayerNorm" in published.known_defects and not corrected.known_defects
    assert (published.embed(patch) - published.embed(patch + 0.2)).abs().max() < 1e-12
    assert (corrected.embed(patch) - corrected.embed(patch + 0.2)).abs().max() > 1e-3


@pytest.mark.parametrize("name", list(PEGS))
@pytest.mark.parametrize("mixes", ["space", "time"])
def test_a_peg_leaks_the_future_only_where_it_declares_so(name, mixes):
    peg = PEGS.components[name](6, mixes)
    x = torch.randn(1, 4, 3, 5, 6)
    changed = x.clone()
    changed[:, 3] += 1
    leaks = not torch.equal(peg(x)[:, :3], peg(changed)[:, :3])
    assert leaks == ("scrambled PEG" in peg.known_defects and mixes == "time")


def test_a_peg_is_the_convolution_by_brute_force():
    peg = PEGS.components["convolution"](2, "time").double()
    x = torch.randn(1, 3, 3, 3, 2, dtype=torch.double)
    weight, bias = peg.convolution.kernel.weight, peg.convolution.kernel.bias
    expected = bias.clone()
    for dt in range(3):  # the last frame and the two before it
        for dh in range(3):
            for dw in range(3):
                expected = expected + weight[:, 0, dt, dh, dw] * x[0, dt, dh, dw]
    torch.testing.assert_close(peg(x)[0, 2, 1, 1], x[0, 2, 1, 1] + expected)


@pytest.mark.parametrize("name", list(BLOCKS))
def test_a_block_keeps_width_first_token_and_causality(name):
    block = resolve(BLOCKS.default(name))(8)
    x = torch.randn(1, 5, *{"latent_queries": (16, 16), "from_queries": (1, 32)}.get(name, (4, 4)), 8)
    changed = x.clone()
    changed[:, 3:] += 1
    y, z = block(x), block(changed)
    assert y.shape[-1] == 8
    kept = 1 + (2 * (y.shape[1] - 1)) // 4
    assert torch.equal(y[:, :kept], z[:, :kept])


def test_repeating_undoes_pooling_of_what_is_even():
    even = torch.randn(1, 3, 2, 2, 8)
    for pool, repeat in [("pool_space", "repeat_space"), ("pool_time", "repeat_time")]:
        back = BLOCKS.components[repeat](8)(even)
        torch.testing.assert_close(BLOCKS.components[pool](8)(back), even)


def test_pooling_over_time_asks_for_longer_clips():
    text = (
        "{dim: 12, patches: {type: linear, patch: 4, temporal_patch: 2}, encoder: [pool_time], decoder: [repeat_time]}"
    )
    model = resolve(decode(MODELS, read_value(text, "here")))()
    assert model.frame_step == 4
    assert model.reconstruct(torch.zeros(1, 3, 5, 8, 8)).clip.shape == (1, 3, 5, 8, 8)
    with pytest.raises(ValueError, match="2 tokens over time cannot be pooled"):
        model.encode(torch.zeros(1, 3, 3, 8, 8))
