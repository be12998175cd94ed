"""What a sweep's arms have to beat: each ``baselines:`` entry as a stage of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from omnitok.spec import Fault, Map, Mark, SpecError, decode, kind, plain
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

    @contextmanager
    def placed(self) -> Iterator[None]:
        """What is refused inside is refused at its entry."""
        with _at(self.path):
            yield


def baselines(asked: Asked) -> list[Named]:
    """Those to be fitted are so on the data of the experiment's last stage. Raises SpecError."""
    if not asked.file.baselines:
        return []
    last = read_stages(asked.base)[-1]
    said = asked.said["baselines"]
    found: list[Named] = []
    for i, one in enumerate(said):
        mark, path = said.marks[i], f"baselines[{i}]"
        own = Map({k: v for k, v in one.items() if k != "name"}, one.mark, one.marks) if isinstance(one, Map) else one
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
        found.append(Named(name, stage, mark, path))
    return found


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
