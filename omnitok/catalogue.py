"""What there is to choose from: every slot, its components and their choices, as tables and as JSON schemas."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import torch
from pydantic_core import PydanticUndefined

from omnitok.attention import ATTENTION
from omnitok.attention.places import PLACES
from omnitok.data import CROPS, DATASETS, VIEWS
from omnitok.data.layouts import LAYOUTS
from omnitok.discriminators import DISCRIMINATORS
from omnitok.exhibits import EXHIBITS
from omnitok.losses import LOSSES
from omnitok.metrics import METRICS
from omnitok.model import MODELS
from omnitok.model.cost import cost, counted, parameters
from omnitok.model.patch import PATCHES
from omnitok.model.peg import PEGS
from omnitok.model.position import POSITIONS
from omnitok.model.trunk import BLOCKS
from omnitok.quantizers import QUANTIZERS
from omnitok.schedules import CURVES, SCHEDULES
from omnitok.search.pruners import PRUNERS
from omnitok.search.samplers import SAMPLERS
from omnitok.search.space import PARAMETERS
from omnitok.spec import Fault, Mark, Registry, Spec, SpecError, choices, decode, flow, near, resolve
from omnitok.sweep.design import DESIGNS
from omnitok.sweep.file import SweepFile
from omnitok.sweep.match import MOST_BITS
from omnitok.training import EVALUATIONS, TASKS
from omnitok.training.adversary import ADVERSARIES
from omnitok.training.average import AVERAGES
from omnitok.training.baselines import BASELINES
from omnitok.training.optimizers import OPTIMIZERS
from omnitok.training.presets import presets
from omnitok.training.stage import Lineage
from omnitok.training.step import STEPS

SLOTS: dict[str, Registry[Any]] = {
    registry.slot: registry
    for registry in (
        TASKS, MODELS, PATCHES, BLOCKS, ATTENTION, PLACES, PEGS, QUANTIZERS, POSITIONS, SCHEDULES, CURVES, STEPS, OPTIMIZERS, AVERAGES, ADVERSARIES, LOSSES, DISCRIMINATORS, METRICS, DATASETS, VIEWS, CROPS, LAYOUTS,
        BASELINES, EVALUATIONS, DESIGNS, PARAMETERS, SAMPLERS, PRUNERS, EXHIBITS,
    )
}  # fmt: skip


PAPER: Final = r"arXiv:\d{4}\.\d{4,5}"
PRESET: Final = "preset"  # listed like a slot
REF: Final = "#/$defs/"
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class Choice(NamedTuple):
    """One choice of a component: its name, its default as a file would say it, and its line."""

    name: str
    default: str
    line: str


class Setting(NamedTuple):
    """Choices of a quantizer that spend so many bits a token, as a file would say them; what it has with them."""

    choices: dict[str, Any]
    bits: float
    channels: int
    codebook_sizes: tuple[int, ...]


class Entry(NamedTuple):
    """One component: what it promises, its papers, its choices, and what it has at its defaults: bits a token, and, where
    one slot is listed, parameters and floating-point operations in that slot's ``MEASURED``."""

    slot: str
    name: str
    promise: str
    papers: tuple[str, ...]
    choices: tuple[Choice, ...]
    bits: float | None
    origin: str = ""  # the package that it is of, where that is another one
    fault: str = ""  # why it cannot be named
    parameters: int | None = None
    flops: int | None = None
    settings: tuple[Setting, ...] = ()  # of the bits that were asked for


