"""YAML read strictly: what people mean, every value with the place where it was said, all faults at once."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from omnitok.spec.words import closest


class Mark(NamedTuple):
    """Where something was said: a file (or a flag of the command line), a line and a column, 0 where there are none.

    ``folder``: the working folder of a flag that was said elsewhere; empty: this process's."""

    source: str
    line: int = 0
    column: int = 0
    folder: str = ""

    def place(self, file: str) -> Path:
        """A file that is named here: relative to the file that says so, or to the working folder for a flag."""
        return ((Path(self.source).parent if self.line else Path(self.folder)) / file).resolve()

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class Fault(NamedTuple):
    """One thing that cannot be accepted: where, the dotted path of the choice, and a sentence with what is legal."""

    mark: Mark
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.path}: {self.sentence}" if self.path else f"{self.mark}: {self.sentence}"


class SpecError(ValueError):
    """What a person wrote cannot be accepted. Carries every fault found, each once, in the order found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        # a stage inherits the faults of the one before it: the same thing said at the same place is one fault
        unique = {
            (fault.mark, re.sub(r"^stages\.[^.[]+\.", "", fault.path), fault.sentence): fault
            for fault in reversed(list(faults))
        }
        self.faults = list(reversed(unique.values()))
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[list[Fault]]]:
        return SpecError, (self.faults,)


class Map(dict[str, Any]):
    """A mapping that remembers where it and each of its keys were said. Patching shares what it does not touch."""

    def __init__(self, items: dict[str, Any], mark: Mark, marks: dict[str, Mark]) -> None:
        super().__init__(items)
        self.mark, self.marks = mark, marks


class Seq(list[Any]):
    """A list that remembers where it and each of its items were said."""

    def __init__(self, items: list[Any], mark: Mark, marks: list[Mark]) -> None:
        super().__init__(items)
        self.mark, self.marks = mark, marks


def near(word: object, known: Iterable[object]) -> str:
    """The end of a refusal: the nearest legal name, then all of them."""
    names = [str(name) for name in known]
    return f"{closest(str(word), names)} (known: {', '.join(names) or 'none'})"


def read_yaml(path: Path, name: str | None = None) -> Map:
    """One file -> its mapping. ``name``: what to call the file in faults (default: the path as given).

    Raises SpecError: unreadable, empty, not UTF-8, not YAML, tabs, a key said twice, anchors, tags, a number that is
    not finite, a whole number of more than 64 bits.
    """
    source = name or str(path)
    return parse_yaml(read_text(path, source), source)


def read_text(path: Path, source: str) -> str:
    """What a file says, which faults call ``source``. Raises SpecError where it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SpecError([Fault(Mark(source), "", f"no such file{_neighbours(path)}")]) from None
    except OSError as error:
        raise SpecError([Fault(Mark(source), "", f"cannot be read: {error.strerror}")]) from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SpecError([Fault(Mark(source, line), "", f"not UTF-8: byte 0x{raw[error.start]:02x}")]) from None


def parse_yaml(text: str, source: str) -> Map:
    """The mapping of a file's text. Raises SpecError as ``read_yaml``."""
    data = _parse(text, Mark(source, 1))
    if not isinstance(data, Map):
        said = "the file is empty" if data is None else f"expected a mapping of names, not {kind(data)}"
        raise SpecError([Fault(Mark(source, 1), "", said)])
    return data


def read_value(text: str, source: str, folder: str = "") -> Any:
    """A value as the command line says it (``--set path=value``), by the same rules as a file's."""
    return _parse(text, Mark(source, folder=folder))


def mark_of(data: Any, path: Iterable[str | int]) -> Mark:
    """Where the deepest part of ``path`` that exists was said; of data without marks, nowhere."""
    mark = data.mark if isinstance(data, Map | Seq) else Mark("data")
    for step in path:
        if isinstance(data, Map) and step in data:
            mark = data.marks[str(step)]
        elif isinstance(data, Seq) and isinstance(step, int) and step < len(data):
            mark = data.marks[step]
        else:
            break
        data = data[step]
    return mark


def bare(data: Any) -> Any:
    """Text without its marks."""
    if isinstance(data, Mapping):
        return {key: bare(value) for key, value in data.items()}
    return [bare(value) for value in data] if isinstance(data, list) else data


