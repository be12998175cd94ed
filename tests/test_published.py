"""The authors' computation, number for number, where its golden data lies beside the repository; refusals everywhere."""

import json
import os
from argparse import Namespace
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file

from omnitok.model import MODELS
from omnitok.model.patch import PATCHES, PublishedLinearPatches
from omnitok.published import load_official
from omnitok.published.keys import renamed
from omnitok.published.options import Options
from omnitok.quantizers import QUANTIZERS
from omnitok.quantizers.vq_published import PublishedVectorQuantizer
from omnitok.randomness import generator
from omnitok.spec import Map, Mark, choices, decode, resolve
from omnitok.training.resize import published_resize

GOLDEN = Path(os.environ.get("OMNITOK_GOLDEN") or Path(__file__).parent.parent.parent / "shared" / "golden")
CASES = ["tiny_vq", "default_vq", "default_kl", "stage1_rel_eager", "defer_pools_vq", "cnn_patch_vq"]
TOLERANCE = 5e-5
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")


def case(name: str):
    config = json.loads((GOLDEN / f"{name}.config.json").read_text())
    weights = load_file(GOLDEN / config.get("weights_file", f"{name}.weights.safetensors"))
    return config["args"], weights, np.load(GOLDEN / f"{name}.io.npz")


def clip(values: np.ndarray) -> torch.Tensor:
    """An image is a clip of one frame."""
    found = torch.from_numpy(values)
    return found[:, :, None] if found.ndim == 4 else found


def near(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE)


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_latents_codes_and_pixels_are_those_of_the_authors_code(name, kind):
    options, weights, io = case(name)
    tokenizer = load_official(weights, options)
    found = tokenizer.encode(2 * clip(io[f"{kind}.input"]))  # ours is [-1, 1], theirs [-0.5, 0.5]
    if options["use_vae"]:
        near(rearrange(found.latents, "b t h w z -> b z t h w"), clip(io[f"{kind}.mean"]))
        near(tokenizer.decode(found.latents) / 2, clip(io[f"{kind}.recon_from_mean"]))
        return
    assert torch.equal(found.codes[..., 0], torch.from_numpy(io[f"{kind}.indices"]))
    near(rearrange(found.latents, "b t h w z -> b z t h w"), clip(io[f"{kind}.quantised"]))
    near(tokenizer.decode(found.latents) / 2, clip(io[f"{kind}.recon"]))
    near(tokenizer.decode_codes(found.codes) / 2, clip(io[f"{kind}.recon_from_indices"]))


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_what_passes_between_the_parts_is_theirs(name, kind):
    options, weights, io = case(name)
    tokenizer = load_official(weights, options)
    pools = options["defer_spatial_pool"] + options["defer_temporal_pool"]
    encoder, decoder, time = len(options["enc_block"]), len(options["dec_block"]), options["temporal_depth"]
    in_space, in_time = "b t h w d -> (b t) (h w) d", "b t h w d -> (b h w) t d"
    grid = "b t h w d -> b d t h w"
    seen: dict[str, torch.Tensor] = {}

    def watch(module, key: str, pattern: str) -> None:
        module.register_forward_hook(lambda _m, _x, y: seen.update({key: rearrange(y, pattern)}))

    watch(tokenizer.encoder[encoder], "enc_spatial_out", in_space)
    watch(tokenizer.encoder[encoder + 1 + time], "enc_temporal_out", in_time)
    watch(tokenizer.encoder[encoder + 1 + time + pools], "enc_out", grid)
    watch(tokenizer.to_latents, "pre_vq_out", grid)
    watch(tokenizer.from_latents, "post_vq_out", grid)
    watch(tokenizer.decoder[pools + time], "dec_temporal_out", in_time)
    watch(tokenizer.decoder[pools + time + 1 + decoder], "dec_spatial_out", in_space)
    x = 2 * clip(io[f"{kind}.input"])
    tokenizer.reconstruct(x)
    tokens = tokenizer.patches.embed(x)
    seen |= {"patch_first": tokens[:, :1], **({"patch_rest": tokens[:, 1:]} if kind == "video" else {})}
    assert {f"{kind}.tap.{key}" for key in seen} == {key for key in io.files if key.startswith(f"{kind}.tap.")}
    for key, found in seen.items():
        near(found, torch.from_numpy(io[f"{kind}.tap.{key}"]))


