"""An experiment file -> whole stages; a stage, its parents, its data and a seed -> one run with an identity."""

import copy
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from omnitok.data import DATASETS, DataError
from omnitok.provenance import sha256
from omnitok.spec import (
    STRICT,
    Fault,
    Map,
    Mark,
    Registry,
    Spec,
    SpecError,
    check,
    decode,
    dotted,
    expanded,
    identities,
    identity,
    kind,
    mark_of,
    near,
    parse_path,
    places,
    plain,
    resolve,
    slots_below,
    specs_in,
    versions,
    walk,
)
from omnitok.training import TASKS
from omnitok.training.handover import Handover


class WeightsFile(BaseModel):
    """Weights from outside: where they lie now (a resource), and which bytes they are (the identity)."""

    model_config = STRICT
    file: str
    sha256: str

    def path(self, mark: Mark) -> Path:
        """Where it lies: relative to the file that says so, or to the working folder for a flag of the command line."""
        return mark.place(self.file)


class Lineage(BaseModel):
    """What a stage stands on: a parent by role, and what is taken over from it."""

    model_config = STRICT
    init: str | WeightsFile | None = None
    handover: Handover = Handover()


class Stage(NamedTuple):
    """One stage as a file says it, whole: ``said`` is its text with marks, ``spec`` what it means."""

    name: str
    said: Map
    spec: Spec
    lineage: Lineage


class _Said(NamedTuple):
    """What a run of a stage is made of."""

    name: str
    task: str
    spec: dict[str, Any]
    versions: dict[str, int]
    parents: dict[str, str]  # role -> digest of a stage, or "sha256:..." of a file
    handover: dict[str, Any]
    fingerprints: dict[str, str]
    seed: int | None
    files: dict[str, str]  # role, or dotted path of a choice -> where it lies; a resource, outside the digest


class StageRun(_Said):
    """One stage with everything that it stands on. What is here and in the digest is all that can change a result."""

    @functools.cached_property
    def digest(self) -> str:
        return _digest(self)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "stage", "stage": self.name, **{k: v for k, v in self._asdict().items() if k != "name"}}


def from_json(data: Mapping[str, Any]) -> StageRun:
    return StageRun(data["stage"], *(data[field] for field in StageRun._fields[1:]))


def data_root() -> Path:
    """Where datasets lie: OMNITOK_DATA, or ``data`` in the working folder."""
    return Path(os.environ.get("OMNITOK_DATA") or "data")


def read_stages(said: Map) -> list[Stage]:
    """The stages of an experiment's text, each whole. Raises SpecError with every fault of every stage."""
    faults = [Fault(said.marks[key], key, f"no such key{near(key, ['stages'])}") for key in said if key != "stages"]
    stages = said.get("stages")
    if not isinstance(stages, Map) or not stages:
        what = "must be said" if stages is None else f"must be a mapping of at least one stage, not {kind(stages)}"
        raise SpecError([*faults, Fault(said.marks.get("stages", said.mark), "stages", what)])
    found: list[Stage] = []
    for name, text in expanded(stages, TASKS).items():
        try:
            found.append(_stage(name, text, [stage.name for stage in found]))
        except SpecError as error:
            faults += [fault._replace(path=f"stages.{name}.{fault.path}".rstrip(".")) for fault in error.faults]
            found.append(Stage(name, text, TASKS.specs["reconstruct"].model_construct(), Lineage()))
    if faults:
        raise SpecError(faults)
    return found


def _stage(name: str, text: Map, before: list[str]) -> Stage:
    own = {key: text[key] for key in ("init", "handover") if key in text}
    rest = Map({key: value for key, value in text.items() if key not in own}, text.mark, text.marks)
    faults: list[Fault] = []
    spec, lineage = None, Lineage()
    try:
        lineage = check(Lineage, Map(own, text.mark, text.marks))
        faults += _lineage_faults(lineage, text, before)
    except SpecError as error:
        faults += error.faults
    try:
        spec = placed(decode(TASKS, rest), rest)
    except SpecError as error:
        faults += error.faults
    if faults or spec is None:
        raise SpecError(faults)
    task = getattr(spec, TASKS.tag)
    if lineage.init is not None and "init" not in TASKS.components[task].roles:  # type: ignore[attr-defined]
        raise SpecError([Fault(text.marks["init"], "init", f"the task {task!r} takes no such parent")])
    return Stage(name, text, spec, lineage)


def _lineage_faults(lineage: Lineage, text: Map, before: list[str]) -> list[Fault]:
    if isinstance(lineage.init, str) and lineage.init not in before:
        return [Fault(text.marks["init"], "init", f"no earlier stage {lineage.init!r}{near(lineage.init, before)}")]
    if lineage.init is None and "handover" in text:
        return [Fault(text.marks["handover"], "handover", "there is no parent to take anything over from; say init")]
    return []


def bind(stage: Stage, seed: int | None, digests: Mapping[str, str]) -> StageRun:
    """A stage as one run. ``digests``: of the stages before it, by name. Raises SpecError where its data is missing."""
    return seeded(unseeded(stage))(seed, digests)


