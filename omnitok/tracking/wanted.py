"""What MLflow should say, read off the folders: plain data, no MLflow."""

import functools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs, spec
from omnitok.tracking.store import TrackingError
from omnitok.tracking.suggested import Suggestion, stopped, suggestions

DIGEST: Final = re.compile("[0-9a-f]{16}")  # of a stage run's folder; others are links and leftovers of a kill
EVALUATION: Final = "omnitok.evaluation."  # a tag an evaluation: its digest -> the metric that has its value
STATUS: Final = {
    "planned": "SCHEDULED",
    "running": "RUNNING",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "done": "FINISHED",
    "blocked": "FAILED",  # a trial whose earlier stage failed
    "unevaluated": "SCHEDULED",  # a trial whose stages are done, not measured yet
}
PARAM_LIMIT: Final = 6000  # characters of a parameter that MLflow keeps
TAG_LIMIT: Final = 5000  # characters of a tag that every MLflow store keeps


class Wanted(NamedTuple):
    """One MLflow run as the folders would have it, without its curves and pictures."""

    key: tuple[str, str]  # the tag by which it is found again
    name: str
    status: str
    start: int  # Unix milliseconds
    end: int
    params: dict[str, str]
    tags: dict[str, str]
    finals: dict[str, float]


class Sweep(NamedTuple):
    """A stored sweep and the plan that it was last launched with."""

    digest: str
    name: str
    question: str
    trials: list[dict[str, Any]]
    evaluations: dict[str, dict[str, dict[str, str]]]
    keys: dict[str, str]  # of an evaluation by its name
    suggested: dict[str, list[Suggestion]]  # of its searches, by the digest of a stage run

    def member(self, digest: str) -> list[str]:
        """The arms that a stage run belongs to, in the order of the plan; then those whose search suggested it."""
        trained = [trial["name"] for trial in self.trials if digest in trial["stages"]]
        return list(dict.fromkeys([*trained, *(one.arm for one in self.suggested.get(digest, ()))]))


@functools.cache
def metric_name(key: str) -> str:
    """A metric's key in MLflow's alphabet; other characters become ``:hex:``, so that no two become one."""
    return re.sub(r"[^\w./ -]", lambda found: f":{ord(found[0]):x}:", key)


def read(path: Path) -> Any:
    """A JSON file of a run. Raises TrackingError where it is not one."""
    try:
        return runs.read_json(path)
    except ValueError as error:
        raise TrackingError(f"{path} is not JSON: {error}") from None


def stages(root: Path) -> Iterator[Path]:
    """The folders of all stage runs that have at least started, each once: a link to an older digest is none."""
    for path in sorted(root.glob(f"*/{runs.EXPERIMENT}")):
        folder = path.parent
        real = DIGEST.fullmatch(folder.name) and not folder.is_symlink()
        if real and (folder / runs.PROVENANCE).exists() and runs.status(folder) != "planned":
            yield folder


def sweeps(root: Path) -> list[Sweep]:
    found = []
    for path in sorted(root.glob("sweeps/*/plan.json")):
        if (path.parent / "sweep.json").exists():
            plan, sweep = read(path), read(path.parent / "sweep.json")
            trials = [
                trial | {"stages": [held(root, digest) for digest in trial["stages"]]} for trial in plan["trials"]
            ]
            asked = {held(root, digest): of for digest, of in plan["evaluation_digests"].items()}
            keys = {one["name"]: one["key"] for one in plan["evaluations"]}
            suggested = {held(root, digest): of for digest, of in suggestions(path.parent, plan).items()}
            found.append(Sweep(sweep["digest"], sweep["name"], sweep["question"], trials, asked, keys, suggested))
    return found


def held(root: Path, digest: str) -> str:
    """The digest whose folder has this run: an older one where it was adopted under a new one."""
    return (root / digest).resolve().name


