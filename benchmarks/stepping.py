"""What the framework adds to a training step: the record, the checkpoint, and the mirror in another process."""

import contextlib
import statistics
import time
from pathlib import Path

import torch

from benchmarks.measure import Row, seconds, workplace
from benchmarks.subjects import TINY
from benchmarks.watch import watched
from omnitok import runs, trial
from omnitok.runs import Record
from omnitok.spec import decode, resolve
from omnitok.sweep.plan import plan_one
from omnitok.tracking import sync
from omnitok.training import TASKS, Task
from omnitok.training.stage import StageRun, data_root

STEP_MS = 50.0  # the step that the promise is about
NEVER_S = 1e9


def stepping(repeats: int = 7, steps: int = 100) -> list[Row]:
    """``trial.run`` in turn with the bare loop over the same task, clocked from inside the loop and as a whole."""
    torch.set_num_threads(1)
    added, whole, saves = [], [], []
    with workplace() as folder:
        for seed in range(-1, repeats):
            run = _planned(folder, steps, max(seed, 0))
            here = trial.create(folder / f"runs{seed}", run)
            with watched() as bare:
                bare_s = seconds(lambda run=run: list(_task(run).train()))  # type: ignore[misc]
            with watched() as driven:
                driven_s = seconds(lambda here=here: trial.run(here, checkpoint_every_s=NEVER_S))  # type: ignore[misc]
            saving = trial.create(folder / f"saving{seed}", run)
            with watched() as saved:
                trial.run(saving, checkpoint_every_s=0.0)
            if seed >= 0:  # the one before is to warm up
                added.append(1e6 * (statistics.mean(driven.between) - statistics.mean(bare.between)))
                whole.append(1e6 * (driven_s - bare_s) / steps)
                saves.append(1e3 * (statistics.median(saved.between) - statistics.median(driven.between)))
    clocked = Row(
        "added to a training step",
        f"from each record to the call for the next one, clocked inside `Reconstruct.train`: the mean over {steps} steps "
        "under `trial.run`, less the same under a bare `for record in task.train()`, in turn: the line in "
        "`records.jsonl`, the view, whether to stop, whether to save",
        "us", tuple(added), STEP_MS * 1e3 / 100,
    )  # fmt: skip
    by_clock = Row(
        "the same by the clock on the wall",
        f"`trial.run` less the bare loop, over {steps} steps: start and end of the run are in it, and so is the noise "
        "of the steps",
        "us", tuple(whole),
    )  # fmt: skip
    save = Row(
        "write a checkpoint",
        f"the same clock with a checkpoint after every step; by default there is one in {trial.CHECKPOINT_EVERY_S:.0f} s. "
        "A model of a few thousand parameters: this is the fixed cost, to which the bytes come",
        "ms", tuple(saves),
    )  # fmt: skip
    share = clocked.median / (STEP_MS * 1e3)
    return [
        clocked._replace(ratio=f"{share:.2%} of a {STEP_MS:.0f} ms step"),
        by_clock,
        save._replace(ratio=f"{save.median / trial.CHECKPOINT_EVERY_S / 1e3:.2%} of the time"),
    ]


def mirroring(repeats: int = 5, folders: int = 4, records: int = 250) -> list[Row]:
    """The syncer: another process than the training, so that none of this is in a step."""
    with workplace() as folder:
        made = [_begun(folder, records, seed) for seed in range(folders)]
        sync(runs.root())
        pushed, idle = [], []
        for repeat in range(repeats):
            for one in made:
                _append(one, range(1 + repeat * records, 1 + (repeat + 1) * records))
            begun = time.perf_counter()
            points = sync(runs.root()).points
            pushed.append(1e6 * (time.perf_counter() - begun) / points)
            idle.append(1e3 * seconds(lambda: sync(runs.root())))
    return [
        Row(
            "mirror 1,000 values into MLflow",
            f"`sync` of {folders} runs with {records} new records of 8 values each into SQLite, the store already made; "
            "in the syncer's process, never in a step",
            "ms", tuple(pushed),
        ),
        Row("mirror with nothing new", f"`sync` of the same {folders} runs right after", "ms", tuple(idle)),
    ]  # fmt: skip


def _planned(folder: Path, steps: int, seed: int) -> StageRun:
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return plan_one(path, [f"steps={steps}"], seed)[0][0]


def _task(run: StageRun) -> Task:
    task: Task = resolve(decode(TASKS, run.spec))(run.seed, data_root())
    return task


def _begun(folder: Path, steps: int, seed: int) -> Path:
    """The folder of a run that was stopped after its first step."""
    made = trial.create(runs.root(), _planned(folder, steps, seed))
    with contextlib.suppress(trial.Stopped):
        trial.run(made, stop=lambda: True)
    return made


def _append(folder: Path, steps: range) -> None:
    """Records as training writes them."""
    with (folder / runs.RECORDS).open("ab") as file:
        for step in steps:
            file.write(runs.encode(Record(step, {f"train/value{i}": step + i / 8 for i in range(8)})))
