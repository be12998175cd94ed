"""The authors' computation, number for number, where its golden data lies beside the repository; refusals everywhere."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file

from omnitok.model import MODELS
from omnitok.published import load_official
from omnitok.published.keys import renamed
from omnitok.published.options import Options
from omnitok.quantizers.vq_published import PublishedVectorQuantizer
from omnitok.randomness import generator
from omnitok.spec import Map, Mark, decode, resolve

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
@pytest.mark.parametrize("name", ["tiny_vq", "default_vq"])
@torch.no_grad()
def test_the_residual_stream_is_theirs_after_every_sub_layer(name):
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
    tokenizer.reconstruct(2 * clip(io["video.input"]))
    compared = 0
    for key, found in seen.items():
        theirs = torch.from_numpy(layers[f"video.{key}"])
        pattern = "b t h w d -> (b h w) t d" if "temporal" in key else "b t h w d -> (b t) (h w) d"
        torch.testing.assert_close(rearrange(found, pattern), theirs, rtol=1e-5, atol=TOLERANCE)
        compared += 1
    assert compared == 2 * sum(depth for _, _, depth in starts.values())


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
        ours = renamed(theirs | {k: v for k, v in weights.items() if "codebook" in k}, Options(options))
        mine = dict(tokenizer.named_parameters())
        checked = [key for key in ours if key in mine and not (kind == "image" and "gains" in key)]
        assert len(checked) >= 8
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
    quantizer = load_official(weights, options).quantizer
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
    drawn = generator(0, "golden")
    sample = quantizer(moments, drawn).latents
    noise = torch.randn(mean.shape, generator=generator(0, "golden"))
    near(sample, mean + (log_variance / 2).exp() * noise)


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
    ],
)
def test_options_that_cannot_be_are_refused(change, message):
    options = {key: value for key, value in (OPTIONS | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_official({}, options)


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
