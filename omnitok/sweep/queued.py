"""How trials stand whose work is jobs of a cluster: their folders first, then the queue. Loads no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from omnitok import runs
from omnitok.cluster import Queued
from omnitok.cluster.ledger import LEDGER
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import queue
from omnitok.spec import SpecError
from omnitok.sweep.stored import State, locate, states

MEASURING = ".evaluations"  # how the id of a piece ends that only measures a stage on which other trials stand


def sweep_states(reference: str, sets: Sequence[str] = ()) -> list[State]:
    """How every trial of a launched sweep stands, by its file, name or digest."""
    return asked_states(locate(runs.root(), reference, sets))


def asked_states(folder: Path) -> list[State]:
    """How every trial of a stored sweep stands, by its folders, and by the queue where something was submitted."""
    found = states(folder)
    if not (folder / LEDGER).exists() or all(state.status == "done" for state in found):
        return found
    try:
        jobs = queue(folder)
    except SpecError as error:
        silent = error.faults[0].sentence
        return [state if state.status == "done" else state._replace(reason=state.reason or silent) for state in found]
    return [_seen(folder.parent.parent, state, jobs) for state in found]


def _seen(root: Path, state: State, jobs: Mapping[str, Queued]) -> State:
    """What the job of the first stage that is not done says of a trial, where its folders do not say more."""
    if state.status == "done":
        return state
    stages = state.trial["stages"]
    missing = [stage for stage in stages if not (root / stage / runs.RESULT).exists()]
    ids = [*missing, stages[-1], stages[-1] + MEASURING]
    found = next(((name, jobs[name]) for name in ids if name in jobs and jobs[name].state != "done"), None)
    if found is None:
        return state
    name, (job, stands, reason) = found
    if stands in ACTIVE:
        said = f"job {job}: {reason}" if reason else f"job {job}"
        return State(state.trial, "running" if stands == "running" else "queued", said)
    if state.status in ("planned", "interrupted", "unevaluated"):
        said = f"job {job} is {stands}: {reason}"
        ended = "blocked" if name not in (stages[-1], stages[-1] + MEASURING) else "failed"
        return State(state.trial, "interrupted" if stands == "cancelled" else ended, said)
    return state
