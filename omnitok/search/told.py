"""What passes between a worker and whoever trains for it: what is to be trained, what is told meanwhile, what came of it."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from omnitok.search.space import Values

Ended = Literal["complete", "pruned", "failed", "infeasible", "stopped"]


class Outcome(NamedTuple):
    """What came of a suggestion. ``values``: {metric: value} of objectives and constraints as far as they are known;
    ``broken``: {constraint: how far it is broken, 0 or less where it is kept}; ``reason``: one sentence."""

    ended: Ended
    values: dict[str, float] = {}  # noqa: RUF012, which nobody changes
    broken: dict[str, float] = {}  # noqa: RUF012, nor this
    reason: str = ""


class Told(NamedTuple):
    """What a trainer tells its worker. ``began``: the digests of the stages, first to last, before they are trained;
    ``report``: (steps of the last stage, value of the objective) as it is measured before the end, -> whether to end there;
    ``stop``: whether to save and end. ``pruned_at``: where an attempt before this one was told to end, if it was."""

    number: int
    began: Callable[[tuple[str, ...]], None]
    report: Callable[[int, float], bool]
    stop: Callable[[], bool]
    pruned_at: int = 0


class Train(Protocol):
    """Trains one suggestion, or goes on where an attempt before it was. May raise what is not the suggestion's fault, such
    as a full disk: it is tried again."""

    def __call__(self, labels: Values, told: Told, /) -> Outcome: ...
