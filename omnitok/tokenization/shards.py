"""A folder of tokens: an index that says what they are of, and shards that are whole or are made again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor

from omnitok import runs
from omnitok.provenance import sha256
from omnitok.spec import Fault, Mark, SpecError, flat

INDEX: Final = "index.json"
FORMAT: Final = "omnitok tokens 1"
SUFFIX: Final = ".safetensors"
IDENTITY: Final = {  # what must be the same for shards to lie in one folder, and what a folder holds where it is not
    "tokenizer": "tokens of another tokenizer",
    "data": "tokens of other data",
    "tensors": "other tensors",
    "shard_items": "shards of another length",
}


def shard_name(number: int) -> str:
    return f"{number:06}{SUFFIX}"


def opened(folder: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """The index of a folder that is new, or that was begun by the same words; it is not written.

    Raises SpecError where the folder holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise refused(folder, "is a file; tokens need a folder")
    if not (folder / INDEX).exists():
        others = sorted(path.name for path in folder.iterdir() if not _own(path)) if folder.exists() else []
        if others:
            raise refused(folder, f"holds something else ({others[0]}); choose another folder with --out")
        return {"format": FORMAT, **said, "shards": [], "complete": False}
    index = read_index(folder)
    for part, other in IDENTITY.items():
        if unlike := _difference(index[part], said[part]):
            raise refused(folder, f"holds {other} ({unlike}); choose another folder with --out")
    return index


def read_index(folder: Path) -> dict[str, Any]:
    """Raises SpecError where there is none, or it is not of tokens."""
    try:
        index = runs.read_json(folder / INDEX)
    except FileNotFoundError:
        raise refused(folder, f"has no {INDEX}, so it holds no tokens; omnitok tokenize makes them") from None
    except ValueError:
        index = None
    if (
        not isinstance(index, dict)
        or index.get("format") != FORMAT
        or not {*IDENTITY, "shards", "complete"} <= index.keys()
    ):
        raise refused(folder / INDEX, f"is not an index of tokens ({FORMAT})")
    return index


def whole(folder: Path, index: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """{first item: entry} of the shards that are there with the bytes that the index says."""
    return {
        shard["first"]: shard
        for shard in index["shards"]
        if (folder / shard["file"]).is_file() and sha256(folder / shard["file"]) == shard["sha256"]
    }


def write_shard(
    held: runs.Held, name: str, parts: Sequence[Mapping[str, Tensor]], names: Sequence[str], first: int
) -> dict[str, Any]:
    """The batches of a shard in one file. -> its entry in the index. Raises Fenced."""
    tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    content = safetensors.torch.save(tensors, {"items": json.dumps(list(names))})
    held.write(held.folder / name, content)
    return {"file": name, "first": first, "items": len(names), "sha256": hashlib.sha256(content).hexdigest()}


def write_index(held: runs.Held, index: Mapping[str, Any], there: Mapping[int, Any], shards: int) -> None:
    """The index with the shards that are there, of how many. Raises Fenced."""
    found = {"shards": [there[first] for first in sorted(there)], "complete": len(there) == shards}
    held.write_json(held.folder / INDEX, {**index, **found})


def refused(place: Path | str, sentence: str) -> SpecError:
    return SpecError([Fault(Mark(str(place)), "", sentence)])


def _own(path: Path) -> bool:
    """What a writer that was killed before its index may have left."""
    return runs.of_lease(path) or (path.name.startswith(".") and path.suffix == ".partial")


def _difference(held: Any, asked: Any) -> str:
    """How a part of an index differs, in words; a tokenizer is its digest, whatever it was called."""
    if not isinstance(asked, dict) or not isinstance(held, dict):
        return "" if held == asked else f"{held}, not {asked}"
    one, other = flat(held), flat(asked)
    names = ["digest"] if "digest" in asked else sorted(one.keys() | other.keys())
    unlike = next((name for name in names if one.get(name) != other.get(name)), None)
    return "" if unlike is None else f"{unlike}: {one.get(unlike)}, not {other.get(unlike)}"
