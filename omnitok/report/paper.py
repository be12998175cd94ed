"""A report file of several sweeps: ``reports/x.yaml`` -> one page with a title, authors and an abstract."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, Strict

from omnitok.report.collect import Mirror
from omnitok.report.render import Head, Rendered, write
from omnitok.report.section import section
from omnitok.spec import STRICT, Fault, SpecError, check, mark_of, near, read_yaml

Text = Annotated[str, Field(min_length=1)]


class Paper(BaseModel):
    """What a report file says; paths of sweeps are relative to the file."""

    model_config = STRICT

    title: Text
    authors: Annotated[tuple[Text, ...], Strict(False)] = ()
    abstract: str = ""
    sweeps: Annotated[tuple[Text, ...], Strict(False), Field(min_length=1)]


def paper_schema() -> dict[str, Any]:
    """The JSON schema of a report file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Paper.model_json_schema(),
        "title": "an omnitok report",
    }


def read_paper(path: Path) -> tuple[Paper, list[Path]]:
    """The file and the sweep files that it names. Raises SpecError with every fault, each at its line."""
    said = read_yaml(path)
    paper = check(Paper, said)
    files = [path.parent / name for name in paper.sweeps]
    faults = []
    for i, (name, file) in enumerate(zip(paper.sweeps, files, strict=True)):
        if not file.is_file():
            known = sorted(p.name for p in file.parent.glob("*.yaml")) if file.parent.is_dir() else []
            sentence = f"no such sweep file: {name}{near(file.name, known)}"
            faults.append(Fault(mark_of(said, ("sweeps", i)), f"sweeps[{i}]", sentence))
        elif name in paper.sweeps[:i]:
            faults.append(Fault(mark_of(said, ("sweeps", i)), f"sweeps[{i}]", f"{name} is said twice"))
    if faults:
        raise SpecError(faults)
    return paper, files


def render_paper(
    path: Path,
    out: Path,
    locate: Callable[[Path], Path],
    mirror: Mirror | None = None,
    notices: Mapping[Path, Sequence[str]] | None = None,
) -> Rendered:
    """The combined report of a report file. ``locate``: sweep file -> its stored folder; ``notices``: by that folder.

    Raises SpecError for what the file says wrongly, for a sweep that was never launched, and for two of one name.
    """
    paper, files = read_paper(path)
    folders = [locate(file) for file in files]
    sections = [section(folder, mirror, (notices or {}).get(folder, ())) for folder in folders]
    names = [one.slug for one in sections]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        said = read_yaml(path)
        sentence = f"two sweeps are named {twice[0]!r}; their files would overwrite each other"
        raise SpecError([Fault(mark_of(said, ("sweeps",)), "sweeps", sentence)])
    return write(Head(paper.title, paper.authors, paper.abstract), sections, out)
