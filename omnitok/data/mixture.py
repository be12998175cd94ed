"""Several datasets as one: training draws from each by its share, and all their fixed items are looked at."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.data.contract import DataError, Dataset, Split, span
from omnitok.data.draws import uniform
from omnitok.data.parts import PARTS, PartPart
from omnitok.spec import REQUIRED, Positive, digest


class Mixture(Dataset):
    """Training clips are drawn from the parts by share: of those that have clips so long, with their shares by the sum
    of these. Single frames come from the parts that have photos, and from the others only where no part has.

    of: the datasets, each with its own choices; no two of the same files.
    shares: how much of the clips is of each part, by the sum of all.
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        *,
        of: Annotated[tuple[PartPart, ...], REQUIRED],
        shares: Annotated[tuple[Positive, ...], REQUIRED],
    ) -> None:
        if not of:
            raise DataError("of: a mixture has at least one part")
        if len(shares) != len(of):
            raise DataError(f"shares: {len(shares)} of them for {len(of)} parts; say one of each")
        if wrong := [share for share in shares if not share > 0]:
            raise DataError(f"shares: {wrong[0]} is not above 0; leave a part out that is never drawn")
        self.split, self.shares = split, shares
        self.names = _distinct([_title(one) for one in of])
        self.parts: list[Dataset] = []
        for place, make in enumerate(of):
            with self._told(place):
                self.parts.append(make(root, split))
        prints = [part.fingerprint for part in self.parts]
        for place, one in enumerate(prints):
            if prints.index(one) < place:
                first, second = self.names[prints.index(one)], self.names[place]
                raise DataError(f"of: {second} is the same dataset as {first}; name it once, with one share")
        self.fingerprint = digest(prints)
        named = zip(self.names, self.parts, strict=True)
        self.classes = tuple(f"{name}/{label}" for name, part in named for label in part.classes)
        self._holding: dict[int, tuple[int, ...]] = {}

    @property
    def photos(self) -> bool:
        return any(part.photos for part in self.parts)

    def items(self, frames: int) -> tuple[str, ...]:
        held = self._having(frames)
        return tuple(f"{self.names[place]}/{item}" for place in held for item in self.parts[place].items(frames))

    def count(self, frames: int) -> int:
        return sum(self.parts[place].count(frames) for place in self._having(frames))

    def finest(self, frames: int) -> int:
        return min(self.parts[place].finest(frames) for place in self._having(frames) or range(len(self.parts)))

    def view(self, frames: int, resolution: int) -> str:
        """Theirs, once where all are alike."""
        views = {
            self.names[place]: self.parts[place].view(frames, resolution)
            for place in self._having(frames) or range(len(self.parts))
        }
        if len(set(views.values())) == 1:
            return next(iter(views.values()))
        return "; ".join(f"{name}: {view}" for name, view in views.items())

    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        place, own = self._place(index, frames)
        with self._told(place):
            return self.parts[place].item(own, frames, resolution)

    def label(self, index: int, frames: int) -> int | None:
        place, own = self._place(index, frames)
        found = self.parts[place].label(own, frames)
        return None if found is None else found + sum(len(part.classes) for part in self.parts[:place])

    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """A part by share, then whatever that part draws."""
        held = self._having(length := span(frames, stride))
        if not held:
            raise DataError(f"no part has a {self.split} clip of {length} frames: {self._longest(length)}")
        left = uniform(draw, 0.0, sum(self.shares[place] for place in held))
        for place in held:
            left -= self.shares[place]
            if left < 0:
                break
        with self._told(place):
            return self.parts[place].sample(draw, frames, resolution, stride)

    def _having(self, frames: int) -> tuple[int, ...]:
        """The places of the parts that clips of ``frames`` frames come from."""
        if frames not in self._holding:
            held = [place for place, part in enumerate(self.parts) if part.count(frames)]
            photos = [place for place in held if self.parts[place].photos]
            self._holding[frames] = tuple(photos if frames == 1 and photos else held)
        return self._holding[frames]

    def _place(self, index: int, frames: int) -> tuple[int, int]:
        """The part that an item is of, and which of its items it is. Raises IndexError."""
        own = index
        for place in self._having(frames) if index >= 0 else ():
            count = self.parts[place].count(frames)
            if own < count:
                return place, own
            own -= count
        raise IndexError(f"item {index} of {self.count(frames)}")

    def _longest(self, frames: int) -> str:
        """What each part says itself of clips of ``frames`` frames."""
        said = []
        for place, part in enumerate(self.parts):
            try:
                with self._told(place):
                    part.sample(torch.Generator(), frames, 1)
            except DataError as error:
                said.append(str(error))
        return "; ".join(said)

    @contextmanager
    def _told(self, place: int) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise DataError(f"of[{place}] ({self.names[place]}): {error}") from None


def _title(make: Callable[..., Any]) -> str:
    """What a part is called: its folder, else its type."""
    if isinstance(make, functools.partial):
        return str(make.keywords.get("name") or PARTS.name_of(make.func))
    return PARTS.name_of(make)


def _distinct(titles: list[str]) -> list[str]:
    """The second of a name gets a 2."""
    seen: Counter[str] = Counter()
    names = []
    for title in titles:
        seen[title] += 1
        names.append(title if seen[title] == 1 else f"{title}.{seen[title]}")
    return names
