"""A report file: ``reports/x.yaml`` says which sweeps stand on one page, in which order, and what is shown of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, Strict

from omnitok.exhibits import EXHIBITS, USUAL, Unfit
from omnitok.exhibits.contract import Piece, Plain, Silence
from omnitok.exhibits.table import Table
from omnitok.results import Results
from omnitok.spec import STRICT, Fault, Mark, Spec, SpecError, check, mark_of, near, read_yaml, resolve

Text = Annotated[str, Field(min_length=1)]
if TYPE_CHECKING:
    Exhibit = Spec
else:
    Exhibit = EXHIBITS.any  # what a report file may say of one


class Part(BaseModel):
    """What a report file says of one sweep.

    ``sweep``: its file, relative to the report's; ``set``: what it was launched with (--set); ``title`` stands in place of
    its name, ``text`` below that; ``show``: exhibits in order, what is usual where none is said.
    """

    model_config = STRICT

    sweep: Text
    set: Annotated[tuple[Text, ...], Strict(False)] = ()
    title: str = ""
    text: str = ""
    show: Annotated[tuple[Exhibit, ...], Strict(False)] = ()


class Paper(BaseModel):
    """What a report file says."""

    model_config = STRICT

    title: Text
    authors: Annotated[tuple[Text, ...], Strict(False)] = ()
    abstract: str = ""
    sections: Annotated[tuple[Part, ...], Strict(False), Field(min_length=1)]


class Read(NamedTuple):
    """What a report file says, the sweep file of each section, the text with its marks, and the file."""

    paper: Paper
    files: tuple[Path, ...]
    said: Any
    file: Path

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.file.parent

    @property
    def called(self) -> str:
        """How it is named on the command line here."""
        whole, here = self.file.resolve(), Path.cwd().resolve()
        return str(whole.relative_to(here) if whole.is_relative_to(here) else self.file)


def paper_schema() -> dict[str, Any]:
    """The JSON schema of a report file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Paper.model_json_schema(),
        "title": "an omnitok report",
    }


def is_paper(path: Path) -> bool:
    """Whether a file is a report file, rather than a sweep's."""
    return path.suffix in {".yaml", ".yml"} and not {"sections", "title"}.isdisjoint(read_yaml(path))


def read_paper(path: Path) -> Read:
    """Raises SpecError with every fault, each at its line."""
    said = read_yaml(path)
    paper = check(Paper, said)
    files = tuple(path.parent / part.sweep for part in paper.sections)
    faults = []
    for i, (part, file) in enumerate(zip(paper.sections, files, strict=True)):
        where, name = mark_of(said, ("sections", i, "sweep")), f"sections[{i}].sweep"
        if not file.is_file():
            known = sorted(p.name for p in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
            faults.append(Fault(where, name, f"no such sweep file: {part.sweep}{near(file.name, known)}"))
        elif (file.resolve(), part.set) in [
            (f.resolve(), p.set) for f, p in zip(files[:i], paper.sections, strict=False)
        ]:
            faults.append(Fault(where, name, f"{part.sweep} has a section already; show: takes any number of exhibits"))
    if faults:
        raise SpecError(faults)
    return Read(paper, files, said, path)


def usual() -> tuple[Spec, ...]:
    """What is shown of a sweep where nobody says what."""
    return tuple(EXHIBITS.default(name) for name in USUAL)


def pieces_of(
    results: Results, show: Sequence[Spec], where: Any = None, at: Sequence[str | int] = ()
) -> tuple[Piece, ...]:
    """Tables and figures in order. ``where``: the report file's text, ``at``: the place of ``show`` in it.

    Raises SpecError with what does not fit the sweep, at its line.
    """
    found: list[Piece] = []
    faults = []
    for i, spec in enumerate(show or usual()):
        try:
            made = resolve(spec)(results)
            found += made or ([_silence(spec)] if show else [])
        except Unfit as error:
            path = (*at, i, error.choice)
            mark = mark_of(where, path) if where is not None else Mark(str(results.sweep.said["file"]))
            faults.append(Fault(mark, _dotted(path), str(error)))
    if faults:
        raise SpecError(faults)
    return tuple(_distinct(found))


def _silence(spec: Spec) -> Silence:
    """What stands in the place of an exhibit that a report file names and these runs have nothing for."""
    name = str(getattr(spec, EXHIBITS.tag))
    return Silence(
        name, f"{name}: these runs have nothing that it could show; omnitok components exhibit says what it is made of."
    )


def _dotted(path: Sequence[str | int]) -> str:
    """("sections", 0, "show", 1, "metrics") -> "sections[0].show[1].metrics"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _distinct(pieces: Sequence[Piece]) -> list[Piece]:
    """No two pieces of a section have one stem, in whatever case, and no two tables one label: the second is numbered."""
    stems = {piece.stem.casefold() for piece in pieces}
    taken: set[str] = set()
    found: list[Piece] = []
    for piece in pieces:
        named, n = piece, 1
        while named.stem.casefold() in (taken if n == 1 else taken | stems):
            n += 1
            named = _numbered(piece, n)
        taken.add(named.stem.casefold())
        found.append(named)
    return found


def _numbered(piece: Piece, n: int) -> Piece:
    named: Piece = piece._replace(slug=f"{piece.slug}-{n}") if isinstance(piece, Table | Plain) else piece
    return named._replace(stem=f"{piece.stem}-{n}")
