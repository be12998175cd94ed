"""How pieces would be submitted, before anything is: the same arrays, under made-up numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from omnitok.cluster.piece import Piece
from omnitok.cluster.questions import Limits
from omnitok.cluster.submit import Array, Resources, _ready, _split


class Layout(NamedTuple):
    """``arrays``: as they would be submitted, parents first; what one waits for is ``afterok:#2_0``, the task 0 of the
    second of them, or a job that is there. ``left``: pieces that the site has no room for now."""

    arrays: tuple[Array, ...]
    left: tuple[Piece, ...]

    @property
    def jobs(self) -> int:
        return sum(len(array.jobs) for array in self.arrays)


def layout(pieces: Sequence[Piece], there: Mapping[str, str], resources: Resources, site: Limits) -> Layout:
    """Of pieces that are to be submitted. ``there``: the jobs of pieces that are with Slurm; ``site``: with as much room as
    is left."""
    jobs, wanted, found = dict(there), list(pieces), list[Array]()
    shared, room = {parent for piece in pieces for parent in piece.after}, site.submitted
    while room > 0 and (arrays := _ready(wanted, jobs, {}, resources, shared)):
        for array in _split(arrays, max(1, site.array), room):
            found.append(array)
            room -= len(array.jobs)
            for index, job in enumerate(array.jobs):
                jobs |= {piece.id: f"#{len(found)}_{index}" for piece in job}
        wanted = [piece for piece in wanted if piece.id not in jobs]
    return Layout(tuple(found), tuple(wanted))
