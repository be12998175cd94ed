"""Components of other packages: what is installed under our entry-point groups, found once a process.

What is loaded is what an installed package declares in its own metadata; no file names a module.
"""

import functools
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any, Final, NamedTuple

PREFIX: Final = "omnitok."


class Origin(NamedTuple):
    """Which package a component is of (its name as indices spell it), and which object of it, as ``module:object``."""

    distribution: str
    version: str
    value: str

    @property
    def module(self) -> str:
        """The outermost module that the object is in."""
        return re.split(r"[.:]", self.value)[0]

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def entry(self) -> str:
        return f"{self} (entry point {self.value})"


class Claim(NamedTuple):
    """An entry point: a package says that it has a component of this name for this group."""

    group: str
    name: str
    origin: Origin
    load: Callable[[], Any]


@functools.cache
def claims() -> tuple[Claim, ...]:
    """All that is installed, by name; of a package that is there twice the one that Python imports."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        if f"[{PREFIX}" in (distribution.read_text("entry_points.txt") or ""):
            found[_canonical(distribution.name)] = metadata.distribution(distribution.name)
    return tuple(claim for name in sorted(found) for claim in _of(name, found[name]))


def _of(name: str, distribution: metadata.Distribution) -> Iterator[Claim]:
    for point in sorted(distribution.entry_points, key=lambda point: (point.group, point.name)):
        if point.group.startswith(PREFIX):
            yield Claim(point.group, point.name, Origin(name, str(distribution.version), point.value), point.load)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
