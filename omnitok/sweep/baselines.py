"""What a sweep's arms have to beat: each ``baselines:`` entry as a stage of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from omnitok.spec import Fault, Map, Mark, SpecError, decode, kind, near, plain
from omnitok.sweep.file import OUTWARD, Asked
from omnitok.training import TASKS
from omnitok.training.baselines import BASELINES
from omnitok.training.stage import Lineage, Stage, placed, read_stages


class Named(NamedTuple):
    """A baseline: what it is called in reports, its stage, and where it was said."""

    name: str
    stage: Stage
    mark: Mark
    path: str
    on: tuple[str, ...] | None  # the evaluations that it is measured by; None: every one

    @contextmanager
    def placed(self) -> Iterator[None]:
        """What is refused inside is refused at its entry."""
        with _at(self.path):
            yield


def baselines(asked: Asked, evaluations: Sequence[str]) -> list[Named]:
    """Those to be fitted are so on the data of the experiment's last stage. ``evaluations``: names that one may be kept
    to. Raises SpecError."""
    if not asked.file.baselines:
        return []
    last = read_stages(asked.base)[-1]
    said = asked.said["baselines"]
    found: list[Named] = []
    for i, one in enumerate(said):
        mark, path = said.marks[i], f"baselines[{i}]"
        own = _own(one)
        fields: dict[str, Any] = {"task": "foreign", "baseline": own}
        if _fits(own):
            resolution = last.said.get("resolution", plain(last.spec)["resolution"])
            fields |= {"task": "baseline", "data": last.said["data"], "resolution": resolution}
        text = Map(fields, mark, dict.fromkeys(fields, mark))
        with _at(path):
            stage = Stage("baseline", text, placed(decode(TASKS, text), text), Lineage())
        named = isinstance(one, Map) and "name" in one
        name = one["name"] if named else _usual_name(plain(stage.spec)["baseline"], said)
        if not isinstance(name, str) or name in {other.name for other in found}:
            taken = "stands twice" if isinstance(name, str) else f"must be text, not {kind(name)}"
            raise SpecError([Fault(mark, f"{path}.name" if named else path, f"{name!r} {taken}" if named else taken)])
        found.append(Named(name, stage, mark, path, _on(one, f"{path}.on", evaluations)))
    return found


def _own(said: Any) -> Any:
    """What a baseline says of itself, without what the sweep says of it."""
    if not isinstance(said, Map):
        return said
    return Map({k: v for k, v in said.items() if k not in {"name", "on"}}, said.mark, said.marks)


def _on(said: Any, path: str, evaluations: Sequence[str]) -> tuple[str, ...] | None:
    """The evaluations that a baseline is kept to: one whose maker saw no clips has no number of clips."""
    if not isinstance(said, Map) or "on" not in said:
        return None
    names = [said["on"]] if isinstance(said["on"], str) else said["on"]
    if not isinstance(names, list) or not names:
        raise SpecError([Fault(said.marks["on"], path, "must be the name of an evaluation, or a list of some")])
    if wrong := [name for name in names if name not in evaluations]:
        raise SpecError([Fault(said.marks["on"], path, f"no evaluation {wrong[0]!r}{near(wrong[0], evaluations)}")])
    return tuple(names)


def _fits(said: Any) -> bool:
    name = said.get("type") if isinstance(said, Map) else said
    component: Any = BASELINES.components.get(name) if isinstance(name, str) else None
    return component is None or component.fits


def _usual_name(spec: dict[str, Any], every: Sequence[Any]) -> str:
    """Its type, and its choices where the type stands more than once."""
    types = [one if isinstance(one, str) else one.get("type") for one in every]
    rest = (
        {name: value for name, value in spec.items() if name not in {"type", *OUTWARD}}
        if types.count(spec["type"]) > 1
        else {}
    )
    return "-".join([spec["type"], *(f"{name}{value}" for name, value in rest.items())])


@contextmanager
def _at(path: str) -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        inside = [fault.path.removeprefix("stages.baseline.").partition("baseline")[2] for fault in error.faults]
        raise SpecError(
            fault._replace(path=f"{path}{rest}") for fault, rest in zip(error.faults, inside, strict=True)
        ) from None
