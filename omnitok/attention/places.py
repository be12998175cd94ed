"""How an attention knows where its tokens are: by turning queries and keys, by a bias on its logits, or not."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from omnitok.attention.grid import COLUMN, OVER_SPACE, ROW, TIME, Extent, Grid, distances, numbers, offsets
from omnitok.spec import Count, Registry


class Places(nn.Module, ABC):
    """``Component(dim, heads, extent, *, ...)``; ``extent``: how many frames, rows and columns one attention spans, None
    where that is as many as come. What it does depends on offsets between tokens alone."""

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def turn(self, x: Float[Tensor, "s heads n e"], at: Grid) -> Float[Tensor, "s heads n e"]:
        """Queries or keys, turned by where they are."""

    @abstractmethod
    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        """What is added to the logits; None where nothing is."""


def _plane(extent: Extent) -> tuple[int, int]:
    """The two axes of a frame; of an attention over time alone the frames are the columns of one row."""
    return (ROW, TIME) if extent[1:] == (1, 1) else (ROW, COLUMN)


class _Unturned(Places):
    def turn(self, x: Float[Tensor, "s heads n e"], at: Grid) -> Float[Tensor, "s heads n e"]:
        return x


class _Turned(Places):
    """Rotary embedding (arXiv:2104.09864): pairs of features turn, each at its own speed, at absolute places, whatever the
    size of the grid, so that a product depends on the offset."""

    def turn(self, x: Float[Tensor, "s heads n e"], at: Grid) -> Float[Tensor, "s heads n e"]:
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        turns = _turns(at, self._pairs(x.shape[-1]), x.device, precise.dtype)
        pairs = torch.view_as_complex(precise.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        return None

    @abstractmethod
    def _pairs(self, width: int) -> tuple[tuple[int, float], ...]:
        """By which axis each pair of features turns, and how fast. Raises ValueError where the width does not fit."""


@functools.lru_cache(maxsize=64)
def _turns(
    at: Grid, pairs: tuple[tuple[int, float], ...], device: torch.device, dtype: torch.dtype
) -> Complex[Tensor, "n pairs"]:
    """Unit complex numbers: the angle of each token and pair of features."""
    with torch.inference_mode(False):  # what is made while measuring also serves training
        places = at.at(device).to(dtype)[:, [axis for axis, _ in pairs]]
        angles = places * torch.tensor([speed for _, speed in pairs], device=device, dtype=dtype)
        return torch.polar(torch.ones_like(angles), angles)


@final
class NoPlaces(_Unturned):
    """Tokens are a set."""

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        return None


@final
class AxialRotary(_Turned):
    """Rotary embedding of two axes (arXiv:2104.09864; its 2-D form as OmniTokenizer's code has it): pairs of features
    turn in turn by the column and by the row. Of an attention over time alone, frames are columns."""

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()
        self.down, self.right = _plane(extent)

    def _pairs(self, width: int) -> tuple[tuple[int, float], ...]:
        if width % 4:
            raise ValueError(f"places=rope turns pairs by two axes, so {width} features a head must be a multiple of 4")
        speeds = [10000.0 ** (-i / width) for i in range(0, width, 4)]
        return tuple((axis, speed) for speed in speeds for axis in (self.right, self.down))


@final
class SpaceTimeRotary(_Turned):
    """Rotary embedding of time, row and column (arXiv:2104.09864 on three axes, as Qwen2-VL has it, arXiv:2409.12191): a
    third of the pairs of features turns by each, what is left over by time."""

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()

    def _pairs(self, width: int) -> tuple[tuple[int, float], ...]:
        if width % 2 or width < 6:
            raise ValueError(
                f"places=rope_3d turns pairs by three axes, so {width} features a head must be even, 6 at least"
            )
        third = width // 6
        counts = {TIME: width // 2 - 2 * third, ROW: third, COLUMN: third}
        return tuple((axis, 10000.0 ** (-i / count)) for axis, count in counts.items() for i in range(count))


@final
class RelativeTable(_Unturned):
    """A learned bias for each head and each offset between two tokens (Swin, arXiv:2103.14030).

    reach: how many tokens away, on each axis, offsets are told apart; farther ones count as so far (arXiv:1803.02155).
        A window needs no more than its side less one, and gets no more.
    """

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE, *, reach: Count = 16) -> None:
        super().__init__()
        farthest = [reach if size is None else min(reach, size - 1) for size in extent]
        self.high = (farthest[TIME], farthest[ROW], farthest[COLUMN])
        self.low = (-farthest[TIME], -farthest[ROW], -farthest[COLUMN])
        self.table = nn.Parameter(torch.empty(math.prod(2 * far + 1 for far in farthest), heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        return rearrange(self.table[numbers(queries, keys, self.low, self.high, device)], "n m heads -> heads n m")


@final
class ContinuousBias(_Unturned):
    """A small network of the signed logarithmic offset gives each head a bias (Swin v2, arXiv:2111.09883)."""

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()
        one_plane = extent[TIME] == 1 or extent[1:] == (1, 1)
        self.axes = _plane(extent) if one_plane else (TIME, ROW, COLUMN)
        self.net = nn.Sequential(
            nn.Linear(len(self.axes), dim),
            nn.LeakyReLU(0.1),
            nn.Linear(dim, dim),
            nn.LeakyReLU(0.1),
            nn.Linear(dim, heads),
        )

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        weight = next(self.net.parameters())
        low, high = offsets(queries, keys)
        sides = [torch.arange(a, b + 1, device=device) for a, b in zip(low, high, strict=True)]
        box = (
            torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1)
            .flatten(0, 2)[:, list(self.axes)]
            .to(weight.dtype)
        )
        table = self.net(box.sign() * box.abs().log1p())  # one value an offset, not one a pair of tokens
        return rearrange(table[numbers(queries, keys, low, high, device)], "n m heads -> heads n m")


@final
class DroppedContinuousBias(_Unturned):
    """As published on the fused path: the network is there and its bias is dropped (arXiv:2406.09399, its code)."""

    known_defects: ClassVar[tuple[str, ...]] = ("position bias dropped by fused attention",)

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()
        self.net = ContinuousBias(dim, heads, extent).net

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        return None


@final
class LinearBias(_Unturned):
    """ALiBi (arXiv:2108.12409): logits fall with the distance, each head at its own slope. On a grid the distance is the
    number of steps along its axes."""

    version: ClassVar[int] = 2

    def __init__(self, dim: int, heads: int, extent: Extent = OVER_SPACE) -> None:
        super().__init__()
        self.slopes = slopes(heads)

    def bias(self, queries: Grid, keys: Grid, device: torch.device) -> Float[Tensor, "heads n m"] | None:
        return -torch.tensor(self.slopes, device=device)[:, None, None] * distances(queries, keys, device)


def slopes(heads: int) -> list[float]:
    """A geometric series; for a number that is no power of two, that of the power below and every second of twice it."""
    power = 2 ** math.floor(math.log2(heads))
    series = [2 ** (-8 / power * (i + 1)) for i in range(power)]
    return series + slopes(2 * power)[0::2][: heads - power] if power < heads else series


PLACES: Registry[Places] = Registry(
    "places",
    group="omnitok.places",
    contract=Places,
    none=NoPlaces,
    rope=AxialRotary,
    rope_3d=SpaceTimeRotary,
    alibi=LinearBias,
    relative_table=RelativeTable,
    continuous_bias=ContinuousBias,
    continuous_bias_dropped=DroppedContinuousBias,
)
PlacesPart = Annotated[Callable[..., Places], PLACES]
