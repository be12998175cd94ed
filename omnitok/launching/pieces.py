"""What a plan still lacks as pieces for a cluster: paths of stages on which nobody else waits, one job each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from omnitok.cluster.piece import Piece
from omnitok.launching.queued import MEASURING
from omnitok.launching.work import Work


def pieces(
    paths: Mapping[str, Sequence[str]], missing: Sequence[Work], given: Mapping[str, Mapping[str, Any]]
) -> list[Piece]:
    """Every missing stage and evaluation exactly once, parents first, in time linear in what there is.

    paths: trial -> the folder names of its stages, missing or not; missing: parents before children; given: stage -> what
    its jobs are given. A stage on which several trials or several stages stand ends a piece, and so does a change of what
    is given. The evaluations of a stage belong to its piece; those of one on which other trials stand are a piece of
    their own, so that nobody waits for a measurement or is lost with one.
    """
    users = Counter(stage for stages in paths.values() for stage in stages)
    trainings = {work.stage: work for work in missing if not work.evaluation}
    evaluations: dict[str, list[Work]] = {}
    for work in missing:
        if work.evaluation:
            evaluations.setdefault(work.stage + MEASURING * (users[work.stage] > 1), []).append(work)
    found: dict[str, list[Work]] = {}  # id -> the work of a piece
    ids: dict[str, str] = {}  # a missing stage -> its piece
    for path in _unshared(trainings, users, given):
        found[path[-1].stage] = [*path, *evaluations.pop(path[-1].stage, [])]
        ids |= {work.stage: path[-1].stage for work in path}
    return [_piece(name, works, ids, given[works[-1].stage]) for name, works in (found | evaluations).items()]


def _unshared(
    trainings: Mapping[str, Work], users: Mapping[str, int], given: Mapping[str, Mapping[str, Any]]
) -> list[list[Work]]:
    """The missing stages as paths. Whoever uses a stage uses its parents, so as many users are the same users."""
    children = Counter(parent for work in trainings.values() for parent in set(work.after))
    paths: list[list[Work]] = []
    place: dict[str, int] = {}
    for stage, work in trainings.items():
        before = max((parent for parent in work.after if parent in place), key=lambda parent: place[parent], default="")
        alone = before and children[before] == 1
        if alone and (users[before], given[before]) == (users[stage], given[stage]):
            place[stage] = place[before]
            paths[place[before]].append(work)
        else:
            place[stage] = len(paths)
            paths.append([work])
    return paths


def _piece(name: str, works: Sequence[Work], ids: Mapping[str, str], given: Mapping[str, Any]) -> Piece:
    stages = [work for work in works if not work.evaluation]
    after = dict.fromkeys(ids[parent] for work in works for parent in work.after if parent in ids)
    return Piece(
        id=name,
        label=(stages or works)[-1].label,
        stages=tuple(work.stage for work in stages),
        evaluations=tuple((work.stage, work.evaluation) for work in works if work.evaluation),
        after=tuple(one for one in after if one != name),
        resources=dict(given),
    )
