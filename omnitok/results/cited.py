"""Published numbers: somebody's tables, each with its source, each column with the protocol that it was measured by."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, Field, PlainValidator, Strict

from omnitok.spec import STRICT, Fault, Map, SpecError, check, dotted, kind, mark_of, near, read_yaml

Text = Annotated[str, Field(min_length=1)]
Said = TypeVar("Said", bound=BaseModel)


def _number(value: Any) -> float:
    """As it is said: 240 stays a whole number, so that it is printed as one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(
            f"must be a number, not {value!r}" if isinstance(value, str) else f"must be a number, not {kind(value)}"
        )
    return value


Number = Annotated[float, PlainValidator(_number)]


class CitedColumn(BaseModel):
    """What was measured, in which direction it is better, by which protocol and on which data."""

    model_config = STRICT

    title: Text
    metric: Text
    better: Literal["higher", "lower", "neither"]
    protocol: Text
    unit: str = ""


class CitedRow(BaseModel):
    """What was published of one method. ``ours``: the arm or baseline of a sweep that it corresponds to, or the label of one of its factors; ``type``: its kind, in
    the paper's words; ``values`` may lack columns."""

    model_config = STRICT

    name: Text
    ours: str = ""
    type: str = ""
    values: Annotated[dict[str, Number], Field(min_length=1)]

    @property
    def title(self) -> str:
        """Its name, with its kind where the name does not say it."""
        return self.name if self.type in self.name else f"{self.name} ({self.type})"


class CitedTable(NamedTuple):
    """One published table. ``source``: where in the paper it stands."""

    source: str
    columns: Mapping[str, CitedColumn]
    rows: tuple[CitedRow, ...]


class Cited(NamedTuple):
    """The tables of one file by key. ``source``: the paper."""

    source: str
    tables: Mapping[str, CitedTable]


class _File(BaseModel):
    model_config = STRICT

    source: Text
    tables: Annotated[dict[Text, Any], Field(min_length=1)]


class _Table(BaseModel):
    model_config = STRICT

    source: Text
    columns: Annotated[dict[Text, Any], Field(min_length=1)]
    rows: Annotated[tuple[CitedRow, ...], Strict(False), Field(min_length=1)]


def read_cited(path: Path) -> Cited:
    """Raises SpecError with every fault, each at its line: what is no key, what is missing, a value of no column of its table, two
    rows of a table that correspond to one arm."""
    said, faults = read_yaml(path), list[Fault]()
    file = check(_File, said)
    tables = {}
    for key in file.tables:
        at = ("tables", key)
        table = _part(_Table, said, at, faults)
        if table is not None:
            columns = {name: _part(CitedColumn, said, (*at, "columns", name), faults) for name in table.columns}
            faults += _unfit(table, said, at)
            known = {name: column for name, column in columns.items() if column is not None}
            tables[key] = CitedTable(table.source, known, table.rows)
    if faults:
        raise SpecError(faults)
    return Cited(file.source, tables)


def _part(model: type[Said], said: Map, at: Sequence[str | int], faults: list[Fault]) -> Said | None:
    """What stands at one place of the file, as a model; None where it is refused, and why is then among the faults."""
    here: Any = said
    for step in at:
        here = here[step]
    if not isinstance(here, Map):
        faults.append(Fault(mark_of(said, at), dotted(at), f"must be a mapping, not {kind(here)}"))
        return None
    try:
        found: Said = check(model, here)
    except SpecError as error:
        faults += [fault._replace(path=f"{dotted(at)}.{fault.path}") for fault in error.faults]
        return None
    return found


def _unfit(table: _Table, said: Map, at: Sequence[str | int]) -> Iterator[Fault]:
    """What the rows of a table say that fits neither its columns nor its other rows."""
    seen: dict[str, int] = {}
    for i, row in enumerate(table.rows):
        for name in row.values:
            if name not in table.columns:
                path = (*at, "rows", i, "values", name)
                yield Fault(mark_of(said, path), dotted(path), f"no such column{near(name, table.columns)}")
        if row.ours and seen.setdefault(row.ours, i) != i:
            path = (*at, "rows", i, "ours")
            first = mark_of(said, (*at, "rows", seen[row.ours], "ours")).line
            yield Fault(
                mark_of(said, path), dotted(path), f"{row.ours} corresponds to another row already, in line {first}"
            )