@golden
@pytest.mark.parametrize("how", ["average", "first"])
@torch.no_grad()
def test_published_inflation_is_theirs(how):
    io = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "inflation.npz").items()}
    patches = PublishedLinearPatches(16, patch=4, temporal_patch=4)
    pairs = {"before": 1, "linear": 2, "after": 3}
    ours = {f"first.{name}": f"encoder.to_patch_emb_first_frame.{i}" for name, i in pairs.items()}
    ours["to_first"] = "decoder.to_pixels_first_frame.0"
    given = {f"{mine}.{n}": io[f"in.{key}.{n}"] for mine, key in ours.items() for n in ("weight", "bias")}
    patches.load_state_dict(patches.state_dict() | given)
    patches.inflate(how)
    state = patches.state_dict()
    for mine, key in ours.items():
        for n in ("weight", "bias"):
            theirs = f"{how}.{key.replace('_first_frame', '')}.{n}"
            assert torch.equal(state[f"{mine.replace('first', 'rest')}.{n}"], io[theirs]), theirs


@golden
@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25])
def test_the_published_resize_is_theirs(scale):
    io = np.load(GOLDEN / "multires_resize.npz")
    near(published_resize(clip(io["in"]), scale), clip(io[f"scale_{scale}"]))


ARGS = {
    "patch_size": 4, "temporal_patch_size": 2, "enc_block": "wt", "dec_block": "wt", "twod_window_size": 4,
    "spatial_pos": "rope", "temporal_depth": 2, "causal_in_temporal_transformer": False, "causal_in_peg": False,
    "embedding_dim": 48, "dim_head": 16, "heads": 3, "ff_mult": 4.0, "n_codes": 24, "codebook_dim": 6, "l2_code": True,
    "gen_upscale": None, "attention_path": "sdpa",
}  # fmt: skip


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@torch.no_grad()
def test_the_fused_first_stage_drops_its_biases_and_is_otherwise_the_same(kind):
    options, weights, io = case("stage1_rel_eager")
    x, fused = clip(io[f"{kind}.input"]), options | {"attention_path": "sdpa"}
    latents, codes = official.encode(weights, fused, x)
    tokenizer, eager = load_official(weights, fused), load_official(weights, options)
    found = tokenizer.encode(2 * x)
    assert torch.equal(found.codes[..., 0], codes)
    assert not torch.equal(eager.encode(2 * x).codes, found.codes)
    near(tokenizer.decode(found.latents) / 2, official.decode(weights, fused, latents))


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("name", ["tiny_vq", "default_vq"])
@torch.no_grad()
def test_the_residual_stream_is_theirs_after_every_sub_layer(name, kind):
    options, weights, io = case(name)
    layers = np.load(GOLDEN / f"{name}.layers.npz")
    tokenizer = load_official(weights, options)
    seen: dict[str, torch.Tensor] = {}
    spatial, temporal = len(options["enc_block"]), options["temporal_depth"]
    starts = {"enc_spatial": ("encoder", 0, spatial), "enc_temporal": ("encoder", spatial + 1, temporal)}
    starts |= {
        "dec_temporal": ("decoder", 0, temporal),
        "dec_spatial": ("decoder", temporal + 1, len(options["dec_block"])),
    }
    for stack, (side, start, depth) in starts.items():
        for i in range(depth):
            layer = getattr(tokenizer, side)[start + i].layers[0]
            key = f"tap.{stack}.{i}"
            layer.feed_forward.register_forward_pre_hook(lambda _, x, key=key: seen.update({f"{key}.after_attn": x[0]}))
            layer.register_forward_hook(lambda _m, _x, y, key=key: seen.update({f"{key}.after_ff": y}))
    tokenizer.reconstruct(2 * clip(io[f"{kind}.input"]))
    assert {f"{kind}.{key}" for key in seen} == {key for key in layers.files if key.startswith(f"{kind}.")}
    for key, found in seen.items():
        theirs = torch.from_numpy(layers[f"{kind}.{key}"])
        pattern = "b t h w d -> (b h w) t d" if "temporal" in key else "b t h w d -> (b t) (h w) d"
        torch.testing.assert_close(rearrange(found, pattern), theirs, rtol=1e-5, atol=TOLERANCE)


