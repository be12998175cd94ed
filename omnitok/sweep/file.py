"""What a sweep file says. Reading it loads no torch, so that a status or a report is quick."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, Strict, model_validator

from omnitok.search import Search
from omnitok.spec import (
    STRICT,
    Fault,
    Map,
    Mark,
    SpecError,
    Weight,
    assignment,
    check,
    digest,
    dotted,
    kind,
    near,
    parse_path,
    parse_yaml,
    patched,
    read_text,
    read_value,
)
from omnitok.sweep.design import DESIGNS, Design, identity_of
from omnitok.sweep.failures import Failures
from omnitok.sweep.match import Match
from omnitok.sweep.resources import Resources


class Claim(BaseModel):
    """What is expected, said before the first run: ``better`` ... ``than``, or ``equal`` ... ``to`` within a margin."""

    model_config = STRICT
    metric: str = Field(description="the metric's label, such as psnr")
    on: str = Field("", description="the evaluation's name, where more than one has the metric")
    better: str = Field("", description="the label that is expected to win")
    than: str = Field("", description="the label that it is held against")
    equal: str = Field("", description="the label that is expected to tie")
    to: str = Field("", description="the label that it ties with")
    margin: Weight = Field(0.0, description="how large a difference has to be to count, in the metric's unit")
    where: dict[str, str] = Field({}, description="{factor, or the last part of its path: label}: only these arms")
    source: str = Field("", description="who expects it: a paper, an arXiv number")

    @model_validator(mode="after")
    def _one_kind(self) -> "Claim":
        pairs = [(self.better, self.than), (self.equal, self.to)]
        if sum(bool(a or b) for a, b in pairs) != 1 or not any(a and b for a, b in pairs):
            raise ValueError("say either better and than, or equal and to")
        if self.equal and not self.margin:
            raise ValueError("an equality needs a margin larger than 0")
        return self


class SweepFile(BaseModel):
    """A question, and everything that is run to answer it."""

    model_config = STRICT
    question: Annotated[str, Field(min_length=1)]
    experiment: Annotated[str, Field(min_length=1)]
    vary: dict[str, Any]
    match: Match | None = None
    search: Search | None = None
    design: Design = DESIGNS.default("full")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Strict(False), Field(min_length=1)]
    evaluate: Annotated[tuple[Any, ...], Strict(False)] = ()
    baselines: Annotated[tuple[Any, ...], Strict(False)] = ()
    claims: Annotated[tuple[Claim, ...], Strict(False)] = ()
    resources: Resources = Resources()
    failures: Failures = Failures()


class Asked(NamedTuple):
    """A sweep as its file and the command line say it: ``said`` is the sweep's text, ``base`` the experiment's."""

    name: str
    path: Path
    sets: tuple[str, ...]
    said: Map
    base: Map
    others: dict[str, Map]  # the experiments that are varied whole, by label
    file: SweepFile
    faults: tuple[Fault, ...]  # of what the sweep says, where it could still be read
    texts: dict[str, str]  # every file that was read, by its whole path
    folder: str  # the working folder, from which ``sets`` name files

    @property
    def digest(self) -> str:
        """The identity of the question: what is run, not what is measured, claimed or how it is run."""
        what = {"vary": self.said["vary"], "design": identity_of(self.file.design), "seeds": self.file.seeds}
        if self.file.match:
            what["match"] = self.file.match.model_dump()
        if self.file.search:
            what["search"] = self.file.search.identity()
        baselines = [_nameless(one) for one in self.said.get("baselines", [])]
        texts = {"base": self.base, "others": self.others, "baselines": baselines}
        return digest({"name": self.name, **what, **texts})


def _nameless(baseline: Any) -> Any:
    """A baseline as it is in the identity of a sweep: without its name, what is measured of it, and where it lies."""
    return {k: v for k, v in baseline.items() if k not in OUTWARD} if isinstance(baseline, Map) else baseline


OUTWARD = ("name", "on", "file", "folder")


class Texts:
    """The files of a sweep, read from disk; or as a launch kept them, which is all of them, and then from nowhere else."""

    def __init__(self, kept: Mapping[str, str] | None = None, folder: str = "") -> None:
        self.kept, self.folder = kept, folder
        self.read: dict[str, str] = {}

    def yaml(self, path: Path) -> Map:
        """Raises SpecError where there is no such text, or it is not YAML."""
        name = whole(path)
        self.read[name] = read_text(path, str(path)) if self.kept is None else self._of_kept(name, self.kept)
        return parse_yaml(self.read[name], str(path))

    def _of_kept(self, name: str, kept: Mapping[str, str]) -> str:
        if name not in kept:
            raise SpecError([Fault(Mark(name), "", f"was not kept at the launch{near(name, kept)}")])
        return kept[name]


def read_sweep(path: Path, sets: Sequence[str] = (), texts: Texts | None = None) -> Asked:
    """A sweep file, its experiments, and the patches of the command line. Raises SpecError where they cannot be read.

    A ``--set`` whose path begins with a key of a sweep file patches the sweep, any other the experiment.
    """
    texts = texts or Texts()
    said = texts.yaml(path)
    patches = [(text, *assignment(text)) for text in sets]
    for text, at, value in patches:
        if _of_sweep(text, at):
            said = _set(said, text, at, value, texts.folder)
    file = check(SweepFile, said)
    faults = _faults(file, said)
    mine = [text for text, at, _ in patches if not _of_sweep(text, at)]
    places = {"": ((file.experiment, said.marks["experiment"], "experiment"))}
    varied = said["vary"].get("experiment")
    if isinstance(varied, Map):
        places |= {label: (name, varied.marks[label], "vary.experiment") for label, name in varied.items()}
    read = functools.partial(read_experiment, sets=mine, texts=texts)
    found: dict[str, Map] = {}
    for label, place in places.items():
        try:
            found[label] = _named_experiment(path, *place, read)
        except SpecError as error:
            faults += error.faults
    if "" not in found or len(found) < len(places):
        raise SpecError(faults)
    base, folder = found.pop(""), texts.folder or str(Path.cwd())
    return Asked(path.stem, path, tuple(sets), said, base, found, file, tuple(faults), texts.read, folder)


def _named_experiment(path: Path, name: Any, mark: Mark, where: str, read: Callable[[Path], Map]) -> Map:
    """An experiment that a sweep names; one that is not there is the sweep's fault."""
    if not isinstance(name, str):
        raise SpecError([Fault(mark, where, f"must be the path of a file, not {kind(name)}")])
    file = beside(path, name)
    try:
        return read(file)
    except SpecError as error:
        if file.is_file():
            raise
        raise SpecError([Fault(mark, where, error.faults[0].sentence)]) from None


