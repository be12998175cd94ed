"""What everything that is evaluated promises."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.attention import Past

BEGUN: Past = (True,)  # the past of what only asks whether there is one


class Reconstruction(NamedTuple):
    """A clip come back through a bottleneck, and the codes that it took."""

    clip: Float[Tensor, "b c T H W"]
    codes: Int[Tensor, "b t h w q"]


class Reconstructor(nn.Module, ABC):
    """A clip in [-1, 1] -> its reconstruction, of the same shape."""

    codebook_sizes: tuple[int, ...] = ()
    multiple: int = 1  # what both sides of a frame must be a multiple of, in pixels
    frame_step: int = 1  # a clip has one frame more than a multiple of this
    chunk_step: int = 1  # frames that every chunk of a long clip but the first has a multiple of

    bits_per_token: float = 0.0  # what is spent on a position of the latent grid; 0 where nothing is discrete
    rates: tuple[float, ...] = ()  # how many of each code there are a position; () is one of each

    @abstractmethod
    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction: ...

    def reconstruct_chunks(
        self, clip: Float[Tensor, "b c T H W"], frames: Sequence[int]
    ) -> Float[Tensor, "b c T H W"] | None:
        """The same of chunks of so many frames, each given alone after those before it; None where it takes none."""
        return None

    def probe(self, frames: int, resolution: int) -> int:
        """Pass a square clip of no content through a model on the meta device. -> tokens a clip.

        Raises ValueError with both numbers where something does not fit."""
        clip = torch.empty(1, 3, frames, resolution, resolution, device="meta")
        back, codes = self.reconstruct(clip)
        refuse_other_shape(back, clip)
        return math.prod(codes.shape[1:-1])


def refuse_other_shape(back: Tensor, clip: Tensor) -> None:
    """Raises ValueError where a reconstruction is not as large as its clip."""
    if back.shape != clip.shape:
        raise ValueError(f"the model gives back {tuple(back.shape)} for {tuple(clip.shape)}")


class NonFinite(ArithmeticError):
    """What should be a number is none; the message says what, and in training at which step."""


DAMAGED = "; its weights are damaged, or have diverged"


def refuse_non_finite(what: str, part: Tensor) -> None:
    """Raises NonFinite where ``part`` holds what is no number. On the meta device nothing is known."""
    if not part.is_meta and not part.isfinite().all():
        raise NonFinite(f"this tokenizer gives non-finite {what}{DAMAGED}")


def refuse_no_codes(codes: Int[Tensor, "b t h w q"], sizes: Sequence[int]) -> None:
    """Raises NonFinite where a code is none of its codebook. On the meta device nothing is known."""
    for place, size in enumerate(sizes if codes.numel() and not codes.is_meta else ()):
        low, high = (int(end) for end in codes[..., place].aminmax())
        if low < 0 or high >= size:
            raise NonFinite(f"this tokenizer gives codes from {low} to {high}, of a codebook of {size}{DAMAGED}")


Inflation = Literal["average", "first"]


class Inflatable(nn.Module, ABC):
    """A module whose weights for clips can be made from its weights for images, when a stage of images hands over."""

    @abstractmethod
    def inflate(self, how: Inflation = "average") -> None:
        """Overwrite what only clips use by what images have taught: a kernel shared out over the frames of a patch, or
        put at the first of them. Either way a still clip then embeds as its picture, and its picture gives it back."""


class Patches(Inflatable):
    """``Component(dim, *, patch, temporal_patch, ...)``: pixels <-> tokens; p x p pixels of the first frame, q x p x p of
    the rest become a token. A later frame changes no earlier token, and a later token no earlier frame.

    Raises ValueError where the clip does not fit, with both numbers.
    """

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()
    patch: int
    temporal_patch: int
    upscale: int = 1  # how many times larger the pixels that come out are
    ways_out: ClassVar[tuple[str, ...]] = ("to_first", "to_rest")  # the modules that ``pixels`` uses

    @abstractmethod
    def embed(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]: ...

    @abstractmethod
    def pixels(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]: ...

    def embed_chunk(self, clip: Float[Tensor, "b c T H W"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        """``embed`` of the frames that come after those that ``past`` is of; () is the beginning. Here for patches that
        remember nothing: a frame before those that come later makes them later ones, and is cut off."""
        if not past:
            return self.embed(clip), BEGUN
        return self.embed(torch.cat([clip[:, :, :1], clip], dim=2))[:, 1:], BEGUN

    def pixels_chunk(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b c T H W"], Past]:
        """``pixels`` of the tokens that come after those that ``past`` is of, as ``embed_chunk`` has it."""
        if not past:
            return self.pixels(x), BEGUN
        return self.pixels(torch.cat([x[:, :1], x], dim=1))[:, :, 1:], BEGUN

    def entrance(self) -> list[nn.Module]:
        """The modules that ``embed`` uses."""
        return [module for name, module in self.named_children() if name not in self.ways_out]

    def exit(self) -> list[nn.Module]:
        """The modules that ``pixels`` uses. Raises AttributeError where ``ways_out`` names none of them."""
        return [self.get_submodule(name) for name in self.ways_out]

    def check(self, clip: Float[Tensor, "b c T H W"], past: Past = ()) -> None:
        frames, height, width = clip.shape[2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"patch={self.patch} must divide the frame, which is {height} x {width}")
        if past and frames % self.temporal_patch:
            raise ValueError(f"frames={frames} of a later chunk must be a multiple of {self.temporal_patch}")
        if not past and (frames - 1) % self.temporal_patch:
            raise ValueError(f"frames={frames} must be 1 more than a multiple of temporal_patch={self.temporal_patch}")


def in_full(x: Tensor) -> AbstractContextManager[None]:
    """What is in it is computed in the precision of what goes in, also where what is around it is computed in less."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
