"""What a person may call the arms and the trials of a launched sweep. Loads no torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from omnitok.spec import Fault, Mark, SpecError, near


def called(trial: Mapping[str, Any]) -> str:
    """How a stored trial is called: its arm and its seed."""
    return str(trial["name"]) if trial.get("seed") is None else f"{trial['name']}/{trial['seed']}"


def by_name(arms: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """{what a person may say: the arms that are meant}: an arm by its name, or all that have a value by its label. ``arms``:
    name, and the labels of its values."""
    found: dict[str, list[str]] = {}
    every = {name: list(labels) for name, labels in arms}
    for name, labels in every.items():
        for label in labels:
            found.setdefault(label, []).append(name)
    return found | {name: [name] for name in every}


def named(reference: str, kind: str, said: Sequence[str], known: Mapping[str, Collection[str]]) -> list[str]:
    """What is meant by all that was said. Raises SpecError with the nearest names: the sweep has none of the ``kind``."""
    faults = [
        Fault(Mark(reference), "", f"the sweep has no {kind} {one!r}{near(one, known)}")
        for one in said
        if one not in known
    ]
    if faults:
        raise SpecError(faults)
    return [name for one in said for name in known[one]]