def entries(slot: str | None = None, bits: int | None = None) -> list[Entry]:
    """The components of one slot, or of all, with those of other packages, usable or not; of one slot, with what they
    cost; of quantizers, with their settings of so many ``bits``. Raises SpecError where there is no such slot, for bits
    of another, and for more of them than any token has."""
    if slot is not None and slot not in (*SLOTS, PRESET):
        raise SpecError([Fault(Mark("components"), "", f"no slot {slot!r}{near(slot, (*SLOTS, PRESET))}")])
    if bits is not None and slot != QUANTIZERS.slot:
        said = f"a quantizer spends bits, and nothing else does; say: omnitok components quantizer --bits {bits}"
        raise SpecError([Fault(Mark(f"--bits {bits}"), "", said)])
    if bits is not None and bits > MOST_BITS:
        raise SpecError([Fault(Mark(f"--bits {bits}"), "", f"a token has at most {MOST_BITS} bits")])
    if bits is not None:
        return [_with_settings(entry, bits) for entry in _listed(QUANTIZERS)]
    if slot == PRESET:
        return list(_presets())
    registries = [SLOTS[slot]] if slot else SLOTS.values()
    found = [entry for registry in registries for entry in _listed(registry, bool(slot))]
    return found if slot else [*found, *_presets()]


def _presets() -> Iterator[Entry]:
    """The published protocols, with what each fixes."""
    for one in presets().values():
        fixed = tuple(Choice(name, flow(value), "") for name, value in one.fixed.items())
        papers = tuple(re.findall(PAPER, one.source))
        yield Entry(PRESET, one.name, f"{one.source}. {one.says}", papers, fixed, None)


def _listed(registry: Registry[Any], costs: bool = False) -> Iterator[Entry]:
    for name in registry:
        entry = _entry(registry, name)
        yield _with_costs(entry, registry) if costs and registry.slot in MEASURED else entry
    for name, fault in registry.refused.items():
        yield Entry(registry.slot, name, "", (), (), None, fault=fault)


def lines(component: Callable[..., Any]) -> dict[str, str]:
    """The docstring's line for each choice; a continued line is one."""
    text = inspect.getdoc(component) or ""
    found = re.findall(r"^(\w+): (.*(?:\n[ \t]+\S.*)*)", text, flags=re.MULTILINE)
    known = choices(component)
    return {name: _joined(line) for name, line in found if name in known}


def _entry(registry: Registry[Any], name: str) -> Entry:
    component = registry.components[name]
    text = inspect.getdoc(component) or ""
    said = lines(component)
    fields = registry.specs[name].model_fields
    listed = tuple(
        Choice(choice, _shown(fields[choice].get_default()), said.get(choice, "")) for choice in choices(component)
    )
    module = inspect.getdoc(inspect.getmodule(component)) or ""
    papers = tuple(dict.fromkeys(re.findall(PAPER, text + module)))
    origin = str(registry.origins.get(name, ""))
    bits = _bits(component, bool(origin)) if registry is QUANTIZERS else None
    return Entry(registry.slot, name, _joined(text.split("\n\n")[0]), papers, listed, bits, origin)


def _bits(component: Callable[..., Any], foreign: bool) -> float | None:
    """Bits a token at the defaults; None where another package's component cannot be made from those."""
    try:
        return float(component().bits_per_token)
    except Exception:
        if foreign:
            return None
        raise


WIDTH, GRID, CLIP = 512, (5, 32, 32), (17, 256)  # what components are measured at
_TOKENS: Final = f"{GRID[0]} x {GRID[1]} x {GRID[2]} tokens of width {WIDTH}"
_A_CLIP: Final = f"a clip of {CLIP[0]} x {CLIP[1]} x {CLIP[1]}"
MEASURED: Final = {
    "attention": f"one layer without its feed-forward network, {_TOKENS}",
    "block": f"{_TOKENS}",
    "peg": f"{_TOKENS}",
    "patches": f"{_A_CLIP}, into tokens of width {WIDTH} and back",
    "model": f"{_A_CLIP}, there and back",
    "quantizer": f"{GRID[0]} x {GRID[1]} x {GRID[2]} tokens",
}


def _with_costs(entry: Entry, registry: Registry[Any]) -> Entry:
    """What a component costs at its defaults; nothing where it has none for some choice, or does not take such tokens."""
    if any(field.is_required() for field in registry.specs[entry.name].model_fields.values()):
        return entry
    try:
        with torch.device("meta"):
            made, flops = _measured(registry.slot, registry.components[entry.name])
    except ValueError:
        return entry
    except Exception:
        if entry.origin:
            return entry
        raise
    return entry._replace(parameters=parameters(made), flops=flops)


