"""Backbones to compare with: what each of them promises, and what is particular to it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import omnitok
from omnitok import runs
from omnitok.model import MODELS
from omnitok.model.convolution_layers import CausalConvolution, DepthToSpace, FrameAttention, Normed
from omnitok.model.patch import PATCHES
from omnitok.model.tokenizer import START, Part
from omnitok.randomness import initialise
from omnitok.spec import choices, decode, read_value, resolve

PARTS: tuple[Part, ...] = ("encoder", "quantizer", "decoder")
CAUSAL = "{type: causal_cnn, patch: 4, temporal_patch: 4, depth: 1}"
FLAT = "{type: cnn_2d, patch: 4, depth: 1}"
SIZES = {"patch": 4, "temporal_patch": 2}


def tokenizer(patches: str, **said: str):
    told = {"encoder": "[]", "decoder": "[]", "quantizer": "gaussian", "position": "none"} | said
    text = ", ".join(f"{name}: {value}" for name, value in ({"dim": "12", "patches": patches} | told).items())
    made = resolve(decode(MODELS, read_value(f"{{{text}}}", "here")))()
    initialise(made, 0)
    return made.double().eval()


def patches_of(name: str, dim: int = 12, **said):
    component = PATCHES.components[name]
    sizes = {choice: SIZES[choice] for choice in SIZES if choice in choices(component)}
    made = component(dim, **(sizes | said))
    initialise(made, 0)
    return made.double().eval()


@pytest.fixture
def clip():
    return torch.rand(2, 3, 9, 8, 12, dtype=torch.double) * 2 - 1  # not square


# What every way from pixels to tokens and back promises


@pytest.mark.parametrize("name", list(PATCHES))
def test_every_parameter_and_buffer_belongs_to_one_part_and_only_that_part_uses_it(name):
    model = tokenizer(name, quantizer="vq", encoder="[transformer, norm]", decoder="[transformer, norm]").train()
    held = [id(p) for part in PARTS for p in model.parameters_of(part)]
    assert sorted(held) == sorted(map(id, model.parameters()))
    buffers = [id(b) for part in PARTS for module in model.modules_of(part) for b in module.buffers()]
    assert sorted(buffers) == sorted(map(id, model.buffers()))
    clip = torch.rand(1, 3, 1 + model.frame_step, 16, 16, dtype=torch.double)
    latents = model.encode(clip).latents
    model.decode(latents.detach()).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters_of("decoder"))
    assert all(p.grad is None for part in PARTS[:2] for p in model.parameters_of(part))
    latents.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters_of("encoder"))


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("name", list(PATCHES))
def test_a_later_frame_changes_no_earlier_token_and_a_later_token_no_earlier_pixel_by_one_bit(name, dtype, clip):
    patches, clip = patches_of(name).to(dtype), clip.to(dtype)
    changed = clip.clone()
    changed[:, :, 5:] = 7.0
    a, b = patches.embed(clip), patches.embed(changed)
    seen = 1 + 4 // patches.temporal_patch
    assert torch.equal(a[:, :seen], b[:, :seen]) and not torch.equal(a[:, seen], b[:, seen])
    back, other = patches.pixels(a), patches.pixels(b)
    assert torch.equal(back[:, :, :5], other[:, :, :5]) and not torch.equal(back[:, :, 5], other[:, :, 5])


@pytest.mark.parametrize("name", list(PATCHES))
def test_a_picture_is_the_first_frame_of_a_clip_a_prefix_a_prefix_and_chunks_are_the_whole(name, clip):
    patches = patches_of(name)
    step = patches.temporal_patch
    tokens = patches.embed(clip)
    pixels = patches.pixels(tokens)
    for frames in (1, 5):
        few = patches.embed(clip[:, :, :frames])
        torch.testing.assert_close(few, tokens[:, : few.shape[1]], rtol=0, atol=1e-10)
        torch.testing.assert_close(patches.pixels(few), pixels[:, :, :frames], rtol=0, atol=1e-10)
    for cut in ([1] * (tokens.shape[1]), [2, tokens.shape[1] - 2]):
        past, back, parts, shown = (), (), [], []
        for part in clip.split([1 + (cut[0] - 1) * step, *(n * step for n in cut[1:])], dim=2):
            made, past = patches.embed_chunk(part, past)
            parts.append(made)
            made, back = patches.pixels_chunk(made, back)
            shown.append(made)
        torch.testing.assert_close(torch.cat(parts, dim=1), tokens, rtol=0, atol=1e-10)
        torch.testing.assert_close(torch.cat(shown, dim=2), pixels, rtol=0, atol=1e-10)


@pytest.mark.parametrize("how", ["average", "first"])
@pytest.mark.parametrize("name", list(PATCHES))
def test_inflation_leaves_pictures_alone_and_gives_back_a_still_clip_as_its_picture(name, how, clip):
    patches = patches_of(name)
    if patches.known_defects:
        return
    still = clip[:, :, :1]
    before = patches.pixels(patches.embed(still))
    patches.inflate(how)
    torch.testing.assert_close(patches.pixels(patches.embed(still)), before, rtol=0, atol=1e-10)
    tokens = patches.embed(still.expand(-1, -1, 9, -1, -1))
    torch.testing.assert_close(tokens, tokens[:, :1].expand_as(tokens), rtol=0, atol=1e-10)
    torch.testing.assert_close(patches.pixels(tokens), before.expand(-1, -1, 9, -1, -1), rtol=0, atol=1e-10)


# Convolutions


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("frames", [1, 5])
def test_a_causal_convolution_is_the_convolution_of_what_copies_of_the_first_frame_precede(step, frames):
    layer = CausalConvolution(3, 4, 3, stride=2, step=step).double()
    x = torch.randn(2, frames, 6, 8, 3, dtype=torch.double)
    padded = F.pad(torch.movedim(torch.cat([x[:, :1], x[:, :1], x], dim=1), -1, 1), (1, 1, 1, 1))
    expected = F.conv3d(padded, layer.kernel.weight, layer.kernel.bias, stride=(step, 2, 2))
    torch.testing.assert_close(layer.extend(x, None)[0], torch.movedim(expected, 1, -1))


def test_a_convolution_inflated_to_the_first_of_its_frames_sees_only_that():
    x = torch.randn(1, 5, 4, 4, 3, dtype=torch.double)
    for step, seen in ((1, [0, 1, 2, 3, 4]), (2, [0, 1, 3])):
        layer = CausalConvolution(3, 4, 3, step=step).double()
        pictures = torch.cat([layer.extend(x[:, place : place + 1], None)[0] for place in seen], dim=1)
        layer.inflate("first")
        torch.testing.assert_close(layer.extend(x, None)[0], pictures)


def test_statistics_are_those_of_a_frame_and_a_group_of_channels():
    norm = Normed(64).double()
    x = torch.randn(2, 3, 4, 5, 64, dtype=torch.double) * torch.tensor([1.0, 10.0, 100.0])[:, None, None, None]
    groups = x.reshape(2, 3, 20, 16, 4)
    mean, variance = groups.mean((2, 4), keepdim=True), groups.var((2, 4), keepdim=True, unbiased=False)
    expected = ((groups - mean) / (variance + norm.eps).sqrt()).reshape(x.shape)
    torch.testing.assert_close(norm(x), expected * torch.sigmoid(expected))
    widths = {1: 1, 3: 1, 7: 1, 12: 2, 20: 4, 32: 8, 96: 16, 128: 32, 512: 32}  # 4 channels or more, 32 groups at most
    assert {width: Normed(width).num_groups for width in widths} == widths


@pytest.mark.parametrize("name", ["causal_cnn", "cnn_2d"])
def test_a_picture_of_one_token_tells_the_network_its_colour(name):
    patches = patches_of(name, 32, patch=8).train()
    dark, light = (patches.embed(torch.full((1, 3, 1, 8, 8), value, dtype=torch.double)) for value in (-0.5, 0.5))
    assert dark.shape == (1, 1, 1, 1, 32) and (dark - light).abs().max() > 1e-2


def test_statistics_of_a_whole_clip_would_leak(monkeypatch, clip):
    patches, changed = patches_of("causal_cnn"), clip.clone()
    changed[:, :, 5:] = 7.0
    monkeypatch.setattr(
        Normed, "of_frames", lambda self, x: F.group_norm(x.movedim(-1, 1), self.num_groups).movedim(1, -1)
    )
    assert not torch.equal(patches.embed(clip)[:, 0], patches.embed(changed)[:, 0])


def test_a_frames_attention_is_the_equation():
    layer = FrameAttention(4).double()
    x = torch.randn(1, 2, 3, 2, 4, dtype=torch.double)
    weights = layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3)
    for frame in range(2):
        normed = layer.norm.of_frames(x)[0, frame].reshape(6, 4)
        q, k, v = (normed @ weight.T + bias for weight, bias in zip(*weights, strict=True))
        scores = torch.exp(q @ k.T / 2.0)
        made = (scores / scores.sum(1, keepdim=True)) @ v
        expected = x[0, frame].reshape(6, 4) + made @ layer.out.weight.T + layer.out.bias
        torch.testing.assert_close(layer.extend(x, None)[0][0, frame].reshape(6, 4), expected)


def test_channels_become_pixels_and_frames_as_pixel_shuffle_has_it():
    layer = DepthToSpace(3, 2, 1, 2).double()
    x = torch.randn(1, 3, 4, 5, 3, dtype=torch.double)
    made = layer.extend(x, None)[0]
    assert made.shape == (1, 5, 8, 10, 2)
    deep = torch.movedim(layer.convolution.extend(x, None)[0], -1, 2).unflatten(2, (2, 4, 2)).transpose(3, 4)
    shuffled = F.pixel_shuffle(deep.reshape(6, 2, 4, 4, 5).flatten(1, 2), 2)  # [(t s) o h w]
    torch.testing.assert_close(made[0], torch.movedim(shuffled[1:], 1, -1))


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("causal_cnn", {"patch": 6}, "patch=6 must be a power of 2"),
        ("causal_cnn", {"temporal_patch": 3}, "temporal_patch=3 must be a power of 2"),
        ("causal_cnn", {"temporal_patch": 8}, "temporal_patch=8 must be at most patch=4"),
        ("cnn_2d", {"patch": 2}, r"widths=\[0.25, 0.5, 1.0\] are 3, and there are 2 resolutions"),
        ("cnn_2d", {"widths": ()}, r"widths=\[\] are 0"),
        ("cnn_2d", {"widths": (0.01, 1.0)}, r"widths=\[0.01, 1.0\] of dim=12 leave no channel"),
    ],
)
def test_choices_that_do_not_fit_are_refused_with_both_numbers(name, said, message):
    with pytest.raises(ValueError, match=message):
        patches_of(name, **said)


# Whole tokenizers


@pytest.mark.parametrize("patches", [CAUSAL, FLAT])
@pytest.mark.parametrize("blocks", ["[]", "[{attention: {type: temporal, heads: 2}}, norm]"])
def test_a_vqgan_and_a_hybrid_take_a_long_clip_in_chunks_and_their_caches_do_not_grow(patches, blocks):
    model = tokenizer(patches, encoder=blocks, decoder=blocks)
    clip = torch.rand(1, 3, 17, 8, 12, dtype=torch.double) * 2 - 1
    whole = model.encode(clip).latents
    cache, back, latents, shown, sizes = START, START, [], [], []
    for part in clip.split([5, 4, 4, 4], dim=2):
        quantized, cache = model.encode_chunk(part, cache)
        made, back = model.decode_chunk(quantized.latents, back)
        latents.append(quantized.latents)
        shown.append(made)
        sizes.append(cache.nbytes + back.nbytes)
    torch.testing.assert_close(torch.cat(latents, dim=1), whole, rtol=0, atol=1e-10)
    torch.testing.assert_close(torch.cat(shown, dim=2), model.decode(whole), rtol=0, atol=1e-10)
    assert blocks != "[]" or len(set(sizes)) == 1
    assert (sizes[0] > 0) == (patches == CAUSAL or blocks != "[]")


def test_a_chunk_that_does_not_fit_is_refused():
    patches = patches_of("causal_cnn")
    _, past = patches.embed_chunk(torch.rand(1, 3, 3, 8, 8, dtype=torch.double), ())
    with pytest.raises(ValueError, match="frames=3 of a later chunk must be a multiple of 2"):
        patches.embed_chunk(torch.rand(1, 3, 3, 8, 8, dtype=torch.double), past)


def test_a_clip_without_pixels_is_refused():
    for shape in ((0, 3, 1, 8, 8), (1, 3, 0, 8, 8), (1, 3, 1, 0, 8)):
        with pytest.raises(ValueError, match=f"a clip has pixels, and this is \\{list(shape)}"):
            tokenizer(FLAT).encode(torch.empty(shape, dtype=torch.double))


@pytest.mark.parametrize("patches", [CAUSAL, FLAT])
def test_the_pixels_are_in_full_precision_where_the_rest_is_not(patches):
    model = tokenizer(patches).float()
    with torch.autocast("cpu", torch.bfloat16):
        back, quantized = model(torch.rand(1, 3, 5, 8, 8))
        assert model.patches.encoder.layers[0].extend(torch.rand(1, 1, 8, 8, 3), None)[0].dtype == torch.bfloat16
    assert back.dtype == torch.float32 and back.isfinite().all()


@pytest.mark.parametrize("patches", [CAUSAL, FLAT])
def test_a_probe_on_the_meta_device_passes(patches):
    with torch.device("meta"):
        model = resolve(decode(MODELS, read_value(f"{{dim: 12, patches: {patches}, encoder: [], decoder: []}}", "x")))()
    assert model.probe(1 + model.frame_step, 16) == 2 * 4 * 4


# Their experiments

ROOT = Path(__file__).parent.parent / "experiments"
SMALL = [
    "losses=[l1]",
    "adversary=none",
    "model.dim=32",
    "batch=2",
    "resolution=16",
    "steps=2",
    "validate_every=2",
    "data.short_side=16",
]
SMALLER = {
    "backbone_causal_cnn": ["model.patches.widths=[0.25, 1.0]", "model.patches.depth=1"],
    "backbone_cnn_2d": ["model.patches.widths=[0.25, 1.0]", "model.patches.depth=1"],
    "backbone_vit": [],
    "backbone_titok": ["model.encoder[0].grid=[2, 2]", "model.decoder[0].grid=[2, 2]", "model.patches.patch=8"],
}


@pytest.mark.parametrize("name", SMALLER)
def test_a_backbones_experiment_trains_on_pictures_and_then_on_clips_too(name, runs_root):
    later = ["stages.joint.schedule={type: joint, frames: 5}", "stages.joint.batch=2", "stages.joint.adversary=none"]
    first = [f"stages.images.{said}" for said in [*SMALL, *SMALLER[name]]]
    done = omnitok.run_experiment(ROOT / f"{name}.yaml", [*first, *later])
    assert done.trained == 2 and all((folder / runs.RESULT).exists() for folder in done.folders)
