"""What ``omnitok evaluate`` refuses of what is said to it."""

from pathlib import Path

import pytest
import torch
from test_evaluate_foreign import baselines, call

from omnitok.launching.launch import launch
from omnitok.model import MODELS
from omnitok.model.files import write_tokenizer
from omnitok.provenance import sha256
from omnitok.spec import decode, resolve

REFUSED = [
    ([], "it is not said what is measured"),
    (["x", "--originals", "a"], "RUN and --originals and --reconstructions cannot be said together"),
    (["--originals", "a"], "--reconstructions is missing"),
    (["--originals", "a", "--reconstructions", "b", "--frames", "3"], "taken as they are; leave out --frames"),
    (["--originals", "a", "--reconstructions", "b"], "a: no such folder"),
    (["--export-items", "x", "--metrics", "psnr"], "measures nothing; leave out --metrics"),
    (["--export-items", "x", "--frames", "1"], "data: must be said with --data"),
    (["--export-items", "x", "--data", "embeded", "--resolution", "16"], "did you mean 'embedded'?"),
    (["--export-items", "x", "--data", "embedded", "--resolution", "999"], "resolution=999: the smallest picture"),
    (["--export-items", "x", "--data", "embedded", "--resolution", "16", "--items", "99"], "items=99: the test split has"),
    (["x.safetensors", "--data", "embedded", "--resolution", "16"], "x.safetensors: no such file"),
    (["vq.safetensors", "--preset", "clean_fid"], "data: must be said; the preset 'clean_fid' fixes how items come"),
    (
        ["vq.safetensors", "--preset", "clean_fid", "--data", "embedded", "--metrics", "psnr"],
        "--metrics psnr: metrics[0]: the preset 'clean_fid' does not measure psnr (known: rfid)",
    ),
    (["vq.safetensors", "--data", "embedded", "--resolution", "16", "--metrics", ""], "metrics: names no metric"),
    (
        ["vq.safetensors", "--data", "embedded", "--resolution", "16", "--metrics", "{type: rfid, few"],
        "--metrics {type: rfid, few: metrics: not YAML: '{' stands there without its partner",
    ),
    (["nothere.safetensors"], "nothere.safetensors: no such file"),
    (["authors.ckpt"], "authors.ckpt: not a safetensors file; omnitok import-official makes one"),
    (["nothere.ckpt"], "nothere.ckpt: no such file"),
    (["vq.safetensors", "--preset", "omnitokenizer"], "no preset 'omnitokenizer'; did you mean 'omnitokenizer_"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_what_is_said_wrongly_is_refused_in_a_sentence(tmp_path, runs_root, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    spec = decode(MODELS, {"dim": 12, "patches": {"type": "linear", "patch": 4}})
    write_tokenizer(Path("vq.safetensors"), resolve(spec)(), spec, {})
    Path("authors.ckpt").write_bytes(b"PK")
    said = call("evaluate", *words, code=2)
    assert sentence in said and "Traceback" not in said


@pytest.mark.parametrize(("command", "more"), [("evaluate", ()), ("tokenize", ()), ("reconstruct", ("cat.png",))])
def test_who_takes_a_tokenizers_file_tells_how_the_authors_checkpoint_becomes_one(tmp_path, runs_root, command, more):
    (tmp_path / "authors.ckpt").write_bytes(b"PK")
    said = call(command, tmp_path / "authors.ckpt", *more, code=2)
    assert "authors.ckpt: not a safetensors file; omnitok import-official makes one" in said


def test_a_broken_file_as_a_baseline_fails_with_the_sentence_and_the_arms_go_on(tmp_path, runs_root):
    spec = decode(MODELS, {"dim": 12, "patches": {"type": "linear", "patch": 4}})
    broken = resolve(spec)()
    torch.nn.init.constant_(broken.to_latents.weight, 3e38)  # finite, as the bytes of a damaged file may be
    write_tokenizer(file := tmp_path / "bad.safetensors", broken, spec, {})
    sweep = baselines(tmp_path, f"{{type: tokenizer, name: theirs, file: {file}, sha256: {sha256(file)}}}")
    done = {state.trial["name"]: state for state in launch(sweep).states}
    assert "nan: this tokenizer gives non-finite latents; its weights are damaged" in done["theirs"].reason
    assert done["vq"].status == "done"
