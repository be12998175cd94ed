"""Tokens of a dataset: what is read back is what the tokenizer makes, whoever reads it and however often it was killed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from test_exchange import GOLDEN, checkpoint

import omnitok
from omnitok import runs, tokenization
from omnitok.cli import main
from omnitok.data.embedded import Embedded
from omnitok.model import MODELS, NonFinite
from omnitok.model.files import read_spec, write_tokenizer
from omnitok.published import load_official
from omnitok.randomness import initialise
from omnitok.spec import SpecError, decode, resolve
from omnitok.tokenization import Tokens
from omnitok.tokenization.encoding import encoded, narrowed, tokenizer_digest

DATA = "{type: embedded, short_side: 32}"
MODEL = {"dim": 12, "patches": {"type": "linear", "patch": 4, "temporal_patch": 2}}
BOTTLENECKS = {
    "codes": {"type": "vq", "codebook_size": 16, "code_dim": 4},
    "many": {"type": "bsq", "bits": 18},
    "residual": {"type": "residual", "depth": 3},
    "gaussian": {"type": "gaussian", "latent_channels": 4},
    "latents": {"type": "none", "latent_channels": 4},
}
ASKED = {"data": DATA, "split": "val", "frames": 3, "resolution": 16, "shard_items": 3}


def written(folder: Path, bottleneck: str = "codes", seed: int = 0) -> Path:
    """A tokenizer's file."""
    spec = decode(MODELS, MODEL | {"quantizer": BOTTLENECKS[bottleneck]})
    tokenizer = resolve(spec)()
    initialise(tokenizer, seed)
    path = folder / f"{bottleneck}{seed}.safetensors"
    write_tokenizer(path, tokenizer, spec, {"made": "here"})
    return path


def clips(frames=3):
    data = Embedded(Path(), "val", short_side=32)
    return torch.stack([data.item(i, frames, 16) for i in range(len(data.items(frames)))])


def refusal(*words, **more) -> str:
    with pytest.raises(SpecError) as caught:
        omnitok.tokenize(*words, **ASKED | more)
    return str(caught.value)


@pytest.mark.parametrize(("bottleneck", "dtype"), [("codes", "uint16"), ("many", "uint32"), ("residual", "uint16")])
@torch.no_grad()
def test_codes_read_back_decode_to_the_reconstruction(tmp_path, bottleneck, dtype):
    file = written(tmp_path, bottleneck)
    done = omnitok.tokenize(file, tmp_path / "tokens", **ASKED)
    tokens, tokenizer = Tokens(done.folder), omnitok.load(file)
    assert tokens.tensors["codes"]["dtype"] == dtype
    assert len(tokens) == done.items == len(clips())
    codes = torch.stack([tokens[i]["codes"] for i in range(len(tokens))])
    back = tokenizer.reconstruct(clips())
    assert torch.equal(codes, back.codes)
    torch.testing.assert_close(tokenizer.decode_codes(codes), back.clip)


@pytest.mark.parametrize(("bottleneck", "name"), [("gaussian", "mean"), ("latents", "latents")])
@torch.no_grad()
def test_latents_read_back_decode_to_the_reconstruction_within_their_precision(tmp_path, bottleneck, name):
    file = written(tmp_path, bottleneck)
    tokens, tokenizer = Tokens(omnitok.tokenize(file, tmp_path / "tokens", **ASKED).folder), omnitok.load(file)
    latents = torch.stack([tokens[i][name] for i in range(len(tokens))])
    assert latents.dtype == torch.bfloat16
    assert set(tokens[0]) == {"label", *(("mean", "logvar") if name == "mean" else ("latents",))}
    expected = tokenizer.encode(clips()).latents
    assert torch.equal(latents, expected.bfloat16())
    back = tokenizer.reconstruct(clips()).clip
    assert (tokenizer.decode(latents.float()) - back).abs().max() < 0.02 * back.abs().max()


