"""What a launch leaves beside the runs: ``runs/sweeps/<digest>/`` with the effective sweep and its plan. Loads no torch."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import provenance, runs
from omnitok.runs.pools import borrowed
from omnitok.search import Standing, standing, winner
from omnitok.spec import Fault, Mark, SpecError, counted, digest, near
from omnitok.sweep.claims import claim_faults
from omnitok.sweep.file import Asked, Texts, read_sweep, whole

SWEEP, PLAN, TEXTS = "sweep.json", "plan.json", "texts.json"
SEARCHES = "search"  # the folder of searches, one an arm


class State(NamedTuple):
    """How a trial stands, and why where it is not done; of one that is, what there is to know of it."""

    trial: dict[str, Any]
    status: str  # done, failed, blocked, queued, running, cancelled, interrupted, planned, unevaluated, searching
    reason: str


def folder_of(root: Path, sweep_digest: str) -> Path:
    return root / "sweeps" / sweep_digest


def store(root: Path, asked: Asked, plan: Mapping[str, Any], *, by_hand: bool = True) -> Path:
    """Write the effective sweep, its plan and its texts; claims of the first launch are remembered by their hash.

    ``by_hand``: a person launches, so that of sweeps of one name this is the last one; a keeper only goes on."""
    folder = folder_of(root, asked.digest)
    folder.mkdir(parents=True, exist_ok=True)
    claims = [claim.model_dump() for claim in asked.file.claims]
    first = _first_claims(root, asked.name, plan["stages"]) or {"sha256": digest(claims), "at": provenance.now()}
    effective = {
        "name": asked.name,
        "file": str(asked.path),
        "path": str(asked.path.resolve()),
        "evaluate": asked.said.get("evaluate", []),
        "digest": asked.digest,
        "set": list(asked.sets),
        "question": asked.file.question,
        "claims": claims,
        "claims_first": first,
        "launched": provenance.now() if by_hand else runs.read_json(folder / SWEEP)["launched"],
    }
    runs.write_json(folder / TEXTS, {"path": whole(asked.path), "set": list(asked.sets),
                                     "folder": asked.folder, "texts": asked.texts})  # fmt: skip
    runs.write_json(folder / SWEEP, effective)
    runs.write_json(folder / PLAN, dict(plan))
    return folder


def asked_of(folder: Path) -> Asked:
    """A stored sweep as it was launched last, whatever its files say now; marks name the files of then, and paths mean
    what they meant. Raises SpecError where a launch of before kept no texts, or where today's schema refuses them."""
    if not (folder / TEXTS).exists():
        said = "no texts are kept of this launch; launch the sweep's file again"
        raise SpecError([Fault(Mark(str(folder)), "", said)])
    kept = runs.read_json(folder / TEXTS)
    path, here = Path(kept["path"]), Path.cwd()
    path = path.relative_to(here) if path.is_relative_to(here) else path
    return read_sweep(path, kept["set"], Texts(kept["texts"], kept["folder"]))


def find_asked(root: Path, reference: str, sets: Sequence[str] = ()) -> Asked:
    """A sweep by its file, as it stands now; or by its name or digest, as it was launched last. Raises SpecError."""
    if is_file(reference):
        return read_sweep(Path(reference), sets)
    if sets:
        said = f"{reference} is a stored sweep, and is run as it was launched; say its file to change it"
        raise SpecError([Fault(Mark(f"--set {sets[0]}"), "", said)])
    return asked_of(locate(root, reference))


def is_file(reference: str) -> bool:
    """Whether a sweep is said by its file, not by its name or digest."""
    return Path(reference).suffix in {".yaml", ".yml"} or Path(reference).is_file()


def locate(root: Path, reference: str, sets: Sequence[str] = ()) -> Path:
    """The stored folder of a sweep: by its file, its name or its digest. Raises SpecError where it was not launched."""
    path = Path(reference)
    if is_file(reference):
        asked = read_sweep(path, sets)
        folder = folder_of(root, asked.digest)
        if not (folder / PLAN).exists():
            earlier = [name for name, data in _stored(root).items() if data["name"] == asked.name]
            changed = f"; as it was, it is {', '.join(earlier)}" if earlier else ""
            said = f"not launched as it stands now{changed}; run: omnitok launch {path}"
            raise SpecError([Fault(Mark(str(path)), "", said)])
        return folder
    found = [name for name, data in _stored(root).items() if reference in (name, data["name"])]
    if not found:
        known = sorted({data["name"] for data in _stored(root).values()})
        raise SpecError([Fault(Mark(reference), "", f"names no launched sweep{near(reference, known)}")])
    return folder_of(root, found[-1])  # of several of one name, the one launched last


