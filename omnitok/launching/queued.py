"""How trials stand whose work is jobs of a cluster: their folders first, then the queue. Loads no torch."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from omnitok import runs
from omnitok.cluster import Queued
from omnitok.cluster.ended import LOGS
from omnitok.cluster.ledger import LEDGER
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import ORPHANED, queue
from omnitok.launching.verdicts import Verdict, history, stopped
from omnitok.spec import SpecError
from omnitok.sweep.stored import State, locate, searches, states

MEASURING = ".evaluations"  # how the id of a piece ends that only measures a stage on which other trials stand
REQUEUED = "BeginTime"  # why, to Slurm, a job waits that it has just requeued, or one that a person said a time of
LATE_S = 3600.0  # twice as long as a keeper tries to submit what is to be tried again
WORKER = "search."  # how that of a worker of an arm's search begins: search.ARM.0


def sweep_states(reference: str, sets: Sequence[str] = ()) -> list[State]:
    """How every trial of a launched sweep stands, by its file, name or digest."""
    return asked_states(locate(runs.root(), reference, sets))


def asked_states(folder: Path, ask: Callable[[Path], Mapping[str, Queued]] | None = None) -> list[State]:
    """How every trial of a stored sweep stands, by its folders, and by the queue where something was submitted."""
    arms, trials = searches(folder), states(folder)
    found = [*arms, *trials]
    if all(state.status == "done" for state in found):
        return found
    if (folder / LEDGER).exists():
        try:
            jobs = (ask or queue)(folder)
        except SpecError as error:
            silent = error.faults[0].sentence
            return [
                state if state.status == "done" else state._replace(reason=state.reason or silent) for state in found
            ]
        judged = history(folder).verdicts
        found = [_searched(state, jobs, judged) for state in arms]
        found += [_seen(folder, state, jobs, judged) for state in trials]
    why = stopped(folder)
    return [_stopped(state, why) for state in found] if why else found


def _stopped(state: State, why: str) -> State:
    """What would still come, and does not as the sweep was stopped."""
    return (
        State(state.trial, "cancelled", why)
        if state.status in ("planned", "interrupted", "unevaluated", "cancelled")
        else state
    )


def _seen(folder: Path, state: State, jobs: Mapping[str, Queued], judged: Mapping[tuple[str, str], Verdict]) -> State:
    """What the job of the first stage that is not done says of a trial, where its folders do not say more."""
    if state.status == "done":
        return state
    root, stages = folder.parent.parent, state.trial["stages"]
    missing = [stage for stage in stages if not (root / stage / runs.RESULT).exists()]
    ids = [*missing, stages[-1], stages[-1] + MEASURING]
    found = next(((name, jobs[name]) for name in ids if name in jobs and jobs[name].state != "done"), None)
    if found is None:
        return state
    name, job = found
    verdict = judged.get((name, job.job))
    if job.state in ACTIVE:
        return State(state.trial, "running" if job.state == "running" else "queued", _active(folder, job))
    if verdict and verdict.does == "retry":
        return _tried_again(state, verdict)
    if state.status not in ("planned", "interrupted", "unevaluated"):
        return state
    return _ended(state, job, verdict, last=name in (stages[-1], stages[-1] + MEASURING))


def _active(folder: Path, job: Queued) -> str:
    """A job that waits for its time and has written a log was begun before: Slurm lets what it requeues wait a while."""
    if job.reason == REQUEUED and any((folder / LOGS).glob(f"{job.job}_*_log.err")):
        return f"job {job.job} was requeued, as its node died or it was preempted, and waits: {job.reason}"
    return f"job {job.job}: {job.reason}" if job.reason else f"job {job.job}"


def _searched(state: State, jobs: Mapping[str, Queued], judged: Mapping[tuple[str, str], Verdict]) -> State:
    """An arm's search that goes on no more, as all its workers were given up, is not one that goes on."""
    begins = f"{WORKER}{state.trial['name']}."
    mine = {name: job for name, job in jobs.items() if name.startswith(begins) and name[len(begins) :].isdecimal()}
    over = [one for name, job in mine.items() if (one := judged.get((name, job.job))) and one.does == "over"]
    if state.status != "searching" or not over or len(over) < len(mine):
        return state
    last = over[-1]
    said = f"{last.kind}: {last.sentence}; no worker is left ({state.reason})"
    return State(state.trial, "cancelled" if last.kind == "cancelled" else "failed", said)


def _tried_again(state: State, verdict: Verdict) -> State:
    """A trial whose job is to be submitted again, unless a keeper died of it, or may not submit."""
    why = f"after {verdict.kind}: {verdict.sentence}"
    if verdict.age_s > LATE_S:
        return State(state.trial, "interrupted", f"was to be tried again {why}; nobody did, so launch again")
    return State(state.trial, "queued", f"is tried again {why}")


def _ended(state: State, job: Queued, verdict: Verdict | None, *, last: bool) -> State:
    """A trial of which a job ended badly, and no run says so. ``last``: the job of its last stage."""
    said = f"{verdict.kind}: {verdict.sentence}" if verdict else job.said
    orphaned = job.reason == ORPHANED
    if (verdict.kind if verdict else job.kind) == "cancelled" and not orphaned:
        return State(state.trial, "cancelled", verdict.sentence if verdict else said)
    return State(state.trial, "failed" if last and not orphaned else "blocked", said)
