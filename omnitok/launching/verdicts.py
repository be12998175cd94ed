"""``verdicts.jsonl``: of each job of a sweep that ended badly, why, and what is done about it; only ever appended to.

Beside it ``stopped.json``, while nothing of the sweep is to be submitted: who or what stopped it. Loads no torch.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from omnitok import provenance, runs

VERDICTS: Final = "verdicts.jsonl"
STOPPED: Final = "stopped.json"
FRAME: Final = re.compile(r'^ *File "(.*)", line (\d+), in (.*)$', re.MULTILINE)
RAISED: Final = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)", re.MULTILINE)


class Verdict(NamedTuple):
    """Of one job of a piece. ``frames``: its traceback without values, which are alike where the same went wrong.

    ``given``: what all further tries of the piece are given beyond what the sweep says.
    """

    piece: str
    job: str
    kind: str
    sentence: str
    frames: str
    does: Literal["retry", "over"]
    given: dict[str, Any]
    at: str

    @property
    def age_s(self) -> float:
        """Seconds since."""
        return time.time() - datetime.fromisoformat(self.at).timestamp()


class History(NamedTuple):
    """What was decided since a person launched last: (piece, job) -> verdict, oldest first. ``forgiven``: the jobs of before,
    which count no more. ``given``: of each piece that was tried again, what it is given since."""

    verdicts: dict[tuple[str, str], Verdict]
    forgiven: set[tuple[str, str]]
    given: dict[str, dict[str, Any]]

    def tries(self, piece: str, kind: str) -> int:
        """How often a piece was tried again for such a failure."""
        return sum((one.piece, one.kind, one.does) == (piece, kind, "retry") for one in self.verdicts.values())


def history(folder: Path) -> History:
    """A line that a kill has torn is not one: its job is judged again. What is over is so for good."""
    path, found, forgiven = folder / VERDICTS, dict[tuple[str, str], Verdict](), set[tuple[str, str]]()
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError, TypeError, AttributeError):
            said = json.loads(line)
            if "forgiven" in said:
                anew = said["forgiven"]
                forgiven |= {(piece, job) for piece, job in anew.items() if job is not None}
                found = {key: one for key, one in found.items() if one.piece not in anew}
            else:
                one = Verdict(**said)
                if one.does == "over" or (one.piece, one.job) not in found:
                    found[one.piece, one.job] = one
    return History(found, forgiven, {one.piece: one.given for one in found.values() if one.does == "retry"})


def add(folder: Path, verdicts: Iterable[Verdict]) -> None:
    for one in verdicts:
        runs.append_line(folder / VERDICTS, one._asdict())


def forgive(folder: Path, jobs: Mapping[str, str | None]) -> None:
    """A person launches: the counts of these pieces begin anew, and their jobs that have ended are no failures. ``jobs``: {piece:
    job}, None where that waits or runs."""
    if jobs:
        runs.append_line(folder / VERDICTS, {"forgiven": dict(jobs), "at": provenance.now()})


def stop(folder: Path, why: str) -> None:
    """Nothing of the sweep is submitted by itself from now on."""
    runs.write_json(folder / STOPPED, {"why": why, "at": provenance.now()})


def stopped(folder: Path) -> str:
    """Why nothing is submitted by itself; empty where it is."""
    try:
        return str(runs.read_json(folder / STOPPED)["why"])
    except FileNotFoundError:
        return ""


def go_on(folder: Path) -> None:
    """A person launches again."""
    (folder / STOPPED).unlink(missing_ok=True)


def frames(traceback: str) -> str:
    """File, line and function of each frame and the class of what was raised, without values; empty where there are no
    frames. Of a path the last three parts, as each submission has its own copy of the code."""
    found = [f"{'/'.join(path.split('/')[-3:])}:{line}:{name}" for path, line, name in FRAME.findall(traceback)]
    raised = RAISED.findall(traceback.rpartition('File "')[2])
    return " ".join([*found, *raised[:1]]) if found else ""
