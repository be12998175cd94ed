"""What a component's signature says: its choices, and whether they can be a schema."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, Strict

Count = Annotated[int, Field(ge=1)]  # how many of something that there must be
Share = Annotated[float, Field(ge=0, le=1)]  # a part of a whole
Weight = Annotated[float, Field(ge=0)]  # a factor that may switch something off
Positive = Annotated[float, Field(gt=0)]

REQUIRED: Final = "required"  # in an Annotated choice: no default, because any default would be a trap
PLACE: Final = "place"  # in an Annotated choice: where something lies, so a resource, which is no part of an identity

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
Choices = dict[str, tuple[Any, Any]]  # {name: (type, default)}


def version_of(component: Callable[..., Any]) -> int:
    """The integer that a component raises when its results change; 1 until then."""
    return int(getattr(component, "version", 1))


def choices(component: Callable[..., Any]) -> Choices:
    """{name: (type, default)} of the choices right of the wall; no default is ``inspect.Parameter.empty``."""
    hints = get_type_hints(component.__init__ if inspect.isclass(component) else component, include_extras=True)
    found = {}
    for argument in inspect.signature(component).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise TypeError(f"{argument} hides which choices exist; spell them out")
        if argument.kind is argument.KEYWORD_ONLY:
            if argument.name not in hints:
                raise TypeError(f"choice {argument.name!r} needs a type")
            found[argument.name] = (hints[argument.name], argument.default)
    return found


def checked(component: Callable[..., Any], contract: type[Any], reserved: frozenset[str]) -> Choices:
    """The choices of a component that keeps to ``contract``. Raises TypeError where it does not, or where its choices
    cannot be a schema: one without a default or named by a ``reserved`` word."""
    if not _makes(component, contract):
        said = "it is no" if inspect.isclass(component) else "it is not declared to return a"
        raise TypeError(f"{said} {contract.__name__}")
    if missing := sorted(getattr(component, "__abstractmethods__", ())):
        raise TypeError(f"it lacks {', '.join(missing)}")
    found = choices(component)
    for choice, (hint, default) in found.items():
        if choice in reserved or choice.startswith("_"):
            raise TypeError(f"a choice cannot be called {choice!r}")
        if default is inspect.Parameter.empty and REQUIRED not in get_args(hint)[1:]:
            raise TypeError("a choice needs a default, or REQUIRED in its type where any default would be a trap")
    return found


def facts(component: Callable[..., Any]) -> tuple[str, ...]:
    """The names left of the wall."""
    arguments = inspect.signature(component).parameters.values()
    return tuple(argument.name for argument in arguments if argument.kind is not argument.KEYWORD_ONLY)


def _makes(component: Callable[..., Any], contract: type[Any]) -> bool:
    made: Any = component if inspect.isclass(component) else None
    if inspect.isroutine(component):
        made = get_type_hints(component).get("return")
    return contract is object or (inspect.isclass(made) and issubclass(made, contract))


def lax_tuples(hint: Any) -> Any:
    """YAML has lists only, so a tuple may be said as one; what is in it stays strict."""
    if get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is tuple:
        inner, *more = get_args(hint)
        return Annotated[(lax_tuples(inner), *more)]
    if get_origin(hint) is tuple:
        return Annotated[tuple[tuple(map(lax_tuples, get_args(hint)))], Strict(False)]  # type: ignore[misc]
    return hint
