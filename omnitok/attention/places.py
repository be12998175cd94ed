"""How a cosine attention knows where its tokens are: by turning queries and keys, by a bias on its logits, or not."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from omnitok.spec import Registry


class Places(nn.Module, ABC):
    """``Component(dim, heads, *, ...)``. The tokens of one sequence stand on a grid of rows x columns (n = r c)."""

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def turn(
        self, x: Float[Tensor, "s heads n e"], rows: int, columns: int, start: int = 0
    ) -> Float[Tensor, "s heads n e"]:
        """Queries or keys, turned by where they are; the first column is number ``start``."""

    @abstractmethod
    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        """What is added to the logits; None where nothing is."""


class _Unturned(Places):
    def turn(
        self, x: Float[Tensor, "s heads n e"], rows: int, columns: int, start: int = 0
    ) -> Float[Tensor, "s heads n e"]:
        return x


@final
class NoPlaces(_Unturned):
    """Tokens are a set."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()

    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        return None


@final
class AxialRotary(Places):
    """Rotary embedding of two axes (arXiv:2104.09864; its 2-D form as OmniTokenizer's code has it): pairs of features
    turn in turn by the column and by the row, at absolute places, whatever the size of the grid."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()

    def turn(
        self, x: Float[Tensor, "s heads n e"], rows: int, columns: int, start: int = 0
    ) -> Float[Tensor, "s heads n e"]:
        width = x.shape[-1]
        if width % 4:
            raise ValueError(f"dim_head={width} must be a multiple of 4 for rotary places of two axes")
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        turns = _turns(rows, columns, start, precise.new_empty(0, width))
        pairs = torch.view_as_complex(precise.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)

    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        return None


def _turns(rows: int, columns: int, start: int, like: Tensor) -> Complex[Tensor, "n pairs"]:
    """Unit complex numbers: the angle of each token and pair of features."""
    width = like.shape[-1]
    speeds = 10000.0 ** (-torch.arange(0, width, 4, device=like.device, dtype=like.dtype) / width)
    row = torch.arange(rows, device=like.device, dtype=like.dtype).repeat_interleave(columns)
    column = torch.arange(start, start + columns, device=like.device, dtype=like.dtype).repeat(rows)
    angles = torch.stack([column[:, None] * speeds, row[:, None] * speeds], dim=-1).flatten(-2)
    return torch.polar(torch.ones_like(angles), angles)


@final
class ContinuousBias(_Unturned):
    """A small network of the signed logarithmic offset gives each head a bias (Swin v2, arXiv:2111.09883)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, dim), nn.LeakyReLU(0.1), nn.Linear(dim, dim), nn.LeakyReLU(0.1), nn.Linear(dim, heads)
        )

    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        weight = next(self.net.parameters())
        row, column = (torch.arange(2 * side - 1, device=weight.device) - (side - 1) for side in (rows, columns))
        offsets = torch.stack(torch.meshgrid(row, column, indexing="ij"), dim=-1).to(weight.dtype)
        table = self.net(offsets.sign() * offsets.abs().log1p())  # one value an offset, not one a pair of tokens
        here = torch.arange(rows * columns, device=weight.device)
        down = here[:, None] // columns - here[None, :] // columns + rows - 1
        right = here[:, None] % columns - here[None, :] % columns + columns - 1
        return rearrange(table[down, right], "i j heads -> heads i j")


@final
class DroppedContinuousBias(_Unturned):
    """As published on the fused path: the network is there and its bias is dropped (arXiv:2406.09399, its code)."""

    known_defects: ClassVar[tuple[str, ...]] = ("position bias dropped by fused attention",)

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.net = ContinuousBias(dim, heads).net

    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        return None


@final
class LinearBias(_Unturned):
    """ALiBi (arXiv:2108.12409): logits fall with the distance in the sequence, each head at its own slope."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.slopes = slopes(heads)

    def bias(self, rows: int, columns: int) -> Float[Tensor, "heads n n"] | None:
        here = torch.arange(rows * columns)
        distance = (here[:, None] - here[None, :]).abs()
        return -torch.tensor(self.slopes)[:, None, None] * distance


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
    continuous_bias=ContinuousBias,
    continuous_bias_dropped=DroppedContinuousBias,
    alibi=LinearBias,
)
PlacesPart = Annotated[Callable[..., Places], PLACES]