@golden
def test_gradients_are_theirs():
    options, weights, io = case("default_vq")
    tokenizer = load_official(weights, options)
    for kind in ("image", "video"):
        x = clip(io[f"{kind}.input"])
        tokenizer.zero_grad()
        tokenizer.quantizer.training = True  # straight through, with no update, as nothing is drawn
        back, quantized = tokenizer(2 * x)
        loss = 4 * (back / 2 - x).abs().mean() + quantized.loss
        loss.backward()
        near(loss.detach(), torch.as_tensor(io[f"{kind}.grad.loss"]).reshape(()))
        theirs = {
            key.removeprefix(f"{kind}.grad."): torch.from_numpy(io[key]) for key in io.files if f"{kind}.grad." in key
        }
        theirs.pop("loss")
        rounding = [key for key in theirs if kind == "image" and "enc_temporal" in key and key.endswith("q_scale")]
        for key in rounding:  # one frame attends to itself alone, whatever its query is
            assert theirs.pop(key).abs().max() < 1e-8
        ours = renamed(theirs | {k: v for k, v in weights.items() if "codebook" in k}, Options(options))
        mine = dict(tokenizer.named_parameters())
        checked = [key for key in ours if key in mine]
        assert len(checked) == len(theirs) and len(rounding) == (kind == "image")
        for key in checked:
            grad = mine[key].grad if mine[key].grad is not None else torch.zeros_like(mine[key])
            assert (grad - ours[key]).abs().max() <= 1e-4 * max(ours[key].abs().max(), 1e-8), key


@golden
@torch.no_grad()
def test_the_corrected_peg_gives_the_fixed_golden_case_and_is_causal():
    options, weights, _ = case("default_vq")
    io = np.load(GOLDEN / "default_vq_fixedpeg.io.npz")
    said = Options(options)
    text = said.said()
    for side in ("encoder", "decoder"):
        for block in text[side]:
            if block.get("attention", {}).get("type", "").startswith("temporal"):
                block["peg"] = {"type": "convolution", "causal": True}
    mark = Mark("fixed")
    tokenizer = resolve(decode(MODELS, Map(text, mark, dict.fromkeys(text, mark))))()
    tokenizer.load_state_dict(renamed(weights, said))
    tokenizer.eval()
    x = 2 * clip(io["video.input"])
    found = tokenizer.encode(x)
    assert torch.equal(found.codes[..., 0], torch.from_numpy(io["video.indices"]))
    near(tokenizer.decode(found.latents) / 2, clip(io["video.recon"]))
    changed = x.clone()
    changed[:, :, 5:] = 0.3
    assert torch.equal(tokenizer.encode(changed).codes[:, :2], found.codes[:, :2])
    leaking = load_official(weights, options)
    assert not torch.equal(leaking.encode(changed).codes[:, :2], leaking.encode(x).codes[:, :2])


