"""Pools: folders of finished runs that others share. They are only ever read.

A borrowed run is a folder of one's own. Its files are links into the pool, one by one, so that what is measured anew
lies beside them and nothing is written where they lead; ``borrowed.json`` says from where it is. ``experiment.json`` is
a copy, so that the run still says what it is where the pool has gone.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from omnitok.runs.holding import Held
from omnitok.runs.names import (
    ADVERSARY,
    ATTEMPTS,
    AVERAGED,
    CHECKPOINT,
    ERROR,
    EVALUATIONS,
    PROVENANCE,
    RECORDS,
    RESULT,
    SAMPLES,
    WEIGHTS,
)
from omnitok.runs.writing import read_json

BORROWED: Final = "borrowed.json"
# The last makes it done.
LENT: Final = (PROVENANCE, "code.diff", RECORDS, ATTEMPTS, WEIGHTS, AVERAGED, ADVERSARY, RESULT)


def pools() -> tuple[Path, ...]:
    """OMNITOK_POOLS: folders of runs, with colons between. Raises ValueError where one is not there."""
    said = [Path(name) for name in os.environ.get("OMNITOK_POOLS", "").split(os.pathsep) if name]
    for place in said:
        if not place.is_dir():
            raise ValueError(f"OMNITOK_POOLS: there is no folder {place}")
    return tuple(place.resolve() for place in said)


def borrowed(folder: Path) -> dict[str, Any] | None:
    """From which ``pool`` and ``run`` there, since when, and the sha256 of the ``weights``; None of a run of one's own."""
    if not (folder / RESULT).is_symlink() or not (folder / BORROWED).exists():
        return None
    said: dict[str, Any] = read_json(folder / BORROWED)
    return said


def borrow(held: Held, lent: Path, said: dict[str, Any], *, measured: bool) -> None:
    """Link the files of a finished run into the folder that is held; ``said`` goes into borrowed.json.

    ``measured``: also what was measured of it there. A kill in between leaves a run that is not done. Raises Fenced.
    """
    held.write_json(held.folder / BORROWED, said)
    for name in (CHECKPOINT, ERROR):
        held.remove(held.folder / name)
    places = (EVALUATIONS, SAMPLES) if measured else ()
    inner = [path for place in places for path in sorted((lent / place).rglob("*")) if _kept(path)]
    for path in [*inner, *(lent / name for name in LENT if (lent / name).exists())]:
        place = held.folder / path.relative_to(lent)
        place.parent.mkdir(parents=True, exist_ok=True)
        held.link(place, path.resolve())


def give_back(held: Held) -> None:
    """The folder as one that was never trained; what was measured here of weights that are gone is gone too. Raises Fenced."""
    folder = held.folder
    measured = [*(folder / EVALUATIONS).glob("*"), *(folder / SAMPLES).rglob("*.png")]
    for path in [folder / RESULT, *links(folder), *measured, folder / BORROWED]:
        held.remove(path)


def links(folder: Path) -> Iterator[Path]:
    """Every link in a borrowed run's folder, also those that lead nowhere now."""
    for place, _, names in os.walk(folder):
        yield from (path for name in sorted(names) if (path := Path(place) / name).is_symlink())


def _kept(path: Path) -> bool:
    """Whether it is a whole file that says no more than was measured."""
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith(ERROR)
