"""Signatures read as schemas. In a component's signature the bare ``*`` is a wall: left of it stand facts that the
parent supplies, right of it choices that the experimenter makes. Nothing describes a choice twice."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    Tag,
    TypeAdapter,
    create_model,
)

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]  # how many of something that there must be
Share = Annotated[float, Field(ge=0, le=1)]  # a part of a whole
Weight = Annotated[float, Field(ge=0)]  # a factor that may switch something off
Positive = Annotated[float, Field(gt=0)]

REQUIRED: Final = "required"  # in an Annotated choice: no default, because any default would be a trap

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Spec(BaseModel):
    """One call as data: which component (``type``) and every choice that it takes, defaults spelled out."""

    model_config = STRICT
    registry: ClassVar["Registry[Any]"]
    component: ClassVar[Callable[..., Any]]
    slots: ClassVar[dict[str, "Registry[Any]"]] = {}  # of the choices that name components, by choice


class Registry(Generic[T]):
    """The table of one slot: name -> component. A component is any class or function that returns ``T``.

    ``tag``: the key by which a file names the component; ``usual``: the one meant where the file names none.
    Raises TypeError where a signature cannot be a schema.
    """

    def __init__(
        self, slot: str, /, *, tag: str = "type", usual: str | None = None, **components: Callable[..., T]
    ) -> None:
        self.slot, self.tag, self.usual, self.components = slot, tag, usual, components
        self.specs: dict[str, type[Spec]] = {name: _schema(self, name, part) for name, part in components.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    @functools.cached_property
    def any(self) -> Any:
        """The type of a value that names one component of this slot: a mapping, or a bare name for its defaults."""
        options = [Annotated[spec, Tag(f"<{name}>")] for name, spec in self.specs.items()]
        union = functools.reduce(lambda a, b: a | b, options) if len(options) > 1 else _single(options[0])
        return Annotated[union, Discriminator(self._tag_of), BeforeValidator(self._spelled), _BareName(list(self))]

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Spec]:
        return TypeAdapter(self.any)

    def default(self, name: str) -> Spec:
        """A component with nothing said but its name."""
        return self.specs[name]()

    def name_of(self, component: Callable[..., T]) -> str:
        return next(name for name, known in self.components.items() if known is component)

    def _tag_of(self, value: Any) -> str | None:
        name = value.get(self.tag, self.usual) if isinstance(value, dict) else getattr(value, self.tag, None)
        return f"<{name}>" if isinstance(name, str) else None

    def _spelled(self, value: Any) -> Any:
        return {self.tag: value} if isinstance(value, str) else value


class _BareName:
    """In a JSON schema: a component may also be said by its name alone."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": self.names}, handler(core)]}


def version_of(component: Callable[..., Any]) -> int:
    """The integer that a component raises when its results change; 1 until then."""
    return int(getattr(component, "version", 1))


def resolve(spec: Spec) -> functools.partial[Any]:
    """The component with its choices bound; its parent supplies the facts and so completes the call."""
    tag = spec.registry.tag
    names = [name for name in type(spec).model_fields if name != tag]
    return functools.partial(spec.component, **{name: _value(getattr(spec, name)) for name in names})


def plain(spec: BaseModel) -> dict[str, Any]:
    """A spec as JSON data, every default spelled out."""
    return spec.model_dump(mode="json")


def specs_in(value: Any) -> Iterator[Spec]:
    """Every component that a spec names, itself first."""
    if isinstance(value, Spec):
        yield value
    inside = value.__dict__.values() if isinstance(value, Spec) else value if isinstance(value, tuple) else ()
    for item in inside:
        if isinstance(item, Spec | tuple):
            yield from specs_in(item)


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested choices -> {dotted path: value}: the one name that a choice has in files, MLflow and tables."""
    if isinstance(data, Mapping):
        return {k: v for key, value in data.items() for k, v in flat(value, f"{prefix}.{key}").items()}
    if isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        return {k: v for i, value in enumerate(data) for k, v in flat(value, f"{prefix}[{i}]").items()}
    return {prefix.lstrip("."): data}


def choices(component: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
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


# How a signature becomes a schema


def _schema(registry: Registry[Any], name: str, component: Callable[..., Any]) -> type[Spec]:
    fields: dict[str, Any] = {registry.tag: (Literal[name], name)}
    slots: dict[str, Registry[Any]] = {}
    try:
        for choice, (hint, default) in choices(component).items():
            fields[choice] = _field(hint, default)
            if (slot := slot_of(hint)) is not None:
                slots[choice] = slot
    except TypeError as error:
        raise TypeError(f"{registry.slot} {name!r}: {error}") from None
    made = create_model(f"{registry.slot}_{name}", __base__=Spec, **fields)
    made.registry, made.component, made.slots = registry, staticmethod(component), slots
    return cast(type[Spec], made)


def _field(hint: Any, default: Any) -> tuple[Any, Any]:
    inner = slot_of(hint)
    if default is inspect.Parameter.empty:
        if REQUIRED not in get_args(hint)[1:]:
            raise TypeError("a choice needs a default, or REQUIRED in its type where any default would be a trap")
        return (inner.any if inner else _lax_tuples(hint)), ...
    if inner is None:
        return _lax_tuples(hint), default
    if isinstance(default, tuple):
        many = Annotated[tuple[inner.any, ...], Strict(False)]  # type: ignore[name-defined]
        return many, tuple(_spec_of(inner, part) for part in default)
    return inner.any, _spec_of(inner, default)


def _spec_of(registry: Registry[Any], component: Any) -> Spec:
    """A default component, or a ``functools.partial`` of one, as the spec that would say it."""
    if isinstance(component, functools.partial):
        known = choices(component.func)
        said = {
            name: _spec_of(inner, value) if (inner := slot_of(known[name][0])) and callable(value) else value
            for name, value in component.keywords.items()
        }
        return registry.specs[registry.name_of(component.func)](**said)
    return registry.specs[registry.name_of(component)]()


def slot_of(hint: Any) -> Registry[Any] | None:
    """The registry that an annotation names: of a slot, or of a tuple of slots."""
    if get_origin(hint) is tuple and get_args(hint):
        return slot_of(get_args(hint)[0])
    if get_origin(hint) is Annotated:
        return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Registry)), None)
    return None


def _lax_tuples(hint: Any) -> Any:
    """YAML has lists only, so a tuple may be said as one; what is in it stays strict."""
    if get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is tuple:
        inner, *more = get_args(hint)
        return Annotated[(_lax_tuples(inner), *more)]
    if get_origin(hint) is tuple:
        return Annotated[tuple[tuple(map(_lax_tuples, get_args(hint)))], Strict(False)]  # type: ignore[misc]
    return hint


def _single(option: Any) -> Any:
    """A slot with one component so far: pydantic wants two for a union, so the same one stands twice."""
    spec, tag = get_args(option)[0], get_args(option)[1]
    return Annotated[spec, tag] | Annotated[spec, Tag("<only>")]


def _value(value: Any) -> Any:
    if isinstance(value, Spec):
        return resolve(value)
    return tuple(map(_value, value)) if isinstance(value, tuple) else value
