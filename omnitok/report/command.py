"""The one call behind ``omnitok report``: bring the mirror up to date, check it against the folders, render."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from omnitok import results, runs
from omnitok.report.paper import Read, is_paper, pieces_of, read_paper
from omnitok.report.render import Head, Rendered, write
from omnitok.report.section import Asked, Section, section
from omnitok.results import Mirror, gathered
from omnitok.results.collect import read
from omnitok.spec import Fault, SpecError, mark_of
from omnitok.sweep.stored import PLAN, locate, refresh, unmeasured
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
    root, path = runs.root(), Path(reference)
    if is_paper(path):
        asked = read_paper(path)
        folders = [locate(root, str(sweep)) for sweep in asked.files]
        return render_paper(asked, folders, out or BUILD / path.stem, _mirrored(root, folders))
    stored = locate(root, str(reference), sets)
    known = _mirrored(root, [stored])
    return render(stored, out or BUILD / read(stored).slug, known)


def render(stored: Path, out: Path, known: Mirror | None = None) -> Rendered:
    """The report of one stored sweep, in whatever state it is, written into the folder ``out``.

    Raises SpecError where nothing is stored, or where ``known`` of a tracker and a run's folder disagree.
    """
    found = gathered(stored, known)
    one = section(found, Asked("", "", pieces_of(found, ())), unmeasured(stored))
    return write(Head(found.name), [one], out)


def render_paper(asked: Read, folders: Sequence[Path], out: Path, known: Mirror | None = None) -> Rendered:
    """The report that a report file asks for. ``folders``: the stored sweep of each of its sections.

    Raises SpecError for what does not fit a sweep, and for two of one name.
    """
    sections = [_section(asked, i, folder, known) for i, folder in enumerate(folders)]
    names = [one.slug for one in sections]
    for i, name in enumerate(names):
        if name in names[:i]:
            sentence = f"two sweeps are named {name!r}; their files would overwrite each other"
            raise SpecError([Fault(mark_of(asked.said, ("sections", i)), f"sections[{i}]", sentence)])
    paper = asked.paper
    return write(Head(paper.title, paper.authors, paper.abstract), sections, out)


def _section(asked: Read, i: int, folder: Path, known: Mirror | None) -> Section:
    part, found = asked.paper.sections[i], gathered(folder, known, asked.folder)
    pieces = pieces_of(found, part.show, asked.said, ("sections", i, "show"))
    return section(found, Asked(part.title, part.text, pieces), unmeasured(folder))


def _mirrored(root: Path, folders: Sequence[Path]) -> dict[tuple[str, str], float]:
    for folder in folders:
        refresh(folder)
    sync(root)
    plans = [runs.read_json(folder / PLAN) for folder in folders]
    return mirror(root, None, {digest for plan in plans for digest in plan["stages"]})
