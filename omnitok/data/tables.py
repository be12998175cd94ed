"""Cells of Parquet and Arrow files, which hold pictures and videos as Hugging Face's ``datasets`` writes them."""

import bisect
import functools
import importlib
import itertools
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omnitok.data.contract import DataError
from omnitok.data.resources import unlocked_by_forks

_READING = threading.Lock()  # two threads in one Parquet file at a time end the process
unlocked_by_forks(_READING)
INSTALL = "pip install 'pyarrow>=15'"


class Table(NamedTuple):
    """An open file. ``features``: what ``datasets`` says of the columns. ``starts``: the first row of each part."""

    path: Path
    columns: tuple[str, ...]
    features: Mapping[str, Any]
    starts: tuple[int, ...]
    rows: int
    source: Any

    def part(self, number: int, column: str) -> Any:
        """A column of a part. Arrow files are mapped, so that this reads only where each value lies; of a Parquet file it
        is decompressed. Raises pyarrow's errors: values that lie nowhere, which would end the process when taken."""
        if self.path.suffix == ".parquet":
            with _READING:
                found = self.source.read_row_group(number, columns=[column]).column(0).combine_chunks()
        else:
            found = self.source[number].column(column)
        found.validate(full=True)
        return found


def opened(path: Path) -> Table:
    """Raises DataError that names the file."""
    try:
        return _opened(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def cell(path: Path, column: str, row: int) -> Any:
    """One value: of a column of pictures a mapping with ``bytes`` and ``path``. Raises DataError."""
    table = opened(path)
    if not 0 <= row < table.rows or column not in table.columns:
        raise DataError(f"{path}: has no row {row} with {column!r}; it has {table.rows} rows")
    part = bisect.bisect_right(table.starts, row) - 1
    try:
        return _part(table.path, path.stat().st_mtime_ns, part, column)[row - table.starts[part]].as_py()
    except _arrow_errors() as error:
        raise DataError(f"{path}: row {row} cannot be read: {error}") from None


def values(path: Path, column: str) -> list[Any]:
    """A whole column, for small values like classes. Raises DataError."""
    table = opened(path)
    try:
        return list(itertools.chain.from_iterable(table.part(i, column).to_pylist() for i in range(len(table.starts))))
    except _arrow_errors() as error:
        raise DataError(f"{path}: column {column!r} cannot be read: {error}") from None


def inner(value: Any) -> bytes:
    """The bytes of a cell. Raises DataError where it has none, but the name of a file elsewhere."""
    found = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(found, bytes):
        raise DataError("has no bytes in it; embed the files when saving")
    return found


@functools.lru_cache(maxsize=64)
def _opened(path: Path, changed_ns: int) -> Table:
    arrow = _pyarrow("pyarrow")
    try:
        if path.suffix == ".parquet":
            file = _pyarrow("pyarrow.parquet").ParquetFile(path, memory_map=True)
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            return _table(path, file.schema_arrow, sizes, file)
        batches, schema = _batches(arrow, path)
        return _table(path, schema, [batch.num_rows for batch in batches], batches)
    except _arrow_errors() as error:
        raise DataError(f"{path}: is no whole {path.suffix} file: {error}") from None


def _batches(arrow: Any, path: Path) -> tuple[list[Any], Any]:
    """``datasets`` writes the stream format; others write the file format."""
    mapped = arrow.memory_map(str(path))
    try:
        stream = arrow.ipc.open_stream(mapped)
        return list(stream), stream.schema
    except arrow.ArrowInvalid:
        file = arrow.ipc.open_file(mapped)
        return [file.get_batch(i) for i in range(file.num_record_batches)], file.schema


def _table(path: Path, schema: Any, sizes: list[int], source: Any) -> Table:
    said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    starts = tuple(itertools.accumulate(sizes, initial=0))
    features = said.get("info", {}).get("features") or {}
    return Table(path, tuple(schema.names), features, starts[:-1], starts[-1], source)


@functools.lru_cache(maxsize=4)  # parts of Parquet files are large: about a thousand pictures
def _part(path: Path, changed_ns: int, number: int, column: str) -> Any:
    return _opened(path, changed_ns).part(number, column)


def _arrow_errors() -> tuple[type[Exception], ...]:
    return (_pyarrow("pyarrow").ArrowException, OSError, ValueError, LookupError, AttributeError)


@functools.cache
def _pyarrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"Parquet and Arrow files are read by pyarrow, which is not installed: {INSTALL}") from None
