"""Where a token is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.spec import Count, Positive, Registry


class Position(nn.Module, ABC):
    """Tokens -> tokens that know where they are. ``Component(dim, *, ...)``; the same place gives the same addition
    whatever the size of the grid, so a prefix of a clip stays a prefix. ``start``: the number of the first frame."""

    version: ClassVar[int] = 1

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t h w d"], start: int = 0) -> Float[Tensor, "b t h w d"]: ...


@final
class NoPosition(Position):
    """Nothing is added: a token knows its place only through its attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"], start: int = 0) -> Float[Tensor, "b t h w d"]:
        return x


@final
class Sinusoidal(Position):
    """Fixed sines and cosines of time, row and column, a third of the channels each (arXiv:1706.03762, sec. 3.5).

    longest: the longest wave in tokens; larger tells apart places that are farther away.
    """

    def __init__(self, dim: int, *, longest: Positive = 100.0) -> None:
        super().__init__()
        self.waves = dim // 6
        self.longest = longest
        if not self.waves:
            raise ValueError(f"dim={dim} must be at least 6 for sines and cosines of three axes")

    def forward(self, x: Float[Tensor, "b t h w d"], start: int = 0) -> Float[Tensor, "b t h w d"]:
        _, t, h, w, d = x.shape
        time, row, column = (self._axis(first, size, x) for first, size in ((start, t), (0, h), (0, w)))
        grid = torch.cat(
            [
                time[:, None, None].expand(t, h, w, -1),
                row[None, :, None].expand(t, h, w, -1),
                column[None, None, :].expand(t, h, w, -1),
            ],
            dim=-1,
        )
        return x + torch.nn.functional.pad(grid, (0, d - grid.shape[-1])).to(x.dtype)

    def _axis(self, first: int, size: int, like: Tensor) -> Tensor:
        precise = torch.promote_types(like.dtype, torch.float32)
        places = torch.arange(first, first + size, device=like.device, dtype=precise)
        power = torch.arange(self.waves, device=like.device, dtype=precise) / max(self.waves - 1, 1)
        angles = places[:, None] * 2 * math.pi / (2.0 * (self.longest / 2.0) ** power)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


@final
class LearnedPosition(Position):
    """A learned vector for each frame, row and column, added up (absolute embeddings as ViT has them, arXiv:2010.11929,
    an axis each).

    frames: how many latent frames have one; more let a clip be longer.
    rows: how many rows of the latent grid have one; more let a frame be higher.
    columns: how many columns have one; more let a frame be wider.
    """

    def __init__(self, dim: int, *, frames: Count = 16, rows: Count = 64, columns: Count = 64) -> None:
        super().__init__()
        self.frames, self.rows, self.columns = (nn.Parameter(torch.empty(n, dim)) for n in (frames, rows, columns))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for table in (self.frames, self.rows, self.columns):
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, x: Float[Tensor, "b t h w d"], start: int = 0) -> Float[Tensor, "b t h w d"]:
        _, t, h, w, _ = x.shape
        asked = {"frames": (self.frames, start + t), "rows": (self.rows, h), "columns": (self.columns, w)}
        for name, (table, size) in asked.items():
            if size > len(table):
                raise ValueError(f"{name}={len(table)} cannot place a latent grid of {size} {name}")
        grid = self.frames[start : start + t, None, None] + self.rows[:h, None] + self.columns[:w]
        return x + grid.to(x.dtype)


POSITIONS: Registry[Position] = Registry(
    "position",
    group="omnitok.positions",
    contract=Position,
    none=NoPosition,
    sinusoidal=Sinusoidal,
    learned=LearnedPosition,
)
PositionPart = Annotated[Callable[..., Position], POSITIONS]
