"""What is searched within each arm of a sweep, as it is planned: who suggests what, how it stands, what has won."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omnitok.search import Search, Standing, refusals, standing, winner
from omnitok.search.prepare import goes_on
from omnitok.search.space import Parameter, made
from omnitok.spec import Fault, Map, Mark, SpecError, check, near, patched, plain
from omnitok.sweep.corners import corners, needed
from omnitok.sweep.design import Arm, name_of
from omnitok.sweep.file import Asked, address, labels, paths
from omnitok.sweep.rehearse import Rehearsal
from omnitok.sweep.resources import Used
from omnitok.sweep.stored import SEARCHES, folder_of, locate
from omnitok.training import Facts
from omnitok.training.stage import Stage, read_stages


class Searched(NamedTuple):
    """The search of one arm. ``text``: the arm's experiment; ``said``: the text of its search, without the conditions that
    the arm settles; ``stages``: names; ``folder``: of the search, whether it is there or not; ``won``: what ``search.winner``
    gives, once it is over."""

    name: str
    arm: Arm
    search: Search
    said: Map
    text: Map
    stages: tuple[Stage, ...]
    folder: Path
    warm: tuple[str, ...]
    standing: Standing
    won: dict[str, Any] | None
    facts: Facts

    @property
    def values(self) -> dict[str, Any] | None:
        """What the winner's trials are patched with; None while there is none."""
        return self.won["values"] if self.won and self.won["trial"] is not None else None

    @property
    def over(self) -> bool:
        """Whether nothing more is to be suggested."""
        return self.won is not None

    def used(self) -> list[Used]:
        """Its stages as those of trials are told to resources."""
        return [Used(stage.name, {self.name: tuple(self.arm.values())}) for stage in self.stages]

    @property
    def what(self) -> tuple[str, ...]:
        """All that is trained and searched: arms in which it is the same are one."""
        stages = [json.dumps([plain(one.spec), one.lineage.model_dump()], sort_keys=True) for one in self.stages]
        return (*stages, json.dumps(self.search.identity(), sort_keys=True))

    def winners(self) -> Map:
        """The winner's text. Raises SpecError."""
        return suggested(self.text, self.said, self.values or {})


