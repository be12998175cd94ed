"""Which sample pictures of an evaluation there are: the same held-out items of every arm and baseline."""

from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.results.collect import Sweep, evaluations


class Shown(NamedTuple):
    """One column: an arm or a baseline, the seed shown, and its sample folder (None: it has none)."""

    name: str
    kind: str
    seed: int | None
    digest: str
    folder: Path | None
    items: tuple[str, ...]


def shown(sweep: Sweep, evaluation: str) -> list[Shown]:
    """What every arm, then every baseline, can show of one evaluation: of its first seed that has samples."""
    found = []
    for kind in ("arm", "baseline"):
        for name in sweep.names(kind):
            trials = [t for t in sweep.plan["trials"] if (t["kind"], t["name"]) == (kind, name)]
            options = [_shown(sweep, trial, evaluation) for trial in trials]
            found.append(next((option for option in options if option.folder), options[0]))
    return found


def _shown(sweep: Sweep, trial: dict[str, Any], evaluation: str) -> Shown:
    digest = trial["stages"][-1]
    for name, _, _, said in evaluations(sweep, digest):
        if name == evaluation and said is not None and said.get("samples"):
            folder = sweep.runs / digest / runs.SAMPLES / said["samples"]
            if folder.is_dir():
                return Shown(trial["name"], trial["kind"], trial["seed"], digest, folder, tuple(said["pictures"]))
    return Shown(trial["name"], trial["kind"], trial["seed"], digest, None, ())
