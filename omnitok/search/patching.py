"""What was drawn, as patches of an arm's text."""

from collections.abc import Mapping
from typing import Any

from omnitok.search.asked import Search
from omnitok.search.space import made
from omnitok.spec import Fault, Map, Mark, SpecError, bare, mark_of, near, parse_path, patched


def applied(text: Map, search: Search, said: Map, labels: Mapping[str, Any]) -> Map:
    """An experiment's text with what was drawn in it: ``labels`` {path: number or label}; ``said``: the text of the search,
    whose lines are the marks. A bare path lands in the first stage, from which it flows on. Raises SpecError."""
    for path, value in values_of(search, said, labels).items():
        mark = mark_of(said, ("space", path))
        text = patched(text, _address(text, path, mark), value, mark)
    return text


def values_of(search: Search, said: Map, labels: Mapping[str, Any]) -> dict[str, Any]:
    """{path: what is patched there}, conditions first; a label's value is the text that stands for it, with its marks."""
    found = {}
    for path, one in made(search.space).items():
        if path in labels:
            of = said["space"][path].get("of") if not one.numeric else None
            found[path] = of[labels[path]] if isinstance(of, Map) else one.value(labels[path])
    return found


def plain_values(search: Search, said: Map, labels: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON."""
    return {path: bare(value) for path, value in values_of(search, said, labels).items()}


def shown(labels: Mapping[str, Any]) -> str:
    """What was drawn, in a line."""
    return " ".join(
        f"{path}={value:.6g}" if isinstance(value, float) else f"{path}={value}" for path, value in labels.items()
    )


def _address(text: Map, path: str, mark: Mark) -> tuple[str | int, ...]:
    steps, stages = parse_path(path, mark), text.get("stages")
    if not isinstance(stages, Map) or not stages:
        raise SpecError([Fault(mark, path, "the experiment has no stages")])
    if steps[0] != "stages":
        return ("stages", next(iter(stages)), *steps)
    if len(steps) < 2 or steps[1] not in stages:
        raise SpecError([Fault(mark, path, f"no such stage{near(steps[-1], stages)}")])
    return steps
