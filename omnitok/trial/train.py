"""Training one stage in its folder: start, resume or do nothing."""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from omnitok import provenance, runs
from omnitok.attention.backends import asked as backend
from omnitok.data import DataError
from omnitok.processes import told, world
from omnitok.runs import Record
from omnitok.spec import Spec, packages, resolve
from omnitok.training import Task
from omnitok.training.devices import compiler, deterministic, device, device_name, in_order
from omnitok.training.handover import take_judges, take_over, weights_of
from omnitok.training.stage import StageRun, data_root, from_json, spec_of
from omnitok.trial import memory
from omnitok.trial.failure import Stopped, failing_into

CHECKPOINT_EVERY_S = 30.0  # what a kill costs at most, beside the step that it interrupts
SEEN_S = 60.0  # how long a checkpoint that another process has read may not be seen here
DONE, BUSY = "done", "busy"  # what the first of several processes tells the others, where it begins no attempt


def create(root: Path, run: StageRun) -> Path:
    """The folder of a run, with every choice in it."""
    folder = root / run.digest
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / runs.EXPERIMENT).exists() or runs.read_json(folder / runs.EXPERIMENT)["files"] != run.files:
        runs.write_json(folder / runs.EXPERIMENT, run.to_json())
    return folder


def run(
    folder: Path,
    *,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    stop: Callable[[], bool] = lambda: False,
    on_record: Callable[[Record], None] = lambda record: None,
    on_begin: Callable[[runs.Held], None] = lambda held: None,
) -> dict[str, float]:
    """Start, resume or do nothing, as the folder says. -> what is in ``result.json``. ``on_begin`` hears of the attempt.

    Raises Busy where another process trains it, Stopped where ``stop`` said so, and whatever training raises, after
    ``error.txt`` has it.
    """
    with ExitStack() as stack:
        held = None
        try:
            if not _done(folder):
                held = stack.enter_context(runs.lease(folder))
        except runs.Busy:
            told(BUSY)
            raise
        if held is None or _done(folder):  # somebody may have been at its end
            told(DONE)
            return dict(runs.read_json(folder / runs.RESULT))
        told(held.token)
        on_begin(held)
        with failing_into(folder, held=held):
            return _train(held, checkpoint_every_s, stop, on_record)


def _done(folder: Path) -> bool:
    """Whether it is; what only an unfinished run needs is then removed, for a kill may have come between the two."""
    done = (folder / runs.RESULT).exists()
    for name in (runs.CHECKPOINT, runs.ERROR) if done else ():
        (folder / name).unlink(missing_ok=True)
    return done


def follow(folder: Path, *, on_begin: Callable[[runs.Held], None] = lambda held: None) -> None:
    """Train as one of several processes beside the one that runs ``run``, in that one's attempt, and write nothing but why
    it died. Raises Busy where that one does."""
    token = told("")
    if token == DONE:
        return
    if token == BUSY:
        raise runs.Busy(f"{folder.name}: another process works in this folder")
    held = runs.Held(folder, token)
    on_begin(held)
    with failing_into(folder, held=held):
        task, start = _resumed_at(int(told("")), folder)
        if start == 0:
            _inherit(task, folder)
        with in_order():
            for _ in task.train(start):
                pass


def _resumed_at(first: int, folder: Path) -> tuple[Task, int]:
    """The task at the step at which the first process goes on. Raises DataError where another checkpoint is seen here."""
    until = time.monotonic() + SEEN_S
    while True:
        task = task_of(folder)
        start, _ = _resume(task, folder)
        if start == first:
            return task, start
        if time.monotonic() > until:
            raise DataError(f"{folder.name}: goes on at step {first} in the first process, and here at {start}")
        time.sleep(1)  # a network file system may show an older file for a while


def _train(
    held: runs.Held, every_s: float, stop: Callable[[], bool], on_record: Callable[[Record], None]
) -> dict[str, float]:
    folder = held.folder
    task = task_of(folder)
    start, restarted = _resume(task, folder)
    told(str(start))
    if start == 0:
        _inherit(task, folder)
    ran = provenance.provenance(device_name(device()), torch.get_num_threads(), packages(_spec(folder)))
    if start and (folder / runs.PROVENANCE).exists():  # what an earlier start deviated in is in the steps that it made
        ran["deviations"] = provenance.deviations(runs.read_json(folder / runs.PROVENANCE).get("deviations", ()))
    held.write_json(folder / runs.PROVENANCE, ran)
    _keep_diff(held)
    held.remove(folder / runs.ERROR)
    kept = runs.before(folder, start)
    with in_order(), _timed(held, start, restarted) as spent, held.growing(folder / runs.RECORDS, kept) as records:
        saved = time.monotonic()
        for record in task.train(start):
            records.append(runs.encode(record))
            on_record(record)
            spent["to_step"] = step = record.step + 1
            asked = stop() and step < task.steps
            if asked or time.monotonic() - saved > every_s:
                records.keep()
                _save(task, step, held)
                saved = time.monotonic()
            if asked:
                raise Stopped(folder.name)
        last = runs.last_record(folder)
        result = {"steps": float(task.steps), **(last.values if last else {})}
        held.write(folder / runs.WEIGHTS, _packed(task.weights()))
        for name, more in [
            (runs.AVERAGED, task.weights("ema") if task.averages else {}),
            (runs.ADVERSARY, task.judges().state_dict()),
        ]:
            if more:
                held.write(folder / name, _packed(more))
        held.write_json(folder / runs.RESULT, result)
        spent |= {"ended": "done", "weights": provenance.sha256(folder / runs.WEIGHTS)}
    held.remove(folder / runs.CHECKPOINT)
    return result


