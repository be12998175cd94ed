"""What goes to a cluster as one task, what became of it, and what was asked for. All of it is data: it crosses as JSON."""

from typing import Any, Literal, NamedTuple

State = Literal["pending", "running", "done", "failed", "cancelled", "unknown", "lost"]
ACTIVE: frozenset[State] = frozenset({"pending", "running", "unknown"})  # submitting these again would double them


class Piece(NamedTuple):
    """A path of stages that no other piece shares, and what is measured of them: one task.

    ``id``: the folder name of its last stage. ``label``: "joint fsq+ramp/0", for people. ``stages``: folder names, first
    to last. ``evaluations``: (folder name, an evaluation's spec). ``after``: ids of pieces that must have succeeded.
    ``resources``: what the sweep's resources say of this piece; they go before those of the sweep.
    """

    id: str
    label: str
    stages: tuple[str, ...]
    evaluations: tuple[tuple[str, dict[str, Any]], ...]
    after: tuple[str, ...]
    resources: dict[str, Any]


class Submitted(NamedTuple):
    """A piece that was handed to the cluster now. ``job``: "12", or "12_3" of an array."""

    piece: str
    job: str


class Queued(NamedTuple):
    """How the newest job of a piece stands. ``reason``: the cluster's own words; ``lost``: neither the queue nor the
    accounting knows it, so nothing will come of it."""

    job: str
    state: State
    reason: str