def refresh(folder: Path) -> None:
    """Take question and claims as the file says them now, where it still asks for the same runs. Raises SpecError."""
    kept = runs.read_json(folder / SWEEP)
    path = Path(kept["path"])
    if not path.is_file() or (asked := read_sweep(path, kept["set"])).digest != kept["digest"]:
        return
    plan = runs.read_json(folder / PLAN)
    metrics = {one["name"]: [metric["label"] for metric in one["metrics"]] for one in plan["evaluations"]}
    if faults := claim_faults(asked, plan["factors"], metrics):
        raise SpecError(faults)
    now = {"question": asked.file.question, "claims": [claim.model_dump() for claim in asked.file.claims]}
    if any(kept[key] != value for key, value in now.items()):
        runs.write_json(folder / SWEEP, kept | now)


def unmeasured(folder: Path) -> list[str]:
    """What the file asks for now and was never launched, in a sentence each."""
    kept = runs.read_json(folder / SWEEP)
    path = Path(kept["path"])
    if not path.is_file() or (asked := read_sweep(path, kept["set"])).digest != kept["digest"]:
        return []
    if asked.said.get("evaluate", []) == kept["evaluate"]:
        return []
    return [f"evaluate of {kept['file']} is not what was launched; run: omnitok launch {kept['file']}"]


def states(folder: Path) -> list[State]:
    """How every trial of a stored sweep stands, read off the folders."""
    root, plan = folder.parent.parent, plan_of(folder)
    status = functools.cache(lambda stage: runs.status(root / stage))  # many trials may stand on one stage
    deviating = functools.cache(lambda stage: _deviating(root / stage, plan["stages"][stage]["stage"]))
    found = [_state(root, plan, trial, status) for trial in plan["trials"]]
    return [_noted(root, state, deviating) if state.status == "done" else state for state in found]


def _noted(root: Path, state: State, deviating: Callable[[str], list[str]]) -> State:
    """Of a trial that is done: whose it is where it is not one's own, and in what its stages deviate."""
    stages = state.trial["stages"]
    lent = borrowed(root / stages[-1])
    said = [f"borrowed from {lent['pool']}"] if lent else []
    return state._replace(reason="; ".join([*said, *(one for stage in stages for one in deviating(stage))]))


def _deviating(folder: Path, name: str) -> list[str]:
    return [f"stage {name!r} deviates: {one}" for one in runs.deviations(folder)]


def plan_of(folder: Path) -> dict[str, Any]:
    """The plan of a stored sweep, to be read and left as it is; read again where it was written again."""
    stat = (folder / PLAN).stat()
    return _plan(folder / PLAN, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=2)
def _plan(path: Path, *_: int) -> dict[str, Any]:
    return dict(runs.read_json(path))


def searches(folder: Path) -> list[State]:
    """How the search of every arm stands that has no trials yet."""
    plan = plan_of(folder)
    trained = {trial["name"] for trial in plan["trials"] if trial["kind"] == "arm"}
    return [_searching(folder, one) for one in plan.get("searches", ()) if one["arm"] not in trained]


def _searching(folder: Path, one: Mapping[str, Any]) -> State:
    trial = {"kind": "search", "name": one["arm"], "arm": one["labels"], "seed": None, "stages": []}
    found = folder / one["folder"]
    won = winner(found)
    if won is None:
        return State(trial, "searching", found_so_far(standing(found)))
    if won["trial"] is None:
        return State(trial, "failed", f"the search has no winner: {won['reason']}")
    return State(trial, "planned", f"the search is over ({found_so_far(standing(found))}); launch again")


def is_search(folder: Path) -> bool:
    """Whether a folder is that of an arm's search."""
    return folder.parent.name == SEARCHES


def ended(stands: Standing) -> int:
    """How many suggestions have come to an end."""
    return stands.complete + stands.pruned + stands.failed + stands.infeasible


def found_so_far(stands: Standing) -> str:
    """How a search stands, in a few words: "12/40, 3 pruned, 1 failed, best val/psnr 21.3"."""
    parts = [f"{ended(stands)}/{stands.target}"]
    parts += [f"{count} {word}" for word in ("pruned", "failed", "infeasible") if (count := getattr(stands, word))]
    best = ", ".join(f"{metric} {value:.4g}" for metric, value in stands.best.items())
    return ", ".join([*parts, *([f"best {best}"] if best else [])])


