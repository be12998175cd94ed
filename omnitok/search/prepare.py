"""One arm's search as a file: all that a worker needs to be told. Loads neither torch nor Optuna."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.search.asked import Search, refusals
from omnitok.search.marked import from_json, to_json
from omnitok.search.standing import SEARCH, WINNER, trials, winner
from omnitok.spec import Fault, Map, SpecError, check, digest

LOOK_S: Final = 0.05  # between two tries to hold a search of which others claim trials


class Prepared(NamedTuple):
    """A search as its folder says it. ``text``: the arm's experiment; ``said``: the text of the search; ``seed``: of every
    training; ``study``: its name in a storage; ``warm``: folders of other searches, below the runs' root; ``since``: number of
    the first trial whose failure counts against the arm."""

    name: str
    text: Map
    said: Map
    search: Search
    seed: int
    study: str
    warm: tuple[str, ...]
    since: int


def prepare(folder: Path, said: dict[str, Any]) -> None:
    """Write ``search.json`` of one arm into ``runs/sweeps/<digest>/search/<arm>``; again, it changes how long the search
    goes on (``trials``, ``hours``) and nothing else. Where the target is raised, what has won so far is no longer what won.

    ``said``: ``name`` of the arm; ``text``: its experiment's text with the arm's patches applied (a Map); ``search``: the
    text of the key ``search:`` (a Map); ``seed``: of the trainings; ``warm``: folders of finished searches, relative to the
    runs' root, whose trials are known here. Raises SpecError where the search cannot be, or the folder has another one.
    """
    search: Search = check(Search, said["search"])
    if faults := refusals(search, said["search"]):
        raise SpecError(faults)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as held:
        _write(held, said, search)


def _write(held: runs.Held, said: dict[str, Any], search: Search) -> None:
    folder = held.folder
    what = digest({"search": search.identity(), "text": said["text"], "seed": said["seed"]})
    before = runs.read_json(folder / SEARCH) if (folder / SEARCH).exists() else None
    if before is not None and before["identity"] != what:
        raise SpecError([Fault(said["search"].mark, "search", f"{folder} has the search of another question")])
    # one database may serve several roots of runs, which must not take each other's trials for those of dead workers
    study = before["study"] if before else f"{folder.parent.parent.name}/{said['name']}/{uuid.uuid4().hex[:8]}"
    kept = {
        "name": said["name"],
        "identity": what,
        "study": study,
        "seed": said["seed"],
        "warm": list(said.get("warm", ())),
        "search": {"trials": search.trials, "hours": search.hours},
        "since": before["since"] if before else 0,
        "said": to_json(said["search"]),
        "text": to_json(said["text"]),
    }
    if before != kept:
        held.write_json(folder / SEARCH, kept)
    if before and _more(before["search"], kept["search"]):
        held.remove(folder / WINNER)  # whoever works next goes on, and writes it again


@contextmanager
def _alone(folder: Path) -> Iterator[runs.Held]:
    """No worker claims a trial meanwhile."""
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(runs.lease(folder))
                break
            except runs.Busy:
                time.sleep(LOOK_S)
        yield held


def read(folder: Path) -> Prepared:
    """What was prepared there. Raises FileNotFoundError, SpecError where today's schema refuses it."""
    kept = runs.read_json(folder / SEARCH)
    said = from_json(kept["said"])
    search: Search = check(Search, said)
    text = from_json(kept["text"])
    return Prepared(kept["name"], text, said, search, kept["seed"], kept["study"], tuple(kept["warm"]), kept["since"])


def try_again(folder: Path) -> None:
    """A search that was given up, as its trials failed alike, goes on; any other is left as it is."""
    with _alone(folder) as held:
        won = winner(folder)
        if won is not None and won["stopped"]:
            held.write_json(folder / SEARCH, runs.read_json(folder / SEARCH) | {"since": len(trials(folder))})
            held.remove(folder / WINNER)


def goes_on(folder: Path, search: Search) -> bool:
    """Whether a search is to go on longer than what was prepared in its folder."""
    return _more(runs.read_json(folder / SEARCH)["search"], {"trials": search.trials, "hours": search.hours})


def _more(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the search goes on longer than it was to."""
    endless = float("inf")
    return bool(now["trials"] > before["trials"] or (now["hours"] or endless) > (before["hours"] or endless))
