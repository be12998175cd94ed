"""The benchmark runs and says what it measured; how fast anything is is not tested here."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.attention import attending
from benchmarks.attention import here as of_attention
from benchmarks.commands import helping, stored_status
from benchmarks.distances import distances
from benchmarks.gpu import gpu
from benchmarks.launching import in_pool, in_process
from benchmarks.measure import Row
from benchmarks.planning import decoding, here, planning
from benchmarks.published import PAPER, PatchDiscriminator, PublishedStep, PublishedTokenizer
from benchmarks.published.adversary import LPIPS, feature_matching, hinge, vanilla
from benchmarks.quantizers import here as in_place
from benchmarks.quantizers import quantizing, searching
from benchmarks.sharing import sharing
from benchmarks.stepping import mirroring, stepping
from benchmarks.sweeps import enqueueing, large_status, syncing
from benchmarks.sweeps import here as in_this_one
from benchmarks.table import cells, readme
from benchmarks.tokenizer import coding, streaming, training
from benchmarks.tokenizer import here as in_this_process

ROOT = Path(__file__).parent.parent
GOLDEN = Path(os.environ.get("OMNITOK_GOLDEN") or Path(__file__).parent.parent.parent / "shared" / "golden")
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")
TOLERANCE = 5e-5

SMALL = {
    "embedding_dim": 16, "heads": 2, "dim_head": 8, "n_codes": 16, "temporal_depth": 1, "twod_window_size": 2,
    "enc_block": "tw", "dec_block": "t",
}  # fmt: skip
ALONE = {"options": PAPER | SMALL, "measured": in_this_process}
SMALLEST = {
    planning: {"repeats": 1, "values": 1, "seeds": 1, "models": 1, "timed": here},
    decoding: {"repeats": 2, "calls": 2},
    sharing: {"sweeps": (ROOT / "sweeps" / "quickstart.yaml",), "probing": False},
    helping: {"repeats": 1},
    stepping: {"repeats": 1, "steps": 3},
    mirroring: {"repeats": 1, "folders": 1, "records": 2},
    in_process: {"repeats": 1, "seeds": 1, "jobs": 1},
    in_pool: {"repeats": 1, "seeds": 1, "jobs": 1, "most": 1},
    stored_status: {"repeats": 1, "values": 1, "seeds": 1},
    coding: {"repeats": 1, "shapes": ((5, 32),), **ALONE},
    streaming: {"lengths": (9, 17), "side": 32, "context": 2, "chunk": 2, **ALONE},
    training: {"repeats": 1, "shapes": ((1, 32), (5, 32)), "width": 4, **ALONE},
    searching: {"shape": (1, 1, 4, 4), "codes": 16, "measured": in_place},
    quantizing: {"repeats": 1, "shape": (1, 1, 4, 4), "codes": 16, "names": ("vq", "bsq"), "measured": in_place},
    attending: {
        "repeats": 1,
        "shapes": ({"sequences": 2, "tokens": 70, "heads": 2, "width": 4},),
        "targets": (None,),
        "measured": of_attention,
    },
    distances: {"repeats": 1, "items": 40, "width": 8},
    enqueueing: {"repeats": 1, "sizes": ((1, 1),), "measured": in_this_one},
    large_status: {"repeats": 1, "values": 1, "seeds": 1},
    syncing: {"folders": 2, "points": 8},
    gpu: {
        "repeats": 1,
        "where": "cpu",
        "options": PAPER | SMALL,
        "shapes": ((2, 5, 32), (2, 1, 32)),
        "attentions": ({"sequences": 2, "tokens": 70, "heads": 2, "width": 4},),
        "networks": (1, 1),
        "width": 4,
        "trained_at": (
            "float32",
        ),  # on a CPU torch 2.13 leaves gradients of bfloat16 Conv3d weights unwritten now and then
    },
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its logs open
@pytest.mark.parametrize("benchmark", SMALLEST, ids=lambda benchmark: benchmark.__name__)
def test_a_benchmark_gives_finite_numbers_and_says_how(benchmark):
    rows = benchmark(**SMALLEST[benchmark])
    assert rows and all(row.samples and all(map(math.isfinite, row.samples)) for row in rows)
    assert all(row.what and row.how and row.unit for row in rows)


def test_a_row_says_its_median_its_range_and_whether_the_target_is_met():
    row = Row("wait", "with a clock", "s", (3.0, 1.0, 2.5), 2.0)
    assert cells(row) == ("wait", "< 2 s", "2.5 [1, 3] s", "3", "", "no")
    assert cells(row._replace(below=2.6, ratio="1 x b"))[4:] == ("1 x b", "yes")
    assert (
        cells(row._replace(below=None))[-1] == ""
        and cells(row._replace(samples=(1234.5,)))[2] == "1,234 [1,234, 1,234] s"
    )


def test_the_readme_has_every_row_and_how_it_was_measured():
    page = readme([Row("a | b", "with a clock", "ms", (1.0,), 2.0)], "A machine.")
    assert "| a \\| b | < 2 ms | 1 [1, 1] ms | 1 |  | yes |" in page.splitlines()
    assert "- **a | b**: with a clock." in page and "A machine." in page


def near(found: torch.Tensor, theirs: np.ndarray) -> None:
    torch.testing.assert_close(found, torch.from_numpy(theirs).reshape(found.shape), rtol=0, atol=TOLERANCE)


def reference(name: str) -> tuple[PublishedTokenizer, dict[str, np.ndarray]]:
    """Under the authors' own keys, with none missing and none left over."""
    made = PublishedTokenizer(json.loads((GOLDEN / f"{name}.config.json").read_text())["args"])
    made.load_state_dict(load_file(GOLDEN / f"{name}.weights.safetensors"))
    return made.eval(), dict(np.load(GOLDEN / f"{name}.io.npz"))


