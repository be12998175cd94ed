"""Trying again what of a launched sweep failed, was blocked or was cancelled, and nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from omnitok import runs
from omnitok.cluster.ledger import LEDGER
from omnitok.launching.cancel import search_of
from omnitok.launching.drive import View
from omnitok.launching.enqueue import Jobs, Wish
from omnitok.launching.launch import Cluster, Launched, launch_asked
from omnitok.launching.named import by_name, called, named
from omnitok.launching.queued import asked_states
from omnitok.launching.verdicts import history
from omnitok.search.prepare import try_again
from omnitok.spec import Fault, Mark, SpecError, near
from omnitok.sweep.stored import State, asked_of, locate

ENDED: Final = ("failed", "blocked", "cancelled", "interrupted")


def retry_sweep(
    root: Path, reference: str, trials: Sequence[str] = (), *, kind: str | None = None, cluster: Cluster | None = None,
    workers: int | None = None, wait: bool = False, view: View | None = None, told: Callable[[Jobs], None] = lambda jobs: None,
) -> Launched:  # fmt: skip
    """Launch again what failed, was blocked or was cancelled: of all trials, or of those named (an arm, a value's label, or
    ARM/SEED), or for one ``kind`` of failure of ``runs.KINDS``.

    The stored texts are run, whatever the files say now. ``cluster``: None: where it was launched. Counts of what was tried
    begin anew. An arm whose search came to nothing is searched on; what wins there is for a keeper, or another launch. Raises SpecError where a name is not there, or nothing is to be tried again.
    """
    folder = locate(root, reference)
    if kind is not None and kind not in runs.KINDS:
        raise SpecError([Fault(Mark(f"--kind {kind}"), "", f"no kind of failure{near(kind, runs.KINDS)}")])
    states = asked_states(folder)
    mine = set(named(reference, "trial", trials, _called([state.trial for state in states])))
    kinds = _kinds(folder) if kind else {}
    chosen = [
        state.trial
        for state in states
        if state.status in ENDED
        and (not trials or called(state.trial) in mine)
        and (not kind or _is(state, kind, kinds))
    ]
    if not chosen:
        raise SpecError([Fault(Mark(reference), "", "nothing that failed, was blocked or was cancelled matches")])
    searched = [search_of(folder, trial["name"]) for trial in chosen if trial["kind"] == "search"]
    for place in searched:
        try_again(root / place)
    only = frozenset([*searched, *(stage for trial in chosen for stage in trial["stages"])])
    there: Cluster = "slurm" if (folder / LEDGER).exists() else "local"
    return launch_asked(
        asked_of(folder),
        cluster=cluster or there,
        workers=workers,
        wait=wait,
        view=view,
        told=told,
        wish=Wish(only=only),
    )


def _called(trials: Sequence[dict[str, Any]]) -> dict[str, set[str]]:
    """{what a person may say: the trials that are meant}: an arm with all its seeds, a label with all its arms."""
    arms = by_name((trial["name"], trial["arm"].values()) for trial in trials)
    names = {said: {called(trial) for trial in trials if trial["name"] in mine} for said, mine in arms.items()}
    return names | {called(trial): {called(trial)} for trial in trials}


def _kinds(folder: Path) -> dict[str, set[str]]:
    """{folder of a stage, or id of a piece: the kinds of failure that it has}, from what was judged."""
    found: dict[str, set[str]] = {}
    for one in history(folder).verdicts.values():
        found.setdefault(one.piece, set()).add(one.kind)
    return found


def _is(state: State, kind: str, kinds: dict[str, set[str]]) -> bool:
    """Whether a trial stands where it does for such a failure: its reason says so, or a verdict about one of its stages."""
    said = f"{kind}: " in state.reason or (state.status == "cancelled" and kind == "cancelled")
    return said or any(kind in kinds.get(stage, ()) for stage in state.trial["stages"])