@golden
@pytest.mark.parametrize("kind", ["norestart", "restart"])
def test_two_updates_of_the_codebook_are_theirs(kind):
    io = {
        k.removeprefix(f"{kind}."): torch.from_numpy(v)
        for k, v in np.load(GOLDEN / "codebook_ema.npz").items()
        if k.startswith(f"{kind}.")
    }
    size, width = io["before.embeddings"].shape
    names = {"codebook": "embeddings", "hits": "N", "sums": "z_avg", "usage": "codebook_usage"}
    drawn = [io[key] for key in sorted(io) if key.endswith("randperm")]
    made = PublishedVectorQuantizer(
        codebook_size=size, code_dim=width, restart_below=1.5 if kind == "restart" else 0.0, normalise=False
    )
    made.permutation = lambda count, draw: drawn.pop(0)
    made.load_state_dict(
        {mine: io[f"before.{theirs}"] for mine, theirs in names.items()} | {"filled": torch.tensor(True)}
    )
    made.train()
    for step in ("step0", "step1"):
        z = io[f"{step}.z"].clone().requires_grad_()
        out = made(rearrange(z, "b z t h w -> b t h w z"), generator(0, "golden"))
        latents = rearrange(out.latents, "b t h w z -> b z t h w")
        assert torch.equal(out.codes[..., 0], io[f"{step}.encodings"])
        near(latents, io[f"{step}.embeddings"])
        near(out.loss, io[f"{step}.commitment_loss"])
        ((torch.linspace(-1, 1, z.numel()).view_as(z) * latents).sum() + out.loss).backward()
        near(z.grad, io[f"{step}.grad_z"])
        for mine, theirs in names.items():
            near(getattr(made, mine), io[f"{step}.after.{theirs}"])
        shares = torch.bincount(out.codes.flatten(), minlength=size) / out.codes.numel()
        near(shares, io[f"{step}.batch_usage"])
        near((-(shares * (shares + 1e-10).log()).sum()).exp(), io[f"{step}.perplexity"])
        near((made.usage > 1 / size).float().mean(), io[f"{step}.avg_usage"])
    assert not drawn


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@torch.no_grad()
def test_the_gaussian_bottleneck_is_theirs(kind):
    options, weights, io = case("default_kl")
    tokenizer = load_official(weights, options)
    quantizer = tokenizer.quantizer
    moments = rearrange(clip(io[f"{kind}.moments"]), "b z t h w -> b t h w z")

    def channels_first(x: torch.Tensor) -> torch.Tensor:
        return rearrange(x, "b t h w z -> b z t h w")

    mean, log_variance = quantizer.moments(moments)
    near(channels_first(mean), clip(io[f"{kind}.mean"]))
    near(channels_first(log_variance), clip(io[f"{kind}.logvar"]))
    near(channels_first((log_variance / 2).exp()), clip(io[f"{kind}.std"]))
    near(
        channels_first(
            mean + (log_variance / 2).exp() * rearrange(clip(io[f"{kind}.noise"]), "b z t h w -> b t h w z")
        ),
        clip(io[f"{kind}.sample"]),
    )
    theirs = torch.from_numpy(io[f"{kind}.kl_per_sample"])  # theirs sums z, t and h, and leaves w
    elements = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    torch.testing.assert_close(elements.sum((1, 2, 4)), theirs, rtol=1e-6, atol=0)
    out = quantizer(moments)
    torch.testing.assert_close(out.loss, 1e-6 * theirs.sum() / len(theirs), rtol=1e-6, atol=0)
    assert torch.equal(out.latents, mean)
    theirs = rearrange(clip(io[f"{kind}.sample"]), "b z t h w -> b t h w z")
    near(tokenizer.decode(theirs) / 2, clip(io[f"{kind}.recon_from_sample"]))
    sample = quantizer(moments, generator(0, "golden")).latents
    noise = torch.randn(mean.shape, generator=generator(0, "golden"))
    near(sample, mean + (log_variance / 2).exp() * noise)


def test_the_log_variance_is_held_where_theirs_is():
    gaussian = QUANTIZERS.components["gaussian"](latent_channels=1)
    mean, log_variance = gaussian.moments(torch.tensor([[3.0, -99.0], [3.0, 99.0]]).view(2, 1, 1, 1, 2))
    assert mean.flatten().tolist() == [3, 3] and log_variance.flatten().tolist() == [-30, 20]


OPTIONS = {
    "embedding_dim": 16, "patch_size": 4, "temporal_patch_size": 2, "enc_block": "tw", "dec_block": "t",
    "twod_window_size": 2, "spatial_pos": "rope", "temporal_depth": 1, "dim_head": 4, "heads": 2, "n_codes": 8,
    "codebook_dim": 4, "l2_code": True, "casual_in_temporal_transformer": True, "casual_in_peg": True,
}  # fmt: skip


