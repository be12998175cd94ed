"""Distances of two sets of features against the formulas of other packages: processor time and exactness."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from benchmarks.measure import Row, times
from omnitok.metrics.frechet import frechet, normal, pull
from omnitok.metrics.interval import interval
from omnitok.metrics.kernel import paired_discrepancies
from omnitok.metrics.manifold import inside, radii

CPU = torch.device("cpu")


def distances(*, repeats: int = 3, items: int = 5000, width: int = 2048) -> list[Row]:
    """From features to the number, ours in turn with others."""
    before, after = _features(items, width)
    calls = {
        "ours": lambda: frechet(normal(before), normal(after)),
        "sqrtm": lambda: _written(before, after, lambda s: np.trace(scipy.linalg.sqrtm(s)).real),
        "eigvals": lambda: _written(before, after, lambda s: np.sqrt(np.linalg.eigvals(s) + 0j).real.sum()),
    }
    taken, found = _in_turn(calls, repeats)
    size = f"two sets of {items:,} x {width:,}"
    rows = []
    for name, whose, target in (("sqrtm", "pytorch-fid", 1.0), ("eigvals", "torchmetrics", None)):
        what, of = f"time of a Fréchet distance, against the formula of {whose}", f"of {whose}'s"
        how = f"processor time from {size} features on, one thread, in turn with the formula by `{name}`"
        samples = tuple(a / b for a, b in zip(taken["ours"], taken[name], strict=True))
        best = f"{min(taken['ours']):.3g} s, theirs {min(taken[name]):.3g} s at best"
        rows.append(Row(what, how, of, samples, target, best))
    far = abs(found["ours"] - found["sqrtm"]) / found["sqrtm"]
    how = "relative, where there are more vectors than features"
    rows.append(Row("difference of a Fréchet distance from pytorch-fid's", how, "of it", (far,), 1e-8))
    return rows + _others(before, after, repeats, size, statistics.median(taken["ours"]))


def _others(before: Tensor, after: Tensor, repeats: int, size: str, distance: float) -> list[Row]:
    """What has nothing to be held against but the distance."""
    normals = normal(before), normal(after)
    items = before[:, None], after[:, None]
    calls: dict[str, Callable[[], Any]] = {
        "its 95 % interval": lambda: interval(1.0, pull(*normals, before, after), 1000, "a benchmark"),
        "KID of all pairs": lambda: paired_discrepancies(*items, CPU),
        "precision": lambda: inside(before, radii(before, 3, CPU), after, CPU),
    }
    taken, _ = _in_turn(calls, repeats)
    how = f"processor time of {size} features, one thread"
    ratios = {name: times(statistics.median(samples), distance, "the distance") for name, samples in taken.items()}
    return [Row(f"time of {name}", how, "s", samples, None, ratios[name]) for name, samples in taken.items()]


def _features(items: int, width: int) -> tuple[Tensor, Tensor]:
    """Of unequal variances, before and after a small change."""
    draw = torch.Generator().manual_seed(0)
    before = torch.randn(items, width, generator=draw) * torch.logspace(0, -2.5, width)
    return before, before + 0.02 * torch.randn(items, width, generator=draw)


def _written(before: Tensor, after: Tensor, root: Callable[[Any], Any]) -> float:
    """As arXiv:1706.08500 writes it; ``root``: the trace of the root of a matrix."""
    x, y = before.double().numpy(), after.double().numpy()
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * root(s @ t))


def _in_turn(calls: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, tuple[float, ...]], dict[str, Any]]:
    """Seconds of processor time, and what was found at last."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    found: dict[str, Any] = {}
    for _ in range(repeats):
        for name, call in calls.items():
            begun = time.process_time()
            found[name] = call()
            taken[name].append(time.process_time() - begun)
    return {name: tuple(samples) for name, samples in taken.items()}, found
