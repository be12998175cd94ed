"""What every attention promises."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention.backends import mixed
from omnitok.attention.grid import OVER_SPACE, Extent, Grid
from omnitok.attention.masks import Mask
from omnitok.attention.places import NoPlaces, Places, PlacesPart

Past = tuple[Any, ...]  # what a module keeps of the frames that it has seen; () at the beginning
Mixes = Literal["space", "time", "both"]


class NotCausal(ValueError):
    """A clip cannot be given piece by piece to what looks at later frames."""


class Attention(nn.Module, ABC):
    """The residual stream -> what is to be added to it. ``Component(dim, *, ...)``; normalises for itself.

    An attention over space never looks into another frame; one over time never looks at another place, and a causal
    one never at a later frame, not by one bit, or where its frames come in blocks of ``block`` after the first, never
    at a later block. Samples are independent. Raises ValueError where ``heads`` does not divide ``dim``, or the grid
    does not fit. ``known_defects``: what a published component does wrong, on purpose.
    """

    version: ClassVar[int] = 2
    known_defects: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[Mixes]
    causal: bool = False
    block: int = 1
    multiple: int = 1  # what both sides of the latent grid must be a multiple of

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]: ...

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        """The same for the frames that come after those that ``past`` is of. -> (what is to be added, the new past).

        Raises NotCausal where the attention would have to see what comes later."""
        if self.mixes != "space":
            raise NotCausal(f"{type(self).__name__} is not causal, so a clip cannot be given to it piece by piece")
        return self(x), ()


class Heads(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) within sequences of n normalised tokens."""

    def __init__(self, dim: int, heads: int, places: PlacesPart = NoPlaces, extent: Extent = OVER_SPACE) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide the width, which is dim={dim}")
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.places: Places = places(dim, heads, extent)

    def forward(
        self, x: Float[Tensor, "s n d"], at: Grid | None = None, mask: Mask | None = None
    ) -> Float[Tensor, "s n d"]:
        """Tokens that stand ``at`` a grid; without one they are a set."""
        q, k, v = self.split(x)
        return self.joined(mixed(q, k, v, mask=mask) if at is None else self.over(q, k, v, at, mask))

    def split(self, x: Float[Tensor, "s n d"]) -> Float[Tensor, "3 s heads n e"]:
        """Queries, keys and values."""
        return rearrange(self.qkv(self.norm(x)), "s n (three heads e) -> three s heads n e", three=3, heads=self.heads)

    def over(
        self,
        q: Float[Tensor, "s heads n e"],
        k: Float[Tensor, "s heads n e"],
        v: Float[Tensor, "s heads n e"],
        at: Grid,
        mask: Mask | None = None,
    ) -> Float[Tensor, "s heads n e"]:
        """Mixed within one grid."""
        bias = self.places.bias(at, at, q.device)
        return mixed(self.places.turn(q, at), self.places.turn(k, at), v, bias, mask=mask)

    def joined(self, x: Float[Tensor, "s heads n e"]) -> Float[Tensor, "s n d"]:
        return self.out(rearrange(x, "s heads n e -> s n (heads e)"))
