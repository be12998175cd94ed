"""How a search stands and what won, as files that whoever ends a trial writes: to read them needs no Optuna."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.runs.writing import lines

SEARCH: Final = "search.json"  # what is searched in one arm
STANDING: Final = "standing.json"
TRIALS: Final = "trials.jsonl"  # a line a suggestion: number, state, values, objectives, runs, reason
WINNER: Final = "winner.json"  # written last: its existence is "done"


class Standing(NamedTuple):
    """How many suggestions there are of how many, and what became of them. ``target``: in total, trials of other sweeps
    not counted, which are ``warm``. ``best``: values of the objectives by metric, of the trial that would win now."""

    target: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    infeasible: int = 0  # broke a constraint, or could not be built; most of them were not trained
    running: int = 0
    warm: int = 0
    seconds: float = 0.0  # of training, of what has ended
    best: dict[str, float] = {}  # noqa: RUF012, which nobody changes
    best_trial: int | None = None
    done: bool = False
    reasons: dict[str, int] = {}  # noqa: RUF012, nor this: why trials failed, how often each

    @property
    def started(self) -> int:
        return self.complete + self.pruned + self.failed + self.infeasible + self.running


def standing(folder: Path) -> Standing:
    """How the search in a folder stands. Before the first suggestion nothing has come of it. Raises FileNotFoundError
    where no search was prepared there."""
    target = int(runs.read_json(folder / SEARCH)["search"]["trials"])
    path = folder / STANDING
    try:
        kept = Standing(**json.loads(path.read_bytes())) if path.exists() else Standing(target)
    except ValueError:  # a power failure; whoever works next writes it again
        kept = Standing(target)
    return kept._replace(target=target, done=winner(folder) is not None)


def winner(folder: Path) -> dict[str, Any] | None:
    """What won, once the target is met and nothing runs: ``trial`` its number, ``values`` {path: value} to be patched into
    the arm's text, ``labels`` {path: number or label} as drawn, ``label`` the same in a line, ``objectives``, ``runs``.

    ``trial`` is None where no trial came to an end that counts, and ``reason`` says so; ``stopped``: where the arm was given up
    before its target, as its trials failed alike. None while the search goes on."""
    path = folder / WINNER
    return dict(runs.read_json(path)) if path.exists() else None


def trials(folder: Path) -> list[dict[str, Any]]:
    """Every suggestion in order of its number, as it was when one last ended: ``number``, ``state`` (complete, pruned, failed,
    infeasible, running), ``labels`` {path: number or label}, ``objectives`` {metric: value}, ``runs`` (digests of
    its stages, first to last), ``attempts``, ``seconds``, ``deviations``, ``reason``, ``warm`` (which trial of another sweep it is)."""
    return lines(folder / TRIALS)
