"""Published cases that no golden file here covers, against a second reading of the authors' description."""

import json
import os
from pathlib import Path

import numpy as np
import official
import pytest
import torch
from safetensors.torch import load_file

from omnitok.published import load_official

GOLDEN = Path(os.environ.get("OMNITOK_GOLDEN") or Path(__file__).parent.parent.parent / "shared" / "golden")
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")
TOLERANCE = 5e-5

BASE = {
    "patch_embed": "linear", "patch_size": 8, "temporal_patch_size": 4, "enc_block": "ttww", "dec_block": "tttt",
    "twod_window_size": 8, "spatial_pos": "rope", "spatial_depth": 4, "temporal_depth": 4,
    "causal_in_temporal_transformer": True, "causal_in_peg": True, "embedding_dim": 64, "dim_head": 16, "heads": 4,
    "ff_mult": 4.0, "n_codes": 64, "codebook_dim": 8, "l2_code": True, "use_vae": False, "no_random_restart": True,
    "restart_thres": 1.0, "defer_temporal_pool": False, "defer_spatial_pool": False, "gen_upscale": None,
    "norm_type": "batch", "attention_path": "sdpa",
}  # fmt: skip
BIDIRECTIONAL = {"causal_in_temporal_transformer": False, "causal_in_peg": False}
WITHHELD = {
    "default at 128 px": ({}, 128, 5),
    "not causal, windows in the decoder, three heads": (
        BIDIRECTIONAL | {"enc_block": "wt", "dec_block": "wt", "heads": 3, "embedding_dim": 48, "temporal_patch_size": 2},
        64, 5,
    ),
    "not causal, relative places, written out": (
        BIDIRECTIONAL | {"spatial_pos": "rel", "attention_path": "eager", "heads": 3, "embedding_dim": 48}, 64, 5,
    ),
    "causal, relative places, written out, three heads": (
        {"spatial_pos": "rel", "attention_path": "eager", "heads": 3, "embedding_dim": 48}, 64, 9,
    ),
    "causal attention, symmetric PEG": ({"causal_in_peg": False}, 64, 9),
    "twice as large": ({"gen_upscale": 2}, 64, 5),
    "four times as large, codes of any length": ({"gen_upscale": 4, "l2_code": False}, 64, 5),
    "first stage, fused": ({"temporal_patch_size": 2, "spatial_pos": "rel"}, 64, 5),
}  # fmt: skip


def near(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("frames", ["image", "video"])
@pytest.mark.parametrize("name", list(WITHHELD))
@torch.no_grad()
def test_what_is_computed_is_what_the_description_says(name, frames):
    change, side, count = WITHHELD[name]
    options = BASE | change
    weights = official.random_weights(options, seed=len(name))
    clip = (
        torch.rand(1, 3, 1 if frames == "image" else count, side, side, generator=torch.Generator().manual_seed(1))
        - 0.5
    )
    latents, codes = official.encode(weights, options, clip)
    tokenizer = load_official(weights, options)
    found = tokenizer.encode(2 * clip)
    assert torch.equal(found.codes[..., 0], codes) and len(codes.unique()) > 5
    near(found.latents, latents)
    back = official.decode(weights, options, latents)
    assert back.shape[3] == side * (options["gen_upscale"] or 1)
    near(tokenizer.decode(found.latents) / 2, back)
    near(tokenizer.decode_codes(found.codes) / 2, back)


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("name", ["tiny_vq", "default_vq", "stage1_rel_eager"])
@torch.no_grad()
def test_the_second_reading_is_right_where_golden_data_says_what_is(name, kind):
    config = json.loads((GOLDEN / f"{name}.config.json").read_text())
    weights = load_file(GOLDEN / config.get("weights_file", f"{name}.weights.safetensors"))
    io = np.load(GOLDEN / f"{name}.io.npz")
    clip = torch.from_numpy(io[f"{kind}.input"])
    latents, codes = official.encode(weights, config["args"], clip[:, :, None] if kind == "image" else clip)
    assert torch.equal(codes, torch.from_numpy(io[f"{kind}.indices"]))
    back = official.decode(weights, config["args"], latents)
    near(back[:, :, 0] if kind == "image" else back, torch.from_numpy(io[f"{kind}.recon"]))


@golden
def test_random_weights_have_the_names_and_shapes_of_the_authors():
    for name in ("tiny_vq", "default_vq", "stage1_rel_eager"):
        config = json.loads((GOLDEN / f"{name}.config.json").read_text())
        theirs = load_file(GOLDEN / config.get("weights_file", f"{name}.weights.safetensors"))
        mine = official.random_weights(config["args"], 0)
        for key, value in mine.items():
            assert key.startswith("perceptual") or theirs[key].shape == value.shape, key
        assert {key for key in theirs if key not in mine} <= {k for k in theirs if "context_norm" in k or "null" in k}
