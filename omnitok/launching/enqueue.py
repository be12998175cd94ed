"""What is missing of a sweep as jobs of a cluster: submitted under its policies, and left alone or watched to the end."""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from omnitok.cluster import Piece, Queued, Submitted, keeper
from omnitok.cluster.asking import Unanswered, ask
from omnitok.cluster.freeze import Moving, freeze
from omnitok.cluster.ledger import alone
from omnitok.cluster.piece import ACTIVE
from omnitok.cluster.questions import HELD, queue
from omnitok.cluster.submit import WINNER, submit
from omnitok.launching import verdicts
from omnitok.launching.judge import Case, Judged, judge
from omnitok.launching.pieces import pieces
from omnitok.launching.searching import search_pieces
from omnitok.launching.settled import Settled, Wanted, trial_name, wanted
from omnitok.launching.verdicts import Verdict
from omnitok.launching.work import Work
from omnitok.runs import Failure
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.plan import used
from omnitok.sweep.resources import Resources, given

KEEPERS: Final = 3  # jobs that are left to keepers, of those that the site lets one user have
DENIED: Final = "Access/permission denied"  # in Slurm's words: whoever asks from here, whatever is asked for


class Jobs(NamedTuple):
    """What was submitted now, how many pieces were queued or running already, and how many the site has no room for.

    ``pieces``: those that a cluster now has; ``open``: what is missing of them, each with the id of its piece. ``over``: pieces
    that failed and are not tried again, ``blocked``: those that wait for them. ``stopped``: why nothing is submitted any
    more. ``notes``: what else there is to say. ``kept``: whether a keeper waits for them."""

    submitted: list[Submitted]
    queued: int
    left: int
    pieces: list[Piece]
    open: list[tuple[str, Wanted]]
    over: Mapping[str, Failure] = {}
    blocked: Set[str] = frozenset()
    stopped: str = ""
    notes: Sequence[str] = ()
    kept: bool = False


class Wish(NamedTuple):
    """Who launches, and what. ``by_hand``: a person does, so that everything that failed is tried again; else the sweep's
    policies say what is. ``only``: folders of stages; None: all."""

    by_hand: bool = True
    only: frozenset[str] | None = None


ALL: Final = Wish()


class Todo(NamedTuple):
    """What is missing: as pieces, parents first, and each piece of work with the id of its piece."""

    pieces: list[Piece]
    open: list[tuple[str, Wanted]]

    def still(self, root: Path) -> "Todo":
        """Without what was done since they were found."""
        left = [(piece, one) for piece, one in self.open if not one.done(root)]
        names = {piece for piece, _ in left}
        names |= {one.id for one in self.pieces if one.search and not (root / one.search / WINNER).exists()}
        return Todo([one for one in self.pieces if one.id in names], left)

    def errors(self) -> dict[str, list[str]]:
        """Of each piece the files that say why something in it died."""
        found: dict[str, list[str]] = {}
        for piece, one in self.open:
            found.setdefault(piece, []).append(one.error)
        return found


def enqueue(root: Path, folder: Path, settled: Settled, wish: Wish) -> Jobs:
    """Submit what is missing and not queued, and a keeper that sees to what ends badly.

    folder: of the stored sweep. Raises SpecError where the cluster does not answer or refuses, Busy where another launcher
    is at it.
    """
    missing, found = lacking(root, settled)
    todo = Todo([*found, *search_pieces(root, settled.planned)], _homes(missing, found))
    if wish.only is not None:
        named = {piece.id for piece in todo.pieces if not wish.only.isdisjoint(piece.folders)}
        todo = Todo([one for one in todo.pieces if one.id in named], [one for one in todo.open if one[0] in named])
    with alone(folder):
        if wish.by_hand:
            verdicts.go_on(folder)
            names = {piece.id for piece in todo.pieces}
            ended = {name: None if job.state in ACTIVE else job.job for name, job in queue(folder).items()}
            verdicts.forgive(folder, {name: job for name, job in ended.items() if name in names})
        return _act(root, folder, settled, todo)


def lacking(
    root: Path, settled: Settled, there: Mapping[str, tuple[Path, str]] = MappingProxyType({})
) -> tuple[list[Wanted], list[Piece]]:
    """What is not done of a plan, and the same as pieces for a cluster, parents first. ``there``: what is yet to be borrowed,
    and counts as done."""
    planned, names, _ = settled
    resources = planned.asked.file.resources
    each = {names[digest]: given(resources, one) for digest, one in used(planned.trials, planned.runs).items()}
    paths = {trial_name(one): [names[digest] for digest in one.stages] for one in planned.trials}
    missing = [one for one in wanted(settled) if not one.done(root) and not one.lent(root, there)]
    return missing, pieces(paths, [one.work for one in missing], each)


def _homes(missing: Sequence[Wanted], found: Sequence[Piece]) -> list[tuple[str, Wanted]]:
    home = {(stage, ""): piece.id for piece in found for stage in piece.stages}
    home |= {(stage, str(said)): piece.id for piece in found for stage, said in piece.evaluations}
    return [(home[_key(one.work)], one) for one in missing]


def _key(work: Work) -> tuple[str, str]:
    return work.stage, str(work.evaluation) if work.evaluation else ""