def beside(path: Path, name: str) -> Path:
    """A file that another names, by the path from there."""
    return Path(os.path.normpath(path.parent / name))


def whole(path: Path) -> str:
    """A file's whole path; links stay, as the name of a sweep is its file's."""
    return os.path.normpath(path.absolute())


def read_experiment(path: Path, sets: Sequence[str] = (), texts: Texts | None = None) -> Map:
    """An experiment's text with the patches of the command line."""
    texts = texts or Texts()
    base = texts.yaml(path)
    for text in sets:
        base = _set(base, text, *assignment(text), texts.folder)
    return base


def address(base: Map, path: str, mark: Mark) -> tuple[str | int, ...]:
    """Where a patch lands: a bare path in the first stage, from which it flows on."""
    steps = parse_path(path, mark)
    stages = base.get("stages")
    if steps[0] == "stages":
        if isinstance(stages, Map) and len(steps) > 1 and steps[1] not in stages:
            said = f"no stage {steps[1]!r}{near(steps[1], stages)}"
            raise SpecError([Fault(mark, dotted(steps), f"the patch cannot be applied: {said}")])
        return steps
    if not isinstance(stages, Map) or not stages:
        mark = base.marks.get("stages", base.mark)
        raise SpecError([Fault(mark, "stages", "must be a mapping of at least one stage")])
    return ("stages", next(iter(stages)), *steps)


def _of_sweep(text: str, path: str) -> bool:
    first = str(parse_path(path, mark := Mark(f"--set {text}"))[0])
    if first not in SweepFile.model_fields and (close := get_close_matches(first, SweepFile.model_fields, 1, 0.85)):
        raise SpecError([Fault(mark, first, f"no such key; did you mean {close[0]!r}? (or stages.NAME.{first})")])
    return first in SweepFile.model_fields


