"""The one call behind ``omnitok report``: bring the mirror up to date, check it against the folders, render."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from omnitok import runs
from omnitok.report import collect
from omnitok.report.paper import read_paper, render_paper
from omnitok.report.render import Rendered, render
from omnitok.spec import read_yaml
from omnitok.sweep.stored import PLAN, locate, refresh, unmeasured
from omnitok.tracking import mirror, sync

BUILD = Path("reports/build")


def rows(sweep: Path | str, sets: Sequence[str] = ()) -> pd.DataFrame:
    """One row a trial of a launched sweep (its file, name or digest): labels, choices, status and metrics.

    The only input of every table and figure, and the notebook's way to the same numbers. Raises SpecError.
    """
    return collect.rows(locate(runs.root(), str(sweep), sets))


def render_report(reference: Path | str, sets: Sequence[str] = (), out: Path | None = None) -> Rendered:
    """The report of a sweep (its file, name or digest) or of a report file, into ``reports/build/<name>`` or ``out``.

    Raises SpecError for what the file says wrongly, for a sweep that was never launched, and where MLflow and a run's
    folder disagree; TrackingError where the tracking server cannot be reached.
    """
    root, path = runs.root(), Path(reference)
    if path.suffix in {".yaml", ".yml"} and "sweeps" in read_yaml(path):
        folders = [locate(root, str(sweep)) for sweep in read_paper(path)[1]]
        known = _mirrored(root, folders)
        notices = {folder: unmeasured(folder) for folder in folders}
        return render_paper(path, out or BUILD / path.stem, lambda sweep: locate(root, str(sweep)), known, notices)
    stored = locate(root, str(reference), sets)
    known = _mirrored(root, [stored])
    return render(stored, out or BUILD / collect.read(stored).slug, known, unmeasured(stored))


def _mirrored(root: Path, folders: Sequence[Path]) -> dict[tuple[str, str], float]:
    for folder in folders:
        refresh(folder)
    sync(root)
    plans = [runs.read_json(folder / PLAN) for folder in folders]
    return mirror(root, None, {digest for plan in plans for digest in plan["stages"]})
