"""Signatures read as schemas. In a component's signature the bare ``*`` is a wall: left of it stand facts that the
parent supplies, right of it choices that the experimenter makes. Nothing describes a choice twice."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Strict,
    Tag,
    TypeAdapter,
    ValidationError,
    create_model,
)

from omnitok.spec.plugins import Claim, Origin, claims
from omnitok.spec.signature import (
    STRICT,
    Choices,
    checked,
    choices,
    facts,
    lax_tuples,
    version_of,
)

T = TypeVar("T")


class Spec(BaseModel):
    """One call as data: which component (``type``) and every choice that it takes, defaults spelled out."""

    model_config = STRICT
    registry: ClassVar["Registry[Any]"]
    component: ClassVar[Callable[..., Any]]
    slots: ClassVar[dict[str, "Registry[Any]"]] = {}  # of the choices that name components, by choice


class Table(NamedTuple):
    """What may be named: schemas by name, where those of other packages are from, why a name may not be said."""

    specs: dict[str, type[Spec]]
    origins: dict[str, Origin]
    refused: dict[str, str]


class Registry(Generic[T]):
    """The table of one slot: name -> component. A component is any class or function that returns ``T``.

    ``tag``: the key by which a file names the component; ``usual``: the one meant where the file names none.
    ``contract``: what every component is, or returns. ``group``: the entry points by which other packages add theirs,
    ``omnitok.`` and this table's name in lower case (``omnitok.quantizers`` for QUANTIZERS); None: they may not.
    Raises TypeError where a signature cannot be a schema. What other packages have is loaded when the table is first
    read; what is wrong there is refused where its name is said, and nowhere else.
    """

    def __init__(
        self,
        slot: str,
        /,
        *,
        tag: str = "type",
        usual: str | None = None,
        group: str | None = None,
        contract: type[Any] = object,
        **components: Callable[..., T],
    ) -> None:
        self.slot, self.tag, self.usual, self.group, self.contract = slot, tag, usual, group, contract
        self.own, self.reading = components, False
        for name, component in components.items():
            _choices(self, name, component)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    @functools.cached_property
    def table(self) -> Table:
        if self.reading:
            raise TypeError(f"to make the table of {self.slot} components that table itself is needed")
        self.reading = True
        try:
            return _table(self)
        finally:
            self.reading = False

    @property
    def specs(self) -> dict[str, type[Spec]]:
        """The schema of every component."""
        return self.table.specs

    @property
    def origins(self) -> dict[str, Origin]:
        """Where the components of other packages are from."""
        return self.table.origins

    @property
    def refused(self) -> dict[str, str]:
        """Why a name may not be said that another package claims."""
        return self.table.refused

    @functools.cached_property
    def components(self) -> dict[str, Callable[..., T]]:
        return {name: spec.component for name, spec in self.specs.items()}

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
        """Raises TypeError where there is no such component."""
        for name, known in self.components.items():
            if known is component:
                return name
        raise TypeError(f"{getattr(component, '__qualname__', component)} is no {self.slot} that has a name")

    def _tag_of(self, value: Any) -> str | None:
        name = value.get(self.tag, self.usual) if isinstance(value, dict) else getattr(value, self.tag, None)
        legal = isinstance(name, str) and not (isinstance(value, dict) and name in self.refused)
        return f"<{name}>" if legal else None

    def _spelled(self, value: Any) -> Any:
        return {self.tag: value} if isinstance(value, str) else value


RESERVED: Final = frozenset(dir(Spec))  # what a schema calls something else


class _BareName:
    """In a JSON schema: a component may also be said by its name alone."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": self.names}, handler(core)]}


# How a signature becomes a schema


def _choices(registry: Registry[Any], name: str, component: Callable[..., Any]) -> Choices:
    try:
        return checked(component, registry.contract, RESERVED | {registry.tag})
    except TypeError as error:
        raise TypeError(f"{registry.slot} {name!r}: {error}") from None


