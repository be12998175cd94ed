"""What the unfinished searches of a plan may still take, at most: as if nothing were pruned, and every suggestion cost what
the arm does as it is written."""

from collections.abc import Mapping
from typing import NamedTuple

from omnitok.launching.searching import unfinished
from omnitok.search.arm import bind
from omnitok.search.pruners import PRUNERS
from omnitok.sweep.file import address
from omnitok.sweep.plan import Plan
from omnitok.sweep.searched import Searched
from omnitok.sweep.stored import ended
from omnitok.training.stage import StageRun


class Ahead(NamedTuple):
    """Of one arm. ``shared``: runs that are the same whatever is suggested, of every seed, by digest; ``alike``: of the other
    stages the arm's own, by a name that is no digest, each of which stands for ``suggestions`` runs and for ``winners``, the
    other seeds of what will have won."""

    searched: Searched
    shared: dict[str, StageRun]
    alike: dict[str, StageRun]
    suggestions: int
    winners: int

    @property
    def times(self) -> int:
        """How many runs each of ``alike`` stands for."""
        return self.suggestions + self.winners

    @property
    def prunes(self) -> bool:
        """Whether a suggestion may leave a checkpoint, rather than weights."""
        return self.searched.search.pruner != PRUNERS.default("none")

    def hours(self, each: Mapping[str, float]) -> dict[str, float]:
        """Hours of training of ``alike`` by name, as far as they are known, within those that the search may take. ``each``:
        of one run, by name."""
        known = {name: each[name] for name in self.alike if name in each}
        of_suggestions = sum(known.values()) * self.suggestions
        share = 1.0
        if (most := self.searched.search.hours) is not None and of_suggestions:
            share = min(1.0, max(0.0, most - self.searched.standing.seconds / 3600) / of_suggestions)
        return {name: hours * (self.suggestions * share + self.winners) for name, hours in known.items()}


def ahead(plan: Plan) -> list[Ahead]:
    """Of each arm that is still searched."""
    return [_ahead(one, plan.asked.file.seeds) for one in unfinished(plan)]


def _ahead(one: Searched, seeds: tuple[int, ...]) -> Ahead:
    count = _same(one)
    bound = [bind(one.stages, seed) for seed in seeds]
    shared = {run.digest: run for stages in bound for run in stages[:count]}
    alike = {f"search {one.name}: {run.name}": run for run in bound[0][count:]}
    return Ahead(one, shared, alike, max(0, one.search.trials - ended(one.standing)), len(seeds) - 1)


def _same(one: Searched) -> int:
    """How many stages, from the first on, are the same of whatever is suggested."""
    space, names = one.said["space"], [stage.name for stage in one.stages]
    touched = [address(one.text, path, space.marks[path])[1:2] for path in space]
    return min((names.index(str(name[0])) if name else 0 for name in touched), default=len(names))
