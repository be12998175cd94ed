"""The one call behind ``omnitok report``: bring the mirror up to date, check it against the folders, render."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from omnitok import results, runs, tracking
from omnitok.report.checked import Made, differences, inputs, outdated, publish
from omnitok.report.paper import Read, is_paper, pieces_of, read_paper
from omnitok.report.render import Head, Rendered
from omnitok.report.section import NOWHERE, Asked, Section, section
from omnitok.results import Mirror, Results, gathered
from omnitok.results.collect import read
from omnitok.spec import Fault, Mark, SpecError, mark_of
from omnitok.sweep.file import read_sweep
from omnitok.sweep.stored import PLAN, SWEEP, locate, refresh, unmeasured
from omnitok.tracking import mirror, sync

BUILD = Path("reports/build")


def rows(sweep: Path | str, sets: Sequence[str] = ()) -> pd.DataFrame:
    """One row a trial of a launched sweep (its file, name or digest): labels, choices, status and metrics.

    The only input of every table and figure, and the notebook's way to the same numbers. Raises SpecError.
    """
    return results.rows(locate(runs.root(), str(sweep), sets))


def render_report(reference: Path | str, sets: Sequence[str] = (), out: Path | None = None) -> Rendered:
    """The report of a sweep (its file, name or digest) or of a report file, into ``reports/build/<name>`` or ``out``.

    Raises SpecError for what the file says wrongly, for a sweep that was never launched, and where MLflow and a run's
    folder disagree; TrackingError where the tracking server cannot be reached.
    """
    meant = _meant(runs.root(), reference, sets)
    known = _mirrored(runs.root(), meant.folders)
    return publish(
        _made(meant, known, tracking.pages(runs.root(), None, _digests(meant.folders))), out or meant.out, pdf=True
    )


def check_report(reference: Path | str, sets: Sequence[str] = (), out: Path | None = None) -> list[str]:
    """In what the report in its folder is not that of its runs as they are now, a sentence each. Writes nothing.

    Raises as ``render_report`` does.
    """
    meant = _meant(runs.root(), reference, sets)
    edited = [said for folder in meant.folders for said in _edited(folder)]
    return [*edited, *differences(_made(meant, _unreachable(runs.root(), meant.folders)), out or meant.out)]


def outdated_report(reference: Path | str, sets: Sequence[str] = ()) -> Path | None:
    """The folder of the report of a sweep, where there is one whose runs are no longer as they were when it was rendered."""
    sweep = read(locate(runs.root(), str(reference), sets))
    folders = {digest: sweep.runs / digest for trial in sweep.plan["trials"] for digest in trial["stages"]}
    return BUILD / sweep.slug if outdated(BUILD / sweep.slug, folders) else None


def render(stored: Path, out: Path, known: Mirror | None = None) -> Rendered:
    """The report of one stored sweep, in whatever state it is, written into the folder ``out``; no PDF.

    Raises SpecError where nothing is stored, or where ``known`` of a tracker and a run's folder disagree.
    """
    return publish(_made(Meant((stored,), None, out), known), out, pdf=False)


def render_paper(asked: Read, folders: Sequence[Path], out: Path, known: Mirror | None = None) -> Rendered:
    """The report that a report file asks for. ``folders``: the stored sweep of each of its sections; no PDF.

    Raises SpecError for what does not fit a sweep, and for two of one name.
    """
    return publish(_made(Meant(tuple(folders), asked, out), known), out, pdf=False)


class Meant(NamedTuple):
    """The stored sweeps that a report is of, the report file that names them (None: a sweep alone), where it goes."""

    folders: tuple[Path, ...]
    asked: Read | None
    out: Path


def _meant(root: Path, reference: Path | str, sets: Sequence[str]) -> Meant:
    path = Path(reference)
    if is_paper(path):
        if sets:
            said = (
                f"{path} is a report file: what a sweep was launched with stands in its section, as set: [{sets[0]!r}]"
            )
            raise SpecError([Fault(Mark(f"--set {sets[0]}"), "", said)])
        asked = read_paper(path)
        parts = zip(asked.files, asked.paper.sections, strict=True)
        return Meant(tuple(locate(root, str(sweep), part.set) for sweep, part in parts), asked, BUILD / path.stem)
    stored = locate(root, str(reference), sets)
    return Meant((stored,), None, BUILD / read(stored).slug)


def _made(meant: Meant, known: Mirror | None, pages: Mapping[str, str] = NOWHERE) -> Made:
    if meant.asked is None:
        found = gathered(meant.folders[0], known)
        one = section(found, Asked("", "", pieces_of(found, ())), unmeasured(meant.folders[0]), pages)
        return Made(Head(found.name), (one,), inputs(found))
    asked, paper = meant.asked, meant.asked.paper
    results = [gathered(folder, known, asked.folder) for folder in meant.folders]
    sections = [_section(asked, i, found, pages) for i, found in enumerate(results)]
    names = [one.slug.casefold() for one in sections]
    for i, name in enumerate(names):
        if name in names[:i]:
            sentence = f"two sweeps are named {sections[i].slug!r}; their files would overwrite each other"
            raise SpecError([Fault(mark_of(asked.said, ("sections", i)), f"sections[{i}]", sentence)])
    left = {digest: parts for found in results for digest, parts in inputs(found).items()}
    return Made(Head(paper.title, paper.authors, paper.abstract), tuple(sections), left)


def _section(asked: Read, i: int, found: Results, pages: Mapping[str, str]) -> Section:
    part = asked.paper.sections[i]
    pieces = pieces_of(found, part.show, asked.said, ("sections", i, "show"))
    return section(found, Asked(part.title, part.text, pieces, asked.called), unmeasured(found.sweep.stored), pages)


def _edited(folder: Path) -> list[str]:
    """Whether a sweep's file has another question or other claims by now than the stored sweep, which a report would take."""
    kept = runs.read_json(folder / SWEEP)
    path = Path(kept["path"]) if "path" in kept else None
    if path is None or not path.is_file() or (asked := read_sweep(path, kept["set"])).digest != kept["digest"]:
        return []
    now = {"question": asked.file.question, "claims": [claim.model_dump() for claim in asked.file.claims]}
    said = {"question": "another question", "claims": "other claims"}
    return [f"{kept['file']} has {said[key]} by now" for key, value in now.items() if kept[key] != value]


def _unreachable(root: Path, folders: Sequence[Path]) -> Mirror | None:
    """What MLflow has of runs that have no folder here; None where all have one, so that nothing need be asked."""
    digests = _digests(folders)
    return None if all((root / digest).is_dir() for digest in digests) else mirror(root, None, digests)


def _mirrored(root: Path, folders: Sequence[Path]) -> dict[tuple[str, str], float]:
    for folder in folders:
        refresh(folder)
    sync(root)
    return mirror(root, None, _digests(folders))


def _digests(folders: Sequence[Path]) -> set[str]:
    """Of all stage runs."""
    return {digest for folder in folders for digest in runs.read_json(folder / PLAN)["stages"]}