class Searching:
    """Plans the searches of a sweep's arms."""

    def __init__(self, asked: Asked, rehearsal: Rehearsal, root: Path) -> None:
        assert asked.file.search is not None
        self.asked, self.search, self.rehearsal, self.root = asked, asked.file.search, rehearsal, root
        self.said: Map = asked.said["search"]
        self.stored = folder_of(root, asked.digest)
        self.checked: dict[str, tuple[Search, list[Fault]]] = {}

    def faults(self) -> Iterator[Fault]:
        """What of the search does not suit the rest of the sweep."""
        vary, mark = self.asked.said["vary"], self.asked.said.marks["search"]
        if self.asked.file.match:
            said = "match solves a choice so that all arms cost the same, which a search would undo; say one of the two"
            yield Fault(mark, "search", said)
        space = self.said["space"]
        for path in space:
            at = space.marks[path]
            for varied in (one for factor in vary if factor != "experiment" for one in paths(vary, factor)):
                if _covers(self._address(path, at), self._address(varied, at)):
                    yield Fault(
                        at, f"search.space.{path}", f"vary says {varied} of each arm; one path is varied or searched"
                    )
                    break
            yield from self._conditions(path, vary)

    def _address(self, path: str, mark: Mark) -> tuple[str | int, ...]:
        return address(self.asked.base, path, mark)

    def _conditions(self, path: str, vary: Map) -> Iterator[Fault]:
        """Of conditions that name a factor of the sweep: labels that it does not have."""
        for factor, wanted in _when(self.said["space"][path]).items():
            known = labels(vary[factor]) if factor in vary else []
            mark = self.said["space"][path]["when"].marks[factor]
            for label in _listed(wanted) if factor in vary else ():
                if label not in known:
                    yield Fault(mark, f"search.space.{path}.when", f"{factor} has no {label!r}{near(label, known)}")

    def arm(self, arm: Arm, text: Map) -> Searched:
        """Raises SpecError where the arm, or a suggestion at an end of the space, cannot be built."""
        name, said = name_of(arm), _within(self.said, arm, self.asked.said["vary"])
        search, faults = self._checked(said)
        stages = read_stages(text)
        if faults:
            unseen = [*self._unseen(set(self._watched(stages)))]
            raise SpecError([*unseen, *(one for one in faults if one.path not in {other.path for other in unseen})])
        facts = self.rehearsal.stages(stages)
        self._rehearse(text, said, made(search.space), set(self._watched(stages)))
        folder = self.stored / SEARCHES / name
        stands, won = self._stands(folder)
        return Searched(name, arm, search, said, text, tuple(stages), folder, self._warm(name), stands, won, facts)

    def _checked(self, said: Map) -> tuple[Search, list[Fault]]:
        """The search of an arm, looked at once for all arms that have the same."""
        memo = json.dumps(said, sort_keys=True)
        if memo not in self.checked:
            search: Search = check(Search, said)
            self.checked[memo] = search, refusals(search, said)
        return self.checked[memo]

    def _watched(self, stages: Sequence[Stage]) -> tuple[str, ...]:
        return self.rehearsal.meet(stages[-1]).task.watched()

    def _rehearse(self, text: Map, said: Map, parameters: Mapping[str, Parameter], watched: set[str]) -> None:
        """Builds what stands at the ends of the space; ``watched``: what the arm's own records say, to which what theirs
        say is added."""
        faults: list[Fault] = []
        never = dict(parameters)  # what was part of nothing that can be built
        for path, drawn in corners(parameters):
            try:
                stages = read_stages(suggested(text, said, _values(parameters, drawn)))
                self.rehearsal.stages(stages)
                watched.update(self._watched(stages))
                never = {at: one for at, one in never.items() if at not in drawn}
            except SpecError as error:
                first, mark = error.faults[0], said["space"].marks[path]
                why = f"the suggestion {drawn[path]} cannot be built: {first.path}: {first.sentence}"
                faults.append(Fault(mark, f"search.space.{path}", why))
        if faults := [*self._misplaced(text, said, parameters, never)] or faults or [*self._unseen(watched)]:
            raise SpecError(faults)

    def _misplaced(
        self, text: Map, said: Map, parameters: Mapping[str, Parameter], some: Iterable[str]
    ) -> Iterator[Fault]:
        """Of some choices those that even alone cannot be set, at any of their ends: all else is then innocent."""
        vary, space = self.asked.said["vary"], said["space"]
        wrong = {path: fault for path in some if (fault := _alone(text, said, parameters, path))}
        for path, fault in wrong.items():
            if wrong.keys().isdisjoint(needed(parameters, path)):
                at = self._address(path, space.marks[path])
                around = [one for one in vary if one != "experiment" and "." in path
                          and any(_covers(self._address(two, space.marks[path]), at) for two in paths(vary, one))]  # fmt: skip
                hint = f"; if only some arms have it, say which: when: {{{around[0]}: ...}}" if around else ""
                why = f"cannot be set: {fault.path}: {fault.sentence}{hint}"
                yield Fault(space.marks[path], f"search.space.{path}", why)

    def _unseen(self, watched: set[str]) -> Iterator[Fault]:
        """What is sought and nobody measures."""
        for key, some in (("objective", self.search.objective), ("constraints", self.search.constraints)):
            for one in some:
                if one.metric.startswith("val/") and one.metric not in watched:
                    said = f"the last stage measures no {one.metric}{near(one.metric, sorted(watched))}"
                    yield Fault(self.said.marks[key], f"search.{key}", said)

    def _stands(self, folder: Path) -> tuple[Standing, dict[str, Any] | None]:
        """How the search stands, and what has won unless the sweep now asks for more suggestions than before."""
        if not (folder / "search.json").exists():
            return Standing(self.search.trials), None
        stands = standing(folder)
        longer = goes_on(folder, self.search)
        return stands._replace(target=self.search.trials, done=stands.done and not longer), None if longer else winner(
            folder
        )

    def _warm(self, name: str) -> tuple[str, ...]:
        """Folders of other sweeps' searches of the same arm, or of their only one, below the runs' root."""
        found = []
        for i, reference in enumerate(self.search.warm_start):
            mark = self.said["warm_start"].marks[i]
            try:
                inside = sorted(path.parent for path in locate(self.root, reference).glob(f"{SEARCHES}/*/search.json"))
            except SpecError as error:
                sentence = error.faults[0].sentence
                raise SpecError([Fault(mark, f"search.warm_start[{i}]", f"{reference} {sentence}")]) from None
            alike = [one for one in inside if one.name == name or len(inside) == 1]
            if not inside:
                raise SpecError([Fault(mark, f"search.warm_start[{i}]", f"{reference} has searched nothing")])
            found += [str(one.relative_to(self.root)) for one in alike]
        return tuple(found)


