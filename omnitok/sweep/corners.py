"""The suggestions at the ends of a space, which are rehearsed before any is trained."""

import json
from collections.abc import Mapping
from typing import Any, Final

from omnitok.search.space import Parameter

MOST: Final = 1000  # suggestions of one arm that are rehearsed


def corners(parameters: Mapping[str, Parameter]) -> list[tuple[str, dict[str, Any]]]:
    """(the choice that is moved, a whole suggestion): each end of each range and each value of each choice once, all others
    at their first."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, one in parameters.items():
        for value in one.ends():
            drawn = _drawn(parameters, {**needed(parameters, path), path: value})
            found.setdefault(json.dumps(drawn, sort_keys=True), (path, drawn))
    return list(found.values())[:MOST]


def needed(parameters: Mapping[str, Parameter], path: str) -> dict[str, str]:
    """What must be drawn so that a choice is there."""
    found: dict[str, str] = {}
    for other, wanted in parameters[path].when.items():
        found |= {**needed(parameters, other), other: wanted[0]}
    return found


def _drawn(parameters: Mapping[str, Parameter], moved: Mapping[str, Any]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for path, one in parameters.items():
        if one.there(drawn):
            drawn[path] = moved.get(path, one.ends()[0])
    return drawn
