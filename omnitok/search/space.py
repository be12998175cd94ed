"""What is searched: choices by their paths, each a range or a list of values, some only where another has a certain one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from omnitok.spec import REQUIRED, Fault, Map, Registry, Spec, mark_of, near, parse_path, resolve

When = dict[str, Any]  # {path of another choice: the label, or the labels, under which this one is there}
Values = dict[str, Any]  # {path: a number, or the label of a choice}


class Parameter(ABC):
    """One choice that is searched. What is drawn is a number, or a label that stands for a value."""

    numeric: ClassVar[bool] = True

    def __init__(self, when: When) -> None:
        self.when = {path: [str(label) for label in _listed(labels)] for path, labels in when.items()}

    def faults(self) -> Iterator[tuple[str, str]]:
        """(which key, why it cannot be)."""
        yield from ()

    @abstractmethod
    def distribution(self) -> Any:
        """As Optuna says it."""

    @abstractmethod
    def draw(self, trial: Any, name: str) -> Any:
        """What is suggested in an Optuna trial."""

    def labels(self) -> list[str]:
        """What a ``when`` may name; none of a range."""
        return []

    def ends(self) -> list[Any]:
        """The ends of a range, or every label."""
        return list(self.labels())

    def value(self, drawn: Any) -> Any:
        """What is patched into the text."""
        return drawn

    def takes(self, drawn: Any) -> bool:
        """Whether this could have been drawn, such as in another search."""
        made = self.distribution()
        try:
            return bool(made._contains(made.to_internal_repr(drawn)))
        except ValueError:
            return False

    def there(self, drawn: Mapping[str, Any]) -> bool:
        """Whether the choice is there beside what was drawn before it."""
        return all(path in drawn and str(drawn[path]) in labels for path, labels in self.when.items())


class _Range(Parameter):
    def __init__(self, low: float, high: float, log: bool, step: float | None, when: When) -> None:
        super().__init__(when)
        self.low, self.high, self.log, self.step = low, high, log, step

    def ends(self) -> list[Any]:
        return [self.low, self.last]

    @property
    def last(self) -> float:
        """The largest value that steps from low come to."""
        if self.step is None:
            return self.high
        return self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step  # but for what floats lose

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.low >= self.high:
            yield "low", f"must be less than high, and {self.low} is not less than {self.high}"
        if self.log and self.low <= 0:
            yield "low", f"a logarithmic range begins above 0, not at {self.low}"
        if self.log and self.step is not None:
            yield "step", "a logarithmic range has no steps; say log or step"
        if self.step is not None and not self.log and self.step > self.high - self.low > 0:
            yield "step", f"must be at most the whole range, {self.high - self.low}, not {self.step}"


class Real(_Range):
    """A number between low and high, both included.

    low: the least value.
    high: the largest value.
    log: whether its logarithm is drawn evenly.
    step: the distance of the values that may be drawn, counted from low; none: any.
    when: {path of another choice: a label, or a list of them}: it is there only then.
    """

    def __init__(
        self,
        *,
        low: Annotated[float, REQUIRED],
        high: Annotated[float, REQUIRED],
        log: bool = False,
        step: Annotated[float, Field(gt=0)] | None = None,
        when: When = {},  # noqa: B006, which a schema copies
    ) -> None:
        super().__init__(low, high, log, step, when)

    def distribution(self) -> Any:
        from optuna.distributions import FloatDistribution  # noqa: PLC0415, which takes long to import

        return FloatDistribution(self.low, self.last, log=self.log, step=self.step)

    def draw(self, trial: Any, name: str) -> float:
        return float(trial.suggest_float(name, self.low, self.last, log=self.log, step=self.step))


class Whole(_Range):
    """A whole number between low and high, both included.

    low: the least value.
    high: the largest value.
    log: whether its logarithm is drawn evenly.
    step: the distance of the values that may be drawn, counted from low.
    when: {path of another choice: a label, or a list of them}: it is there only then.
    """

    def __init__(
        self,
        *,
        low: Annotated[int, REQUIRED],
        high: Annotated[int, REQUIRED],
        log: bool = False,
        step: Annotated[int, Field(ge=1)] | None = None,
        when: When = {},  # noqa: B006
    ) -> None:
        super().__init__(low, high, log, step, when)

    def distribution(self) -> Any:
        from optuna.distributions import IntDistribution  # noqa: PLC0415

        return IntDistribution(int(self.low), int(self.last), log=self.log, step=int(self.step or 1))

    def draw(self, trial: Any, name: str) -> int:
        step = int(self.step or 1)
        return int(trial.suggest_int(name, int(self.low), int(self.last), log=self.log, step=step))


class OneOf(Parameter):
    """One of several values, which need not be numbers.

    of: a list of plain values, or {label: value}.
    when: {path of another choice: a label, or a list of them}: it is there only then.
    """

    numeric = False

    def __init__(self, *, of: Annotated[Any, REQUIRED], when: When = {}) -> None:  # noqa: B006
        super().__init__(when)
        self.of = of

    def faults(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.of, dict | list) or len(self.of) < 2:
            yield "of", "must be a list of two or more plain values, or {label: value, ...}"
        elif isinstance(self.of, list) and any(isinstance(one, dict | list) for one in self.of):
            yield "of", "a value that is not plain needs a label: {label: value, ...}"
        named = self.labels()
        yield from (("of", f"the label {one!r} stands twice") for i, one in enumerate(named) if one in named[:i])

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution  # noqa: PLC0415

        return CategoricalDistribution(self.labels())

    def draw(self, trial: Any, name: str) -> str:
        return str(trial.suggest_categorical(name, self.labels()))

    def labels(self) -> list[str]:
        return list(self.of) if isinstance(self.of, dict) else [str(one) for one in _listed(self.of)]

    def value(self, drawn: Any) -> Any:
        return self.of[drawn] if isinstance(self.of, dict) else self.of[self.labels().index(drawn)]


PARAMETERS: Registry[Parameter] = Registry("parameter", float=Real, int=Whole, choice=OneOf)
if TYPE_CHECKING:
    AnyParameter = Spec
else:
    AnyParameter = PARAMETERS.any


def made(space: Mapping[str, Spec]) -> dict[str, Parameter]:
    """The parameters by path, a condition before what depends on it. Raises ValueError that names a circle."""
    found = {path: resolve(spec)() for path, spec in space.items()}
    done: dict[str, Parameter] = {}
    while len(done) < len(found):
        ready = [path for path, one in found.items() if path not in done and all(p in done for p in one.when)]
        if not ready:
            raise ValueError(" and ".join(path for path in found if path not in done))
        done[ready[0]] = found[ready[0]]
    return done


def space_faults(space: Mapping[str, Spec], said: Map) -> list[Fault]:
    """What of a space cannot be, each at its line; ``said``: its text."""
    if not space:
        return [Fault(said.mark, "", "is empty; name at least one path with its range or values")]
    found = {path: resolve(spec)() for path, spec in space.items()}
    faults = []
    for path, one in found.items():
        text = said[path]
        try:
            parse_path(path, said.marks[path])
        except ValueError:
            faults.append(Fault(said.marks[path], path, "not a dotted path; write it like optimizer.lr"))
        faults += [Fault(mark_of(said, (path, key)), f"{path}.{key}", why) for key, why in one.faults()]
        whens = text["when"] if isinstance(text, Map) and isinstance(text.get("when"), Map) else None
        faults += _when_faults(path, one, found, whens) if whens else []
    return faults or _circle(space, said)


def _when_faults(path: str, one: Parameter, found: Mapping[str, Parameter], said: Map) -> Iterator[Fault]:
    for other, labels in one.when.items():
        mark, here = said.marks[other], f"{path}.when"
        known = found[other].labels() if other in found and other != path else []
        if other == path:
            yield Fault(mark, here, "cannot depend on itself")
        elif other not in found:
            yield Fault(mark, here, f"no {other!r} is searched{near(other, found)}")
        elif not known:
            yield Fault(mark, here, f"{other} is a range, which has no labels; only a choice can be a condition")
        for label in labels if known else []:
            if label not in known:
                yield Fault(mark, here, f"{other} has no {label!r}{near(label, known)}")


def _circle(space: Mapping[str, Spec], said: Map) -> list[Fault]:
    try:
        made(space)
    except ValueError as error:
        first = str(error).split(" and ")[0]
        return [Fault(said.marks[first], f"{first}.when", f"{error} wait for each other; none of them is ever there")]
    return []


def legal(parameters: Mapping[str, Parameter], drawn: Mapping[str, Any]) -> bool:
    """Whether these values could have been drawn here, no more and no fewer."""
    there = {path for path, one in parameters.items() if one.there(drawn)}
    return there == set(drawn) and all(parameters[path].takes(value) for path, value in drawn.items())


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
