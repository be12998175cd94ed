"""What Hugging Face's ``datasets`` saves: Arrow files of ``save_to_disk``, or Parquet files as its hub has them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnitok.data import tables
from omnitok.data.contract import DataError, Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent, ordered, settled, split_of
from omnitok.data.manifest import Broken
from omnitok.spec import Fault, Mark, SpecError, near

STATE = "state.json"


class HuggingFace(Layout):
    """A folder of ``save_to_disk`` (``train/state.json`` names its ``.arrow`` files) or of Parquet files
    (``data/train-00000-of-00002.parquet``, ``train/0000.parquet``), read where they lie. The splits are as the paths say;
    where they say none, each class is split by hashes. With train and one other set, that is test, and val is 2 % of
    train by hashes. Arrow files are read row by row; of a Parquet file every read takes a whole row group, so training
    wants Arrow. Pictures must be embedded, not paths.

    column: which holds the pictures or videos; empty: the only one that is declared as such.
    label: which holds the classes; empty: the only one that is declared as such, none where there is none.
    """

    def __init__(self, *, column: str = "", label: str = "") -> None:
        self.column, self.label = column, label

    def read(self, tree: Tree) -> Listing:
        names, missing = _tables(tree)
        if not names:
            raise SpecError([Fault(Mark(str(tree.folder)), "", "holds no .parquet and no state.json of save_to_disk")])
        files: list[Listed] = []
        broken: list[Broken] = []
        classes: dict[tuple[str, ...], str] = {}
        for name, split in names:
            try:
                found, said = self._rows(tree, name, split)
                files += found
                classes.setdefault(said, name)
            except DataError as error:
                broken.append(Broken(path=name, reason=str(error).removeprefix(f"{tree.folder / name}: ")))
        if len({file.split is None for file in files}) > 1:
            raise SpecError(
                tree.fault(name, 0, "says no split, but others do") for name, split in names if split is None
            )
        if len(classes) > 1:
            first, second, *_ = classes.values()
            raise tree.refuse(second, 0, f"has other classes than {first}, or in another order")
        named, held = settled(files)
        return Listing(named, next(iter(classes), ()) or ordered(files), missing, broken, held)

    def _rows(self, tree: Tree, name: str, split: Split | None) -> tuple[list[Listed], tuple[str, ...]]:
        path = tree.folder / name
        table = tables.opened(path)
        column = self.column or _only(tree.folder / name, table, ("Image", "Video"), "column")
        label = self.label or _only(tree.folder / name, table, ("ClassLabel",), "label")
        for choice, said in (("column", column), ("label", label)):
            if said and said not in table.columns:
                raise tree.refuse(name, 0, f"has no column {said!r}, which {choice} names{near(said, table.columns)}")
        if not label:
            return [Listed(name, split, member=column, at=row) for row in range(table.rows)], ()
        declared = table.features.get(label)
        classes = tuple(map(str, declared.get("names", ()))) if isinstance(declared, dict) else ()
        try:
            labels = [_named(value, classes) for value in tables.values(path, label)]
        except ValueError as error:
            raise tree.refuse(name, 0, f"column {label!r}: {error}") from None
        return [Listed(name, split, text, member=column, at=row) for row, text in enumerate(labels)], classes


def _only(path: Path, table: tables.Table, kinds: Sequence[str], choice: str) -> str:
    """The one column of some kinds. Raises SpecError: several, or none of pictures."""
    declared = {name: said.get("_type") for name, said in table.features.items() if isinstance(said, dict)}
    found = [name for name, kind in declared.items() if kind in kinds]
    if len(found) == 1 or not (found or choice == "column"):
        return "".join(found)
    said = f"has {' and '.join(found)}" if found else f"declares no column as {' or '.join(kinds)}"
    raise SpecError([Fault(Mark(str(path)), "", f"{said}; say {choice}: (one of {', '.join(found or table.columns)})")])


def _named(value: Any, classes: tuple[str, ...]) -> str:
    """The class that a cell says; nothing where it says none. Raises ValueError."""
    if value is None or value == -1:
        return ""
    if not isinstance(value, int | str):
        raise ValueError(f"says the class {value!r}, which is no text and no number")
    if not classes:
        return str(value)
    if not isinstance(value, int) or not 0 <= value < len(classes):
        raise ValueError(f"says the class {value!r}, of which there are {len(classes)}")
    return classes[value]


def _tables(tree: Tree) -> tuple[list[tuple[str, Split | None]], list[Broken]]:
    """The files with their splits, and those that a ``state.json`` names and that are not there."""
    states = [name for name in tree.names if name.rpartition("/")[2] == STATE]
    if not states:
        return [(name, split_of(name)) for name in tree.names if name.endswith(".parquet")], []
    found: list[tuple[str, Split | None]] = []
    missing = []
    for state in states:
        base = state.removesuffix(STATE)
        text = tree.text(state)
        try:
            names = [str(one["filename"]) for one in json.loads(text)["_data_files"]]
        except (ValueError, KeyError, TypeError):
            raise tree.refuse(state, 0, "is no state.json of save_to_disk") from None
        found += [(base + name, split_of(base)) for name in names if base + name in tree.known]
        missing += [absent(base + name, state, 0) for name in names if base + name not in tree.known]
    return found, missing
