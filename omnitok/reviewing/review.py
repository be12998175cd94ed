"""What is to be known of a plan before it is paid for, put together: time, disk, sharing, fairness, the cluster."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from omnitok import runs
from omnitok.cluster import site
from omnitok.cluster.layout import Layout, layout
from omnitok.cluster.questions import submitted
from omnitok.cluster.site import Site
from omnitok.cluster.submit import room
from omnitok.launching.enqueue import spare_of
from omnitok.reviewing.audit import Audit, audit
from omnitok.reviewing.difference import Difference, difference
from omnitok.reviewing.estimate import Estimate, Timed, estimate, gpus_of, refuse_over, timed
from omnitok.reviewing.footprint import Footprints
from omnitok.reviewing.saved import Sharing, sharing
from omnitok.spec import SpecError
from omnitok.sweep.plan import Plan
from omnitok.sweep.unfit import unfit


class Asked(NamedTuple):
    """How a plan is looked at. ``cluster``: whether Slurm is asked, and its site held to the plan; ``probe``: whether
    stages are timed that no run is like; budgets in hours, None: any."""

    cluster: bool = False
    probe: bool = False
    budget_hours: float | None = None
    budget_gpu_hours: float | None = None


class Room(NamedTuple):
    """Bytes that the plan would write, weights and checkpoints of what runs at once, and that are free: here, and as a node
    of the cluster sees it, None where nobody has looked."""

    wanted: int
    free: int
    nodes: int | None

    @property
    def short(self) -> bool:
        return self.wanted > min(self.free, self.free if self.nodes is None else self.nodes)


class Review(NamedTuple):
    """``steps``: of all trials whole, and of each stage once; ``gpu_hours``: the same, None where the pace of a stage is not
    known or no GPU is asked for; ``layout``: the arrays that would be submitted, None where no cluster is spoken of;
    ``unfit``: why jobs would never run on the site."""

    estimate: Estimate
    audit: Audit
    difference: Difference
    steps: Sharing
    gpu_hours: Sharing | None
    room: Room
    layout: Layout | None
    unfit: tuple[str, ...]


USUAL: Final = Asked()


def review(plan: Plan, asked: Asked = USUAL, told: Callable[[str], None] = lambda line: None) -> Review:
    """A plan by the runs' folder. ``told`` hears what is probed. Raises SpecError where more is left than a budget has, and
    with ``cluster`` where Slurm does not answer or would never run a job of it."""
    root, prints = runs.root(), Footprints()
    known = site.asked() if asked.cluster else site.read(root)
    wrong = unfit(plan, known) if known else []
    if wrong and asked.cluster:
        raise SpecError(wrong)
    changes = difference(root, plan)
    found = timed(plan, root)
    if asked.probe:
        from omnitok.reviewing.probed import probed

        found = probed(plan, found, told)
    said = estimate(plan, found, prints)
    refuse_over(said, asked.budget_hours, asked.budget_gpu_hours, probed=asked.probe)
    return Review(
        estimate=said,
        audit=audit(plan, prints),
        difference=changes,
        steps=sharing([plan], {digest: float(run.spec.get("steps", 1)) for digest, run in plan.runs.items()}),
        gpu_hours=_gpu_hours(plan, found),
        room=_room(root, said, changes, plan, known),
        layout=_layout(plan, changes, known, asked.cluster),
        unfit=tuple(dict.fromkeys(fault.sentence for fault in wrong)),
    )


def _gpu_hours(plan: Plan, found: Timed) -> Sharing | None:
    """Of all stages, done or not, since whoever does not share would pay for them all."""
    gpus = gpus_of(plan, found.paces, found.device)
    if not found.paces.keys() >= {digest for digest, run in plan.runs.items() if "steps" in run.spec}:
        return None
    hours = {
        digest: run.spec.get("steps", 1) * found.paces[digest].seconds / 3600 * gpus[digest]
        if digest in found.paces
        else 0.0
        for digest, run in plan.runs.items()
    }
    return sharing([plan], hours) if any(hours.values()) else None


def _room(root: Path, said: Estimate, changes: Difference, plan: Plan, known: Site | None) -> Room:
    """The largest checkpoint counts once for each job that may run at once."""
    resources = plan.asked.file.resources
    once = min(len(changes.submit), resources.max_parallel or resources.workers or len(changes.submit))
    there = next(one for one in (root.resolve(), *root.resolve().parents) if one.exists())
    return Room(said.to_write + once * said.checkpoint, shutil.disk_usage(there).free, known.free if known else None)


def _layout(plan: Plan, changes: Difference, known: Site | None, asked: bool) -> Layout | None:
    """With the room that a user has left now, or as a profile has it."""
    if known is None:
        return None
    resources = plan.asked.file.resources
    left = room(known.limits, submitted() if asked else 0, spare_of(resources))
    return layout(changes.pieces, changes.around, resources, left)
