"""Plain data -> specs, or every reason why not: pydantic's findings in a person's words, each at its line."""

import inspect
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, Discriminator, ValidationError
from pydantic_core import PydanticCustomError

from omnitok.spec.registry import Registry, Spec
from omnitok.spec.text import Fault, SpecError, dotted, kind, mark_of, near

LONGEST: Final = 60  # characters of a wrong value that a refusal repeats


def refused_key(key: str, sentence: str) -> PydanticCustomError:
    """What a model's validator raises about one of its keys, so that the refusal stands at that key's line."""
    return PydanticCustomError("refused_key", "{sentence}", {"key": key, "sentence": sentence})


def decode(registry: Registry[Any], data: Any) -> Spec:
    """Plain data -> the one spec that it says. Raises SpecError with every fault, each at its place."""
    try:
        return registry.adapter.validate_python(data)
    except ValidationError as error:
        raise SpecError(explain(error, data, registry)) from None


def check(model: type[BaseModel], data: Any) -> Any:
    """Plain data -> an instance of a pydantic model, refused in the same words as a component is."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(explain(error, data, model)) from None


def explain(error: ValidationError, data: Any, schema: Any) -> list[Fault]:
    """Pydantic's findings as faults: where in the file, which dotted path, what is legal, the nearest name."""
    every = error.errors(include_url=False)
    inside = [found["loc"] for found in every]
    return [_fault(found, data, schema) for found in every if not _follows(found, inside)]


def _follows(found: Any, places: Sequence[Any]) -> bool:
    """Whether a list is found too short only because of what is refused in it."""
    loc = found["loc"]
    return found["type"] == "too_short" and any(len(one) > len(loc) and one[: len(loc)] == loc for one in places)


def _fault(found: Any, data: Any, schema: Any) -> Fault:
    path = tuple(step for step in found["loc"] if not _is_tag(step))
    if found["type"] == "refused_key":
        path = (*path, found["ctx"]["key"])
    owner = _owner(found["loc"], schema)
    return Fault(mark_of(data, path), dotted(path), _sentence(found, path, owner))


def _is_tag(step: Any) -> bool:
    return isinstance(step, str) and step.startswith("<") and step.endswith(">")


def _owner(loc: tuple[Any, ...], schema: Any) -> Any:
    """The registry or model inside which the last step of ``loc`` was looked for."""
    here = schema
    for i, step in enumerate(loc):
        if _is_tag(step):
            here = here.specs[step[1:-1]] if isinstance(here, Registry) else here
        elif isinstance(step, int):
            continue
        elif inspect.isclass(here) and issubclass(here, BaseModel):
            named = _named(here)
            if step not in named:
                return here
            inner = _inner(here, named[step])
            here = inner if inner is not None else (here if i == len(loc) - 1 else None)
        elif here is None:
            return None
    return here


def _named(model: type[BaseModel]) -> dict[Any, str]:
    """What a file calls a model's fields -> their names: a word that Python keeps for itself, such as with, is an alias."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def _inner(model: type[BaseModel], name: str) -> Any:
    """What a field of a model holds: a slot, another model, or something plain."""
    if issubclass(model, Spec):
        return model.slots.get(name)
    return _find(model.model_fields[name].annotation, model.model_fields[name].metadata)


def _find(hint: Any, metadata: Any = ()) -> Any:
    for extra in metadata:
        if isinstance(extra, Discriminator):
            return getattr(extra.discriminator, "__self__", None)
    if get_origin(hint) is Annotated:
        return _find(get_args(hint)[0], get_args(hint)[1:])
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        return hint
    return next((found for arg in get_args(hint) if (found := _find(arg)) is not None), None)


def _sentence(found: Any, path: tuple[Any, ...], owner: Any) -> str:
    said = found["type"]
    if said == "extra_forbidden":
        return _unknown(path, owner)
    if said in {"union_tag_invalid", "union_tag_not_found"}:
        return _which(found, owner)
    if said == "missing":
        return "must be said; it has no default"
    if said in {"refused_key", "value_error"}:  # a validator's own words, which need no input beside them
        return found["msg"].removeprefix("Value error, ")
    value = found["input"]
    if said in {"too_short", "too_long"}:
        least, limit = ("least", "min_length") if said == "too_short" else ("most", "max_length")
        return f"must be a list of at {least} {found['ctx'][limit]}, not of {len(value)}"
    sentence = re.sub(r"^(Input|Value|Tuple|Dictionary|List) should", "must", found["msg"]).replace("valid ", "")
    sentence = sentence.replace("valid tuple", "list").replace("tuple", "list").replace("dictionary", "mapping")
    sentence = (
        re.sub(r" or instance of \w+", "", sentence)
        .replace("a integer", "a whole number")
        .replace("a boolean", "true or false")
    )
    return f"{sentence}, not {_shown(value)}" + (" (text)" if isinstance(value, str) and "number" in sentence else "")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return kind(value)
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _unknown(path: tuple[Any, ...], owner: Any) -> str:
    if inspect.isclass(owner) and issubclass(owner, Spec):
        tag = owner.registry.tag
        known = [name for name in owner.model_fields if name != tag]
        if not known:
            return f"{owner.registry.slot} {owner.model_fields[tag].default!r} takes no choices"
        return f"no such choice of {owner.registry.slot} {owner.model_fields[tag].default!r}{near(path[-1], known)}"
    return f"no such key{near(path[-1], _named(owner) if owner else ())}"


def _which(found: Any, owner: Any) -> str:
    value = found["input"]
    slot, known = (owner.slot, list(owner)) if isinstance(owner, Registry) else ("component", [])
    tag = owner.tag if isinstance(owner, Registry) else "type"
    if not isinstance(value, dict):
        return f"must name {'an' if slot[0] in 'aeiou' else 'a'} {slot}, not {kind(value)}{near('', known)}"
    if tag not in value:
        return f"which {slot}? say {tag}:{near('', known)}"
    if isinstance(owner, Registry) and str(value[tag]) in owner.refused:
        return owner.refused[str(value[tag])]
    return f"no {slot} {value[tag]!r}{near(value[tag], known)}"