def frames(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values if values.ndim == 5 else values[:, :, None])


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("name", ["tiny_vq", "default_vq"])
@torch.no_grad()
def test_the_reference_computes_what_the_authors_code_computes(name, kind):
    tokenizer, io = reference(name)
    back, found = tokenizer(frames(io[f"{kind}.input"]))
    assert torch.equal(found["encodings"], torch.from_numpy(io[f"{kind}.indices"]))
    near(found["embeddings"], io[f"{kind}.quantised"])
    near(found["commitment_loss"], io[f"{kind}.commitment_loss"])
    torch.testing.assert_close(found["perplexity"], torch.from_numpy(io[f"{kind}.perplexity"]), rtol=1e-5, atol=0)
    near(back, io[f"{kind}.recon"])
    near(tokenizer.decode(found["encodings"]), io[f"{kind}.recon_from_indices"])


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
@torch.no_grad()
def test_the_reference_has_the_authors_gaussian_latents(kind):
    tokenizer, io = reference("default_kl")
    mean, logvar = tokenizer.moments(frames(io[f"{kind}.input"]))
    near(mean, io[f"{kind}.mean"])
    near(logvar, io[f"{kind}.logvar"])
    near(tokenizer.decode_latents(mean), io[f"{kind}.recon_from_mean"])


@golden
@pytest.mark.parametrize("kind", ["image", "video"])
def test_the_reference_has_the_authors_gradients(kind):
    tokenizer, io = reference("default_vq")
    x = frames(io[f"{kind}.input"])
    back, found = tokenizer(x)
    (4 * (back - x).abs().mean() + found["commitment_loss"]).backward()
    mine = dict(tokenizer.named_parameters())
    names = [key.removeprefix(f"{kind}.grad.") for key in io if key.startswith(f"{kind}.grad.") and "loss" not in key]
    checked = [name for name in names if not (kind == "image" and "temporal" in name and "_scale" in name)]
    assert len(checked) >= 8
    for name in checked:
        theirs = torch.from_numpy(io[f"{kind}.grad.{name}"])
        assert (mine[name].grad - theirs).abs().max() <= 1e-4 * theirs.abs().max(), name


@golden
@torch.no_grad()
def test_the_codebook_of_the_reference_follows_as_the_authors_does():
    io = np.load(GOLDEN / "codebook_ema.npz")
    codebook = PublishedTokenizer(PAPER | SMALL).codebook
    codebook.load_state_dict({name: torch.from_numpy(io[f"norestart.before.{name}"]) for name in codebook.state_dict()})
    for step in range(2):
        found = codebook.train()(torch.from_numpy(io[f"norestart.step{step}.z"]))
        assert np.array_equal(found["encodings"].numpy(), io[f"norestart.step{step}.encodings"])
        for name, value in codebook.state_dict().items():
            near(value, io[f"norestart.step{step}.after.{name}"])


@golden
@pytest.mark.parametrize(("kind", "dims"), [("image", 2), ("video", 3)])
@torch.no_grad()
def test_the_discriminators_of_the_reference_are_the_authors(kind, dims):
    weights, io = load_file(GOLDEN / "discriminators.weights.safetensors"), np.load(GOLDEN / "discriminators.io.npz")
    judge = PatchDiscriminator(dims, 8)
    prefix = f"{kind}_discriminator."
    judge.load_state_dict({key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)})
    (real, real_features), (fake, fake_features) = (
        judge.eval()(torch.from_numpy(io[f"{kind}.{which}"])) for which in ("real", "fake")
    )
    for which, features in (("real", real_features), ("fake", fake_features)):
        for i, feature in enumerate(features):
            near(feature, io[f"{kind}.feat_{which}.{i}"])
    near(hinge(real, fake), io[f"{kind}.d_hinge"])
    near(vanilla(real, fake), io[f"{kind}.d_vanilla"])
    near(-fake.mean(), io[f"{kind}.g_loss"])
    near(feature_matching(real_features, fake_features), io[f"{kind}.feat_match"])


def test_the_reference_at_paper_size_has_as_many_parameters_as_the_authors():
    with torch.device("meta"):
        tokenizer, judges = PublishedTokenizer(PAPER), [PatchDiscriminator(dims, 64) for dims in (2, 3)]
    counts = [sum(p.numel() for p in part.parameters()) for part in (tokenizer.encoder, tokenizer.decoder, *judges)]
    assert counts == [26_839_216, 26_860_512, 2_766_529, 11_057_859]


def test_the_published_step_moves_the_codebook_twice_and_the_discriminator_last():
    torch.manual_seed(0)
    tokenizer = PublishedTokenizer(PAPER | SMALL)
    judge = PatchDiscriminator(3, 4, noise=True)
    moved = []
    tokenizer.codebook.register_forward_hook(lambda *_: moved.append(tokenizer.codebook.N.sum().item()))
    before = [p.clone() for p in (judge.model0[0].weight, tokenizer.encoder.to_patch_emb[2].weight)]
    losses = PublishedStep(tokenizer, judge, LPIPS(), lr=1e-3)(torch.rand(1, 3, 5, 32, 32) - 0.5)
    assert all(map(torch.isfinite, losses)) and len(moved) == 2 and moved[0] != moved[1]
    after = [judge.model0[0].weight, tokenizer.encoder.to_patch_emb[2].weight]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
