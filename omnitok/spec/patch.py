"""The only two merges there are: a patch at a dotted path, and a stage that inherits the one before it."""

import re
from collections.abc import Sequence
from typing import Any

from omnitok.spec.registry import Registry
from omnitok.spec.text import Fault, Map, Mark, Seq, SpecError, dotted, kind, near

Path = tuple[str | int, ...]
_NAME, _KEY, _PLACE = r"[A-Za-z_]\w*", r'\["[^"]*\.[^"]*"\]', r"\[\d{1,9}\]"
_STEP = rf"{_NAME}(?:{_PLACE}|{_KEY})*"


def parse_path(text: str, mark: Mark) -> Path:
    """ "model.spatial[1].window" -> ("model", "spatial", 1, "window"); a key that has dots itself stands in quotes:
    search.space["optimizer.lr"].high. Raises SpecError."""
    if not re.fullmatch(rf"{_STEP}(?:\.{_STEP})*", text):
        raise SpecError(
            [Fault(mark, text, "not a dotted path; write it like model.quantizer or model.spatial[0].window")]
        )
    steps = re.findall(rf"({_NAME})|({_PLACE})|({_KEY})", text)
    return tuple(int(place[1:-1]) if place else name or key[2:-2] for name, place, key in steps)


def patched(data: Any, path: Path, value: Any, mark: Mark, _done: Path = ()) -> Any:
    """A copy of ``data`` with ``value`` at ``path``; what it does not touch is shared. Raises SpecError.

    ``mark``: where the patch was said. Missing mappings on the way are made; lists are not lengthened.
    """
    if not path:
        return value
    head, rest = path[0], path[1:]
    here = (*_done, head)
    if isinstance(head, int):
        if not isinstance(data, Seq) or head >= len(data):
            said = f"a list of {len(data)}" if isinstance(data, Seq) else kind(data)
            raise SpecError([Fault(mark, dotted(here), f"the patch cannot be applied: {dotted(_done)} is {said}")])
        items, marks = list(data), list(data.marks)
        items[head] = patched(items[head], rest, value, mark, here)
        marks[head] = marks[head] if rest else mark
        return Seq(items, data.mark, marks)
    if not isinstance(data, Map):
        raise SpecError([Fault(mark, dotted(here), f"the patch cannot be applied: {dotted(_done)} is {kind(data)}")])
    inner = data.get(head, Map({}, mark, {}) if rest else None)
    new = patched(inner, rest, value, mark, here)
    return Map({**data, head: new}, data.mark, {**data.marks, head: data.marks.get(head, mark) if rest else mark})


def expanded(stages: Map, tasks: Registry[Any] | None = None) -> Map:
    """Every stage whole: each inherits the one before it and says only what it changes.

    A mapping that names another component replaces the inherited one; the same component, or no name at all, changes
    only what it says. Where nothing is named the slot's usual component is meant, so to name that one changes nothing.
    A bare name, as everywhere, is the component at its defaults: it replaces, and a mapping after it goes on from it.
    Lists are replaced whole. A stage's ``init`` and ``handover`` are its own and are not inherited.

    ``tasks``: the slot of a stage, from which its inner slots and their usual components are known. Without it two
    mappings are of different components only where both name one.
    """
    done: dict[str, Any] = {}
    before: Map | None = None
    for name, stage in stages.items():
        if not isinstance(stage, Map):
            raise SpecError([Fault(stages.marks[name], f"stages.{name}", f"expected a mapping, not {kind(stage)}")])
        before = _merged(_without(before, ("init", "handover")), stage, tasks) if before is not None else stage
        done[name] = before
    return Map(done, stages.mark, stages.marks)


def _inherit(old: Any, new: Any, mark: Mark, slot: Registry[Any] | None) -> Any:
    """The value of one key; ``mark``: where the old one was said."""
    if slot and isinstance(old, str):
        old = Map({slot.tag: old}, mark, {slot.tag: mark})
    if not isinstance(old, Map) or not isinstance(new, Map):
        return new
    before, now = _named(old, slot), new.get(slot.tag if slot else "type")
    return new if None not in (before, now) and before != now else _merged(old, new, slot)


def _merged(old: Map, new: Map, slot: Registry[Any] | None) -> Map:
    name = new.get(slot.tag, _named(old, slot)) if slot else None
    inner = slot.specs[name].slots if slot and isinstance(name, str) and name in slot.specs else {}
    items, marks = dict(old), dict(old.marks)
    for key, value in new.items():
        items[key] = _inherit(old.get(key), value, old.marks.get(key, old.mark), inner.get(key))
        marks[key] = new.marks[key]
    return Map(items, new.mark, marks)


def _named(data: Map, slot: Registry[Any] | None) -> Any:
    return data.get(slot.tag, slot.usual) if slot else data.get("type")


def _without(data: Map, names: Sequence[str]) -> Map:
    return Map({k: v for k, v in data.items() if k not in names}, data.mark, data.marks)


def assignment(text: str) -> tuple[str, str]:
    """ "path=value" of a ``--set`` -> (path, value). Raises SpecError."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise SpecError(
            [Fault(Mark(f"--set {text}"), "", "write it as path=value" + near(path, ["model.quantizer=fsq"]))]
        )
    return path.strip(), value