def dotted(path: Iterable[str | int]) -> str:
    """("model", "spatial", 1, "window") -> "model.spatial[1].window"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def kind(value: object) -> str:
    """What a person calls the type of a value that stands in a file."""
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text", type(None): "nothing"}
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else names.get(type(value), type(value).__name__)


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor a folder {path.parent})"
    here = sorted(p.name for p in path.parent.iterdir() if p.suffix in {".yaml", ".yml"})
    if not path.suffix:  # a name, of a file that lies here or in a folder here
        below = sorted(path.parent.glob("[!.]*/*.yaml"))
        found = {p.stem: str(p) for p in [*below, *(path.parent / name for name in here)]}
        if close := get_close_matches(path.name, found, n=1):
            return f"; did you mean {found[close[0]]!r}?"
    return near(path.name, here)


_SAID = "said "  # no tag has a space


class _Loader(yaml.SafeLoader):
    """The scalars of YAML 1.2's core schema: 1e-4 is a number; yes, no, on, off, dates and 1_000 are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Keeps a tag that the file says apart from one that PyYAML gives a value for its looks."""
        said = getattr(self.peek_event(), "tag", None)
        node = super().compose_node(parent, index)
        if node is not None and said is not None:
            node.tag = f"{_SAID}{said}"
        return node


for _tag, _pattern, _first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
]:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _parse(text: str, start: Mark) -> Any:
    faults: list[Fault] = []
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                mark = _place(event.start_mark, start)
                raise SpecError([Fault(mark, "", "anchors and aliases are not read; say the value twice")])
        node = yaml.compose(text, _Loader)
        value = None if node is None else _build(node, start, (), faults)
    except yaml.MarkedYAMLError as error:
        said = f"not YAML: {error.problem}" + (f" ({error.context})" if error.context else "")
        raise SpecError([Fault(_place(error.problem_mark or error.context_mark, start), "", said)]) from None
    except yaml.reader.ReaderError as error:
        line = text[: int(error.position)].count("\n") + 1
        raise SpecError([Fault(Mark(start.source, line), "", f"not YAML: {error.reason}")]) from None
    except RecursionError:
        raise SpecError([Fault(start, "", "nested too deeply to be read")]) from None
    if faults:
        raise SpecError(faults)
    return value


def _place(mark: Any, start: Mark) -> Mark:
    return start._replace(line=mark.line + 1, column=mark.column + 1) if start.line else start


def _build(node: yaml.Node, start: Mark, path: tuple[str | int, ...], faults: list[Fault]) -> Any:
    mark = _place(node.start_mark, start)
    if node.tag.startswith(_SAID):
        said = node.tag.removeprefix(_SAID).replace("tag:yaml.org,2002:", "!!")
        faults.append(Fault(mark, dotted(path), f"the tag {said!r} is not read; say the value plainly"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, start, path, faults)
    if isinstance(node, yaml.SequenceNode):
        items = [_build(item, start, (*path, i), faults) for i, item in enumerate(node.value)]
        return Seq(items, mark, [_place(item.start_mark, start) for item in node.value])
    try:
        return _scalar(node.tag.rpartition(":")[2], node.value)
    except ValueError as error:
        faults.append(Fault(mark, dotted(path), str(error)))
        return None


def _mapping(node: yaml.MappingNode, start: Mark, path: tuple[str | int, ...], faults: list[Fault]) -> Map:
    items: dict[str, Any] = {}
    marks: dict[str, Mark] = {}
    for key, value in node.value:
        mark, name = _place(key.start_mark, start), str(key.value)
        if not isinstance(key, yaml.ScalarNode) or key.tag.startswith(_SAID):
            faults.append(Fault(mark, dotted(path), "a name must be plain text"))
        elif name in items:
            faults.append(Fault(mark, dotted((*path, name)), f"said twice; first in line {marks[name].line}"))
        else:
            items[name] = _build(value, start, (*path, name), faults)
            marks[name] = mark
    return Map(items, _place(node.start_mark, start), marks)


LARGEST: Final = 2**63 - 1  # what a seed, a tensor's size and a database take


def _scalar(tag: str, text: str) -> Any:
    """Raises ValueError for a number that is none to compute with."""
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        digits = text.lstrip("+-").lstrip("0") or "0"
        if len(digits) > len(str(LARGEST)) or int(digits) > LARGEST:
            raise ValueError(f"a whole number must be at most {LARGEST} in size, not {_short(text)}")
        return -int(digits) if text[0] == "-" else int(digits)
    if tag == "float":
        value = math.nan if text[-1] in "fFnN" else float(text)
        if not math.isfinite(value):
            raise ValueError(f"a number must be finite, not {_short(text)}")
        return value
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"


def walk(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value below ``data`` with its path, outermost first."""
    yield path, data
    steps = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in steps:
        yield from walk(value, (*path, step))
