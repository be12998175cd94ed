"""Tokenizers that leave a run's folder, and that come from one or from a file."""

from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.model import MODELS, Tokenizer
from omnitok.model.files import read_tokenizer, write_tokenizer
from omnitok.provenance import sha256
from omnitok.spec import Fault, Mark, SpecError, decode, near
from omnitok.training.stage import from_json
from omnitok.trial import load as load_run

WEIGHTS = ("raw", "ema")


class Exported(NamedTuple):
    """A tokenizer's file, and the hash by which an experiment's ``init:`` names it."""

    file: Path
    sha256: str


def export(run: Path, out: Path, weights: str = "raw") -> Exported:
    """Write the tokenizer of a finished run to one file. ``weights``: those that were trained, or their moving average.

    Raises SpecError: a run without a tokenizer, or without the average asked for."""
    if weights not in WEIGHTS:
        raise SpecError([Fault(Mark(f"weights={weights}"), "", f"no such weights{near(weights, WEIGHTS)}")])
    if weights == "ema" and not (run / runs.AVERAGED).exists():
        raise SpecError([Fault(Mark(run.name), "", "this run kept no moving average of its weights")])
    said = from_json(runs.read_json(run / runs.EXPERIMENT))
    if "model" not in said.spec:
        raise SpecError(
            [Fault(Mark(run.name), "", "this run is a baseline, which has no tokenizer that was trained here")]
        )
    tokenizer = load(run, weights)
    origin = {"run": said.digest, "stage": said.name, "seed": said.seed, "weights": weights}
    write_tokenizer(out, tokenizer, decode(MODELS, said.spec["model"]), origin, said.versions)
    return Exported(out, sha256(out))


def load(place: Path, weights: str = "raw") -> Tokenizer:
    """The tokenizer of a file of ours or of a finished run's folder, in eval mode, on the CPU. Raises SpecError."""
    if not place.is_dir():
        return read_tokenizer(place)
    codec = load_run(place, weights)
    if not isinstance(codec, Tokenizer):
        raise SpecError([Fault(Mark(place.name), "", "this run is a baseline, which has no tokenizer")])
    return codec
