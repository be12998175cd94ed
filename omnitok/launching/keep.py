"""``python -m omnitok.launching.keep FOLDER``: what a keeper does when it wakes: as a launch of the stored sweep, as it was then, but
under its policies for failures; then it sees that the next keeper waits."""

import os
import sys
import time
from pathlib import Path
from typing import Final

from omnitok import provenance, runs
from omnitok.cluster.submit import WINNER
from omnitok.launching import verdicts
from omnitok.launching.enqueue import Jobs, Wish
from omnitok.launching.launch import launch_asked
from omnitok.spec import SpecError
from omnitok.sweep.stored import SEARCHES, asked_of

PATIENCE_S: Final = 1800.0  # how long a controller may be silent, or another launcher be at it
PAUSE_S: Final = 20.0


def keep(folder: Path, patience_s: float = PATIENCE_S) -> None:
    """Go on with a stored sweep, unless somebody stopped it. Raises SpecError where its files are refused, or Slurm says
    nothing or takes no jobs from here for long; Busy."""
    until = time.monotonic() + patience_s
    while not (why := verdicts.stopped(folder)):
        won = _won(folder)
        try:
            jobs = launch_asked(asked_of(folder), cluster="slurm", told=_say, wish=Wish(by_hand=False)).jobs
        except (SpecError, runs.Busy) as error:
            silent = isinstance(error, runs.Busy) or "does not answer" in str(error) or "is not known" in str(error)
            if not silent or time.monotonic() > until:
                raise
            lacks = str(error)
        else:
            lacks = "; ".join(jobs.notes) if jobs and time.monotonic() < until else ""
        if lacks:  # the next keeper must wait before this one ends
            print(f"{provenance.now()} {lacks}; again in {PAUSE_S:.0f} seconds", flush=True)
            time.sleep(PAUSE_S)
        elif _won(folder) == won:  # else a search has ended meanwhile, and nobody would wake for it
            return
    print(f"{provenance.now()} {why}")


def _won(folder: Path) -> int:
    """How many searches are over."""
    return len(list((folder / SEARCHES).glob(f"*/{WINNER}")))


def _say(jobs: Jobs) -> None:
    count = len({one.job for one in jobs.submitted})
    print(f"{provenance.now()} submitted {count} jobs, {jobs.queued} are queued or running, {jobs.left} wait for room")
    for piece, failure in jobs.over.items():
        print(f"  {piece}: not tried again: {failure.kind}: {failure.sentence}")
    for said in (*jobs.notes, *([jobs.stopped] if jobs.stopped else [])):
        print(f"  {said}", flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    os.environ["OMNITOK_RUNS"] = str(place.parent.parent)
    try:
        keep(place)
    except SpecError as error:
        hint = "; where nodes may not submit jobs, launch again by hand, or watch with --wait"
        sys.exit(f"{error}{hint if 'refuses' in str(error) or 'on this machine' in str(error) else ''}")
