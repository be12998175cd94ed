"""A tokenizer in one file: its weights as safetensors, and in the file's head how it is built and where it is from."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from omnitok import runs
from omnitok.model import MODELS
from omnitok.model.tokenizer import Tokenizer
from omnitok.spec import Fault, Map, Mark, Spec, SpecError, decode, plain, resolve, versions

HEAD: Final = "omnitok"
SUFFIX: Final = ".safetensors"
IMPORTED: Final = "; omnitok import-official makes one of a checkpoint of OmniTokenizer's authors"
TOO_LARGE: Final = (RuntimeError, OverflowError, TypeError)  # what torch raises on sizes that no integer of its holds


def write_tokenizer(
    path: Path, tokenizer: Tokenizer, spec: Spec, origin: Mapping[str, Any], ran: Mapping[str, int] | None = None
) -> None:
    """``spec``: what the tokenizer was built from. ``origin``: whatever says where its weights are from. ``ran``: the
    versions of the components that they were trained with; None: today's. Raises SpecError where the name will not do,
    or its folder is not there."""
    if path.suffix != SUFFIX:
        raise _refused(path, f"a tokenizer's file must end with {SUFFIX}")
    if not path.parent.is_dir():
        raise _refused(path, f"no such folder: {path.parent}")
    known = versions(spec)
    head = {
        "model": plain(spec),
        "versions": {name: (ran or known).get(name, known[name]) for name in known},
        "origin": dict(origin),
        "package": version("omnitok"),
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in tokenizer.state_dict().items()}
    runs.write(path, safetensors.torch.save(weights, {HEAD: json.dumps(head, sort_keys=True, allow_nan=False)}))


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in eval mode, on the CPU. Raises SpecError: no file of ours, made by components that compute
    something else today, or weights that are not those of its model."""
    head, weights = _parts(path)
    spec = _spec(path, head)
    try:
        expected = expected_weights(spec)
    except ValueError as error:
        raise _refused(path, str(error)) from None
    wrong = sorted(expected.keys() ^ weights.keys()) or [n for n in weights if weights[n].shape != expected[n].shape]
    if wrong:
        sizes = [str(tuple(s[wrong[0]].shape)) if wrong[0] in s else "nothing" for s in (weights, expected)]
        raise _refused(path, f"{wrong[0]!r} has {sizes[0]}, and its model asks for {sizes[1]}")
    tokenizer: Tokenizer = resolve(spec)()
    tokenizer.load_state_dict(weights)
    return tokenizer.eval()


def read_spec(path: Path) -> Spec:
    """What a file's tokenizer is built from. Raises SpecError as ``read_tokenizer`` does."""
    return _spec(path, _parts(path)[0])


def _spec(path: Path, head: Mapping[str, Any]) -> Spec:
    said = head["model"]
    spec = decode(MODELS, Map(said, Mark(str(path)), dict.fromkeys(said, Mark(str(path)))))
    _check_versions(path, head, versions(spec))
    return spec


def expected_weights(spec: Spec) -> dict[str, Tensor]:
    """The state dict that a tokenizer of ``spec`` has, on no device: what is asked for costs nothing until the weights
    are known to be there. Raises ValueError where it cannot be built."""
    build = resolve(spec)
    try:
        with torch.device("meta"):
            state: dict[str, Tensor] = build().state_dict()
    except TOO_LARGE as error:
        raise ValueError(f"its model is too large to be built: {str(error).partition(chr(10))[0]}") from None
    return state


def read_origin(path: Path) -> dict[str, Any]:
    """Where a file's weights are from. Raises SpecError where it is none of ours."""
    found: dict[str, Any] = _parts(path)[0]["origin"]
    return found


def _parts(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise _refused(path, "is a folder, not a file" if path.is_dir() else "no such file")
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get(HEAD)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError:
        raise _refused(path, f"not a safetensors file{IMPORTED if path.suffix == '.ckpt' else ''}") from None
    if said is None:
        raise _refused(path, "a safetensors file, but not a tokenizer's: its head has no omnitok entry with a model")
    try:
        head = json.loads(said)
    except ValueError:
        head = None
    kinds = {"model": dict, "versions": dict, "origin": dict, "package": str}
    missing = [
        name for name, kind in kinds.items() if not isinstance(head, dict) or not isinstance(head.get(name), kind)
    ]
    if missing:
        raise _refused(path, f"the omnitok entry of its head has no {missing[0]}")
    return head, weights


def _check_versions(path: Path, head: Mapping[str, Any], today: Mapping[str, int]) -> None:
    made = head["versions"]
    if unequal := sorted(made.keys() ^ today.keys()):
        name = unequal[0]
        has, asks = ("a", "names no such component") if name in made else ("no", "is built with it")
        raise _refused(path, f"its head has {has} version of {name}, and its model {asks}")
    for name in today:
        if made[name] != today[name]:
            said = f"made by version {made[name]} of {name}, which is {today[name]} here"
            raise _refused(path, f"{said} (omnitok {head['package']} made it)")


def _refused(path: Path, sentence: str) -> SpecError:
    return SpecError([Fault(Mark(str(path)), "", sentence)])
