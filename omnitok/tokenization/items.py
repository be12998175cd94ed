"""What is tokenized: the fixed items of a split, in shards."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.data import Dataset
from omnitok.model import Tokenizer
from omnitok.spec import Spec, plain, version_of
from omnitok.tokenization.encoding import encoded
from omnitok.training.devices import decoding
from omnitok.training.evaluate import batch_size


@dataclass(frozen=True)
class Items:
    """``spec``: what the dataset was built from. ``flip``: the mirror image of each item as well."""

    spec: Spec
    dataset: Dataset
    frames: int
    resolution: int
    shard_items: int
    flip: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        return self.dataset.items(self.frames)

    @property
    def shards(self) -> list[range]:
        """The items of each."""
        total, size = len(self.names), self.shard_items
        return [range(first, min(first + size, total)) for first in range(0, total, size)]

    @property
    def said(self) -> dict[str, Any]:
        """Everything that the items are a function of."""
        return {
            "dataset": plain(self.spec),
            "version": version_of(self.spec.component),
            "fingerprint": self.dataset.fingerprint,
            "split": self.dataset.split,
            "frames": self.frames,
            "resolution": self.resolution,
            "view": self.dataset.view(self.frames, self.resolution),
            "items": len(self.names),
        }

    def clip(self, index: int) -> Float[Tensor, "c T H W"]:
        return self.dataset.item(index, self.frames, self.resolution)

    def batches(self, shards: Sequence[range]) -> Iterator[tuple[range, range, Float[Tensor, "b c T H W"]]]:
        """(shard, items, clips), several decoded at once. Batches end where their shard does, so that one made again has
        the same bits."""
        size = batch_size(self.frames * self.resolution**2)
        with ThreadPoolExecutor(decoding()) as threads:
            for shard in shards:
                for first in range(shard.start, shard.stop, size):
                    indices = range(first, min(first + size, shard.stop))
                    yield shard, indices, torch.stack(list(threads.map(self.clip, indices)))

    def kept(self, codec: Tokenizer, indices: Sequence[int], clips: Float[Tensor, "b c T H W"]) -> dict[str, Tensor]:
        """The tensors of some items, as a shard has them. Raises ValueError where a clip does not fit the tokenizer."""
        labels = [self.dataset.label(i, self.frames) for i in indices]
        known = [-1 if label is None else label for label in labels]
        return encoded(codec, clips, self.flip) | {"label": torch.tensor(known, dtype=torch.int32)}