def test_options_are_read_under_both_spellings():
    said = Options(OPTIONS)
    assert said.causal and said.causal_peg
    right = {key.replace("casual", "causal"): value for key, value in OPTIONS.items()}
    assert Options(right).model() == said.model()
    assert not Options(right | {"causal_in_peg": False}).causal_peg


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enc_block": "tx"}, "block letter 'x' is in no released weights"),
        ({"embedding_dim": None}, "option 'embedding_dim' is missing"),
        ({"embedding_dim": None, "embeding_dim": 3}, "is missing; did you mean 'embeding_dim'?"),
        ({"embedding_dim": "16"}, "option embedding_dim='16' must be a whole number"),
        ({"spatial_pos": "ropes"}, "option spatial_pos='ropes' is in no released weights; did you mean 'rope'?"),
        ({"attention_path": "flash"}, "attention_path='flash'"),
        ({"patch_embed": "pixelshuffle"}, "patch_embed='pixelshuffle' is in no released weights"),
        ({"use_external_codebook": True}, "an external codebook is in no released weights"),
        ({"causal_in_peg": False}, "options causal_in_peg=False and casual_in_peg=True contradict"),
        ({"patch_size": 9, "defer_spatial_pool": True}, "option patch_size=9 must be even with defer_spatial_pool"),
        (
            {"temporal_patch_size": 3, "defer_temporal_pool": True},
            "option temporal_patch_size=3 must be even with defer_temporal_pool",
        ),
        ({"ff_mult": float("nan")}, "option ff_mult=nan must be a finite number"),
        ({"ff_mult": 10**400}, "must be a finite number"),
        ({"use_vae": True, "kl_weight": "x"}, "option kl_weight='x' must be a finite number"),
        ({"n_codes": 2**70}, "its model is too large to be built"),
    ],
)
def test_options_that_cannot_be_are_refused(change, message):
    options = {key: value for key, value in (OPTIONS | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_official({}, options)


@pytest.mark.parametrize("name", ["ff_mult", "restart_thres"])
def test_a_number_that_is_said_to_be_none_is_refused_by_its_option(name):
    with pytest.raises(ValueError, match=f"option {name}=None must be a finite number"):
        load_official(official.random_weights(ARGS, 0), ARGS | {name: None})


def test_a_codebook_that_no_machine_holds_is_refused_by_its_shape():
    with pytest.raises(ValueError, match=r"the weights have \(24, 6\), the options ask for \(1099511627776, 6\)"):
        load_official(official.random_weights(ARGS, 0), ARGS | {"n_codes": 2**40})


def test_options_may_be_the_namespace_of_their_files():
    weights = official.random_weights(ARGS, 0)
    one, other = load_official(weights, ARGS), load_official(weights, Namespace(**ARGS))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_what_no_forward_pass_reads_and_what_is_no_tokenizer_may_be_missing_or_there():
    weights = official.random_weights(ARGS, 0)
    whole = load_official(weights, ARGS).state_dict()
    extra = {"perceptual_model.net.0.weight": torch.ones(3), "image_discriminator.model0.0.weight": torch.ones(3)}
    dead = ("context_norm", "codebook_usage", "enc_temporal_transformer.layers.0.1.spatial_rel_pos_bias")
    less = {name: value for name, value in weights.items() if not any(word in name for word in dead)}
    found = load_official(less | extra, ARGS).state_dict()
    assert found.keys() == whole.keys() and all(
        torch.equal(found[name], value) for name, value in whole.items() if not name.endswith("usage")
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("encoder.enc_spatial_transformer.layers.7.1.to_q.weight", "layers.7.1.to_q.weight"),
        (
            "decoder.something.weight",
            "'decoder.something.weight': the weights have \\(3,\\), the options ask for nothing",
        ),
        ("encoder.to_patch_emb.9.weight", "'encoder.to_patch_emb.9.weight'"),
        ("encoder.enc_spatial_transformer.oddly", "oddly"),
    ],
)
def test_weights_that_are_none_of_theirs_are_refused_by_name(key, message):
    with pytest.raises(ValueError, match=message):
        load_official(official.random_weights(ARGS, 0) | {key: torch.ones(3)}, ARGS)


def test_published_inflation_misaligns_channels_as_it_declares_and_the_corrected_does_not():
    still = torch.rand(1, 3, 1, 8, 8, dtype=torch.double).expand(-1, -1, 3, -1, -1)
    for name, patches in PATCHES.components.items():
        sizes = {"patch": 4, "temporal_patch": 2}
        made = patches(12, **{said: sizes[said] for said in sizes if said in choices(patches)}).double().eval()
        for how in ("average", "first"):
            made.inflate(how)
            tokens = made.embed(still)
            apart = (tokens[:, 1] - tokens[:, 0]).abs().max() > 1e-6
            assert apart == ("inflation misaligns channels" in made.known_defects), (name, how)


def test_weights_that_do_not_fit_the_options_are_refused_by_name():
    with pytest.raises(ValueError, match="the weights have nothing, the options ask for"):
        load_official(
            {
                "codebook.embeddings": torch.zeros(8, 4),
                "codebook.N": torch.zeros(8),
                "codebook.z_avg": torch.zeros(8, 4),
            },
            OPTIONS,
        )
