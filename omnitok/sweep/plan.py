"""A sweep file -> the trials that it asks for, each rehearsed on the meta device. Nothing is run: read it first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.spec import Fault, Map, Mark, SpecError, bare, dotted, patched
from omnitok.sweep.aliases import aliases_of, as_json
from omnitok.sweep.baselines import baselines
from omnitok.sweep.claims import claim_faults, unpaired
from omnitok.sweep.design import Arm, arms, name_of
from omnitok.sweep.file import Asked, address, labels, patches, paths, read_experiment, read_sweep
from omnitok.sweep.matching import Matching, Solved
from omnitok.sweep.measurements import labels_of, read_measurements, told
from omnitok.sweep.rehearse import Measurement, Rehearsal
from omnitok.sweep.resources import Used, resource_faults
from omnitok.sweep.searched import Searched, Searching
from omnitok.sweep.searched import to_json as to_json_of
from omnitok.training import Facts
from omnitok.training.stage import Stage, StageRun, read_stages, seeded, unseeded


class Trial(NamedTuple):
    """An arm and a seed, or a baseline: a whole path of stages, by digest, last one last."""

    kind: str  # arm or baseline
    name: str
    arm: Arm
    seed: int | None
    stages: tuple[str, ...]
    facts: Facts
    solved: Solved | None = None
    on: tuple[str, ...] | None = None  # the evaluations that it is measured by; None: every one
    searched: dict[str, Any] | None = None  # {path: value} of what won its arm's search


class Plan(NamedTuple):
    """Everything that a launch needs. ``runs``: every distinct stage by digest, parents before children."""

    asked: Asked
    factors: dict[str, list[str]]
    trials: list[Trial]
    runs: dict[str, StageRun]
    measurements: list[Measurement]
    notices: list[str]
    target: float | None  # what arms were matched to
    searches: list[Searched]  # one an arm, where something is searched


def plan(asked: Asked) -> Plan:
    """The trials of every arm; where something is searched, of each arm whose search is over, with what won there.

    Raises SpecError with every fault: of the texts, of shapes that do not fit, of data that is not there."""
    faults = list(asked.faults)
    factors = {path: labels(values) for path, values in asked.said["vary"].items() if isinstance(values, Map | list)}
    measurements: list[Measurement] = []
    with gathering(faults):
        measurements = read_measurements(asked)
    measured = {m.name: labels_of(m.spec) for m in measurements} if len(faults) == len(asked.faults) else None
    found: dict[str, StageRun] = {}
    trials: list[Trial] = []
    rehearsal = Rehearsal(measurements, asked)
    matching = Matching(asked, asked.file.match, rehearsal) if asked.file.match else None
    faults += matching.faults() if matching else []
    searching = Searching(asked, rehearsal, runs.root()) if asked.file.search and not faults else None
    faults += searching.faults() if searching else []
    searches: list[Searched] = []
    every = _arms(asked, factors, faults)
    for arm in every:
        with gathering(faults):
            one = searching.arm(arm, arm_text(asked, arm)) if searching else None
            searches += [one] if one else []
            if one is None or one.values is not None:
                made = _made(asked, arm, one or matching)
                trials += _arm_trials(asked, made, found, rehearsal)
    with gathering(faults):
        trials += _baseline_trials(asked, found, rehearsal)
    faults += _twins(asked, [*((one.name, one.what) for one in searches), *((one.name, one.stages) for one in trials)])
    faults += claim_faults(asked, factors, measured)
    using = [*used(trials, found).values(), *(searched for one in searches for searched in one.used())]
    faults = faults or resource_faults(asked.file.resources, asked.said, factors, using)
    if faults:
        raise SpecError(faults)
    target = matching.target if matching else None
    measurements = [rehearsal.known[i] for i in range(len(measurements))]
    missing = [f"{m.name}/{label} is not measured: {why}" for m in measurements for label, why in m.missing.items()]
    notices = [*_notices(asked), *missing, *unpaired(asked.file.claims, every, factors)]
    return Plan(asked, factors, trials, found, measurements, notices, target, searches)


def _arms(asked: Asked, factors: dict[str, list[str]], faults: list[Fault]) -> list[Arm]:
    mark = asked.said.marks["vary"]
    try:
        found = arms(asked.file.design, factors)
    except ValueError as error:
        faults.append(Fault(mark, "vary", str(error)))
        return []
    names = [name_of(arm) for arm in found]
    twice = dict.fromkeys(name for i, name in enumerate(names) if name in names[:i])
    said = "two arms would both be called {!r}; give the values other labels: {{label: value, ...}}"
    faults += [Fault(mark, "vary", said.format(name)) for name in twice]
    return found


def used(trials: Sequence[Trial], found: Mapping[str, StageRun]) -> dict[str, Used]:
    """Each stage run by digest, with the arms and baselines that use it."""
    arms: dict[str, dict[str, tuple[str, ...]]] = {}
    for trial in trials:
        for digest in trial.stages:
            arms.setdefault(digest, {})[trial.name] = tuple(trial.arm.values())
    return {digest: Used(found[digest].name, using, found[digest].spec.get("batch")) for digest, using in arms.items()}


def plan_sweep(path: Path | str, sets: Sequence[str] = ()) -> Plan:
    """The plan of a sweep file. Raises SpecError with every fault."""
    return plan(read_sweep(Path(path), sets))


def plan_one(path: Path, sets: Sequence[str], seed: int) -> tuple[list[StageRun], Facts]:
    """One experiment file as the runs of one trial, first stage first."""
    stages = read_stages(read_experiment(path, sets))
    facts = Rehearsal([], None).stages(stages)
    return [run for _, run in next(_bound(stages, [seed]))], facts


def arm_text(asked: Asked, arm: Arm) -> Map:
    """The experiment's text with an arm's patches applied, as written. Raises SpecError."""
    vary = asked.said["vary"]
    text = asked.base
    if "experiment" in arm:
        text = asked.others[arm["experiment"]]
    for factor, label in arm.items():
        if factor != "experiment":
            for path, value, mark in patches(vary, factor, label):
                text = patched(text, address(text, path, mark), value, mark)
    return text


class Made(NamedTuple):
    """An arm as it is trained, and what was solved or searched in it."""

    arm: Arm
    text: Map
    solved: Solved | None = None
    searched: dict[str, Any] | None = None


def _made(asked: Asked, arm: Arm, how: Matching | Searched | None) -> Made:
    if isinstance(how, Searched):
        return Made(arm, how.winners(), searched=how.values)
    return Made(arm, *how.solved(name_of(arm), arm_text(asked, arm))) if how else Made(arm, arm_text(asked, arm))


def _arm_trials(asked: Asked, made: Made, found: dict[str, StageRun], rehearsal: Rehearsal) -> list[Trial]:
    stages = read_stages(made.text)
    facts = rehearsal.stages(stages)
    trials = []
    for seed, bound in zip(asked.file.seeds, _bound(stages, asked.file.seeds), strict=True):
        found |= dict(bound)
        digests = tuple(digest for digest, _ in bound)
        trials.append(Trial("arm", name_of(made.arm), made.arm, seed, digests, facts, made.solved, None, made.searched))
    return trials


def _bound(stages: Sequence[Stage], seeds: Iterable[int | None]) -> Iterator[list[tuple[str, StageRun]]]:
    """For each seed (digest, run) of each stage, first stage first."""
    shared = [seeded(unseeded(stage)) for stage in stages]
    for seed in seeds:
        digests: dict[str, str] = {}
        bound = []
        for run_of in shared:
            run = run_of(seed, digests)
            digests[run.name] = run.digest
            bound.append((run.digest, run))
        yield bound


def _baseline_trials(asked: Asked, found: dict[str, StageRun], rehearsal: Rehearsal) -> list[Trial]:
    trials = []
    for baseline in baselines(asked, [measurement.name for measurement in rehearsal.measurements]):
        with baseline.placed():
            facts = rehearsal.stages([baseline.stage], baseline.on)
            run = unseeded(baseline.stage)
        if run.digest in found:
            raise SpecError([Fault(baseline.mark, baseline.path, "stands twice")])
        found[run.digest] = run
        trials.append(Trial("baseline", baseline.name, {}, None, (run.digest,), facts, on=baseline.on))
    return trials


def _twins(asked: Asked, arms: Sequence[tuple[str, tuple[str, ...]]]) -> Iterator[Fault]:
    """Two arms that come to the same runs would be counted twice. ``arms``: name, and what it comes to."""
    first: dict[tuple[str, ...], str] = {}
    for name, stages in arms:
        if stages in first and first[stages] != name:
            said = f"the arms {first[stages]!r} and {name!r} are the same runs"
            yield Fault(asked.said.marks["vary"], "vary", said)
            return
        first[stages] = name


def _notices(asked: Asked) -> list[str]:
    """A bare path that a later stage says again does not reach that stage: say so."""
    stages = asked.base.get("stages", {})
    vary, match = asked.said["vary"], asked.file.match
    every = [(f"vary.{path}", path) for factor in vary if factor != "experiment" for path in paths(vary, factor)]
    every += [(f"match.solve: {match.solve}", match.solve)] if match else []
    every += [(f"search.space.{path}", path) for path in (asked.file.search.space if asked.file.search else ())]
    bare = [(said, path) for said, path in dict.fromkeys(every) if path != "stages" and not path.startswith("stages.")]
    return [
        f"{said}: the stage {name!r} says {again} itself, so the patch stops before it"
        for said, path in bare
        for name, stage in list(stages.items())[1:]
        if (again := _said_again(stage, address(asked.base, path, Mark(""))[2:]))
    ]


def _said_again(stage: Any, steps: Sequence[str | int]) -> str:
    """How much of a path a stage says so that what it inherits there is replaced; nothing where it merges or is silent."""
    here = stage
    for i, step in enumerate(steps):
        if not isinstance(here, Map) or step not in here:
            return ""
        here = here[str(step)]
        if not isinstance(here, Map) or "type" in here or i == len(steps) - 1:
            return dotted(steps[: i + 1])
    return ""


@contextmanager
def gathering(faults: list[Fault]) -> Iterator[None]:
    """Go on after a refusal, so that all faults are reported at once."""
    try:
        yield
    except SpecError as error:
        faults += error.faults


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as data: what ``plan --json`` prints, and what a launch stores for status and report."""
    aliases = aliases_of(plan.asked.file.design, plan.factors)
    return {
        "factors": plan.factors,
        "seeds": list(plan.asked.file.seeds),
        "match": plan.asked.file.match and {**plan.asked.file.match.model_dump(), "target": plan.target},
        "trials": [
            {
                "kind": trial.kind,
                "name": trial.name,
                "arm": trial.arm,
                "seed": trial.seed,
                "stages": list(trial.stages),
                **_costs(trial.facts),
                **({"solved": trial.solved._asdict()} if trial.solved else {}),
                **({"searched": bare(trial.searched)} if trial.searched is not None else {}),
            }
            for trial in plan.trials
        ],
        "stages": {
            digest: {"stage": run.name, "task": run.task, "parents": run.parents, "steps": run.spec.get("steps", 1)}
            for digest, run in plan.runs.items()
        },
        "evaluations": [told(measurement) for measurement in plan.measurements],
        "notices": plan.notices,
        **({} if aliases is None else {"aliases": as_json(aliases)}),
        **({"searches": [{**to_json_of(one), **_costs(one.facts)} for one in plan.searches]} if plan.searches else {}),
    }


def _costs(facts: Facts) -> dict[str, Any]:
    return {
        "parameters": facts.parameters,
        "tokens": facts.tokens,
        "bits_per_token": facts.bits_per_token,
        "flops": {shape: flops._asdict() for shape, flops in facts.flops.items()},
        "largest": facts.largest,
    }