def _schema(registry: Registry[Any], name: str, component: Callable[..., Any], said: Choices) -> type[Spec]:
    fields: dict[str, Any] = {registry.tag: (Literal[name], name)}
    for choice, (hint, default) in said.items():
        fields[choice] = _field(hint, default)
    made = create_model(f"{registry.slot}_{name}", __base__=Spec, **fields)
    made.registry, made.component = registry, staticmethod(component)
    made.slots = {choice: slot for choice, (hint, _) in said.items() if (slot := slot_of(hint)) is not None}
    return cast(type[Spec], made)


def _field(hint: Any, default: Any) -> tuple[Any, Any]:
    inner = slot_of(hint)
    if inner is None:
        return lax_tuples(hint), ... if default is inspect.Parameter.empty else default
    many: Any = Annotated[tuple[inner.any, ...], Strict(False)]  # type: ignore[name-defined]
    if default is inspect.Parameter.empty:
        return (many if get_origin(get_args(hint)[0]) is tuple else inner.any), ...
    if isinstance(default, tuple):
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
        of = next((extra for extra in get_args(hint)[1:] if isinstance(extra, Registry)), None)
        return of or slot_of(get_args(hint)[0])
    return None


def _single(option: Any) -> Any:
    """A slot with one component so far: pydantic wants two for a union, so the same one stands twice."""
    spec, tag = get_args(option)[0], get_args(option)[1]
    return Annotated[spec, tag] | Annotated[spec, Tag("<only>")]


# What other packages add


def _table(registry: Registry[Any]) -> Table:
    made = Table({n: _schema(registry, n, part, choices(part)) for n, part in registry.own.items()}, {}, {})
    claimed: dict[str, list[Claim]] = {}
    for claim in claims():
        if claim.group == registry.group:
            claimed.setdefault(claim.name, []).append(claim)
    for name, sides in claimed.items():
        try:
            spec = _plugin(registry, sides)
        except _Refused as error:
            made.refused[name] = f"{registry.slot} {name!r} {error}"
        else:
            made.specs[name], made.origins[name] = spec, sides[0].origin
    return made


class _Refused(Exception):
    """A claim to a name is not good; the message goes on from that name."""


def _plugin(registry: Registry[Any], sides: Sequence[Claim]) -> type[Spec]:
    """The schema of what is claimed. Raises _Refused: whatever another package does wrong breaks nothing but itself."""
    who = " and of ".join(claim.origin.entry for claim in sides)
    if sides[0].name in registry.own:
        raise _Refused(f"is built in and also of {who}: give that another name, or uninstall it")
    if len(sides) > 1:
        raise _Refused(f"is of {who}: uninstall one")
    try:
        if not re.fullmatch(r"[A-Za-z]\w*", sides[0].name, re.ASCII):
            raise TypeError("a name has letters, digits and underscores")
        component = sides[0].load()
        if inspect.isclass(next(iter(registry.own.values()))) and not inspect.isclass(component):
            raise TypeError(f"it is no class, as every {registry.slot} is")
        said = checked(component, registry.contract, RESERVED | {registry.tag})
        spec = _schema(registry, sides[0].name, component, said)
        _tried(registry, spec)
    except (Exception, SystemExit) as error:
        kind = "" if type(error) is TypeError else f"{type(error).__name__}: "
        raise _Refused(f"of {who} cannot be used: {kind}{str(error).strip().partition(chr(10))[0]}") from error
    return spec


def _tried(registry: Registry[Any], spec: type[Spec]) -> None:
    """Raises what is wrong with a component as far as can be seen without its parent."""
    component = spec.component
    usual = facts(next(iter(registry.own.values())))
    if facts(component) != usual:
        said, wanted = (", ".join(names) or "nothing" for names in (facts(component), usual))
        raise TypeError(f"left of the bare * stands {said}, where a {registry.slot} has {wanted}")
    version_of(component)
    if not any(field.is_required() for field in spec.model_fields.values()):
        try:
            spec.model_validate(json.loads(spec().model_dump_json()))
        except ValidationError as error:
            first = error.errors()[0]
            raise TypeError(f"a file could not say the default of {first['loc'][0]}: {first['msg']}") from None
