"""What every dataset promises."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Split = Literal["train", "val", "test"]


class DataError(Exception):
    """A file of a dataset cannot be used; the message names the file and what is wrong with it."""


class Dataset(ABC):
    """Pictures and videos of one split. A clip is float32 [c, T, H, W] in [-1, 1], RGB; an image is one frame.

    A component is ``Component(root, split, *, ...)``: ``root`` is the folder of all datasets, a resource. Constructing
    one is cheap: it reads a manifest and decodes nothing. Raises DataError where the data is not there.
    """

    version: ClassVar[int] = 1
    classes: tuple[str, ...] = ()  # the names of what is in the items, where that is known
    split: Split
    fingerprint: str  # the hash of the manifest: which files, which bytes, which split

    @property
    def photos(self) -> bool:
        """Whether single frames are pictures of their own, rather than out of clips."""
        return False

    @abstractmethod
    def items(self, frames: int) -> tuple[str, ...]:
        """The names of the fixed items of ``frames`` frames, in order; these are what an evaluation looks at."""

    def count(self, frames: int) -> int:
        """How many fixed items of ``frames`` frames there are."""
        return len(self.items(frames))

    @abstractmethod
    def finest(self, frames: int) -> int:
        """The largest resolution that may be asked: at which no picture of this split has to be enlarged, or may be."""

    @abstractmethod
    def item(self, index: int, frames: int, resolution: int) -> Float[Tensor, "c T H W"]:
        """One fixed item, square, ``resolution`` pixels a side: the same index gives the same clip for ever."""

    def label(self, index: int, frames: int) -> int | None:
        """What is in a fixed item, as a place in ``classes``; None where that is not known."""
        return None

    @abstractmethod
    def view(self, frames: int, resolution: int) -> str:
        """How a fixed item comes from its file, as a protocol says it: "cc256" is a short side of 256 and its centre.

        Equal views are said alike, different ones differently.
        """

    @abstractmethod
    def sample(self, draw: torch.Generator, frames: int, resolution: int, stride: int = 1) -> Float[Tensor, "c T H W"]:
        """A random training clip of every ``stride``-th frame, square: a function of the generator's state alone."""


def span(frames: int, stride: int) -> int:
    """How many frames of a video lie from the first to the last of ``frames`` that are ``stride`` apart."""
    return (frames - 1) * stride + 1
