"""The Fréchet distance of two sets of feature vectors, each taken for a normal distribution (arXiv:1706.08500).

In float64 throughout. A covariance S is held as a factor F with S = F^T F, and the trace of (S1 S2)^1/2 is the sum of the
singular values of F1 F2^T: no root of a rounded eigenvalue near 0 is taken, and where there are fewer vectors than
dimensions the centred vectors are the factor, so that no matrix is larger than they are many.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.everywhere import everyones

Vectors = Float[Tensor, "n d"]


class Normal(NamedTuple):
    """A normal distribution: its mean, and a factor F of its covariance F^T F."""

    mean: Float[Tensor, " d"]
    factor: Float[Tensor, "r d"]


class Moments(NamedTuple):
    """How many vectors there were, their mean, and their scatter: the sum of the outer products of their deviations."""

    size: int
    mean: Float[Tensor, " d"]
    scatter: Float[Tensor, "d d"]

    @classmethod
    def none(cls, width: int) -> "Moments":
        return cls(0, torch.zeros(width, dtype=torch.double), torch.zeros(width, width, dtype=torch.double))

    @classmethod
    def of(cls, vectors: Vectors) -> "Moments":
        mean, deviations = _centred(vectors)
        return cls(len(vectors), mean, deviations.T @ deviations)

    def merged(self, other: "Moments") -> "Moments":
        """Of both sets together (Chan, Golub and LeVeque 1979)."""
        if not self.size or not other.size:
            return self if self.size else other
        size, step = self.size + other.size, other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter.addr_(step, step, alpha=self.size * other.size / size)
        return Moments(size, self.mean + step * (other.size / size), scatter)

    def everywhere(self) -> "Moments":
        """Of the vectors of all processes, merged in the order of their ranks: each process gets the same bits."""
        flat = torch.cat([torch.tensor([self.size], dtype=torch.double), self.mean, self.scatter.flatten()])
        width, found = len(self.mean), Moments.none(len(self.mean))
        for part in everyones(flat[None]):
            size, mean, scatter = part.split([1, width, width * width])
            found = found.merged(Moments(int(size), mean, scatter.view(width, width)))
        return found

    def normal(self) -> Normal:
        """With the unbiased covariance, that over n - 1. Raises ValueError for fewer than two vectors."""
        if self.size < 2:
            raise ValueError(f"a covariance is one of two vectors or more, not {self.size}")
        covariance = self.scatter / (self.size - 1)
        factor, singular = torch.linalg.cholesky_ex(covariance)
        return Normal(self.mean, _root(covariance) if singular else factor.T)


def normal(vectors: Vectors) -> Normal:
    """What the vectors are taken for, with the unbiased covariance, in the smaller of both ways to write it."""
    if len(vectors) > vectors.shape[1] or len(vectors) < 2:
        return Moments.of(vectors).normal()
    mean, deviations = _centred(vectors)
    return Normal(mean, deviations / (len(vectors) - 1) ** 0.5)


def frechet(a: Normal, b: Normal) -> float:
    """The squared Fréchet distance."""
    shared = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    found = (a.mean - b.mean).square().sum() + a.factor.square().sum() + b.factor.square().sum() - 2 * shared
    return float(found.clamp_min(0))


def pull(a: Normal, b: Normal, before: Vectors, after: Vectors) -> Float[Tensor, " n"]:
    """How each pair of vectors, one of either set, moves the distance: its derivative by the pair's weight, which is 1/n,
    so that the distance of a resampled set is to first order the distance and the mean of these. Their mean is 0.

    The derivative of the trace of (S1 S2)^1/2 by S1 is half the matrix of the optimal transport from one normal to the
    other (Knott and Smith 1984), which the singular vectors of F1 F2^T give.
    """
    left, shared, right = torch.linalg.svd(a.factor @ b.factor.T, full_matrices=False)
    some = shared > shared.sum() * torch.finfo(shared.dtype).eps
    scale = shared[some].rsqrt()
    onto_a = (left[:, some] * scale).T @ a.factor
    onto_b = (right[some] * scale[:, None]) @ b.factor
    apart, found = a.mean - b.mean, []
    for x, y in zip(before.split(1024), after.split(1024), strict=True):
        u, v = x.double() - a.mean, y.double() - b.mean
        own = 2 * (u - v) @ apart + u.square().sum(1) + v.square().sum(1)
        found.append(own - (u @ onto_b.T).square().sum(1) - (v @ onto_a.T).square().sum(1))
    whole = torch.cat(found)
    return whole - whole.mean()


def extrapolated(values: Mapping[float, float]) -> float:
    """{n: distance at n vectors} -> the distance at infinitely many: where the line through the distances meets 1/n = 0
    (arXiv:1911.07023)."""
    x = [1 / n for n in values]
    y = list(values.values())
    x0, y0 = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - x0) * (b - y0) for a, b in zip(x, y, strict=True)) / sum((a - x0) ** 2 for a in x)
    return y0 - slope * x0


def by_size(befores: Sequence[Moments], afters: Sequence[Moments]) -> dict[float, float]:
    """{n: distance at n vectors}, of the parts of a set, of their pairs, and so on to the whole: the mean over as many
    parts as there are of each size. Sizes at which a covariance would be singular are left out."""
    found: dict[float, float] = {}
    while True:
        size = sum(part.size for part in befores) / len(befores)
        if min(part.size for part in befores) > len(befores[0].mean):
            sides = zip(befores, afters, strict=True)
            found[size] = sum(frechet(a.normal(), b.normal()) for a, b in sides) / len(befores)
        if len(befores) == 1:
            return found
        befores, afters = _paired(befores), _paired(afters)


def _paired(parts: Sequence[Moments]) -> list[Moments]:
    return [a.merged(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]


def _centred(vectors: Vectors) -> tuple[Tensor, Tensor]:
    exact = vectors.double()
    mean = exact.mean(0)
    return mean, exact - mean


def _root(covariance: Tensor) -> Tensor:
    """A factor of a covariance that is singular; what is rounding alone is left out."""
    values, vectors = torch.linalg.eigh(covariance)
    some = values > values[-1].clamp_min(0) * len(values) * torch.finfo(values.dtype).eps
    return (vectors[:, some] * values[some].sqrt()).T
