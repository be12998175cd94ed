"""Every fixed item of a split through a tokenizer, into shards."""

from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from omnitok import provenance, runs
from omnitok.data import DATASETS, DataError, Split
from omnitok.model import MODELS, NonFinite, Tokenizer
from omnitok.model.files import read_origin, read_spec, read_tokenizer
from omnitok.spec import Spec, SpecError, decode, digest, near, plain, read_value, resolve
from omnitok.tokenization.encoding import described, tokenizer_digest
from omnitok.tokenization.items import Items
from omnitok.tokenization.shards import opened, refused, shard_name, whole, write_index, write_shard
from omnitok.training.devices import device, device_name
from omnitok.training.loader import prefetched
from omnitok.training.stage import data_root, from_json
from omnitok.training.task import look
from omnitok.trial import load as load_run

SHARD_ITEMS = 1024
Weights = Literal["raw", "ema"]


class Asked(NamedTuple):
    """What is tokenized, and how it is kept. ``data``: a dataset as YAML; None, and no ``resolution``: as the run was
    trained. ``flip``: the mirror image of each item as well."""

    data: str | None = None
    split: str = "train"
    frames: int = 1
    resolution: int | None = None
    weights: str = "raw"
    shard_items: int = SHARD_ITEMS
    flip: bool = False


class Tokenized(NamedTuple):
    """Where the tokens are, how many items they are of, and how many shards were made now and before."""

    folder: Path
    items: int
    made: int
    kept: int


class _Source(NamedTuple):
    """A tokenizer, what it was built from, and what its run was trained on where it is from one."""

    codec: Tokenizer
    spec: Spec
    origin: dict[str, Any]
    trained: dict[str, Any]


def tokenize(
    place: Path, out: Path | None, asked: Asked, progress: Callable[[str], None] = lambda line: None
) -> Tokenized:
    """Write the tokens of every fixed item of a split into ``out``, by a finished run's folder or a tokenizer's file.

    Shards that are there with the right bytes are kept, so that it goes on where it was killed. Raises SpecError: what was
    asked for does not fit, or ``out`` holds something else; Busy where another process writes there."""
    for name, said, known in (("weights", asked.weights, Weights), ("split", asked.split, Split)):
        if said not in get_args(known):
            raise refused(f"--{name} {said}", f"no such {name}{near(said, get_args(known))}")
    source = _source(place, asked.weights)
    try:
        items = _items(source, asked)
        look(items.dataset, items.frames, items.resolution)
        codec = source.codec.to(device())
        begun = _begun(source, items, items.kept(codec, [0], items.clip(0)[None]))
        folder = out or Path("tokens") / _name(begun)
        opened(folder, begun)
        folder.mkdir(parents=True, exist_ok=True)
        with runs.lease(folder) as held:
            return _filled(codec, items, held, opened(folder, begun), progress)
    except SpecError:
        raise
    except (ValueError, DataError) as error:
        raise refused("tokenize", str(error)) from None
    except NonFinite as error:
        raise refused(place, str(error)) from None


def _source(place: Path, weights: str) -> _Source:
    if not place.is_dir():
        if weights != "raw":
            raise refused(place, f"weights={weights}: a tokenizer's file has one set of weights; leave it out")
        return _Source(read_tokenizer(place), read_spec(place), read_origin(place), {})
    said = from_json(runs.read_json(place / runs.EXPERIMENT))
    try:
        codec = load_run(place, weights)
    except ValueError as error:
        raise refused("tokenize", str(error)) from None
    if not isinstance(codec, Tokenizer) or "model" not in said.spec:
        raise refused(place.name, "this run is a baseline, which has no tokenizer of its own")
    origin = {"run": said.digest, "stage": said.name, "seed": said.seed, "weights": weights}
    return _Source(codec, decode(MODELS, said.spec["model"]), origin, dict(said.spec))


def _items(source: _Source, asked: Asked) -> Items:
    """What was asked for, else what the run was trained on."""
    for name, said in (("data", asked.data), ("resolution", asked.resolution)):
        if said is None and name not in source.trained:
            raise refused("tokenize", f"say --{name}: a tokenizer's file does not know what it was trained on")
    text = source.trained["data"] if asked.data is None else read_value(asked.data, f"--data {asked.data}")
    spec = decode(DATASETS, text)
    dataset = resolve(spec)(data_root(), asked.split)
    resolution = source.trained["resolution"] if asked.resolution is None else asked.resolution
    return Items(spec, dataset, asked.frames, int(resolution), asked.shard_items, asked.flip)


def _begun(source: _Source, items: Items, first: dict[str, Tensor]) -> dict[str, Any]:
    """All of an index that is known before the first shard."""
    digest_of = tokenizer_digest(source.spec, source.codec.state_dict())
    return {
        "tokenizer": {"digest": digest_of, "model": plain(source.spec), "origin": source.origin},
        "data": items.said,
        "tensors": described(first),
        "codebook_sizes": list(source.codec.codebook_sizes),
        "classes": list(items.dataset.classes),
        "shard_items": items.shard_items,
        "made_with": _made_with(),
    }


def _name(begun: dict[str, Any]) -> str:
    """A folder's name, keyed by the tokenizer and by what it is given."""
    data = begun["data"]
    key = digest([begun["tokenizer"]["digest"], data, begun["tensors"], begun["shard_items"]])
    name = data["dataset"].get("name") or data["dataset"]["type"]
    return f"{name}.{data['split']}.{data['frames']}x{data['resolution']}-{key}"


def _filled(
    codec: Tokenizer, items: Items, held: runs.Held, index: dict[str, Any], progress: Callable[[str], None]
) -> Tokenized:
    folder = held.folder
    for partial in folder.glob(".*.partial"):
        partial.unlink()
    there, shards = whole(folder, index), items.shards
    missing = [shard for shard in shards if shard.start not in there]
    write_index(held, index, there, len(shards))
    parts = []
    with closing(prefetched(items.batches(missing))) as batches:
        for shard, indices, clips in batches:
            parts.append(items.kept(codec, indices, clips))
            if indices.stop == shard.stop:
                names = items.names[shard.start : shard.stop]
                name = shard_name(shard.start // items.shard_items)
                there[shard.start] = write_shard(held, name, parts, names, shard.start)
                write_index(held, index, there, len(shards))
                progress(f"{name}: items {shard.start} to {shard.stop} of {len(items.names)}")
                parts = []
    return Tokenized(folder, len(items.names), len(missing), len(shards) - len(missing))


def _made_with() -> dict[str, str]:
    where = {"torch": torch.__version__, "device": device_name(device())}
    return {"omnitok": version("omnitok"), "code": provenance.code(), **where}
