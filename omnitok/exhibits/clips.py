"""Held-out clips to be played: the original beside what every arm made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from omnitok.exhibits.cells import chosen_arms, chosen_evaluations
from omnitok.exhibits.contract import Clip, Clips, Pieces, Unfit
from omnitok.exhibits.shown import ordered
from omnitok.results import Results
from omnitok.results.collect import slug
from omnitok.results.pictures import Shown
from omnitok.spec import digest

ITEMS: Final = 2
MOST: Final = 12  # arms and baselines beside each other, where nobody says which: each clip is in the page


def clips(
    results: Results, *, evaluations: tuple[str, ...] = (), arms: tuple[str, ...] = (), caption: str = ""
) -> Pieces:
    """Videos of held-out items: the original beside what each arm and baseline made of it.

    evaluations: which; all whose items have more than one frame where none is said.
    arms: which, in this order; all where none is said, but no more than 12 columns.
    caption: in place of what is usually said.
    """
    for name in evaluations:
        chosen_evaluations(results, [name])
        if results.frames(name) == 1:
            moving = [one for one in results.evaluations if results.frames(one) > 1]
            raise Unfit(
                "evaluations", f"{name} is of pictures, which do not move (of videos: {', '.join(moving) or 'none'})"
            )
    names, found = chosen_arms(results, arms), []
    for evaluation in evaluations or results.evaluations:
        if results.frames(evaluation) > 1:
            columns, frames = ordered(results.shown(evaluation), names), results.frames(evaluation)
            kept = columns if arms else columns[:MOST]
            cut = f" The first {MOST} of {len(columns)} arms and baselines." if len(kept) < len(columns) else ""
            found.append(_clips(evaluation, kept, frames, caption or f"{_caption(evaluation, kept, frames)}{cut}"))
    return Pieces.of(*found)


def _clips(evaluation: str, columns: Sequence[Shown], frames: int, caption: str) -> Clips | None:
    """None where nothing can be shown."""
    first = next((column for column in columns if column.folder), None)
    originals = sorted(first.folder.glob("*-original.png"))[:ITEMS] if first and first.folder else []
    if not originals or first is None:
        return None
    rows = [
        (_label(first.items, path), (Clip("original", path), *(Clip(one.name, _made(one, path)) for one in columns)))
        for path in originals
    ]
    return Clips(f"clips-{slug(evaluation, digest(evaluation))}", caption, frames, tuple(rows))


def _caption(evaluation: str, columns: Sequence[Shown], frames: int) -> str:
    seeds = sorted({column.seed for column in columns if column.seed is not None and column.folder})
    whose = f" (arms: seed {', '.join(map(str, seeds))})" if seeds else ""
    return f"Clips of {evaluation}: the original beside what was made of it{whose}; {frames} frames each."


def _label(items: Sequence[str], original: Path) -> str:
    number = int(original.name.partition("-")[0])
    return items[number] if number < len(items) else f"item {number}"


def _made(column: Shown, original: Path) -> Path | None:
    if column.folder is None:
        return None
    path = column.folder / original.name.replace("-original", "-reconstruction")
    return path if path.exists() else None
