"""Tokenizers as files: out of a run and back, the authors' checkpoints in, and what is refused."""

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import official
import pytest
import safetensors
import safetensors.torch
import tiny
import torch
from click.testing import CliRunner
from PIL import Image

import omnitok
from omnitok import provenance, runs
from omnitok.cli import main
from omnitok.model.files import read_origin
from omnitok.published import load_official
from omnitok.spec import SpecError

GOLDEN = Path(os.environ.get("OMNITOK_GOLDEN") or Path(__file__).parent.parent.parent / "shared" / "golden")
OPTIONS = {
    "embedding_dim": 16, "patch_size": 4, "temporal_patch_size": 2, "enc_block": "tw", "dec_block": "t",
    "twod_window_size": 2, "spatial_pos": "rel", "temporal_depth": 1, "dim_head": 4, "heads": 2, "n_codes": 8,
    "codebook_dim": 4, "l2_code": True, "ff_mult": 4.0, "gen_upscale": None, "use_vae": False, "no_random_restart": True,
    "casual_in_temporal_transformer": True, "casual_in_peg": True, "patch_embed": "linear",
}  # fmt: skip
CLIP = torch.rand(1, 3, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result.output


def refused(*words: object) -> str:
    """What a command says that ends with exit code 2: one line."""
    output = call(*words, code=2).strip()
    assert len(output.splitlines()) == 1, output
    return output


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The runs of a little sweep: one arm of two stages, and a baseline."""
    folder = tmp_path_factory.mktemp("exchange")
    text = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]").split("claims:")[0]
    path = tiny.write(folder, sweep=text.replace("    fsq: {type: fsq, levels: [4, 4]}\n", ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNITOK_RUNS", str(folder / "runs"))
        omnitok.launch_sweep(path, cluster="debug")
    return folder / "runs"


@pytest.fixture
def run(root, monkeypatch) -> str:
    monkeypatch.setenv("OMNITOK_RUNS", str(root))
    return next(s.trial["stages"][-1] for s in omnitok.sweep_states("ask") if "vq" in str(s.trial))


def baseline(run: str) -> str:
    return next(s.trial["stages"][-1] for s in omnitok.sweep_states("ask") if s.trial["stages"][-1] != run)


@pytest.fixture
def exported(run, tmp_path) -> Path:
    return omnitok.export(run, tmp_path / "tokenizer.safetensors").file


def test_a_run_and_its_file_are_the_same_tokenizer_to_the_bit(run, exported):
    one, other = omnitok.load(run), omnitok.load(exported)
    assert type(one) is type(other) and not other.training
    assert other.quantizer.restart_below == one.quantizer.restart_below
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    with torch.no_grad():
        assert torch.equal(other.reconstruct(CLIP).clip, one.reconstruct(CLIP).clip)


def test_a_file_says_what_it_is_and_where_it_is_from_and_is_the_same_again(run, exported, tmp_path):
    with safetensors.safe_open(exported, "pt") as file:
        head = json.loads(file.metadata()["omnitok"])
    said = runs.read_json(runs.root() / run / runs.EXPERIMENT)
    assert head["model"] == said["spec"]["model"] and head["versions"] and head["package"]
    assert read_origin(exported) == {"run": run, "stage": "joint", "seed": 0, "weights": "raw"}
    again = omnitok.export(runs.root() / run, str(tmp_path / "again.safetensors"))
    assert again.file.read_bytes() == exported.read_bytes()
    assert again.sha256 == provenance.sha256(exported)


def test_the_command_writes_the_same_file_and_says_how_an_experiment_takes_it(run, exported, tmp_path):
    output = call("export", run[:8], tmp_path / "same.safetensors")
    assert (tmp_path / "same.safetensors").read_bytes() == exported.read_bytes()
    assert f"init: {{file: {tmp_path}/same.safetensors, sha256: {provenance.sha256(exported)}}}" in output


def test_pictures_go_through_a_file_as_through_its_run(run, exported, tmp_path):
    Image.linear_gradient("L").resize((20, 16)).convert("RGB").save(tmp_path / "a.png")
    call("reconstruct", exported, tmp_path / "a.png", "--out", tmp_path / "one")
    call("reconstruct", run, tmp_path / "a.png", "--out", tmp_path / "other")
    assert (tmp_path / "one" / "a.png").read_bytes() == (tmp_path / "other" / "a.png").read_bytes()


def test_a_run_without_a_tokenizer_or_an_average_is_refused(run, tmp_path):
    out = tmp_path / "x.safetensors"
    assert "a baseline, which has no tokenizer" in refused("export", baseline(run), out)
    assert "kept no moving average" in refused("export", run, out, "--weights", "ema")
    assert "did you mean 'ema'?" in refused("export", run, out, "--weights", "emma")
    assert "must end with .safetensors" in refused("export", run, tmp_path / "x.pt")
    assert not list(tmp_path.glob("x*"))


def rewritten(source: Path, target: Path, **change: object) -> Path:
    """The file with another head: a value of None leaves an entry out."""
    weights = safetensors.torch.load(source.read_bytes())
    with safetensors.safe_open(source, "pt") as file:
        head = json.loads(file.metadata()["omnitok"])
    head = {name: value for name, value in {**head, **change}.items() if value is not None}
    safetensors.torch.save_file(weights, target, {"omnitok": json.dumps(head)})
    return target


def test_foreign_and_altered_files_are_refused_in_one_line(exported, tmp_path):
    other, picture = tmp_path / "other.safetensors", tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(picture)
    with safetensors.safe_open(exported, "pt") as file:
        head = json.loads(file.metadata()["omnitok"])
    model, weights = head["model"], safetensors.torch.load(exported.read_bytes())
    safetensors.torch.save_file(weights, other)
    found = {"a safetensors file, but not a tokenizer's": other.read_bytes()}
    for sentence, change in {
        "has no model": {"model": None},
        "has no versions": {"versions": [1]},
        "no such choice": {"model": {**model, "dym": 12}},
        "vector": {"model": {**model, "quantizer": {"type": "vector"}}},
        "its model asks for": {"model": {**model, "dim": 24}},
        "made by version 99 of": {"versions": {**head["versions"], next(iter(head["versions"])): 99}},
        "its head has no version of": {"versions": {}},
        "its head has a version of space.odd": {"versions": {**head["versions"], "space.odd": 1}},
    }.items():
        found[sentence] = rewritten(exported, other, **change).read_bytes()
    safetensors.torch.save_file(weights, other, {"omnitok": "{"})
    found["has no model "] = other.read_bytes()
    safetensors.torch.save_file({"x": torch.zeros(1)}, other, {"omnitok": json.dumps(head)})
    found["'x' has (1,)" if min(weights) > "x" else "has nothing, and its model asks for"] = other.read_bytes()
    found["not a safetensors file"] = pickle.dumps({"omnitok": 1})
    found["not a safetensors file "] = exported.read_bytes()[:-9]
    for sentence, content in found.items():
        other.write_bytes(content)
        assert sentence.strip() in refused("reconstruct", other, picture, "--out", tmp_path / "out")
        with pytest.raises(SpecError, match=str(other)):
            omnitok.load(other)
    with pytest.raises(SpecError, match="no such file"):
        omnitok.load(tmp_path / "absent.safetensors")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [10**9, 2**62, 2**70])
def test_sizes_that_no_machine_holds_are_refused_before_anything_is_allocated(exported, tmp_path, size):
    with safetensors.safe_open(exported, "pt") as file:
        model = json.loads(file.metadata()["omnitok"])["model"]
    path = rewritten(exported, tmp_path / "other.safetensors", model={**model, "dim": size})
    with pytest.raises(SpecError, match="its model is too large to be built|its model asks for") as caught:
        omnitok.load(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("window", [2**20, 2**40])
def test_a_window_that_no_machine_holds_is_refused_in_one_line(tmp_path, window):
    checkpoint(tmp_path / "theirs.ckpt")
    file = omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / "ours.safetensors").file
    with safetensors.safe_open(file, "pt") as opened:
        said = json.dumps(json.loads(opened.metadata()["omnitok"])["model"])
    assert '"window": 2' in said
    model = json.loads(said.replace('"window": 2', f'"window": {window}'))
    with pytest.raises(SpecError, match="its model is too large to be built|its model asks for") as caught:
        omnitok.load(rewritten(file, tmp_path / "other.safetensors", model=model))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_in_a_folder_that_is_not_there_is_refused_naming_the_folder(run, tmp_path):
    checkpoint(tmp_path / "theirs.ckpt")
    out = tmp_path / "missing" / "x.safetensors"
    for words in (("import-official", tmp_path / "theirs.ckpt", "--out", out), ("export", run, out)):
        said = refused(*words)
        assert f"no such folder: {tmp_path / 'missing'}" in said and "partial" not in said
    with pytest.raises(SpecError, match="no such folder"):
        omnitok.import_official(tmp_path / "theirs.ckpt", out)
    with pytest.raises(SpecError, match="no such folder"):
        omnitok.export(run, out)


def test_an_experiment_goes_on_from_a_file(run, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "runs"))
    text = tiny.EXPERIMENT.split("  joint:")[0]
    said = f"    init: {{file: {exported}, sha256: {provenance.sha256(exported)}}}\n"
    (tmp_path / "on.yaml").write_text(text + said)
    done = omnitok.run_experiment(tmp_path / "on.yaml", ["stages.images.steps=1"])
    assert done.trained == 1


def checkpoint(path: Path, **change: object) -> dict[str, torch.Tensor]:
    """A file as the authors' Lightning writes it: other networks' weights beside, their spelling of two options.
    -> its weights."""
    options = {**OPTIONS, **change}
    causal = {f"causal{key.removeprefix('casual')}": options[key] for key in options if key.startswith("casual")}
    weights = official.random_weights({**options, **causal}, 3)
    beside = {
        "image_discriminator.model0.0.weight": torch.zeros(2),
        "video_discriminator.model0.0.bias": torch.zeros(2),
    }
    held = {
        "epoch": 1, "global_step": 7, "pytorch-lightning_version": "1.5.4", "state_dict": weights | beside,
        "hyper_parameters": {"args": argparse.Namespace(**options, disc_layers=3)},
        "optimizer_states": [{"state": {0: {"step": 7}}}],
    }  # fmt: skip
    torch.save(held, path)
    return weights


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_checkpoint_of_the_authors_becomes_a_file_that_computes_the_same(tmp_path, attention):
    weights, out = checkpoint(tmp_path / "theirs.ckpt"), tmp_path / "ours.safetensors"
    output = call("import-official", tmp_path / "theirs.ckpt", "--out", out, "--attention", attention)
    assert str(out) in output and "image_discriminator, perceptual_model, video_discriminator" in output
    causal = {"causal_in_peg": True, "causal_in_temporal_transformer": True, "attention_path": attention}
    with torch.no_grad():
        latents, codes = official.encode(weights, OPTIONS | causal, CLIP / 2)
        back = official.decode(weights, OPTIONS | causal, latents)
        tokenizer = omnitok.load(out)
        found = tokenizer.encode(CLIP)
        assert torch.equal(found.codes[..., 0], codes)
        torch.testing.assert_close(tokenizer.decode_codes(found.codes) / 2, back, rtol=0, atol=5e-5)
    origin = read_origin(out)
    assert origin["checkpoint"] == "theirs.ckpt" and origin["attention"] == attention
    assert origin["sha256"] == provenance.sha256(tmp_path / "theirs.ckpt")
    assert bool(tokenizer.quantizer.filled)
    done = omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / "again.safetensors", attention=attention)
    assert done.file.read_bytes() == out.read_bytes()


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data is not here; OMNITOK_GOLDEN says where it is")
@pytest.mark.parametrize("name", ["default_vq", "default_kl", "stage1_rel_eager", "defer_pools_vq", "cnn_patch_vq"])
def test_a_golden_case_as_a_checkpoint_gives_its_golden_codes_from_our_file(tmp_path, name):
    config = json.loads((GOLDEN / f"{name}.config.json").read_text())
    weights = safetensors.torch.load_file(GOLDEN / config.get("weights_file", f"{name}.weights.safetensors"))
    args = {key.replace("causal", "casual"): value for key, value in config["args"].items()}
    attention = args.pop("attention_path")  # which their files do not say
    held = {"state_dict": weights, "hyper_parameters": {"args": argparse.Namespace(**args)}}
    torch.save(held, tmp_path / "theirs.ckpt")
    out = omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / "ours.safetensors", attention=attention).file
    io = np.load(GOLDEN / f"{name}.io.npz")
    with torch.no_grad():
        found = omnitok.load(out).encode(2 * torch.from_numpy(io["video.input"]))
    if args["use_vae"]:
        mean = torch.from_numpy(io["video.mean"]).movedim(1, -1)
        torch.testing.assert_close(found.latents, mean, rtol=0, atol=5e-5)
    else:
        assert torch.equal(found.codes[..., 0], torch.from_numpy(io["video.indices"]))


def test_a_namespace_and_a_mapping_of_options_say_the_same(tmp_path):
    weights = checkpoint(tmp_path / "theirs.ckpt")
    one, other = load_official(weights, OPTIONS), load_official(weights, argparse.Namespace(**OPTIONS))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    with torch.no_grad():
        assert torch.equal(one.encode(CLIP).codes, other.encode(CLIP).codes)


def test_what_a_published_tokenizer_does_not_take_is_refused_in_one_line(tmp_path):
    checkpoint(tmp_path / "theirs.ckpt")
    file = omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / "square.safetensors").file
    Image.new("RGB", (24, 16)).save(tmp_path / "a.png")
    sentence = "the latent grid must be square, and it is 4 x 6"
    assert sentence in refused("reconstruct", file, tmp_path / "a.png", "--out", tmp_path / "out")


def test_the_attention_path_matters_and_only_two_are_known(tmp_path):
    checkpoint(tmp_path / "theirs.ckpt")
    words = ("import-official", tmp_path / "theirs.ckpt", "--out", tmp_path / "x.safetensors", "--attention")
    assert "did you mean 'eager'?" in refused(*words, "eagre")
    files = [
        omnitok.import_official(tmp_path / "theirs.ckpt", tmp_path / f"{path}.safetensors", attention=path).file
        for path in ("sdpa", "eager")
    ]
    with torch.no_grad():
        assert not torch.equal(*(omnitok.load(file).encode(CLIP).codes for file in files))


class Malicious:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_a_checkpoint_is_never_called_whatever_is_in_it(tmp_path):
    path, place = tmp_path / "theirs.ckpt", tmp_path / "broken_in"
    for old in (False, True):
        torch.save({"state_dict": {}, "x": Malicious(place)}, path, _use_new_zipfile_serialization=not old)
        said = refused("import-official", path, "--out", tmp_path / "x.safetensors")
        assert "mkdir, which is no data" in said
    path.write_bytes(pickle.dumps(Malicious(place)))
    refused("import-official", path, "--out", tmp_path / "x.safetensors")
    assert not place.exists() and not list(tmp_path.glob("*.safetensors"))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_what_is_no_checkpoint_of_theirs_is_refused_in_one_line(tmp_path):
    path, out = tmp_path / "theirs.ckpt", tmp_path / "x.safetensors"
    checkpoint(path)
    whole = path.read_bytes()
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as file:
        file.writestr("a.txt", "a")
    for content in (
        b"",
        b"hello\nworld",
        b"\x80\x02",
        whole[: len(whole) // 2],
        os.urandom(64),
        (tmp_path / "zip.ckpt").read_bytes(),
    ):
        path.write_bytes(content)
        assert "no PyTorch checkpoint" in refused("import-official", path, "--out", out)
    for old in (False, True):
        torch.save({"state_dict": {"x": torch.zeros(1)}}, path, _use_new_zipfile_serialization=not old)
        whole = path.read_bytes()
        for i in range(0, len(whole), len(whole) // 30):
            for content in (whole[:i], whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :]):
                path.write_bytes(content)
                with pytest.raises(SpecError):
                    omnitok.import_official(path, out)
    args = argparse.Namespace(**OPTIONS)
    for held, sentence in [
        ([1], "has no state_dict of tensors"),
        ({"state_dict": {"x": 1}}, "has no state_dict of tensors"),
        ({"state_dict": {"x": torch.zeros(1)}}, "has no hyper_parameters.args"),
        ({"state_dict": {"x": torch.zeros(1)}, "hyper_parameters": {"args": 3}}, "has no hyper_parameters.args"),
        ({"state_dict": {"x": torch.zeros(1)}, "hyper_parameters": {"args": args}}, "the weights have nothing"),
        ({"state_dict": {"x": torch.zeros(1)}, "hyper_parameters": {"args": {"a": 1}}}, "'spatial_pos' is missing"),
    ]:
        torch.save(held, path)
        assert sentence in refused("import-official", path, "--out", out)
    assert "no such file" in refused("import-official", tmp_path / "absent.ckpt", "--out", out)
    for change in ({"heads": 0}, {"heads": "many"}, {"enc_block": 7}, {"ff_mult": -1.0}, {"ff_mult": "x"}, {"codebook_dim": True},
                   {"restart_thres": "x", "no_random_restart": False}, {"patch_size": 8}, {"norm_type": "group", "patch_embed": "cnn"}):  # fmt: skip
        weights = checkpoint(path)
        torch.save(
            {"state_dict": weights, "hyper_parameters": {"args": argparse.Namespace(**{**OPTIONS, **change})}}, path
        )
        refused("import-official", path, "--out", out)
    checkpoint(path)
    assert "must end with .safetensors" in refused("import-official", path, "--out", tmp_path / "x.pt")
    assert not out.exists()
