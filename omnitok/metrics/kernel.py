"""The squared maximum mean discrepancy of two sets of feature vectors under a cubic kernel: KID (arXiv:1801.01401)."""

from collections.abc import Iterator
from typing import Final

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

AT_ONCE: Final = 1024  # vectors on one side of a tile
Items = Float[Tensor, "n k d"]  # k vectors an item


def cubic(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """(x y / d + 1)^3."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def discrepancy(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> float:
    """Of two independent sets, unbiased: the mean kernel within either, of two different vectors, less twice that between."""
    within = sum(_apart(cubic(side, side)) / (len(side) * (len(side) - 1)) for side in (x.double(), y.double()))
    return float(within - 2 * cubic(x.double(), y.double()).mean())


def paired_discrepancies(x: Items, y: Items, where: torch.device) -> Float[Tensor, " n"]:
    """Of items before and after: what each item has as its share, of which the mean is unbiased (the U-statistic of
    Gretton et al. 2012, Lemma 6). An item is never held against itself, neither before nor after, so that nothing changed
    is exactly 0. Holds no more than a tile of 1,024 vectors squared, in float64, ``where`` it is told."""
    many, frames, _ = x.shape
    found = torch.zeros(many, dtype=torch.double, device=where)
    tiles = list(_tiles(many, frames))
    for i, rows in enumerate(tiles):
        x1, y1 = (_flat(side[rows], where) for side in (x, y))
        for columns in tiles[i:]:
            x2, y2 = (_flat(side[columns], where) for side in (x, y))
            both = cubic(x1, x2) + cubic(y1, y2) - cubic(x1, y2) - cubic(y1, x2)
            items = reduce(both, "(n k) (m l) -> n m", "mean", k=frames, l=frames)
            if rows == columns:
                items.fill_diagonal_(0)
            else:
                found[columns] += items.sum(0)
            found[rows] += items.sum(1)
    return found.cpu() / (many - 1)


def _apart(kernel: Tensor) -> Tensor:
    return kernel.sum() - kernel.trace()


def _tiles(items: int, frames: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // frames)
    return (slice(start, min(start + step, items)) for start in range(0, items, step))


def _flat(items: Items, where: torch.device) -> Float[Tensor, "m d"]:
    return rearrange(items.to(where, torch.double), "n k d -> (n k) d")