def _act(root: Path, folder: Path, settled: Settled, todo: Todo) -> Jobs:
    """Judge what ended badly, submit what may be, and see that somebody wakes when the next one does."""
    file = settled.planned.asked.file
    queued = queue(folder) if todo.pieces else {}
    todo = todo.still(root)  # whose job has ended well by now has nothing left undone
    judged = judge(Case(root, folder, todo.pieces, queued, todo.errors()), file.failures)
    verdicts.add(folder, judged.new)
    notes: list[str] = []
    if judged.stop and not verdicts.stopped(folder):
        verdicts.stop(folder, judged.stop)
        notes += _cancel_waiting(folder, queued)
    submitted: list[Submitted] = []
    stopped = verdicts.stopped(folder)
    if judged.ready and not stopped:
        submitted, refused = _submit(root, folder, judged, file.resources, queued)
        judged.over.update(refused)
    active = _active(queue(folder)) if todo.pieces else {}
    done = _jobs(todo, judged, submitted, active)
    kept = file.resources.keeper and not stopped and bool(done.pieces)
    if kept:
        jobs = {piece: job.job for piece, job in active.items()} | dict(submitted)
        lacks = _cover(root, folder, file.resources, done, jobs)
        notes, kept = notes + lacks, not lacks
    return done._replace(stopped=stopped, notes=notes, kept=kept)


def _jobs(todo: Todo, judged: Judged, submitted: list[Submitted], active: Mapping[str, Queued]) -> Jobs:
    mine = {one.piece for one in submitted}
    ready = [piece for piece in judged.ready if piece.id not in judged.over]
    there = [piece for piece in ready if piece.id in mine or piece.id in active]
    names = {piece.id for piece in there}
    blocked = judged.blocked | {one.id for one in ready if not judged.over.keys().isdisjoint(one.after)}
    tracked = [(name, one) for name, one in todo.open if name in names]
    left = len([piece for piece in ready if piece.id not in names | blocked])
    return Jobs(submitted, len(there) - len(mine & names), left, there, tracked, judged.over, blocked)


def _active(jobs: Mapping[str, Queued]) -> dict[str, Queued]:
    return {piece: job for piece, job in jobs.items() if job.state in ACTIVE}


def _submit(
    root: Path, folder: Path, judged: Judged, resources: Resources, queued: Mapping[str, Queued]
) -> tuple[list[Submitted], dict[str, Failure]]:
    """What was submitted, and what Slurm refuses of that which is tried again with other resources than the sweep says: that
    is over, and keeps nothing else from being submitted."""
    past = {one.piece: one for one in verdicts.history(folder).verdicts.values()}
    changed = {name for name, one in past.items() if one.does == "retry" and one.given}
    held = [job.job for piece in judged.ready if (job := queued.get(piece.id)) and job.reason == HELD]
    with suppress(Unanswered):  # it would never run anyway
        if held:
            ask("scancel", *held)
    found: list[Submitted] = []
    refused: dict[str, Failure] = {}
    for some in _alike(one for one in judged.ready if one.id in changed and not _waits(one, queued)):
        try:
            found += _submitted(root, folder, some, resources)
        except SpecError as error:
            said = error.faults[0].sentence
            if "refuses" not in said or DENIED in said:
                raise
            over = [_over(past[piece.id], said) for piece in some]
            verdicts.add(folder, over)
            refused |= {one.piece: Failure(one.kind, one.sentence, "", one.job) for one in over}
    there = [one for one in judged.ready if one.id not in refused and refused.keys().isdisjoint(one.after)]
    return found + _submitted(root, folder, there, resources), refused


def _alike(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Those together that are given the same: Slurm takes all of them, or none."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(json.dumps(piece.resources, sort_keys=True), []).append(piece)
    return list(found.values())


def _over(verdict: Verdict, why: str) -> Verdict:
    return verdict._replace(sentence=f"{verdict.sentence}; {why}", does="over", given={})


def _waits(piece: Piece, queued: Mapping[str, Queued]) -> bool:
    """Whether a parent is to be submitted with it: then both go together."""
    return any(parent not in queued or queued[parent].state not in ACTIVE for parent in piece.after)


def _submitted(root: Path, folder: Path, some: Sequence[Piece], resources: Resources) -> list[Submitted]:
    try:
        return submit(root, folder, some, resources, spare=spare_of(resources))
    except Moving as error:
        raise SpecError([Fault(Mark("--cluster slurm"), "", str(error))]) from None


def spare_of(resources: Resources) -> int:
    """Jobs of a user's room that pieces leave to keepers."""
    return KEEPERS if resources.keeper else 0


def _cancel_waiting(folder: Path, queued: Mapping[str, Queued]) -> list[str]:
    """What waits is cancelled, what runs goes on. -> what went wrong."""
    waits = [job.job for job in queued.values() if job.state == "pending"]
    try:
        if waits:
            ask("scancel", *keeper.waiting(folder), *waits)
    except Unanswered as error:
        return [str(error)]
    return []


def _cover(root: Path, folder: Path, resources: Resources, done: Jobs, jobs: Mapping[str, str]) -> list[str]:
    """See that a keeper waits for every job, {piece: job}. -> what keeps one from it, which is no reason to submit nothing."""
    wakes: dict[str, keeper.Wake] = {}
    for piece in done.pieces:
        if jobs.get(piece.id):
            wakes[jobs[piece.id]] = "afterany" if piece.search else "afternotok"
    try:
        keeper.cover(folder, freeze(root), wakes, resources.job, room=done.left > 0)
    except (Unanswered, SpecError, Moving) as error:
        return [f"no keeper sees to what ends badly ({error}): launch again then, or watch with --wait"]
    return []