def test_a_mirrored_item_is_the_item_of_a_mirrored_clip(tmp_path):
    file = written(tmp_path)
    tokens = Tokens(omnitok.tokenize(file, tmp_path / "tokens", **ASKED, flip=True).folder)
    mirrored = omnitok.load(file).reconstruct(clips().flip(-1)).codes
    assert torch.equal(torch.stack([tokens[i]["codes_flipped"] for i in range(len(tokens))]), mirrored)


def test_the_index_says_everything(tmp_path):
    file = written(tmp_path)
    folder = omnitok.tokenize(file, tmp_path / "tokens", **ASKED).folder
    index, data = runs.read_json(folder / "index.json"), Embedded(Path(), "val", short_side=32)
    assert index["tokenizer"]["origin"] == {"made": "here"}
    assert index["tokenizer"]["model"]["quantizer"]["codebook_size"] == 16
    assert index["data"]["fingerprint"] == data.fingerprint
    assert index["data"]["view"] == data.view(3, 16)
    assert index["tensors"]["codes"] == {"dtype": "uint16", "shape": [2, 4, 4, 1]}
    assert index["codebook_sizes"] == [16]
    assert index["complete"] is True
    assert [shard["first"] for shard in index["shards"]] == list(range(0, len(clips()), 3))
    tokens = Tokens(folder)
    assert [tokens.name(i) for i in range(len(tokens))] == list(data.items(3))
    assert tokens[0]["label"].item() == -1
    with pytest.raises(IndexError):
        tokens[len(tokens)]
    assert torch.equal(tokens[-1]["codes"], tokens[len(tokens) - 1]["codes"])


