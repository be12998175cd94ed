"""How pieces would be submitted, before anything is: the same arrays, under made-up numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from omnitok.cluster.piece import Piece
from omnitok.cluster.questions import Limits
from omnitok.cluster.submit import Around, Array, Resources, hand_out


class Layout(NamedTuple):
    """``arrays``: as they would be submitted, parents first; what one waits for is ``afterok:#2_0``, the task 0 of the
    second of them, or a job that is there. ``left``: pieces that the site has no room for now."""

    arrays: tuple[Array, ...]
    left: tuple[Piece, ...]

    @property
    def jobs(self) -> int:
        return sum(len(array.jobs) for array in self.arrays)


def layout(wanted: Sequence[Piece], around: Around, resources: Resources, site: Limits) -> Layout:
    """Of pieces that are to be submitted. ``site``: with as much room as is left."""
    found: list[Array] = []

    def hand(array: Array) -> dict[str, str]:
        found.append(array)
        jobs = enumerate(array.jobs)
        return {piece.id: f"#{len(found)}_{index}" for index, job in jobs for piece in job}

    left = hand_out(wanted, around, resources, site, hand)
    return Layout(tuple(found), tuple(left))
