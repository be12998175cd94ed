"""Tokens read back, item by item, as they are needed."""

import bisect
import functools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import Dataset

from omnitok.tokenization.shards import read_index, refused

OPEN = 64  # shards that are kept mapped in a process
WIDE = {"uint16": torch.int64, "uint32": torch.int64, "int32": torch.int64}  # what is an index is read as one


class Tokens(Dataset[dict[str, Tensor]]):
    """The items of a folder that ``omnitok tokenize`` has filled: {"codes": int64 [t h w q], "label": int64}, or what
    else ``tensors`` says. Shards are mapped, not read, so any order costs only what is looked at, in any process.

    Raises SpecError where the folder holds no tokens, or not yet all of them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.index: dict[str, Any] = read_index(self.folder)
        self.tensors: dict[str, dict[str, Any]] = self.index["tensors"]
        self.classes: tuple[str, ...] = tuple(self.index["classes"])
        if not self.index["complete"]:
            there = sum(shard["items"] for shard in self.index["shards"])
            wanted = self.index["data"]["items"]
            raise refused(folder, f"has {there} of {wanted} items; the same omnitok tokenize goes on with the rest")
        self.firsts = [shard["first"] for shard in self.index["shards"]]

    def __len__(self) -> int:
        return int(self.index["data"]["items"])

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        file, place = self._place(item)
        found = {name: file.get_slice(name)[place : place + 1][0] for name in self.tensors}
        return {name: value.to(WIDE.get(self.tensors[name]["dtype"], value.dtype)) for name, value in found.items()}

    def name(self, item: int) -> str:
        """What the dataset calls an item."""
        file, place = self._place(item)
        return str(json.loads(file.metadata()["items"])[place])

    def _place(self, item: int) -> tuple[Any, int]:
        """The open shard that holds an item, and where in it. Raises IndexError."""
        if not -len(self) <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        at = item % len(self)
        number = bisect.bisect_right(self.firsts, at) - 1
        return _opened(self.folder / self.index["shards"][number]["file"]), at - self.firsts[number]


@functools.lru_cache(maxsize=OPEN)
def _opened(path: Path) -> Any:
    return safe_open(path, "pt").__enter__()
