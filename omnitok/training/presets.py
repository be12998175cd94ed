"""Protocols that others have published numbers by, each as an evaluation's text with its source."""

import functools
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok.spec import Fault, Map, Mark, Seq, SpecError, bare, dotted, flow, near, read_yaml

OPEN: Final = ("few", "resamples")  # choices of a metric that say nothing of how its source measured
FILE: Final = Path(__file__).with_name("presets.yaml")


class Preset(NamedTuple):
    """What a protocol fixes, where it stands, and what of it is said but not imitated."""

    name: str
    source: str
    says: str
    evaluate: Map

    @property
    def fixed(self) -> dict[str, Any]:
        """What it fixes, as data."""
        found: dict[str, Any] = bare(self.evaluate)
        return found


@functools.cache
def presets() -> dict[str, Preset]:
    """All there are, by name."""
    said = read_yaml(FILE, f"omnitok/training/{FILE.name}")
    return {name: Preset(name, one["source"], one["says"], one["evaluate"]) for name, one in said.items()}


def spelled(said: Map) -> Map:
    """An evaluation's text with what its ``preset`` fixes in it, each where it was said. Raises SpecError: no such
    preset, no data, or something that it fixes said again. ``metrics`` beside it choose among its own, by type, and may say what
    is ``OPEN``."""
    if "preset" not in said:
        return said
    name, mark = said["preset"], said.marks["preset"]
    if not isinstance(name, str) or name not in presets():
        raise SpecError([Fault(mark, "preset", f"no preset {name!r}{near(name, presets())}")])
    if "data" not in said:
        raise SpecError(
            [Fault(mark, "data", f"must be said; the preset {name!r} fixes how items come of it, not which")]
        )
    rest = Map({k: v for k, v in said.items() if k != "preset"}, said.mark, said.marks)
    faults: list[Fault] = []
    whole = _over(presets()[name].evaluate, rest, (), name, faults)
    if faults:
        raise SpecError(faults)
    return whole


def _over(fixed: Map, said: Map, path: tuple[str, ...], name: str, faults: list[Fault]) -> Map:
    """``said`` with what is ``fixed`` beside it."""
    items, marks = dict(said), dict(said.marks)
    for key, value in fixed.items():
        here = said.get(key)
        if key not in said:
            items[key], marks[key] = value, fixed.marks[key]
        elif isinstance(value, Map) and (isinstance(here, Map) or (isinstance(here, str) and not path)):
            inner = here if isinstance(here, Map) else _named(here, said.marks[key])
            items[key] = _over(value, inner, (*path, key), name, faults)
        elif key == "metrics" and isinstance(here, Seq) and here:
            items[key] = _chosen(value, here, name, faults)
        else:
            both = f"the preset {name!r} fixes {flow(value)}, and here it is {flow(here)}; leave it out"
            faults.append(Fault(said.marks[key], dotted((*path, key)), both))
    return Map(items, said.mark, marks)


def _chosen(fixed: Seq, said: Seq, name: str, faults: list[Fault]) -> Seq:
    """Those of the metrics that are ``fixed`` that ``said`` names, in its order, each with what is fixed of it."""
    own = {one["type"]: one for one in (_mapping(one, mark) for one, mark in zip(fixed, fixed.marks, strict=True))}
    found: list[Any] = []
    for i, (one, mark) in enumerate(zip(said, said.marks, strict=True)):
        here, path = _mapping(one, mark), f"metrics[{i}]"
        label = here.get("type")
        if not isinstance(label, str) or label not in own:
            faults.append(Fault(mark, path, f"the preset {name!r} does not measure {flow(label)}{near(label, own)}"))
            continue
        more = [key for key in here if key not in ("type", *OPEN)]
        faults += [
            Fault(here.marks[key], f"{path}.{key}", f"the preset {name!r} fixes how {label} is measured; leave it out")
            for key in more
        ]
        found.append(Map({**own[label], **here}, mark, {**own[label].marks, **here.marks}))
    return Seq(found, said.mark, list(said.marks))


def _mapping(said: Any, mark: Mark) -> Map:
    return said if isinstance(said, Map) else _named(said, mark)


def _named(component: Any, mark: Mark) -> Map:
    """A bare name as the mapping that it stands for."""
    return Map({"type": component}, mark, {"type": mark})
