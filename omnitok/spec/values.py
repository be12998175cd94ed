"""What a spec says, as other rooms need it: a call, JSON data, dotted names, the components and packages in it."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from omnitok.spec.registry import Registry, Spec
from omnitok.spec.signature import PLACE

_OTHERS: Final = {"true", "false", "null"}  # what is no text unless it is quoted


def resolve(spec: Spec) -> functools.partial[Any]:
    """The component with its choices bound; its parent supplies the facts and so completes the call."""
    tag = spec.registry.tag
    names = [name for name in type(spec).model_fields if name != tag]
    return functools.partial(spec.component, **{name: _value(getattr(spec, name)) for name in names})


def plain(spec: BaseModel) -> dict[str, Any]:
    """A spec as JSON data, every default spelled out."""
    return spec.model_dump(mode="json")


def specs_in(value: Any) -> Iterator[Spec]:
    """Every component that a spec, or a tuple of them, names, itself first."""
    if isinstance(value, tuple):
        for one in value:
            yield from specs_in(one)
    elif isinstance(value, Spec):
        yield value
        for name in type(value).slots:
            yield from specs_in(getattr(value, name))


def places(spec: Spec) -> Iterator[tuple[str | int, ...]]:
    """The paths of the choices in a spec that say where something lies."""
    yield from ((name,) for name in _own_places(type(spec)))
    for name, slot in type(spec).slots.items():
        value = getattr(spec, name) if _leads_to_places(slot) else None
        if isinstance(value, tuple):
            found = ((i, rest) for i, one in enumerate(value) if isinstance(one, Spec) for rest in places(one))
            yield from ((name, i, *rest) for i, rest in found)
        elif isinstance(value, Spec):
            yield from ((name, *rest) for rest in places(value))


@functools.cache
def _leads_to_places(slot: Registry[Any]) -> bool:
    """Whether any component in or below a slot says where something lies."""
    return any(_own_places(kind) for inner in slots_below(slot).values() for kind in inner.specs.values())


@functools.cache
def _own_places(kind: type[Spec]) -> tuple[str, ...]:
    """The choices of a component itself that say where something lies."""
    return tuple(name for name, field in kind.model_fields.items() if PLACE in field.metadata)


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested choices -> {dotted path: value}: the one name that a choice has in files, MLflow and tables."""
    if isinstance(data, Mapping):
        return {k: v for key, value in data.items() for k, v in flat(value, f"{prefix}.{key}").items()}
    if isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        return {k: v for i, value in enumerate(data) for k, v in flat(value, f"{prefix}[{i}]").items()}
    return {prefix.lstrip("."): data}


def flow(value: Any) -> str:
    """Plain data as YAML in one line, to be pasted."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{flow(key)}: {flow(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    as_it_is = re.fullmatch(r"[A-Za-z_][\w./-]*", value, flags=re.ASCII) and value.lower() not in _OTHERS
    return value if as_it_is else json.dumps(value, ensure_ascii=False)


def packages(spec: Spec) -> dict[str, tuple[str, ...]]:
    """The other packages whose components a spec names, each with its modules."""
    found = {inner.registry.origins.get(getattr(inner, inner.registry.tag)) for inner in specs_in(spec)}
    named = sorted({(origin.distribution, origin.module) for origin in found if origin is not None})
    return {name: tuple(module for one, module in named if one == name) for name, _ in named}


def slots_below(*registries: Registry[Any]) -> dict[str, Registry[Any]]:
    """These slots and every one that a component of theirs has, by name."""
    found: dict[str, Registry[Any]] = {}
    open_ = list(registries)
    while open_:
        registry = open_.pop(0)
        if registry.slot not in found:
            found[registry.slot] = registry
            open_ += [inner for spec in registry.specs.values() for inner in spec.slots.values()]
    return found


def _value(value: Any) -> Any:
    if isinstance(value, Spec):
        return resolve(value)
    return tuple(map(_value, value)) if isinstance(value, tuple) else value
