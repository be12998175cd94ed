"""What becomes of jobs that ended badly, by the policies of a sweep: each is judged once, from what its run, Slurm and its
log say. Loads no torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from omnitok import provenance, runs
from omnitok.cluster import Piece, Queued
from omnitok.cluster.ended import told_by_log
from omnitok.cluster.ledger import read
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import ORPHANED
from omnitok.launching.verdicts import History, Verdict, frames, history
from omnitok.runs import Failure
from omnitok.sweep.failures import Failures, Policy, scaled

DEVIATIONS: Final = "OMNITOK_DEVIATIONS"


class Case(NamedTuple):
    """What is looked at: the missing pieces, parents first; how their newest jobs stand; and of each piece the files below
    the runs' root that say why something in it died."""

    root: Path
    folder: Path
    pieces: Sequence[Piece]
    queued: Mapping[str, Queued]
    errors: Mapping[str, Sequence[str]]


class Ended(NamedTuple):
    """A piece whose job ended badly, why, and what that job was given."""

    piece: Piece
    job: Queued
    failure: Failure
    asked: Mapping[str, Any]


class Judged(NamedTuple):
    """``ready``: what may be submitted or is, with what it is to be given. ``over``: what is not tried again, and why.
    ``blocked``: what waits for that. ``new``: what was decided now. ``stop``: why the whole sweep is to stop, or nothing."""

    ready: list[Piece]
    over: dict[str, Failure]
    blocked: set[str]
    new: list[Verdict]
    stop: str


def judge(case: Case, policies: Failures) -> Judged:
    """Decide what is not decided; nothing is written."""
    past, entries = history(case.folder), read(case.folder)
    asked = {entry.piece: entry.resources for entry in entries}
    sharing = Counter(job for job, _ in {(entry.job, entry.piece) for entry in entries})
    found = Judged([], {}, set(), [], "")
    given = dict(past.given)
    for piece in case.pieces:
        if any(parent in found.over or parent in found.blocked for parent in piece.after):
            found.blocked.add(piece.id)
            continue
        if _rests(case, piece):
            continue
        verdict = None
        if (job := _ended(case, piece, past)) is not None:
            verdict = past.verdicts.get((piece.id, job.job))
            if verdict is None:
                failure = why(case, piece, job, shared=sharing[job.job] > 1)
                verdict = _decide(Ended(piece, job, failure, asked.get(piece.id, {})), policies.of(failure.kind), past)
                found.new.append(verdict)
        if verdict is not None and verdict.does == "over":
            found.over[piece.id] = Failure(verdict.kind, verdict.sentence, "", verdict.job)
            continue
        given |= {piece.id: verdict.given} if verdict else {}
        found.ready.append(piece._replace(resources={**piece.resources, **given.get(piece.id, {})}))
    return found._replace(stop=_stop([*past.verdicts.values(), *found.new], policies))


def _rests(case: Case, piece: Piece) -> bool:
    """Whether a worker of a search has found nothing more to do while others are still at it."""
    job = case.queued.get(piece.id)
    if not piece.search or job is None or job.state != "done":
        return False
    beside = [case.queued.get(one.id) for one in case.pieces if one.search == piece.search]
    return any(one is not None and one.state in ACTIVE for one in beside)


def _ended(case: Case, piece: Piece, past: History) -> Queued | None:
    """The job of a piece that is to be judged: it has ended, and not for its parent's sake."""
    job = case.queued.get(piece.id)
    if job is None or job.state in ACTIVE or (piece.id, job.job) in past.forgiven:
        return None
    waited = [case.queued.get(parent) for parent in piece.after]
    orphaned = job.reason == ORPHANED and any(one is None or one.state not in ("pending", "running") for one in waited)
    return None if orphaned and (piece.id, job.job) not in past.verdicts else job


def why(case: Case, piece: Piece, job: Queued, *, shared: bool) -> Failure:
    """Why a job ended badly: as the run itself says, if it speaks of this job; else as Slurm does, or the job's log.

    ``shared``: other pieces were in the same job, so that a traceback in its log may be of another. A run that only knows
    that a process of it died knows less than Slurm.
    """
    said = [
        runs.failure(case.root / path.partition("/")[0], path.partition("/")[2])
        for path in case.errors.get(piece.id, ())
    ]
    mine = [one for one in said if one is not None and one.job == job.job]
    if sure := next((one for one in mine if one.kind != "killed"), None):
        return sure
    told = told_by_log(case.folder, job.job) if job.kind == "killed" else None
    if told and (told.kind == "out_of_memory" or not (shared or mine)):
        return told
    if mine and job.kind == "killed":
        return mine[0]
    if job.state == "done":
        return Failure("lost", f"job {job.job} has ended well and left something undone", "", job.job)
    return Failure(job.kind or "killed", job.said, "", job.job, job.nodes)


def _decide(ended: Ended, policy: Policy, past: History) -> Verdict:
    piece, failure = ended.piece.id, ended.failure
    tries, before = past.tries(piece, failure.kind), past.given.get(piece, {})
    vain = _in_vain(failure, policy, ended.asked)
    parts = [failure.sentence, *([vain] if vain and policy.retry else [])]
    does: Literal["retry", "over"] = "over" if vain or tries >= policy.retry else "retry"
    if does == "over" and tries:
        parts.append("tried again once" if tries == 1 else f"tried again {tries} times")
    given = {} if does == "over" else {**before, **_given(ended, policy, before)}
    said = "; ".join(parts)
    return Verdict(piece, ended.job.job, failure.kind, said, frames(failure.traceback), does, given, provenance.now())


def _in_vain(failure: Failure, policy: Policy, asked: Mapping[str, Any]) -> str:
    """Why another try would end like this one; nothing where it may not."""
    if failure.kind != "out_of_memory" or policy.as_it_was or policy.with_.model_fields_set:
        return ""
    if "CUDA" in failure.sentence or "HIP" in failure.sentence:
        return "more memory of the host does not help a GPU; say failures.out_of_memory.with, such as {recompute: true}"
    return "" if scaled(policy, asked) else "say resources.mem_gb, and it is tried again with more"


def _given(ended: Ended, policy: Policy, before: Mapping[str, Any]) -> dict[str, Any]:
    """What another try is given beyond what was changed before."""
    found = {**scaled(policy, ended.asked), **policy.with_.job}
    if policy.exclude and (nodes := ended.failure.node or ended.job.nodes):
        kept = [one for one in (ended.asked.get("slurm_exclude"), nodes) if one]
        found["slurm_exclude"] = ",".join(dict.fromkeys(kept))
    environment = {**before.get("environment", {}), **policy.with_.environment}
    if deviations := policy.with_.deviations:
        said = f"{', '.join(deviations)} after {ended.failure.kind}"
        old = [one for one in environment.get(DEVIATIONS, "").split("; ") if one]
        environment[DEVIATIONS] = "; ".join(dict.fromkeys([*old, said]))
    return {**found, **({"environment": environment} if environment else {})}


def _stop(verdicts: Sequence[Verdict], policies: Failures) -> str:
    """Why the sweep is to stop: so many jobs with one traceback that the policy has seen enough."""
    alike: dict[tuple[str, str], dict[str, Verdict]] = {}
    for one in verdicts:
        if one.frames:
            alike.setdefault((one.kind, one.frames), {})[one.piece] = one
    for (kind, _), found in alike.items():
        most = policies.of(kind).stop_after
        if most is not None and len(found) >= most:
            last = list(found.values())[-1]
            return f"stopped after {len(found)} jobs with the same traceback: {kind}: {last.sentence}"
    return ""
