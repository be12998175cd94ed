"""Columns of samples: in which order they stand, and whose they are in words."""

from collections.abc import Sequence
from typing import Final

from omnitok.results.pictures import Shown

NAMED: Final = 3  # arms that a caption names, where not all are shown


def ordered(shown: Sequence[Shown], names: Sequence[str]) -> list[Shown]:
    """The arms that are named in that order, then the baselines."""
    arms = {column.name: column for column in shown if column.kind == "arm"}
    return [*(arms[name] for name in names if name in arms), *(one for one in shown if one.kind == "baseline")]


def whose(columns: Sequence[Shown], every: Sequence[Shown]) -> str:
    """Whose samples there are, of ``every`` column that could be shown: "vq (seed 0) and every baseline"."""
    arms, baselines = ([one for one in columns if one.kind == kind and one.folder] for kind in ("arm", "baseline"))
    seeds = ", ".join(map(str, sorted({one.seed for one in arms if one.seed is not None})))
    some = _named(arms, every) + (f" (seed {seeds})" if seeds else "")
    others = _named(baselines, every)
    return f"{some} and {others}" if some and others else some or others.replace("every baseline", "the baselines")


def _named(shown: Sequence[Shown], every: Sequence[Shown]) -> str:
    """All of a kind, a few by their names, or how many; "" of none."""
    if not shown:
        return ""
    kind = shown[0].kind
    whole = sum(one.kind == kind for one in every)
    if len(shown) == whole > 1:
        return f"every {kind}"
    if len(shown) > NAMED:
        return f"{len(shown)} of {whole} {kind}s"
    return ", ".join(one.name for one in shown)