def test_the_documented_reader_needs_no_omnitok(tmp_path):
    omnitok.tokenize(written(tmp_path), tmp_path / "tokens", **ASKED)
    text = tokenization.__doc__.partition("::\n\n")[2].partition("\n\n``codes``")[0]
    reader = "\n".join(line[4:] for line in text.splitlines())
    assert len([line for line in reader.splitlines() if line.strip()]) <= 10
    blocked = "import sys\nsys.modules['omnitok'] = None\n"
    found = subprocess.run(
        [sys.executable, "-c", blocked + reader], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout.splitlines() == ["torch.Size([2, 4, 4, 1]) torch.uint16 -1"] * len(clips())


def test_shards_that_are_whole_are_kept_and_others_are_made_again_with_the_same_bytes(tmp_path):
    file, folder, asked = written(tmp_path), tmp_path / "tokens", ASKED | {"shard_items": 1}
    first = omnitok.tokenize(file, folder, **asked)
    assert first.made > 2
    before = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    (folder / "000000.safetensors").write_bytes(before["000000.safetensors"][:-1] + b"\x07")
    (folder / "000001.safetensors").unlink()
    (folder / ".000001.safetensors.1.partial").write_bytes(b"torn")
    again = omnitok.tokenize(file, folder, **asked)
    assert (again.made, again.kept) == (2, first.made - 2)
    assert {path.name: path.read_bytes() for path in folder.glob("*.safetensors")} == before
    assert not list(folder.glob(".*.partial"))
    assert omnitok.tokenize(file, folder, **asked).made == 0


def test_decoding_in_threads_changes_no_byte(tmp_path, monkeypatch):
    file, folders = written(tmp_path), []
    for workers in ("0", "3"):
        monkeypatch.setenv("OMNITOK_DECODING", workers)
        folders.append(omnitok.tokenize(file, tmp_path / workers, **ASKED).folder)
    one, other = ({path.name: path.read_bytes() for path in folder.glob("*.safetensors")} for folder in folders)
    assert one == other


def test_what_was_stopped_says_how_far_it_is_and_goes_on(tmp_path):
    file, folder = written(tmp_path), tmp_path / "tokens"

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        omnitok.tokenize(file, folder, **ASKED, progress=stop)
    assert not runs.leased(folder)
    with pytest.raises(SpecError, match=f"has 3 of {len(clips())} items; the same omnitok tokenize goes on"):
        Tokens(folder)
    assert omnitok.tokenize(file, folder, **ASKED).kept == 1
    assert len(Tokens(folder)) == len(clips())


def test_a_folder_of_something_else_is_refused(tmp_path):
    file, folder = written(tmp_path), tmp_path / "tokens"
    omnitok.tokenize(file, folder, **ASKED)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "holds tokens of another tokenizer (digest: " in refusal(written(tmp_path, seed=1), folder)
    assert "holds tokens of other data (resolution: 16, not 32)" in refusal(file, folder, resolution=32)
    assert "holds tokens of other data (split: val, not test)" in refusal(file, folder, split="test")
    less = "{type: embedded, short_side: 24}"
    assert "holds tokens of other data (dataset.short_side: 32, not 24)" in refusal(file, folder, data=less)
    assert "holds shards of another length (3, not 4); choose another" in refusal(file, folder, shard_items=4)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "index.json").write_text('{"format": "omnitok tokens 1"}')
    assert "is not an index of tokens" in refusal(file, tmp_path / "cut")
    assert "holds other tensors (codes_flipped.dtype: None, not uint16" in refusal(file, folder, flip=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    assert "holds something else (thesis.tex); choose another folder" in refusal(file, other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    assert "is a file; tokens need a folder" in refusal(file, other / "thesis.tex")
    (folder / "index.json").write_text("[]")
    assert "is not an index of tokens" in refusal(file, folder)
    with pytest.raises(SpecError, match="has no index.json, so it holds no tokens"):
        Tokens(other)


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path):
    file = written(tmp_path)
    out = tmp_path / "tokens"
    assert "frames=2 must be 1 more than a multiple" in refusal(file, out, frames=2)
    assert "patch=4 must divide the frame" in refusal(file, out, resolution=18)
    assert "frames=9999: the val split has nothing" in refusal(file, out, frames=9999)
    assert "resolution=64: the smallest picture" in refusal(file, out, resolution=64)
    assert "no such split; did you mean 'val'" in refusal(file, out, split="vall")
    assert "a tokenizer's file has one set of weights" in refusal(file, out, weights="ema")
    assert "no dataset 'embeded'; did you mean 'embedded'" in refusal(file, out, data="embeded")
    assert "say --data: a tokenizer's file does not know" in refusal(file, out, data=None)
    assert "say --resolution: a tokenizer's file" in refusal(file, out, resolution=None)
    assert "no such file" in refusal(tmp_path / "none.safetensors", out)
    assert not out.exists()


def test_two_do_not_write_at_once(tmp_path):
    file, folder = written(tmp_path), tmp_path / "tokens"
    omnitok.tokenize(file, folder, **ASKED)
    with runs.lease(folder), pytest.raises(runs.Busy, match="another process works in this folder"):
        omnitok.tokenize(file, folder, **ASKED)


def test_a_tokenizer_is_known_by_its_weights_and_what_it_is_built_from(tmp_path):
    spec = decode(MODELS, MODEL)
    weights = resolve(spec)().state_dict()
    digest = tokenizer_digest(spec, weights)
    assert digest == tokenizer_digest(spec, dict(reversed(weights.items())))
    name = next(iter(weights))
    assert digest != tokenizer_digest(spec, weights | {name: weights[name] + 1e-7})
    assert digest != tokenizer_digest(decode(MODELS, MODEL | {"dim": 16}), weights)


def test_codes_are_kept_as_narrow_as_their_codebook():
    codes = torch.tensor([0, 65535])
    assert narrowed(codes, (16, 65536)).dtype == torch.uint16
    assert narrowed(codes, (65537,)).dtype == torch.uint32
    assert narrowed(codes, (1 << 33,)).dtype == torch.int64
    assert narrowed(codes, (65536,)).long().tolist() == codes.tolist()


def test_tokens_are_read_by_workers_of_torch(tmp_path):
    folder = omnitok.tokenize(written(tmp_path), tmp_path / "tokens", **ASKED).folder
    tokens = omnitok.read_tokens(folder)
    tokens[0]  # a shard is open here before there are workers
    batches = torch.utils.data.DataLoader(tokens, batch_size=4, num_workers=1, multiprocessing_context="fork")
    found = torch.cat([batch["codes"] for batch in batches])
    assert torch.equal(found, torch.stack([one["codes"] for one in map(tokens.__getitem__, range(len(tokens)))]))


@torch.no_grad()
def test_a_checkpoint_of_the_authors_makes_tokens_as_any_other(tmp_path):
    checkpoint(tmp_path / "theirs.ckpt")
    file = omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / "ours.safetensors").file
    tokens = Tokens(omnitok.tokenize(file, tmp_path / "tokens", **ASKED | {"frames": 5}).folder)
    found = torch.stack([tokens[i]["codes"] for i in range(len(tokens))])
    assert torch.equal(found, omnitok.load(file).encode(clips(5)).codes)
    assert tokens.index["tokenizer"]["origin"]["checkpoint"] == "theirs.ckpt"


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")
def test_what_is_kept_of_a_published_gaussian_is_what_the_authors_code_gives():
    config = json.loads((GOLDEN / "default_kl.config.json").read_text())
    weights = safetensors.torch.load_file(GOLDEN / "default_kl.weights.safetensors")
    theirs = {name: torch.from_numpy(value) for name, value in np.load(GOLDEN / "default_kl.io.npz").items()}
    found = encoded(load_official(weights, config["args"]).eval(), 2 * theirs["video.input"])
    for name in ("mean", "logvar"):
        torch.testing.assert_close(found[name].float(), theirs[f"video.{name}"].movedim(1, -1), rtol=2**-8, atol=1e-4)


