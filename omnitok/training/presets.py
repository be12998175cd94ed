"""Protocols that others have published numbers by, each as an evaluation's text with its source."""

import functools
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok.spec import Fault, Map, Mark, SpecError, bare, dotted, near, read_yaml

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
    preset, no data, or something that it fixes said again."""
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
        else:
            both = f"the preset {name!r} fixes {flow(value)}, and here it is {flow(here)}; leave it out"
            faults.append(Fault(said.marks[key], dotted((*path, key)), both))
    return Map(items, said.mark, marks)


def _named(component: str, mark: Mark) -> Map:
    """A bare name as the mapping that it stands for."""
    return Map({"type": component}, mark, {"type": mark})


def flow(value: Any) -> str:
    """Data in one line."""
    plain = bare(value)
    if isinstance(plain, dict):
        return f"{{{', '.join(f'{key}: {flow(one)}' for key, one in plain.items())}}}"
    if isinstance(plain, list):
        return f"[{', '.join(map(flow, plain))}]"
    return plain if isinstance(plain, str) else json.dumps(plain)