def suggested(text: Map, said: Map, values: Mapping[str, Any]) -> Map:
    """An arm's text with values of a search in it; ``said``: the search's text. Raises SpecError."""
    space = said["space"]
    for path, value in values.items():
        text = patched(text, address(text, path, space.marks[path]), value, space.marks[path])
    return text


def _values(parameters: Mapping[str, Parameter], drawn: Mapping[str, Any]) -> dict[str, Any]:
    return {path: parameters[path].value(one) for path, one in drawn.items()}


def _alone(text: Map, said: Map, parameters: Mapping[str, Parameter], path: str) -> Fault | None:
    """Why a choice cannot be set with nothing but what it needs beside it; None where it can."""
    first: Fault | None = None
    for end in parameters[path].ends():
        drawn = {**needed(parameters, path), path: end}
        try:
            read_stages(suggested(text, said, _values(parameters, drawn)))
        except SpecError as error:
            first = first or error.faults[0]
        else:
            return None
    return first


def _within(said: Map, arm: Arm, vary: Map) -> Map:
    """The search's text for one arm: a choice whose ``when`` names a factor is there only under the arm's label, and that
    condition is then settled."""
    space, items = said["space"], {}
    for path, text in space.items():
        when = _when(text)
        settled = [factor for factor in when if factor in vary]
        if any(arm.get(factor, "") not in map(str, _listed(when[factor])) for factor in settled):
            continue
        items[path] = _without(text, settled) if settled else text
    marks = {path: space.marks[path] for path in items}
    return Map({**said, "space": Map(items, space.mark, marks)}, said.mark, said.marks)


def _without(text: Map, settled: Sequence[str]) -> Map:
    when = text["when"]
    rest = Map({path: one for path, one in when.items() if path not in settled}, when.mark, when.marks)
    items = {**text, "when": rest} if rest else {key: one for key, one in text.items() if key != "when"}
    return Map(items, text.mark, text.marks)


def _when(text: Any) -> Map:
    """The conditions of one choice; what is not a mapping is refused elsewhere."""
    said = text.get("when") if isinstance(text, Map) else None
    return said if isinstance(said, Map) else Map({}, Mark(""), {})


def _covers(one: Sequence[str | int], other: Sequence[str | int]) -> bool:
    """Whether a value at one path replaces what is said at the other."""
    return tuple(one) == tuple(other[: len(one)])


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


# What a plan says


def to_json(one: Searched) -> dict[str, Any]:
    """The search of one arm as data: who suggests what for what; how it stands is read off its folder."""
    said = plain(one.search)
    return {
        "arm": one.name,
        "labels": one.arm,
        "folder": f"{SEARCHES}/{one.name}",
        "sampler": _named(said["sampler"]),
        "pruner": _named(said["pruner"]),
        "objectives": [{"metric": o.metric, "goal": o.direction} for o in one.search.objective],
        "constraints": [constraint.name for constraint in one.search.constraints],
        "target": one.search.trials,
        "hours": one.search.hours,
        "seed": one.search.seed,
        "warm": list(one.warm),
        "space": {path: ranged(parameter, said["space"][path]) for path, parameter in made(one.search.space).items()},
    }


def _named(said: Mapping[str, Any]) -> str:
    """A component in a few words: its name, and its choices."""
    rest = ", ".join(f"{name}={value}" for name, value in said.items() if name != "type" and value is not None)
    return f"{said['type']} ({rest})" if rest else str(said["type"])


def ranged(one: Parameter, said: Mapping[str, Any]) -> dict[str, Any]:
    """What one choice may be: in words, and how many values there are, None where they are not counted."""
    when = " and ".join(f"{path} is {' or '.join(wanted)}" for path, wanted in one.when.items())
    if named := one.labels():
        return {"values": ", ".join(named), "size": len(named), "when": when}
    low, high = one.ends()
    step = said["step"] or (1 if said["type"] == "int" else None)
    words = f"{low:g} to {high:g}" + (f" in steps of {said['step']:g}" if said["step"] else "")
    size = None if step is None else 1 + round((high - low) / step)
    return {"values": words + (", by its logarithm" if said["log"] else ""), "size": size, "when": when}
