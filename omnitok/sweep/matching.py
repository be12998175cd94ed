"""Arms made equal: what ``match:`` solves for in each, on the meta device, and how near it comes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from omnitok.data import DataError
from omnitok.model.cost import parameters
from omnitok.quantizers import Quantizer
from omnitok.spec import (
    Fault,
    Map,
    Mark,
    Registry,
    Seq,
    Spec,
    SpecError,
    bare,
    decode,
    kind,
    mark_of,
    patched,
    resolve,
)
from omnitok.sweep.file import Asked, address, paths
from omnitok.sweep.match import Match, around
from omnitok.sweep.rehearse import Rehearsal, largest, memo, theirs
from omnitok.training.stage import read_stages

WORDS = {"flops": "FLOPs", "params": "parameters", "bits": "bits a token"}
Path = tuple[str | int, ...]
Patches = tuple[tuple[Path, Any], ...]


class Solved(NamedTuple):
    """What one arm was given: the number, or the quantizer's choices; what it has then, on a clip of which shape where
    that matters; how far that is from what is aimed at, as a part of it."""

    value: Any
    cost: float
    shape: str
    off: float


class _Arm(NamedTuple):
    """What is solved in: an arm, its text, where in it, what stands there as text and what that means; what it has as it
    stands, if it can be built so."""

    name: str
    text: Map
    at: Path
    said: Any
    meant: Any
    stands: tuple[float, str] | None


class Matching:
    """Solves each arm once, whatever its seeds; arms with the same models share a solution."""

    def __init__(self, asked: Asked, match: Match, rehearsal: Rehearsal) -> None:
        self.asked, self.match, self.rehearsal = asked, match, rehearsal
        self.mark = self._mark("solve")
        self.known: dict[str, tuple[Patches, Solved]] = {}
        self._target: float | None = None

    @property
    def target(self) -> float:
        """What is aimed at. Raises SpecError where the experiment as it stands does not say it."""
        if self._target is None:
            found = self._of_base() if self.match.to == "base" else float(self.match.to)
            if not found or (self.match.by == "bits" and found % 1):
                said = f"the experiment as it stands has {_count(found)} {WORDS[self.match.by]}; say a whole number"
                raise SpecError([Fault(self._mark("to"), "match.to", said)])
            self._target = found
        return self._target

    def solved(self, name: str, text: Map) -> tuple[Map, Solved]:
        """An arm's text with what was solved in it. Raises SpecError where nothing comes near enough."""
        target, stages = self.target, read_stages(text)
        at = address(text, self.match.solve, self.mark)
        if len(at) < 3:
            raise self._refused("names a stage, not a choice of one")
        key = json.dumps([memo(stages), at, said := _beneath(text, at)])
        if key not in self.known:
            meant = _beneath(next((stage.spec for stage in stages if stage.name == at[1]), None), at[2:])
            arm = _Arm(name, text, at, said, meant, self._stands(text))
            if self.match.by == "bits":
                self._refuse_other_than_quantizers(arm)
            else:
                self._refuse_other_than_numbers(arm)
            if arm.stands and arm.stands[0] == target:
                self.known[key] = (), Solved(_shown(arm), *arm.stands, 0.0)
            else:
                self.known[key] = self._setting(arm) if self.match.by == "bits" else self._number(arm)
        patches, found = self.known[key]
        return self._patched(text, patches), found

    def faults(self) -> list[Fault]:
        """What of the sweep's text does not go together with solving."""
        solve, vary = self.match.solve, self.asked.said["vary"]
        twice = [factor for factor in vary if factor != "experiment" and solve in paths(vary, factor)]
        if self.match.by == "bits" or not twice:
            return []
        return [Fault(self.mark, "match.solve", f"{solve} is varied; it cannot be solved for too")]

    def _refuse_other_than_numbers(self, arm: _Arm) -> None:
        if arm.meant is not None and (not isinstance(arm.meant, int) or isinstance(arm.meant, bool)):
            raise self._refused(f"by {self.match.by} a whole number is solved for, and this is {_kind(arm.meant)}")

    def _refuse_other_than_quantizers(self, arm: _Arm) -> None:
        component = arm.meant.component if isinstance(arm.meant, Spec) else None
        if not isinstance(component, type) or not issubclass(component, Quantizer):
            raise self._refused(f"by bits a quantizer is solved for, and this is {_kind(arm.meant)}")

    def _number(self, arm: _Arm) -> tuple[Patches, Solved]:
        """The multiple that comes nearest."""
        shapes = {}

        def cost(value: int) -> float:
            found, shapes[value] = self._tried(arm, ((arm.at, value),), f"{self.match.solve}={value}")
            return found

        step = self.match.multiple_of
        try:
            beside = around(cost, self.target, step, arm.meant or step)
        except SpecError:
            raise
        except ValueError as error:
            raise self._refused(f"the arm {arm.name!r}: the number of {WORDS[self.match.by]} {error}") from None
        self._refuse_far(arm, [(f"{self.match.solve}={value}", found) for value, found in beside])
        value, found = beside[0]
        return ((arm.at, value),), Solved(value, found, shapes[value], found / self.target - 1)

    def _setting(self, arm: _Arm) -> tuple[Patches, Solved]:
        """The quantizer's first setting, of the components that the arm names for what is inside."""
        slot, bits = arm.meant.registry, int(self.target)
        name = getattr(arm.meant, slot.tag)
        try:
            setting = next(_settings(slot, name, arm.said, bits), None)
        except _OthersFault as error:
            raise self._refused(f"the arm {arm.name!r}: {error}") from error
        if setting is None:
            look = f"omnitok components quantizer --bits {bits} lists what does"
            none = f"no setting of {name!r}, as it is, spends {bits} bits a token"
            raise self._refused(f"the arm {arm.name!r}: {none}; {look}")
        said = arm.said if isinstance(arm.said, Map) else Map({slot.tag: name}, self.mark, {slot.tag: self.mark})
        whole = _merged(said, setting, self.mark)
        patches = ((arm.at, whole),)
        found, shape = self._tried(arm, patches, shown := json.dumps(setting))
        self._refuse_far(arm, [(shown, found)])
        return patches, Solved({slot.tag: name, **bare(whole)}, found, shape, found / self.target - 1)

    def _of_base(self) -> float:
        try:
            return self._measured(self.asked.base)[0]
        except (ValueError, DataError, RuntimeError, OSError):
            self.rehearsal.stages(read_stages(self.asked.base))  # which places the fault
            raise

    def _stands(self, text: Map) -> tuple[float, str] | None:
        try:
            return self._measured(text)
        except (ValueError, DataError, RuntimeError, OSError):
            return None

    def _tried(self, arm: _Arm, patches: Patches, shown: str) -> tuple[float, str]:
        try:
            return self._measured(self._patched(arm.text, patches))
        except SpecError:
            raise
        except (ValueError, DataError, RuntimeError, OSError) as error:
            if arm.stands is None:  # the arm's own fault, then
                self.rehearsal.stages(read_stages(arm.text))
            said = f"the arm {arm.name!r} with {shown}, which was tried: {str(error).splitlines()[0]}"
            raise SpecError([Fault(self._mark("multiple_of"), "match", said)]) from None

    def _measured(self, text: Map) -> tuple[float, str]:
        """What is matched, of a text's last stage; FLOPs are of one clip of the largest shape that it trains on."""
        stage = read_stages(text)[-1]
        with theirs(stage):
            met = self.rehearsal.meet(stage)
            if self.match.by == "flops":
                frames, resolution = largest(met.shapes)
                return float(self.rehearsal.cost(met, frames, resolution).flops), f"{frames}x{resolution}"
        codec = met.task.codec
        return float(parameters(codec) if self.match.by == "params" else codec.bits_per_token), ""

    def _patched(self, text: Map, patches: Patches) -> Map:
        for at, value in patches:
            text = patched(text, at, value, self.mark)
        return text

    def _refuse_far(self, arm: _Arm, beside: Sequence[tuple[str, float]]) -> None:
        if abs(beside[0][1] / self.target - 1) <= self.match.within:
            return
        aim = f"{_count(self.target)} {WORDS[self.match.by]}" + (" of base" if self.match.to == "base" else "")
        near = ", ".join(
            f"{shown} has {_count(found)} ({100 * found / self.target - 100:+,.2f} %)" for shown, found in beside
        )
        said = f"the arm {arm.name!r} does not come within {100 * self.match.within:g} % of the {aim}: {near}"
        if self.match.by != "bits" and self.match.multiple_of > 1:
            said += f"; it was solved in steps of multiple_of={self.match.multiple_of}"
        raise SpecError([Fault(self._mark("within"), "match", said)])

    def _refused(self, said: str) -> SpecError:
        return SpecError([Fault(self.mark, f"match.solve: {self.match.solve}", said)])

    def _mark(self, key: str) -> Mark:
        return mark_of(self.asked.said, ("match", key))


