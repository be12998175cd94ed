"""Which trial a worker works on: each is one worker's at a time, and none is begun beyond the target."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection, create_study, load_study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from omnitok import runs
from omnitok.search.draft import draw, drawn, stray
from omnitok.search.prepare import read
from omnitok.search.ranking import SAME, Board, given_up, row_of
from omnitok.search.samplers import seed_of
from omnitok.search.space import Values, legal, made
from omnitok.search.standing import trials
from omnitok.spec import resolve

LOOK_S: Final = 1.0  # between two looks whether another worker's trial has ended, or its worker has died
CLAIM_S: Final = (0.02, 0.1)  # between two tries to claim, at random so that nobody is always late
OPEN = (TrialState.RUNNING, TrialState.WAITING)


class Claimed(NamedTuple):
    """One trial that is this worker's until ``lease`` is closed. ``drawn``: it, if it is new."""

    trial: Trial
    labels: Values
    held: runs.Held
    lease: ExitStack
    drawn: FrozenTrial | None = None


class Claims:
    """A search's study, of which one worker at a time claims a trial. ``passing`` is called with the name of each line that
    a kill could hit."""

    def __init__(
        self, folder: Path, root: Path, storage: BaseStorage, pruner: BasePruner, passing: Callable[[str], None]
    ) -> None:
        self.folder, self.root, self.storage, self.pruner, self.passing = folder, root, storage, pruner, passing
        self.prepared = read(folder)
        self.parameters = made(self.prepared.search.space)
        self.board = Board(folder)
        self.shared: Study | None = None

    @contextmanager
    def alone(self, stop: Callable[[], bool]) -> Iterator[runs.Held | None]:
        """Hold the search; None where ``stop`` came first."""
        with ExitStack() as stack:
            held = None
            while held is None and not stop():
                try:
                    held = stack.enter_context(runs.lease(self.folder))
                except runs.Busy:
                    time.sleep(random.uniform(*CLAIM_S))
            yield held

    def begin(self, held: runs.Held) -> None:
        """Make the study, if it is not there, with what other searches know. Cut off anywhere, it goes on."""
        search = self.prepared.search
        names = [one.study_name for one in self.storage.get_all_studies()]
        if self.prepared.study not in names:
            directions = [StudyDirection[one.upper()] for one in search.directions]
            create_study(study_name=self.prepared.study, storage=self.storage, directions=directions)
            self.passing("made")
        study = self.study(0)
        known = {one.user_attrs["warm"] for one in study.get_trials(deepcopy=False) if "warm" in one.user_attrs}
        for warm, row in self._warm():
            if warm not in known:
                held.check()
                study.add_trial(self._as_trial(warm, row))
                self.passing("warmed")

    def study(self, number: int) -> Study:
        """The study as the trial of this number sees it."""
        if self.shared is None:
            self.shared = load_study(study_name=self.prepared.study, storage=self.storage, pruner=self.pruner)
        search = self.prepared.search
        self.shared.sampler = resolve(search.sampler)(seed_of(search.seed, number))
        return self.shared

    def claim(self, held: runs.Held) -> Claimed | bool:
        """A trial whose worker died, else one that waits, else a new one. Else True where the target is met and nothing
        runs, and the winner is known then; False where others are still at work."""
        self.prepared = read(self.folder)
        every = self.study(0).get_trials(deepcopy=False)
        for one in every:
            if stray(one) and one.state in OPEN:
                with suppress(UpdateFinishedTrialError):
                    self.storage.set_trial_state_values(one._trial_id, TrialState.FAIL)
        claimed = self._claimed(held, every)
        with ExitStack() as stack:
            if claimed is not None:
                stack.enter_context(claimed.lease)  # what fails here must not keep it
            own = [one for one in every if not stray(one)]
            over = claimed is None and self._met(every) and all(one.state.is_finished() for one in own)
            new = [claimed.drawn] if claimed is not None and claimed.drawn is not None else []
            self.board.publish(self.prepared, [*own, *new], held, last=over)
            self.passing("published")
            if over:
                self.board.crown(self.prepared, held)
                self.passing("crowned")
            stack.pop_all()
        return claimed or over

    def _claimed(self, held: runs.Held, every: list[FrozenTrial]) -> Claimed | None:
        for one in every:
            if one.state in OPEN and not stray(one) and (claimed := self._adopted(one)):
                return claimed
        return None if self._met(every) else self._asked(held, every)

    def _met(self, every: list[FrozenTrial]) -> bool:
        """Whether nothing more is to be begun: the target is met, or the arm is given up."""
        search = self.prepared.search
        begun = [one for one in every if "warm" not in one.user_attrs and not stray(one)]
        last = [one for one in begun if one.state.is_finished()][-SAME:]
        if len(begun) >= search.trials or given_up([row_of(search, one) for one in last], self.prepared.since):
            return True
        if search.hours is None:
            return False
        folders = {digest for one in begun for digest in one.user_attrs.get("runs", ())}
        return sum(runs.seconds(self.root / digest) for digest in folders) >= search.hours * 3600

    def _adopted(self, one: FrozenTrial) -> Claimed | None:
        """A trial that is open, if nobody is at it."""
        if (lease := self._leased(one.number)) is None:
            return None
        self.passing("leased")
        with lease:
            now = self.storage.get_trial(one._trial_id)
            if now.state == TrialState.WAITING:
                self.storage.set_trial_state_values(one._trial_id, TrialState.RUNNING)
            elif now.state != TrialState.RUNNING:  # it ended between the two looks
                return None
            trial = Trial(self.study(one.number), one._trial_id)
            return Claimed(trial, draw(trial, self.parameters), lease.held, lease.pop_all())

    def _asked(self, held: runs.Held, every: list[FrozenTrial]) -> Claimed | None:
        """A new trial. Its lease is held before it is there, so nobody takes it for one whose worker died; and the storage
        gives each number once, so that of two who claim at once, as one was frozen meanwhile, one has it."""
        if (lease := self._leased(len(every))) is None:
            return None
        self.passing("leased")
        with lease:
            study = self.study(len(every))
            one = drawn(study, every, self.parameters)
            self.passing("drawn")
            held.check()
            trial = Trial(study, self.storage.create_new_trial(study._study_id, template_trial=one))
            self.passing("asked")
            if trial.number != one.number:
                return None
            return Claimed(trial, dict(one.params), lease.held, lease.pop_all(), one)

    def _leased(self, number: int) -> "_Lease | None":
        folder = self.folder / "trials" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        lease = _Lease()
        try:
            lease.held = lease.enter_context(runs.lease(folder))
        except runs.Busy:
            return None
        return lease

    def _warm(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(its name, the line) of each finished trial of another search that could have been suggested here."""
        metrics = {one.metric for one in self.prepared.search.objective}
        for place in self.prepared.warm:
            for row in trials(self.root / place):
                same = row["state"] == "complete" and not row["warm"] and metrics <= row["objectives"].keys()
                if same and legal(self.parameters, row["labels"]):
                    yield f"{place}#{row['number']}", row

    def _as_trial(self, warm: str, row: dict[str, Any]) -> FrozenTrial:
        search, labels = self.prepared.search, row["labels"]
        return create_trial(
            state=TrialState.COMPLETE,
            params=labels,
            distributions={path: self.parameters[path].distribution() for path in labels},
            values=[row["objectives"][one.metric] for one in search.objective],
            constraints={
                one.name: one.broken_by(row["objectives"][one.metric])
                for one in search.constraints
                if one.metric in row["objectives"]
            },
            user_attrs={"warm": warm, "runs": row["runs"]},
        )


class _Lease(ExitStack):
    """A trial's lease, given back when it is closed."""

    held: runs.Held