def stage_run(folder: Path, member_of: Sequence[Sweep]) -> Wanted:
    """The MLflow run of one stage run."""
    experiment, provenance = read(folder / runs.EXPERIMENT), read(folder / runs.PROVENANCE)
    status, digest, stage = runs.status(folder), folder.name, experiment["stage"]
    rest = {name: experiment[name] for name in ("stage", "task", "seed")}
    tags = {
        "omnitok.kind": "stage",
        "omnitok.digest": digest,
        "digest": digest,
        "status": status,
        "stage": stage,
        **_said(seed=experiment["seed"], dirty=provenance["dirty"], host=provenance["host"]),
        **_said(commit=provenance["commit"], **{"mlflow.source.git.commit": provenance["commit"]}),
        **{f"omnitok.parent.{role}": parent for role, parent in experiment["parents"].items()},
        **_membership({sweep.digest: (sweep.name, arms) for sweep in member_of if (arms := sweep.member(digest))}),
        **_suggestions([one for sweep in member_of for one in sweep.suggested.get(digest, ())]),
        **stopped(folder),
    }
    measured = evaluations(folder)
    tags |= {f"{EVALUATION}{number.evaluation}": name for name, number in measured.items()}
    finals = _values(measured) | _results(folder)
    start = int(datetime.fromisoformat(provenance["created"]).timestamp() * 1000)
    params = _params(experiment["spec"] | rest)
    name = f"{stage} {digest[:8]}"
    return Wanted(("omnitok.digest", digest), name, STATUS[status], start, _end(folder), params, tags, finals)


def trial_run(root: Path, sweep: Sweep, trial: Mapping[str, Any], begun: Mapping[str, tuple[Wanted, str]]) -> Wanted:
    """The light run of one trial: its arm, its stage runs ({digest: (run, link)} of those begun), the last one's values."""
    digests = trial["stages"]
    status = _trial_status(root, sweep, digests)
    key = f"{sweep.digest}/{trial['name']}/{trial['seed']}"
    seed = "" if trial["seed"] is None else f" seed {trial['seed']}"
    tags = {
        "omnitok.kind": "trial",
        "omnitok.trial": key,
        "status": status,
        **_said(seed=trial["seed"]),
        **_membership({sweep.digest: (sweep.name, [trial["name"]])}),
        "omnitok.stages": joined(digests),
        "omnitok.stage_runs": joined([link.rpartition("/")[2] for _, link in begun.values()]),
        "mlflow.note.content": _note(sweep, begun),
    }
    start = min(wanted.start for wanted, _ in begun.values())
    end = max(wanted.end for wanted, _ in begun.values())
    params = _params(dict(trial["arm"]) | _said(seed=trial["seed"], arm=trial["name"]))
    name = f"{sweep.name}: {trial['name']}{seed}"
    asked = [found for of in sweep.evaluations.get(digests[-1], {}).values() for found in of.values()]
    finals = _values(evaluations(root / digests[-1], asked)) | _facts(trial)
    return Wanted(("omnitok.trial", key), name, STATUS[status], start, end, params, tags, finals)


class Number(NamedTuple):
    """What was measured: the evaluation's digest, the value, the ends of its interval over items where it has one."""

    evaluation: str
    value: float
    ends: tuple[float, ...]


def evaluations(folder: Path, asked: Collection[str] = ()) -> dict[str, Number]:
    """{metric name: what was measured} of a stage run.

    Where two files have one key (a picture was replaced, a metric's version raised), the one asked for speaks, else
    the newer one.
    """
    found = {}
    files = (folder / runs.EVALUATIONS).glob("*.json")
    for path in sorted(files, key=lambda file: (file.stem in asked, file.stat().st_mtime_ns)):
        data = read(path)
        if data["value"] is not None:
            ends = tuple(map(float, data.get("interval") or ()))
            found[metric_name(data["key"])] = Number(path.stem, float(data["value"]), ends)
    return found


def joined(names: Sequence[str]) -> str:
    """Names as one tag, cut (and said to be cut) where a tag ends."""
    text = ", ".join(names)
    return text if len(text) <= TAG_LIMIT else f"{text[:TAG_LIMIT].rpartition(', ')[0]}, ... {len(names)} in all"