def _beneath(data: Any, steps: Path) -> Any:
    """What stands at a path of a text or a spec; None where nothing does."""
    for step in steps:
        if isinstance(data, Spec):
            data = getattr(data, str(step)) if step in type(data).model_fields else None
        elif isinstance(data, Mapping):
            data = data.get(step)
        elif isinstance(data, tuple | list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


class _OthersFault(Exception):
    """Another package's quantizer does not say its settings."""


def _listed(slot: Registry[Any], name: str, bits: int) -> list[dict[str, Any]]:
    try:
        return [dict(setting) for setting in slot.specs[name].component.settings(bits)]  # type: ignore[attr-defined]
    except Exception as error:
        if name not in slot.origins:
            raise
        raise _OthersFault(f"{name!r} of {slot.origins[name]}: its settings of {bits} bits fail: {error!r}") from error


def _settings(slot: Registry[Any], name: str, said: Any, bits: int) -> Iterator[dict[str, Any]]:
    """The settings of a component, the usual one first. Where what is said names another component inside, that one takes
    its own first setting of as many bits as the one in its place has; where it has none, neither has the whole."""
    for made in _listed(slot, name, bits):
        for choice, inner in slot.specs[name].slots.items():
            there, other = said.get(choice) if isinstance(said, Map) else None, made.get(choice)
            wanted = there.get(inner.tag) if isinstance(there, Map) else there
            if wanted is None or other is None or wanted == other[inner.tag]:
                continue
            with torch.device("meta"):
                spent = resolve(decode(inner, other))().bits_per_token
            first = None if spent % 1 else next(_settings(inner, wanted, there, int(spent)), None)
            if first is None:
                break
            made[choice] = {inner.tag: wanted, **first}
        else:
            yield made


def _merged(said: Map, setting: Mapping[str, Any], mark: Mark) -> Map:
    """What is said, with what a setting says in its place."""
    items, marks = dict(said), dict(said.marks)
    for key, value in setting.items():
        before = items.get(key)
        items[key] = (
            _merged(before, value, mark)
            if isinstance(before, Map) and isinstance(value, Mapping)
            else _marked(value, mark)
        )
        marks[key] = mark
    return Map(items, mark, marks)


def _marked(value: Any, mark: Mark) -> Any:
    if isinstance(value, Mapping):
        return Map({key: _marked(one, mark) for key, one in value.items()}, mark, dict.fromkeys(value, mark))
    if isinstance(value, list | tuple):
        return Seq([_marked(one, mark) for one in value], mark, [mark] * len(value))
    return value


def _shown(arm: _Arm) -> Any:
    """What an arm has that needs no solving, as it says it."""
    if not isinstance(arm.meant, Spec):
        return arm.meant
    tag = arm.meant.registry.tag
    return {tag: getattr(arm.meant, tag), **(bare(arm.said) if isinstance(arm.said, Map) else {})}


def _count(number: float) -> str:
    return f"{number:,.4g}" if number % 1 else f"{number:,.0f}"


def _kind(value: Any) -> str:
    return (
        f"the {value.registry.slot} {getattr(value, value.registry.tag)!r}" if isinstance(value, Spec) else kind(value)
    )