def _measured(slot: str, component: Callable[..., Any]) -> tuple[Any, int]:
    """A component, and the floating-point operations of its work on what components are measured at."""
    tokens, clip = torch.empty(1, *GRID, WIDTH), torch.empty(1, 3, CLIP[0], CLIP[1], CLIP[1])
    if slot == "model":
        made = component()
        return made, cost(made, *CLIP).flops
    facts = {"quantizer": (), "peg": (WIDTH, "space")}.get(slot, (WIDTH,))
    made = component(*facts).eval()
    if slot == "quantizer":
        tokens = torch.empty(1, *GRID, made.in_channels)
    return made, counted(lambda: made.pixels(made.embed(clip)) if slot == "patches" else made(tokens))[0]


def _with_settings(entry: Entry, bits: int) -> Entry:
    """The settings of a quantizer, each built and looked at; why not, where another package's cannot be."""
    if entry.fault:
        return entry
    try:
        return entry._replace(settings=tuple(_settings(entry.name, bits)))
    except Exception as error:
        if entry.origin:
            return entry._replace(fault=f"of {entry.origin}: its settings of {bits} bits fail: {error!r}")
        raise


def _settings(name: str, bits: int) -> Iterator[Setting]:
    for setting in QUANTIZERS.components[name].settings(bits):  # type: ignore[attr-defined]
        with torch.device("meta"):
            made = resolve(decode(QUANTIZERS, {QUANTIZERS.tag: name, **setting}))()
        yield Setting(dict(setting), made.bits_per_token, made.channels, made.codebook_sizes)


def _shown(value: Any) -> str:
    """A default as a file would say it."""
    if value is PydanticUndefined:
        return "(must be said)"
    if isinstance(value, Spec):
        return str(getattr(value, value.registry.tag))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return json.dumps(value)


def _joined(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def schemas() -> dict[str, dict[str, Any]]:
    """{"experiment": JSON schema, "sweep": JSON schema}: editors complete and check a file by these as one types.

    A later stage inherits, so nothing is required of a stage there; the command line still refuses what is missing.
    """
    stage = TASKS.adapter.json_schema(ref_template=f"{REF}{{model}}")
    definitions = {name: _open(one) for name, one in stage.pop("$defs").items()}
    lineage = Lineage.model_json_schema(ref_template=f"{REF}{{model}}")
    definitions |= lineage.pop("$defs")
    for one in definitions.values():
        if "task" in one.get("properties", {}):
            one["properties"] |= lineage["properties"]
    experiment = {
        "$schema": DRAFT,
        "title": "an omnitok experiment",
        "type": "object",
        "properties": {"stages": {"type": "object", "minProperties": 1, "additionalProperties": stage}},
        "required": ["stages"],
        "additionalProperties": False,
        "$defs": definitions,
    }
    sweep = SweepFile.model_json_schema(ref_template=f"{REF}{{model}}")
    evaluation = EVALUATIONS.adapter.json_schema(ref_template=f"{REF}{{model}}")
    more = evaluation.pop("$defs")
    name = {"type": "string", "description": "its name in reports"}
    preset = {"enum": list(presets()), "description": "a published protocol, which fixes what it says"}
    more["evaluation_reconstruction"]["properties"] |= {"name": name, "preset": preset}
    more["evaluation_reconstruction"]["required"] = ["data"]  # the rest may be the preset's
    sweep["$defs"] |= more
    sweep["properties"]["evaluate"]["items"] = evaluation
    baseline = BASELINES.adapter.json_schema(ref_template=f"{REF}{{model}}")
    for definition, one in (own := baseline.pop("$defs")).items():
        if definition.startswith("baseline_"):
            on = {"type": ["string", "array"], "description": "the evaluations that it is measured by; default: all"}
            one["properties"] |= {"name": name, "on": on}
    sweep["$defs"] |= own
    sweep["properties"]["baselines"]["items"] = baseline
    return {"experiment": experiment, "sweep": {"$schema": DRAFT, **sweep, "title": "an omnitok sweep"}}


def _open(definition: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in definition.items() if key != "required"}