@contextmanager
def _timed(held: runs.Held, start: int, restarted: str) -> Iterator[dict[str, Any]]:
    """A line in ``attempts.jsonl`` about what is inside, however it ends."""
    begun, measured = time.monotonic(), memory.begin(device())
    line: dict[str, Any] = {"started": provenance.now(), "from_step": start, "to_step": start, "ended": "interrupted"}
    try:
        yield line
    except Stopped:
        raise
    except Exception:
        line["ended"] = "failed"
        raise
    finally:
        line |= {"seconds": time.monotonic() - begun, "threads": torch.get_num_threads(), "restarted": restarted}
        line |= {"processes": world()} | ({"peak_bytes": memory.peak(device())} if measured else {})
        held.append_line(held.folder / runs.ATTEMPTS, line)


def task_of(folder: Path) -> Task:
    """The task that the folder's file says, with nothing learned yet."""
    said = from_json(runs.read_json(folder / runs.EXPERIMENT))
    task: Task = resolve(_spec(folder))(said.seed if said.seed is not None else 0, data_root())
    return task


def _spec(folder: Path) -> Spec:
    return spec_of(from_json(runs.read_json(folder / runs.EXPERIMENT)))


def _resume(task: Task, folder: Path) -> tuple[int, str]:
    """(the step to go on from, why an old checkpoint was not used)."""
    path = folder / runs.CHECKPOINT
    if not path.exists():
        return 0, ""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    changed = [name for name, value in _ran_on(folder).items() if saved["ran_on"].get(name) != value]
    if changed:
        return 0, f"{' and '.join(changed)} changed since step {saved['step']} was saved"
    task.load(saved["state"])
    return int(saved["step"]), ""


def _inherit(task: Task, folder: Path) -> None:
    """Weights from the parent, as the handover says."""
    said = from_json(runs.read_json(folder / runs.EXPERIMENT))
    if "init" in said.parents:
        parent = said.parents["init"]
        path = Path(said.files["init"]) if "init" in said.files else folder.parent / parent / runs.WEIGHTS
        if parent.startswith("sha256:") and f"sha256:{provenance.sha256(path)}" != parent:
            raise DataError(f"{path}: not the file that the experiment names by {parent}")
        averaged = said.handover["weights"] == "ema" and "init" not in said.files
        take_over(task.codec, weights_of(path.with_name(runs.AVERAGED) if averaged else path), said.handover["parts"])
        judges = path.with_name(runs.ADVERSARY)
        known = weights_of(judges) if "init" not in said.files and judges.exists() else {}
        take_judges(task.judges(), known, said.handover["adversary"])


def _ran_on(folder: Path) -> dict[str, str]:
    """What a checkpoint's bits depend on beside its choices; going on under another would be neither run."""
    torch_version, threads = provenance.versions()["torch"], str(torch.get_num_threads())
    where = {"device": device_name(device()), "processes": str(world())}
    how = {"compiler": compiler(), "attention": backend(), "deterministic": str(deterministic())}
    others = {name: provenance.package(name, modules)["code"] for name, modules in packages(_spec(folder)).items()}
    return {"code": provenance.code(), "torch": torch_version, "threads": threads, **where, **how, **others}


def _save(task: Task, step: int, held: runs.Held) -> None:
    buffer = io.BytesIO()
    torch.save({"step": step, "ran_on": _ran_on(held.folder), "state": task.state()}, buffer)
    held.write(held.folder / runs.CHECKPOINT, buffer.getvalue())


def _packed(weights: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in weights.items()})


def _keep_diff(held: runs.Held) -> None:
    """The uncommitted changes that ran, beside the commit."""
    path = held.folder / "code.diff"
    if (text := provenance.diff()) and not path.exists():
        held.write(path, text.encode())
