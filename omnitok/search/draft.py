"""A suggestion is drawn beside the storage and comes into it whole: no kill leaves half of one."""

import copy
from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from omnitok.search.space import Parameter, Values

DRAFT = -1  # an id that no storage gives
CLAIMED: Final = "claimed"  # the attribute of a trial with the number for which it was drawn


class Draft(BaseStorage):
    """A study's storage as it would be with one trial more, which is here alone. ``every``: the trials as they were read
    last, so that a sampler that looks often does not ask a database as often. All else is the storage's."""

    def __init__(self, storage: BaseStorage, study_id: int, every: Sequence[FrozenTrial]) -> None:
        self.storage, self.study_id, self.every = storage, study_id, every
        self.trial: FrozenTrial | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        attributes: dict[str, Any] = {"user_attrs": {}, "system_attrs": {}, "intermediate_values": {}}
        self.trial = FrozenTrial(
            number=len(self.every),
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),  # noqa: DTZ005, as Optuna writes it
            datetime_complete=None,
            params={},
            distributions={},
            **attributes,
            trial_id=DRAFT,
        )
        return DRAFT

    @property
    def drawn(self) -> FrozenTrial:
        assert self.trial is not None
        return self.trial

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self.drawn.params[param_name] = distribution.to_external_repr(param_value_internal)
        self.drawn.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if trial_id == DRAFT:
            self.drawn.system_attrs[key] = value
        else:
            self.storage.set_trial_system_attr(trial_id, key, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return copy.copy(self.drawn) if trial_id == DRAFT else self.storage.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        known = [*self.every, self.drawn] if self.trial is not None else self.every
        found = [one for one in known if states is None or one.state in states]
        return copy.deepcopy(found) if deepcopy else found

    # What is not of the trial

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self.storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.storage.get_study_system_attrs(study_id)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.storage.set_study_system_attr(study_id, key, value)

    # What drawing never asks for

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise NotImplementedError

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError

    def get_all_studies(self) -> list[Any]:
        raise NotImplementedError

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        raise NotImplementedError

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        raise NotImplementedError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.drawn.user_attrs[key] = value


def drawn(study: Study, every: Sequence[FrozenTrial], parameters: dict[str, Parameter]) -> FrozenTrial:
    """The trial after ``every`` as the study's sampler suggests it, which is in no storage yet. It says its own number, by
    which it is a stray if it gets another (``stray``)."""
    draft = Draft(study._storage, study._study_id, every)
    beside = Study(study.study_name, draft, sampler=study.sampler, pruner=study.pruner)
    draw(beside.ask(), parameters)
    draft.drawn.user_attrs[CLAIMED] = draft.drawn.number
    return draft.drawn


def stray(one: FrozenTrial) -> bool:
    """Whether it was drawn for a number that another trial has: by a worker that was frozen while it claimed, or whose
    database answered too late. It is nobody's, and counts for nothing."""
    return bool(one.user_attrs.get(CLAIMED, one.number) != one.number)


def draw(trial: optuna.Trial, parameters: dict[str, Parameter]) -> Values:
    """What is suggested of each choice that is there, conditions first; what was drawn before stays."""
    labels: Values = {}
    for path, one in parameters.items():
        if one.there(labels):
            labels[path] = one.draw(trial, path)
    return labels
