"""What shared stages save of the sweeps that the paper's tables 7 and 10 are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.measure import Row
from omnitok import runs
from omnitok.reviewing.estimate import gpus_of, timed
from omnitok.reviewing.footprint import Footprints
from omnitok.reviewing.probed import probed
from omnitok.reviewing.saved import Sharing
from omnitok.reviewing.saved import sharing as shared
from omnitok.sweep.plan import Plan, plan_sweep

SWEEPS = Path(__file__).parent.parent / "sweeps" / "paper"
PAPER = tuple(SWEEPS / f"table{number}.yaml" for number in (7, 10))


def sharing(sweeps: Sequence[Path] = PAPER, *, probing: bool | None = None, sets: Sequence[str] = ()) -> list[Row]:
    """``probing``: time a few steps of each stage for GPU hours; None: where there is a GPU."""
    plans = [plan_sweep(sweep, sets) for sweep in sweeps]
    stages = {digest: run for plan in plans for digest, run in plan.runs.items()}
    prints = Footprints()
    rows = [
        _row(
            shared(plans, {digest: float(run.spec.get("steps", 1)) for digest, run in stages.items()}), "steps", COUNT
        ),
        _row(shared(plans, {digest: prints.flops(run) for digest, run in stages.items()}), "FLOPs", FLOPS),
    ]
    if probing is None:
        probing = torch.cuda.is_available()
    return [*rows, _row(shared(plans, _hours(plans)), "GPU hours", HOURS)] if probing else rows


COUNT = "optimizer steps of all trials whole, against those of each stage once, by the plan; runs are shared between sweeps, too"
FLOPS = "the same, each step by the floating-point operations of the tokenizer's batches: there, and twice that back"
HOURS = "the same, each step by its time in a probe of a few steps on one GPU with one process's share of the batch, times the GPUs of its stage"


def _hours(plans: Sequence[Plan]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for plan in plans:
        known = probed(plan, timed(plan, runs.root()), lambda line: print(line, flush=True))
        gpus = gpus_of(plan, known.paces, known.device)
        for digest, pace in known.paces.items():
            found[digest] = plan.runs[digest].spec["steps"] * pace.seconds / 3600 * gpus[digest]
            print(f"{pace.stage} {digest}: {pace.seconds:.4g} s a step", flush=True)
    return found


def _row(found: Sharing, unit: str, how: str) -> Row:
    said = f"{found.once:.4g} of {found.whole:.4g} {unit}"
    return Row(f"{unit} that shared stages save, tables 7 and 10", how, "%", (100 * found.saved,), ratio=said)