def unseeded(stage: Stage) -> StageRun:
    """What all seeds of a stage share; a parent that is a stage stands by its name. Raises SpecError as ``bind``."""
    parents, files = {}, {}
    init = stage.lineage.init
    if isinstance(init, str):
        parents["init"] = init
    elif init is not None:
        mark = stage.said.marks["init"]
        path = init.path(mark)
        if not path.is_file():
            raise SpecError([Fault(mark, "init.file", f"no such file {init.file!r}")])
        if sha256(path) != init.sha256:
            raise SpecError([Fault(mark, "init.sha256", f"the file {init.file!r} has {sha256(path)}")])
        parents["init"], files["init"] = f"sha256:{init.sha256}", str(path)
    spec = plain(stage.spec)
    for steps in places(stage.spec):
        files[dotted(steps)] = _holder(spec, steps).pop(steps[-1])
    return StageRun(
        name=stage.name,
        task=spec["task"],
        spec=spec,
        versions=versions(stage.spec),
        parents=parents,
        handover=stage.lineage.handover.model_dump() if parents else {},
        fingerprints=fingerprints(stage.spec, stage.said),
        seed=None,
        files=files,
    )


def seeded(shared: StageRun) -> Callable[[int | None, Mapping[str, str]], StageRun]:
    """What makes one run of what ``unseeded`` gives, of a seed and the digests of the stages before it by name. What all
    seeds share of a digest is written out once."""
    named = identities(shared.spec, shared.versions)

    def run_of(seed: int | None, digests: Mapping[str, str]) -> StageRun:
        parents = {role: name if role in shared.files else digests[name] for role, name in shared.parents.items()}
        run = shared._replace(seed=seed, parents=parents)
        vars(run)["digest"] = named(**_stands_on(run))  # where the property keeps it
        return run

    return run_of


def fingerprints(spec: Spec, said: Map) -> dict[str, str]:
    """{"data": hash}: what the bytes of every dataset that a spec names are."""
    found = {}
    for name, slot in type(spec).slots.items():
        for inner in specs_in(getattr(spec, name)) if _leads_to_data(slot) else ():
            if inner.registry is DATASETS:
                try:
                    found[name] = _fingerprint(inner, data_root())
                except DataError as error:
                    raise SpecError([Fault(said.marks.get(name, said.mark), name, str(error))]) from None
    return found


@functools.cache
def _leads_to_data(slot: Registry[Any]) -> bool:
    return any(inner is DATASETS for inner in slots_below(slot).values())


@functools.lru_cache(maxsize=256)
def _fingerprint(dataset: Spec, root: Path) -> str:
    return str(resolve(dataset)(root, "train").fingerprint)


def placed(spec: Spec, said: Map) -> Spec:
    """A spec in which every place is a whole path: what a file says is relative to that file, what a flag of the command
    line says to the working folder."""
    found = list(places(spec))
    if not found:
        return spec
    data = plain(spec)
    for path in found:
        mark, here = mark_of(said, path), _holder(data, path)
        here[path[-1]] = str(mark.place(here[path[-1]]))
    return decode(spec.registry, data)


def spec_of(run: StageRun) -> Spec:
    """What a run does, with its places. Raises SpecError where today's schema refuses it."""
    data = copy.deepcopy(run.spec)
    for name, place in run.files.items():
        path = parse_path(name, Mark(name))
        if name not in run.parents:
            _holder(data, path)[path[-1]] = place
    return decode(TASKS, data)


def _holder(data: Any, path: Sequence[str | int]) -> Any:
    """What of JSON data has the last step of a path."""
    for step in path[:-1]:
        data = data[step]
    return data


def restated(run: StageRun, parents: Mapping[str, str]) -> str:
    """The digest that an old run would have under today's schema: choices added since stand at their defaults, the
    versions of its components are those that it ran with. Raises SpecError where today's schema refuses it."""
    spec = spec_of(run)
    handover = Handover.model_validate(run.handover).model_dump() if run.parents else {}
    run = run._replace(handover=handover)
    said = plain(spec)
    for path in places(spec):
        _holder(said, path).pop(path[-1])
    return _digest(run._replace(spec=said, versions=versions(spec) | run.versions, parents=dict(parents)))


def _digest(run: StageRun) -> str:
    return identity(run.spec, run.versions, **_stands_on(run))


def _stands_on(run: StageRun) -> dict[str, Any]:
    """What beside its choices makes a run."""
    return {"parents": run.parents, "handover": run.handover, "fingerprints": run.fingerprints, "seed": run.seed}


def mark_for(stage: Stage, error: Exception) -> tuple[Mark, str]:
    """Where a refused fact was said: the choice that the sentence begins with, else the data or the model."""
    word, _, said = re.split(r"[ :]", str(error))[0].partition("=")
    found = [(path, value) for path, value in walk(stage.said) if isinstance(value, Map) and word in value]
    for path, value in sorted(found, key=lambda one: str(one[1][word]) != said):
        return value.marks[word], dotted((*path, word))
    usual = "data" if isinstance(error, DataError) else "model"
    return stage.said.marks.get(usual, stage.said.mark), usual