def drawable(said: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """Of the searches of a plan, a row a choice: its path, what it may be, how many that are ("-": no end of them), where
    it is there, and the arms in which it is so."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for one in said:
        for path, of in one["space"].items():
            size = "-" if of["size"] is None else str(of["size"])
            found.setdefault((path, of["values"], size, of["when"]), []).append(one["arm"])
    return [(*what, "all" if len(arms) == len(said) else ", ".join(arms)) for what, arms in found.items()]


def _state(root: Path, plan: Mapping[str, Any], trial: dict[str, Any], status_of: Callable[[str], str]) -> State:
    stages = trial["stages"]
    for i, stage in enumerate(stages):
        status = status_of(stage)
        if status == "failed" and (died := runs.failure(root / stage)):  # else it is tried again by now
            name = plan["stages"][stage]["stage"]
            blocked = i < len(stages) - 1
            return State(trial, "blocked" if blocked else "failed", f"stage {name!r}: {died.kind}: {died.sentence}")
        if status != "done":
            begun = status == "planned" and i > 0
            return State(trial, "interrupted" if begun else status, "")
    return _measured(root / stages[-1], plan, trial)


def _measured(last: Path, plan: Mapping[str, Any], trial: dict[str, Any]) -> State:
    wanted = plan["evaluation_digests"].get(trial["stages"][-1], {})
    place = last / runs.EVALUATIONS
    missing = {
        name: [one for one in metrics.values() if not (place / f"{one}.json").exists()]
        for name, metrics in wanted.items()
    }
    for evaluation in plan["evaluations"] if any(missing.values()) else ():
        died = runs.failure(last, runs.evaluation_error(evaluation["key"]))
        if died and missing.get(evaluation["name"]):
            return State(trial, "failed", f"evaluation {evaluation['name']!r}: {died.kind}: {died.sentence}")
    count = sum(map(len, missing.values()))
    if count:
        return State(trial, "unevaluated", f"{counted(count, 'metric')} to measure")
    return State(trial, "done", "")


def find_run(root: Path, reference: str) -> Path:
    """The folder of one run: a digest or an unambiguous beginning of one (4 digits or more), or SWEEP/ARM/SEED.

    Raises SpecError with the nearest names.
    """
    if re.fullmatch(r"[0-9a-f]{4,16}", reference):
        found = sorted(root.glob(f"{reference}*/{runs.EXPERIMENT}"))
        if len(found) == 1:
            return found[0].parent
        said = "no run begins so" if not found else f"{len(found)} runs begin so; say more digits"
        raise SpecError([Fault(Mark(reference), "", said)])
    sweep, rest = reference.rpartition("/")[0].rpartition("/")[0], reference.split("/")[-2:]
    if not sweep or len(rest) < 2:
        raise SpecError([Fault(Mark(reference), "", "say a run's digest, or SWEEP/ARM/SEED")])
    trials = runs.read_json(locate(root, sweep) / PLAN)["trials"]
    names = {f"{trial['name']}/{trial['seed']}": trial["stages"][-1] for trial in trials if trial["kind"] == "arm"}
    names |= {f"{trial['name']}/-": trial["stages"][-1] for trial in trials if trial["kind"] == "baseline"}
    wanted = "/".join(rest)
    if wanted not in names:
        raise SpecError([Fault(Mark(reference), "", f"the sweep has no {wanted!r}{near(wanted, names)}")])
    return root / names[wanted]


def _stored(root: Path) -> dict[str, dict[str, Any]]:
    """By digest, the one launched last at the end."""
    found = {path.parent.name: runs.read_json(path) for path in root.glob(f"sweeps/*/{SWEEP}")}
    return dict(sorted(found.items(), key=lambda one: (one[1]["launched"], one[0])))


def _first_claims(root: Path, name: str, stages: Iterable[str]) -> dict[str, str] | None:
    """What was claimed at the first launch of this sweep, under whatever digest: any of its name that shares a run."""
    mine = set(stages)
    before = [
        data["claims_first"]
        for digest, data in _stored(root).items()
        if data["name"] == name and mine & runs.read_json(folder_of(root, digest) / PLAN)["stages"].keys()
    ]
    return min(before, key=lambda first: first["at"]) if before else None
