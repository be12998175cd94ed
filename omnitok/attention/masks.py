"""Which key a query sees, said as a small value: asked an element at a time, made dense once, counted without being made."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Span = tuple[int, int]  # from the first to before the last


@dataclass(frozen=True)
class Mask(ABC):
    """Hashable, so that what is made of it is made once. Every query sees a key."""

    @property
    @abstractmethod
    def queries(self) -> int: ...

    @property
    @abstractmethod
    def keys(self) -> int: ...

    @abstractmethod
    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether the query of a number sees the key of a number, element by element."""

    @property
    @abstractmethod
    def pairs(self) -> int:
        """How many pairs of a query and a key that it sees there are."""

    def parts(self) -> Sequence[tuple[Span, Span, "Mask | None"]]:
        """Spans of queries, one after another, the span of keys beyond which they see none, and what is hidden within:
        all that need be multiplied. Empty where the whole is best taken at once."""
        return ()


@dataclass(frozen=True)
class FrameCausal(Mask):
    """Tokens lie frame by frame, ``tokens`` a frame; a frame sees itself and what came before.

    asking: frames of queries, the last of the ``known`` frames of keys. context: how many frames back one sees, itself
    included; None is all. block: so many frames after the first of the clip see each other; the first is a block of its
    own. first: the number of the first known frame."""

    asking: int
    known: int
    tokens: int = 1
    context: int | None = None
    block: int = 1
    first: int = 0

    @property
    def queries(self) -> int:
        return self.asking * self.tokens

    @property
    def keys(self) -> int:
        return self.known * self.tokens

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        of_query = (query + (self.keys - self.queries)) // self.tokens + self.first
        of_key = key // self.tokens + self.first
        seen = self._block(of_key) <= self._block(of_query)
        return seen if self.context is None else seen & (of_query - of_key < self.context)

    def _block(self, frame: Tensor) -> Tensor:
        return (frame + (self.block - 1)) // self.block

    @property
    def pairs(self) -> int:
        return sum((stop - start) * (last - begin) for (start, stop), (begin, last), _ in self._frames())

    @property
    def triangular(self) -> bool:
        """Whether token i sees the first i tokens and nothing else is hidden."""
        near = self.context is not None and self.context < self.known
        return self.asking == self.known and self.tokens == self.block == 1 and not near

    def parts(self) -> Sequence[tuple[Span, Span, Mask | None]]:
        if self.tokens == 1:
            return ()
        joined: list[tuple[Span, Span, Mask | None]] = []
        for (start, stop), keys, _ in self._frames():
            first = joined.pop()[0][0] if joined and joined[-1][1] == keys else start
            joined.append(((first, stop), keys, None))
        return joined

    def _frames(self) -> list[tuple[Span, Span, None]]:
        """The queries of each frame and the keys that they see."""
        found, n = [], self.tokens
        for i in range(self.asking):
            frame = self.known - self.asking + i
            last = -(-(frame + self.first) // self.block) * self.block - self.first  # of its block
            begin = 0 if self.context is None else max(frame + 1 - self.context, 0)
            found.append(((i * n, (i + 1) * n), (begin * n, min(last + 1, self.known) * n), None))
        return found


@dataclass(frozen=True)
class Neighbourhood(Mask):
    """A token of a grid sees the ``side`` x ``side`` tokens around it; at a border the square is shifted inward."""

    rows: int
    columns: int
    side: int

    @property
    def queries(self) -> int:
        return self.rows * self.columns

    @property
    def keys(self) -> int:
        return self.rows * self.columns

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        near = self._near(query // self.columns, key // self.columns, self.rows)
        return near & self._near(query % self.columns, key % self.columns, self.columns)

    def _near(self, query: Tensor, key: Tensor, size: int) -> Tensor:
        first = (query - self.side // 2).clamp(0, max(size - self.side, 0))
        return (key >= first) & (key < first + self.side)

    @property
    def pairs(self) -> int:
        return self.queries * min(self.side, self.rows) * min(self.side, self.columns)

    def parts(self) -> Sequence[tuple[Span, Span, Mask | None]]:
        """Strips of whole rows."""
        strip, found = (self.side + 1) // 2, list[tuple[Span, Span, Mask | None]]()
        if self.rows < strip + self.side:
            return ()
        for top in range(0, self.rows, strip):
            bottom = min(top + strip, self.rows)
            first, last = (min(max(row - self.side // 2, 0), self.rows - self.side) for row in (top, bottom - 1))
            queries = (top * self.columns, bottom * self.columns)
            keys = (first * self.columns, (last + self.side) * self.columns)
            found.append((queries, keys, Part(self, queries, keys)))
        return found


@dataclass(frozen=True)
class Part(Mask):
    """Some of the queries and keys of another mask."""

    whole: Mask
    of_queries: Span
    of_keys: Span

    @property
    def queries(self) -> int:
        return self.of_queries[1] - self.of_queries[0]

    @property
    def keys(self) -> int:
        return self.of_keys[1] - self.of_keys[0]

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return self.whole.sees(query + self.of_queries[0], key + self.of_keys[0])

    @property
    def pairs(self) -> int:
        return int(dense(self, torch.device("cpu")).sum())


@functools.lru_cache(maxsize=32)
def dense(mask: Mask, device: torch.device) -> Bool[Tensor, "n m"]:
    """True where a query sees a key."""
    with torch.inference_mode(False):  # one made while measuring also serves training
        query, key = (torch.arange(count, device=device) for count in (mask.queries, mask.keys))
        return mask.sees(query[:, None], key[None, :]).contiguous()


@functools.lru_cache(maxsize=32)
def added(mask: Mask, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 n m"]:
    """0 where a query sees a key, minus infinity elsewhere."""
    with torch.inference_mode(False):
        hidden = ~dense(mask, device)
        return torch.zeros(1, *hidden.shape, device=device, dtype=dtype).masked_fill(hidden, float("-inf"))
