"""A worker of one arm's search: it pulls suggestions until the target is met. ``python -m omnitok.search.worker ROOT FOLDER``
is one as a process, which SIGTERM asks to save and end."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from omnitok import provenance, runs
from omnitok.processes import world
from omnitok.search.asked import storage_refusal
from omnitok.search.claims import LOOK_S, Claimed, Claims
from omnitok.search.prepare import Prepared, read
from omnitok.search.pruners import PRUNERS
from omnitok.search.ranking import NOTES
from omnitok.search.standing import WINNER
from omnitok.search.storage import Unanswered, open_storage, patiently
from omnitok.search.told import Outcome, Told, Train
from omnitok.spec import Fault, Mark, SpecError, counted, resolve
from omnitok.training.environment import check_environment
from omnitok.training.studies import study_url

DEATHS: Final = 3  # how many attempts in a row may die at the same step before the trial counts as failed
STATES: Final = {
    "complete": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,  # with the constraint that it breaks, of which a sampler may learn
}


class Worked(NamedTuple):
    """What one worker did. ``trials``: the numbers of those that it ended; ``stopped``: whether it was asked to stop."""

    trials: tuple[int, ...]
    stopped: bool


def work(
    folder: Path,
    stop: Callable[[], bool] = lambda: False,
    *,
    root: Path | None = None,
    train: Train | None = None,
    passing: Callable[[str], None] = lambda line: None,
) -> Worked:
    """Pull until the target of the search in ``folder`` is met and nothing runs, or until ``stop`` says so: what was being
    trained then has its checkpoint, and whoever comes next goes on with it, under the same number.

    root: where runs live; none: ``folder`` is ``<root>/sweeps/<digest>/search/<arm>``. train: what trains a suggestion;
    none: the arm. passing: is called with the name of each line that a kill could hit, for tests.

    Raises SpecError where the study cannot be had; what training raises and no suggestion is to blame for, such as a full
    disk: the trial is open then, and is tried again up to ``DEATHS`` times; the database's error after an hour's silence.
    """
    if (folder / WINNER).exists():
        return Worked((), stopped=False)
    worker = _Worker(folder, root or folder.parents[3], stop, passing)
    with ExitStack() as stack:
        try:
            worker.begin(stack, train)
            return worker.pull()
        except Unanswered:
            return Worked(tuple(worker.ended), stopped=True)


class _Worker:
    def __init__(self, folder: Path, root: Path, stop: Callable[[], bool], passing: Callable[[str], None]) -> None:
        self.folder, self.root, self.stop, self.passing = folder, root, stop, passing
        self.ended: list[int] = []
        self.claims: Claims
        self.train: Train

    def begin(self, stack: ExitStack, train: Train | None) -> None:
        prepared = read(self.folder)
        self._refuse_more(stack)
        self.train = train or _arm(self.root, prepared)
        storage = patiently(lambda: open_storage(self.folder), self.stop)
        self.claims = Claims(self.folder, self.root, storage, _pruner(prepared), self.passing)
        with self.claims.alone(self.stop) as held:
            if held is not None:
                patiently(lambda: self.claims.begin(held), self.stop)

    def pull(self) -> Worked:
        while not self.stop():
            claimed = self._claim()
            if claimed is True:
                return Worked(tuple(self.ended), stopped=False)
            if isinstance(claimed, Claimed):
                self._attempt(claimed)
            else:
                time.sleep(LOOK_S)
        return Worked(tuple(self.ended), stopped=True)

    def _claim(self) -> Claimed | bool:
        claimed: Claimed | bool = False
        try:
            with self.claims.alone(self.stop) as held:
                if held is not None:
                    claimed = patiently(lambda: self.claims.claim(held), self.stop)
        except runs.Fenced:  # frozen meanwhile: others have claimed since
            if isinstance(claimed, Claimed):
                claimed.lease.close()
            return False
        return claimed

    def _attempt(self, claimed: Claimed) -> None:
        """One attempt at a trial; who takes it over while this one is frozen ends it."""
        try:
            with claimed.lease:
                outcome = self._outcome(claimed)
                if outcome.ended != "stopped" and self._tell(claimed.trial, outcome):
                    self.ended.append(claimed.trial.number)
                    self.passing("told")
        except (runs.Fenced, UpdateFinishedTrialError) as fenced:
            print(f"trial {claimed.trial.number} is another worker's now: {fenced}", flush=True)

    def _outcome(self, claimed: Claimed) -> Outcome:
        trial, held, begun = claimed.trial, claimed.held, time.monotonic()
        path = held.folder / runs.ATTEMPTS  # a line a start, and one for each that was told to stop
        before, progress = runs.attempts(held.folder), self._progress(trial)
        held.append_line(path, {"begun": provenance.now(), "progress": progress})
        self.passing("begun")
        tries = [line for line in before if "begun" in line]
        if died := _died(before, progress):
            return self._noted(
                trial, Outcome("failed", reason=f"killed: {died} attempts died at the same step"), tries, 0
            )
        outcome = self.train(claimed.labels, self._told(trial))
        spent = time.monotonic() - begun + sum(line.get("seconds", 0.0) for line in before)
        if outcome.ended == "stopped":
            held.append_line(path, {"stopped": provenance.now(), "seconds": spent})
            return outcome
        held.check()
        self.passing("trained")
        return self._noted(trial, outcome, [*tries, {}], spent)

    def _noted(self, trial: Trial, outcome: Outcome, tries: list[Any], seconds: float) -> Outcome:
        """What is to be known of a trial beside its values, told before its end."""
        digests = trial.user_attrs.get("runs", [])
        found = [line.get("restarted", "") for digest in digests for line in runs.attempts(self.root / digest)]
        told = {one.metric for one in self.claims.prepared.search.objective} if outcome.ended == "complete" else {}
        notes = {
            "attempts": len(tries),
            "seconds": round(seconds, 3),
            "values": {metric: value for metric, value in outcome.values.items() if metric not in told},
            "reason": outcome.reason,
            "infeasible": outcome.ended == "infeasible",
            "deviations": [one for one in found if one],
        }
        self._patiently(partial(trial.set_user_attr, NOTES, {key: value for key, value in notes.items() if value}))
        for name, amount in outcome.broken.items():
            self._patiently(partial(trial.set_constraint, name, amount))
        self.passing("noted")
        return outcome

    def _tell(self, trial: Trial, outcome: Outcome) -> bool:
        """Whether it was this worker that ended it."""
        metrics = [objective.metric for objective in self.claims.prepared.search.objective]
        values = [outcome.values[metric] for metric in metrics] if outcome.ended == "complete" else None
        state = STATES[outcome.ended]
        tell = partial(trial.study.tell, trial.number, values, state, skip_if_finished=True)
        return bool(self._patiently(tell).state == state)

    def _told(self, trial: Trial) -> Told:
        def began(digests: tuple[str, ...]) -> None:
            if trial.user_attrs.get("runs") != list(digests):
                self._patiently(partial(trial.set_user_attr, "runs", list(digests)))
            self.passing("began")

        def report(step: int, value: float) -> bool:
            try:
                return self._reported(trial, step, value)
            except Unanswered:  # it is reported when this is gone on with
                return False

        return Told(trial.number, began, report, self.stop, int(trial.user_attrs.get("pruned_at", 0)))

    def _reported(self, trial: Trial, step: int, value: float) -> bool:
        """Report a value once; whether the trial is to end there, which holds for every later attempt."""
        known = trial.study._storage.get_trial(trial._trial_id).intermediate_values
        if step not in known:
            self._patiently(partial(trial.report, value, step))
            self.passing("reported")
        if step < max(known, default=0) or not self._patiently(trial.should_prune):
            return False
        self._patiently(partial(trial.set_user_attr, "pruned_at", step))
        self.passing("pruned")
        return True

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        return patiently(ask, self.stop)

    def _progress(self, trial: Trial) -> list[int]:
        """How far the runs of a trial have come: by it a death is told from a preemption."""
        digests = trial.user_attrs.get("runs", [])
        done = sum((self.root / digest / runs.RESULT).exists() for digest in digests)
        last = [runs.last_record(self.root / digest) for digest in digests[done : done + 1]]
        return [done, *(record.step for record in last if record)]

    def _refuse_more(self, stack: ExitStack) -> None:
        url = study_url()
        alone = self.folder / "worker"
        if world() > 1:
            raise SpecError([Fault(Mark("search"), "", "a worker of a search is one process, not several of one job")])
        if storage_refusal(url, 2):
            alone.mkdir(exist_ok=True)
            try:
                stack.enter_context(runs.lease(alone))
            except runs.Busy:
                raise SpecError([Fault(Mark("environment"), "", f"OMNITOK_STUDY: {storage_refusal(url, 2)}")]) from None


def _arm(root: Path, prepared: Prepared) -> Train:
    from omnitok.search.arm import Arm  # noqa: PLC0415, which loads torch

    return Arm(root, prepared).train


def _pruner(prepared: Prepared) -> Any:
    """For the last stage as the arm says it."""
    if prepared.search.pruner == PRUNERS.default("none"):
        return resolve(prepared.search.pruner)(1, 1)
    from omnitok.search.arm import pace  # noqa: PLC0415

    return resolve(prepared.search.pruner)(*pace(prepared.text))


def _died(before: list[dict[str, Any]], progress: list[int]) -> int:
    """How many attempts in a row died where this one begins, where that is too many; else 0."""
    count = 0
    for line in reversed(before):
        if "stopped" in line or line["progress"] != progress:
            break
        count += 1
    return count if count >= DEATHS else 0


def main() -> int:
    """-> 0; 1 where the search cannot be worked at, which is said in a line each."""
    parser = argparse.ArgumentParser(
        prog="python -m omnitok.search.worker", description="One worker of an arm's search."
    )
    parser.add_argument("root", type=Path, help="where runs live")
    parser.add_argument("folder", type=Path, help="the search of one arm")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    said = parser.parse_args()
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: asked.append(number))
    if said.threads:
        torch.set_num_threads(said.threads)
    try:
        check_environment()
        done = work(said.folder, lambda: bool(asked), root=said.root)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{said.folder.name}: ended {counted(len(done.trials), 'trial')}{', and was asked to stop' * done.stopped}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
