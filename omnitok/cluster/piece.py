"""What goes to a cluster as one task, what became of it, and what was asked for. All of it is data: it crosses as JSON."""

from typing import Any, Literal, NamedTuple

State = Literal["pending", "running", "done", "failed", "cancelled", "unknown", "lost"]
ACTIVE: frozenset[State] = frozenset({"pending", "running", "unknown"})  # submitting these again would double them


class Piece(NamedTuple):
    """A path of stages that no other piece shares, and what is measured: one task, which fails if one of them does.

    ``id``: the folder name of its last stage, or another name where it only measures. ``label``: "joint fsq+ramp/0", for people. ``stages``: folder names, first
    to last. ``evaluations``: (folder name, an evaluation's spec). ``after``: ids of pieces that must have succeeded.
    ``resources``: what the sweep's resources say of this piece, by submitit's names; they go before those of the sweep.
    Two are our own: ``environment`` goes over the sweep's, ``pack`` says with how many like it a piece may share a job.
    ``search``: the path below the runs' root of an arm's search, of which this task is one worker; it has no stages then.
    """

    id: str
    label: str
    stages: tuple[str, ...]
    evaluations: tuple[tuple[str, dict[str, Any]], ...]
    after: tuple[str, ...]
    resources: dict[str, Any]
    search: str = ""

    @property
    def folders(self) -> list[str]:
        """Every folder that it works in."""
        own = [self.search] if self.search else self.stages
        return list(dict.fromkeys([*own, *(folder for folder, _ in self.evaluations)]))


class Submitted(NamedTuple):
    """A piece that was handed to the cluster now. ``job``: "12", or "12_3" of an array."""

    piece: str
    job: str


class Queued(NamedTuple):
    """How the newest job of a piece stands. ``reason``: the cluster's own words; ``lost``: neither the queue nor the
    accounting knows it, so nothing will come of it. Of one that ended badly ``kind`` is what the cluster can tell of why,
    one of ``runs.KINDS``; ``nodes``: where it ran, or which of them failed, as the cluster writes it: node[1-2]."""

    job: str
    state: State
    reason: str
    kind: str = ""
    nodes: str = ""

    @property
    def said(self) -> str:
        """How it stands, in a sentence that says one word once: "job 12 is cancelled by 1000"."""
        again = self.reason.startswith(self.state.upper())
        return f"job {self.job} is {self.reason.lower() if again else f'{self.state}: {self.reason}'}"
