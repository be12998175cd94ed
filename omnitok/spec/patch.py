"""The only two merges there are: a patch at a dotted path, and a stage that inherits the one before it."""

import re
from collections.abc import Sequence
from typing import Any

from omnitok.spec.text import Fault, Map, Mark, Seq, SpecError, dotted, kind, near

Path = tuple[str | int, ...]


def parse_path(text: str, mark: Mark) -> Path:
    """ "model.spatial[1].window" -> ("model", "spatial", 1, "window"). Raises SpecError."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\[\d+\])*(\.[A-Za-z_]\w*(\[\d+\])*)*", text):
        raise SpecError(
            [Fault(mark, text, "not a dotted path; write it like model.quantizer or model.spatial[0].window")]
        )
    return tuple(int(i) if i else name for name, i in re.findall(r"([A-Za-z_]\w*)|\[(\d+)\]", text))


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


def expanded(stages: Map) -> Map:
    """Every stage whole: each inherits the one before it and says only what it changes.

    A mapping that names another component (another ``type``) replaces the inherited one; the same component, or no
    name at all, changes only what it says. A stage's ``init`` and ``handover`` are its own and are not inherited.
    """
    done: dict[str, Any] = {}
    before: Map | None = None
    for name, stage in stages.items():
        if not isinstance(stage, Map):
            raise SpecError([Fault(stages.marks[name], f"stages.{name}", f"expected a mapping, not {kind(stage)}")])
        before = _inherit(_without(before, ("init", "handover")), stage) if before is not None else stage
        done[name] = before
    return Map(done, stages.mark, stages.marks)


def _inherit(old: Any, new: Any) -> Any:
    if not isinstance(old, Map) or not isinstance(new, Map) or new.get("type", old.get("type")) != old.get("type"):
        return new
    items, marks = dict(old), dict(old.marks)
    for name, value in new.items():
        items[name] = _inherit(old.get(name), value)
        marks[name] = new.marks[name]
    return Map(items, new.mark, marks)


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
