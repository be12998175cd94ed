"""The authors' Lightning files -> a file of ours. What is in a file is data: nothing in it is ever called."""

import pickle
import re
import struct
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from omnitok.model.files import write_tokenizer
from omnitok.provenance import sha256
from omnitok.published import load_official
from omnitok.published.options import ATTENTION_PATHS, Options
from omnitok.spec import Fault, Mark, SpecError, near

MALFORMED = (  # what torch raises on bytes that somebody has changed, found by changing them
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, RuntimeError, EOFError, LookupError, AttributeError,
    TypeError, ValueError, OSError, AssertionError, ArithmeticError,
)  # fmt: skip


class Imported(NamedTuple):
    """A checkpoint of the authors as a file of ours: where it is, its hash, how many weights it has, what it lacks of
    what the checkpoint has."""

    file: Path
    sha256: str
    parameters: int
    left_out: tuple[str, ...]


class Checkpoint(NamedTuple):
    """What of an authors' file is used."""

    state_dict: dict[str, Tensor]
    options: dict[str, Any]


def import_official(checkpoint: Path, out: Path, attention: str = ATTENTION_PATHS[0]) -> Imported:
    """Write the tokenizer of an authors' checkpoint to ``out``, from where ``omnitok.load`` and ``init:`` take it.

    ``attention``: how it was trained; their files do not say. Raises SpecError: no checkpoint of theirs, or one that
    asks for more than data.
    """
    if attention not in ATTENTION_PATHS:
        raise SpecError([Fault(Mark(f"attention={attention}"), "", f"no such path{near(attention, ATTENTION_PATHS)}")])
    found = read_checkpoint(checkpoint)
    options = {**found.options, "attention_path": attention}
    try:
        spec, tokenizer = Options(options).model(), load_official(found.state_dict, options)
    except ValueError as error:
        raise _refused(checkpoint, str(error)) from None
    origin = {"checkpoint": checkpoint.name, "sha256": sha256(checkpoint), "attention": attention}
    write_tokenizer(out, tokenizer, spec, origin)
    rooms = {key.partition(".")[0] for key in found.state_dict} - {
        "encoder", "decoder", "pre_vq_conv", "post_vq_conv", "codebook",
    }  # fmt: skip
    parameters = sum(parameter.numel() for parameter in tokenizer.parameters())
    return Imported(out, sha256(out), parameters, tuple(sorted(rooms)))


def read_checkpoint(path: Path) -> Checkpoint:
    """A Lightning file's state dict and options, unpickled with ``argparse.Namespace`` and tensors allowed and nothing
    else. Raises SpecError."""
    if not path.is_file():
        raise _refused(path, "is a folder, not a file" if path.is_dir() else "no such file")
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of here is refused below, in one sentence
        try:
            with torch.serialization.safe_globals([Namespace]):
                held = torch.load(file, map_location="cpu", weights_only=True)
        except MALFORMED as error:
            asked = re.search(r"GLOBAL (\S+)", str(error))
            said = f"asks for {asked[1]}, which is no data" if asked else "no PyTorch checkpoint"
            raise _refused(path, said) from None
    state, args = (_inside(held, *keys) for keys in (("state_dict",), ("hyper_parameters", "args")))
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise _refused(path, "has no state_dict of tensors, so it is no Lightning checkpoint")
    if not args:
        raise _refused(path, "has no hyper_parameters.args, which say how the model is built")
    return Checkpoint({str(key): value for key, value in state.items()}, {str(key): v for key, v in args.items()})


def _inside(held: Any, *keys: str) -> Mapping[Any, Any]:
    for key in keys:
        held = held.get(key) if isinstance(held, Mapping) else None
    found = vars(held) if isinstance(held, Namespace) else held
    return found if isinstance(found, Mapping) else {}


def _refused(path: Path, sentence: str) -> SpecError:
    return SpecError([Fault(Mark(str(path)), "", " ".join(sentence.split()))])
