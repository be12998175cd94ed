"""Which feature vectors lie among those of another set, where a set is the balls around its vectors that reach to the
k-th nearest of them (arXiv:1904.06991, arXiv:2002.09797). By tiles, in float64; a ball has its border, to rounding."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

AT_ONCE: Final = 2048  # vectors on one side of a tile
ROUNDING: Final = 1e-12  # of a squared distance, as a share of the largest squared length
Vectors = Float[Tensor, "n d"]


class Inside(NamedTuple):
    """How many balls each point lies in, and how many points lie in each ball."""

    of_points: Int[Tensor, " m"]
    of_balls: Int[Tensor, " n"]


def radii(vectors: Vectors, k: int, where: torch.device) -> Float[Tensor, " n"]:
    """The squared distance of each vector to its k-th nearest other one. Raises ValueError where there are too few."""
    if len(vectors) <= k:
        raise ValueError(f"the {k}-th nearest of others is one among {k + 1} vectors or more, not {len(vectors)}")
    found = []
    for i, rows in enumerate(_parts(vectors, where)):
        nearest = rows.new_empty(len(rows), 0)
        for j, columns in enumerate(_parts(vectors, where)):
            squares = _squares(rows, columns)
            if i == j:
                squares.fill_diagonal_(torch.inf)
            together = torch.cat([nearest, squares], 1)
            nearest = together.topk(min(k, together.shape[1]), largest=False).values
        found.append(nearest[:, -1])
    return torch.cat(found)


def inside(centres: Vectors, reach: Float[Tensor, " n"], points: Float[Tensor, "m d"], where: torch.device) -> Inside:
    """``reach``: the squared radius of each centre's ball, as ``radii`` gives it."""
    slack = ROUNDING * max(float(side.double().square().sum(1).max()) for side in (centres, points))
    of_points = torch.zeros(len(points), dtype=torch.long, device=where)
    of_balls = []
    for rows, limits in zip(_parts(centres, where), reach.split(AT_ONCE), strict=True):
        in_these = torch.zeros(len(rows), dtype=torch.long, device=where)
        for j, columns in enumerate(_parts(points, where)):
            within = _squares(rows, columns) <= limits[:, None] + slack
            in_these += within.sum(1)
            of_points[j * AT_ONCE : (j + 1) * AT_ONCE] += within.sum(0)
        of_balls.append(in_these)
    return Inside(of_points.cpu(), torch.cat(of_balls).cpu())


def _parts(vectors: Vectors, where: torch.device) -> Iterator[Tensor]:
    return (part.to(where, torch.double) for part in vectors.split(AT_ONCE))


def _squares(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared distances."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_(min=0)
