"""Signatures read as schemas. In a component's signature the bare ``*`` is a wall: left of it stand facts that the
parent supplies, right of it choices that the experimenter makes. Nothing describes a choice twice."""

import functools
import inspect
import re
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
    ValidationError,
    create_model,
)

from omnitok.spec.text import Fault, Map, Mark, SpecError, dotted, kind, mark_of, near

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
        return decode(self, Map({self.tag: name}, Mark("defaults"), {self.tag: Mark("defaults")}))

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
        for name in type(value).model_fields:
            yield from specs_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
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
    try:
        for choice, (hint, default) in choices(component).items():
            fields[choice] = _field(hint, default)
    except TypeError as error:
        raise TypeError(f"{registry.slot} {name!r}: {error}") from None
    made = create_model(f"{registry.slot}_{name}", __base__=Spec, **fields)
    made.registry, made.component = registry, staticmethod(component)
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
        return registry.specs[registry.name_of(component.func)](**component.keywords)
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


# How a file is refused


def explain(error: ValidationError, data: Any, schema: Any) -> list[Fault]:
    """Pydantic's findings as faults: where in the file, which dotted path, what is legal, the nearest name."""
    return [_fault(found, data, schema) for found in error.errors(include_url=False)]


def _fault(found: Any, data: Any, schema: Any) -> Fault:
    path = tuple(step for step in found["loc"] if not _is_tag(step))
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
            if step not in here.model_fields:
                return here
            inner = _inner(here, str(step))
            here = inner if inner is not None else (here if i == len(loc) - 1 else None)
        elif here is None:
            return None
    return here


def _inner(model: type[BaseModel], name: str) -> Any:
    """What a field of a model holds: a slot, another model, or something plain."""
    if issubclass(model, Spec) and name in (known := choices(model.component)):
        return slot_of(known[name][0])
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
    value = found["input"]
    sentence = re.sub(r"^(Input|Value|Tuple|Dictionary|List) should", "must", found["msg"]).replace("valid ", "")
    sentence = sentence.replace("valid tuple", "list").replace("tuple", "list").replace("dictionary", "mapping")
    sentence = (
        sentence.replace("a integer", "a whole number")
        .replace("a boolean", "true or false")
        .removeprefix("Value error, ")
    )
    return f"{sentence}, not {value!r}" + (" (text)" if isinstance(value, str) and "number" in sentence else "")


def _unknown(path: tuple[Any, ...], owner: Any) -> str:
    if inspect.isclass(owner) and issubclass(owner, Spec):
        tag = owner.registry.tag
        known = [name for name in owner.model_fields if name != tag]
        return f"no such choice of {owner.registry.slot} {owner.model_fields[tag].default!r}{near(path[-1], known)}"
    return f"no such key{near(path[-1], owner.model_fields if owner else ())}"


def _which(found: Any, owner: Any) -> str:
    value = found["input"]
    slot, known = (owner.slot, list(owner)) if isinstance(owner, Registry) else ("component", [])
    tag = owner.tag if isinstance(owner, Registry) else "type"
    if not isinstance(value, dict):
        return f"must name a {slot}, not {kind(value)}{near('', known)}"
    if tag not in value:
        return f"which {slot}? say {tag}:{near('', known)}"
    return f"no {slot} {value[tag]!r}{near(value[tag], known)}"