# The parts of a run


def _said(**facts: Any) -> dict[str, str]:
    """Facts that there are, as text."""
    return {name: _text(value) for name, value in facts.items() if value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _params(choices: Mapping[str, Any]) -> dict[str, str]:
    """Choices by dotted name; a place in a list is ``.0`` as MLflow has no brackets, a long value goes on in ``:2``."""
    found = {}
    for path, value in spec.flat(choices).items():
        name, text = re.sub(r"\[(\d+)\]", r".\1", path), _text(value)
        found[name] = text[:PARAM_LIMIT]
        for part, begin in enumerate(range(PARAM_LIMIT, len(text), PARAM_LIMIT), start=2):
            found[f"{name}:{part}"] = text[begin : begin + PARAM_LIMIT]
    return found


def _membership(arms: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    """{sweep digest: (sweep name, arm names)} -> tags."""
    if not arms:
        return {}
    return {
        "sweep": joined(sorted({name for name, _ in arms.values()})),
        "arm": joined(list(dict.fromkeys(arm for _, names in arms.values() for arm in names))),
        "omnitok.sweep_digest": joined(list(arms)),
    }


def _suggestions(found: Sequence[Suggestion]) -> dict[str, str]:
    """Which suggestions a stage run is a stage of, and what became of them; nothing where it is of none."""
    if not found:
        return {}
    states = dict.fromkeys(one.state for one in found)
    named = [f"{one.arm} {one.number}" for one in found]
    return {"omnitok.suggestion": joined(named), "omnitok.suggestion_state": joined(list(states))}


def _values(measured: Mapping[str, Number]) -> dict[str, float]:
    """Each value by its name, and after it the ends of its interval as "low" and "high"."""
    ends = {
        f"{name} {side}": end
        for name, number in measured.items()
        for side, end in zip(("low", "high"), number.ends, strict=False)
    }
    return {name: number.value for name, number in measured.items()} | ends


def _results(folder: Path) -> dict[str, float]:
    path = folder / runs.RESULT
    if not path.exists():
        return {}
    return {metric_name(f"final/{name}"): float(value) for name, value in read(path).items()}


def _facts(trial: Mapping[str, Any]) -> dict[str, float]:
    """What the plan knows of an arm before it is trained."""
    tokens = {f"tokens/{shape}": float(count) for shape, count in trial.get("tokens", {}).items()}
    flops = {f"flops/{shape}": float(sum(halves.values())) for shape, halves in trial.get("flops", {}).items()}
    known = [name for name in ("parameters", "bits_per_token") if trial.get(name) is not None]
    return tokens | flops | {name: float(trial[name]) for name in known}


def _trial_status(root: Path, sweep: Sweep, digests: Sequence[str]) -> str:
    """How a trial stands, in the words of ``omnitok status``."""
    for digest in digests:
        status = runs.status(root / digest)
        if status == "failed":
            return "failed" if digest == digests[-1] else "blocked"
        if status != "done":
            return "interrupted" if status == "planned" and digest != digests[0] else status
    last, missing = root / digests[-1], []
    for name, metrics in sweep.evaluations.get(last.name, {}).items():
        if not all((last / runs.EVALUATIONS / f"{evaluation}.json").exists() for evaluation in metrics.values()):
            missing.append(runs.failure(last, runs.evaluation_error(sweep.keys[name])))
    return "failed" if any(missing) else "unevaluated" if missing else "done"


def _note(sweep: Sweep, begun: Mapping[str, tuple[Wanted, str]]) -> str:
    """The description that the MLflow page shows, with a link to every stage run."""
    links = [f"- [{wanted.name}]({link})" for wanted, link in begun.values()]
    return joined([sweep.question]) + "\n\n" + "\n".join(links)


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def _end(folder: Path) -> int:
    """When the last attempt ended, as far as its files know."""
    ends = [folder / name for name in (runs.RESULT, runs.ERROR, runs.RECORDS, runs.EXPERIMENT)]
    return next(_written(path) for path in ends if path.exists())
