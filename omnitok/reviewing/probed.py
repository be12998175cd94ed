"""How long a step takes of which no run says so: a few real steps here and now, of which nothing is kept."""

import statistics
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, cast

from omnitok.reviewing.estimate import Pace, Timed, key
from omnitok.runs import Record
from omnitok.spec import resolve
from omnitok.sweep.plan import Plan, used
from omnitok.sweep.resources import given
from omnitok.training import Task
from omnitok.training.devices import device, device_name, threads
from omnitok.training.stage import StageRun, data_root, spec_of

PLACES: Final = (0.0, 0.5, 1.0)  # where in a stage it is looked: a schedule may begin with images and end with clips
STEPS: Final = 2  # timed at each place, after one that is not
MANY: Final = 4  # arms that are named
LONG_S: Final = 60.0  # a stage that has taken so long is not looked at further


def probed(plan: Plan, found: Timed, told: Callable[[str], None] = lambda line: None) -> Timed:
    """The same with a pace for each stage that trains, has none and is not done; those that a step's time cannot tell apart are
    timed once.

    It trains on this machine's device, with the threads of the sweep, from first weights, without validation and
    checkpoints, and writes nothing. A stage that several processes share is timed as one of them. ``told`` hears what is
    timed. Raises what training raises.
    """
    open_ = [digest for digest, left in found.left.items() if left and "schedule" in found.runs[digest].spec]
    unknown = [digest for digest in open_ if digest not in found.paces]
    shares, kinds = _shares(plan), dict[str, list[str]]()
    for digest in unknown:
        alike = f"{shares.get(digest, 1)} {key(found.runs[digest])}"  # a worker of a search is one process
        kinds.setdefault(alike, []).append(digest)
    arms = _arms(plan, found)
    count = plan.asked.file.resources.threads
    with threads(count):
        for digests in kinds.values():
            run = found.runs[digests[0]]
            names = list(dict.fromkeys(name for digest in digests for name in arms[digest]))
            told(f"probing the stage {run.name} of {_few(names)} on {device_name(device())}")
            found.paces.update(dict.fromkeys(digests, _pace(run, shares.get(digests[0], 1))))
    if found.device or not kinds:
        return found
    return found._replace(device=device_name(device()), threads=count)


def _arms(plan: Plan, found: Timed) -> dict[str, list[str]]:
    """The arms that use each stage, also those that are still searched."""
    arms = {digest: list(one.arms) for digest, one in used(plan.trials, plan.runs).items()}
    for one in found.ahead:
        for digest in [*one.shared, *one.alike]:
            arms.setdefault(digest, []).append(one.searched.name)
    return arms


def _few(names: Sequence[str]) -> str:
    more = len(names) - MANY
    return f"{', '.join(names[:MANY])}{f' and {more} more' if more > 0 else ''}"


def _shares(plan: Plan) -> dict[str, int]:
    """How many processes train each stage together."""
    resources = plan.asked.file.resources
    each = {digest: given(resources, one) for digest, one in used(plan.trials, plan.runs).items()}
    return {digest: int(said.get("nodes", 1)) * int(said.get("tasks_per_node", 1)) for digest, said in each.items()}


def _pace(run: StageRun, shares: int) -> Pace:
    """Mean of what steps take at some places of a stage, which stand for all of it."""
    task: Task = resolve(spec_of(run._replace(spec=_share(run.spec, shares))))(run.seed or 0, data_root())
    seconds: list[float] = []
    begun = time.monotonic()
    for place in PLACES:
        first = int(place * max(0, task.steps - STEPS - 2))
        seconds += _timed(task, first)
        if time.monotonic() - begun > LONG_S or task.steps <= STEPS:
            break
    return Pace(run.name, statistics.fmean(seconds), (), True, len(seconds), device_name(device()))


def _share(spec: Mapping[str, Any], shares: int) -> dict[str, Any]:
    """What one of the processes does, and no look at what is held out before the end."""
    changed: dict[str, Any] = {"batch": max(1, spec.get("batch", 1) // shares), "validate_every": spec.get("steps", 1)}
    return {name: changed.get(name, value) for name, value in spec.items()}


def _timed(task: Task, first: int) -> list[float]:
    """Seconds of some steps from one on. The first has what is done once, and counts only where there is no other."""
    marks = [time.monotonic()]
    with closing(cast(Generator[Record], task.train(first))) as steps:  # its workers end with it
        for _ in islice(steps, STEPS + 1):
            marks.append(time.monotonic())
    spent = [after - before for before, after in zip(marks, marks[1:], strict=False)]
    return spent[1:] or spent