def _set(data: Map, text: str, path: str, value: str, folder: str) -> Map:
    mark = Mark(f"--set {text}", folder=folder)
    steps = parse_path(path, mark)
    if steps[0] not in SweepFile.model_fields:
        steps = address(data, path, mark)
    result: Map = patched(data, steps, read_value(value, mark.source, folder), mark)
    return result


def _faults(file: SweepFile, said: Map) -> list[Fault]:
    faults = []
    if not file.vary and not file.search:
        faults.append(Fault(said.marks["vary"], "vary", "is empty; name at least one path with two or more values"))
    for path, values in file.vary.items():
        faults += [Fault(said["vary"].marks[path], f"vary.{path}", sentence) for sentence in _refused(values)]
    if len(set(file.seeds)) < len(file.seeds):
        faults.append(Fault(said.marks["seeds"], "seeds", "a seed stands twice"))
    return faults


def _refused(values: Any) -> Iterator[str]:
    """Why the values of one factor cannot be."""
    if not isinstance(values, Map | list) or not values:
        yield "must be {label: value, ...} or a list of plain values"
    if isinstance(values, list) and any(isinstance(value, Map | list) for value in values):
        yield "a value that is not plain needs a label: {label: value, ...}"
    wrong = [(label, said) for label, value in _mapped(values) if (said := _unbundled(value))]
    for label, said in wrong:
        yield f"{label}: {said}; what patches several paths is {{{TOGETHER}: {{path: value, ...}}}} and no more"
    if not wrong and len({_bundles(value) for _, value in _mapped(values)}) > 1:
        yield f"either every value patches several paths, as {{{TOGETHER}: {{path: value, ...}}}}, or none does"
    named = labels(values) if isinstance(values, Map | list) else []
    yield from (f"the label {label!r} stands twice" for i, label in enumerate(named) if label in named[:i])
    for label in named:
        if not label.replace("_", "").replace("-", "").replace(".", "").isalnum():
            yield f"the label {label!r} may have letters, digits, '_', '-' and '.' only"


TOGETHER = "set"  # the one key of a value that patches several paths


def patches(vary: Map, factor: str, label: str) -> list[tuple[str, Any, Mark]]:
    """(path, value, where it was said) of what a factor's value patches: the factor itself is the path, or, where the
    value is ``{set: {path: value, ...}}``, each of those is, and the factor is a name."""
    values = vary[factor]
    key = label if isinstance(values, Map) else labels(values).index(label)
    value, mark = values[key], values.marks[key]
    if not _bundles(value):
        return [(factor, value, mark)]
    inner = value[TOGETHER]
    return [(path, inner[path], inner.marks[path]) for path in inner]


def paths(vary: Map, factor: str) -> list[str]:
    """Every path that some value of a factor patches."""
    named = labels(vary[factor]) if isinstance(vary[factor], Map | list) else []
    return list(dict.fromkeys(path for label in named for path, _, _ in patches(vary, factor, label)))


def _mapped(values: Any) -> list[tuple[str, Any]]:
    return list(values.items()) if isinstance(values, Map) else []


def _unbundled(value: Any) -> str:
    """What keeps a value from patching several paths, where that is what it means; else nothing."""
    if not isinstance(value, Map) or "type" in value or _bundles(value):
        return ""
    if TOGETHER in value:
        beside = [key for key in value if key != TOGETHER]
        return f"{beside[0]!r} beside {TOGETHER}" if beside else f"{TOGETHER} must be a mapping"
    alone = next(iter(value)) if len(value) == 1 else ""
    meant = isinstance(value.get(alone), Map) and get_close_matches(alone, [TOGETHER], cutoff=0.7)
    return f"no such key {alone!r}" if meant else ""


def _bundles(value: Any) -> bool:
    return isinstance(value, Map) and list(value) == [TOGETHER] and isinstance(value[TOGETHER], Map)


def labels(values: Any) -> list[str]:
    """The labels of one factor's values."""
    return list(values) if isinstance(values, Map) else [str(value) for value in values]