def test_a_run_is_tokenized_as_it_was_trained_and_its_export_makes_the_same(tmp_path, runs_root, monkeypatch):
    from tiny import write

    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    done = omnitok.run_experiment(tmp_path / "tiny.yaml", ["stages.images.steps=1", "stages.joint.steps=1"])
    run = done.folders[-1]
    result = CliRunner().invoke(main, ["tokenize", str(run), "--split", "val", "--frames", "3"])
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "tokens").iterdir()
    assert folder.name.startswith("embedded.val.3x16-")
    assert "1 shard made, 0 there before" in result.output
    index = runs.read_json(folder / "index.json")
    assert index["tokenizer"]["origin"]["run"] == run.resolve().name
    omnitok.export(run, tmp_path / "same.safetensors")
    same = omnitok.tokenize(tmp_path / "same.safetensors", data=DATA, split="val", frames=3, resolution=16)
    assert (same.folder.resolve(), same.made) == (folder.resolve(), 0)
    assert json.loads(json.dumps(index))["complete"]
    assert safetensors.torch.load_file(folder / "000000.safetensors")["codes"].dtype == torch.uint16


@pytest.mark.parametrize("bottleneck", list(BOTTLENECKS))
def test_weights_that_give_no_numbers_give_no_tokens_and_no_measures(tmp_path, runs_root, bottleneck):
    file = written(tmp_path, bottleneck)
    broken, spec = omnitok.load(file), read_spec(file)
    with torch.no_grad():
        broken.to_latents.weight.fill_(3e38)  # finite, as the bytes of a damaged file may be
    write_tokenizer(file, broken, spec, {})
    said = f"{file}: this tokenizer gives non-finite latents; its weights are damaged, or have diverged"
    assert refusal(file, tmp_path / "tokens") == said and not (tmp_path / "tokens").exists()
    for metrics in ("psnr", "codebook_usage"):
        with pytest.raises(SpecError, match="evaluate: this tokenizer gives non-finite latents"):
            omnitok.evaluate_run(file, metrics, data=DATA, resolution=16)


@torch.no_grad()
def test_a_code_of_no_codebook_and_pixels_that_are_no_numbers_are_refused(tmp_path):
    tokenizer = omnitok.load(written(tmp_path))
    tokenizer.codebook_sizes = (2,)
    with pytest.raises(NonFinite, match=r"codes from \d+ to \d+, of a codebook of 2; its weights"):
        encoded(tokenizer, clips())
    tokenizer.codebook_sizes = (16,)
    tokenizer.from_latents.bias.fill_(torch.inf)
    with pytest.raises(NonFinite, match="non-finite pixels"):
        tokenizer.reconstruct(clips())
