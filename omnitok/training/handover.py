"""What a stage takes over from its parent: part by part, said in the file, and a mismatch is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from omnitok.model import Inflatable
from omnitok.spec import STRICT, near

Rule = Literal["keep", "fresh", "inflate"]


class Handover(BaseModel):
    """``weights``: which of the parent's. ``parts``: {path of a module: keep | fresh | inflate}; the rest is kept."""

    model_config = STRICT
    weights: Literal["raw"] = "raw"
    parts: dict[str, Rule] = {}


def weights_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    return safetensors.torch.load(path.read_bytes())


def take_over(model: nn.Module, weights: Mapping[str, Tensor], parts: Mapping[str, Rule]) -> None:
    """Fill ``model`` with ``weights`` as ``parts`` say. Raises ValueError where they do not fit, naming the part."""
    modules = {name: module for name, module in model.named_modules() if name}
    for part, rule in parts.items():
        if part not in modules:
            raise ValueError(f"handover: the model has no part {part!r}{near(part, _outer(modules))}")
        if rule == "inflate" and not isinstance(modules[part], Inflatable):
            raise ValueError(f"handover: {part!r} cannot be inflated{near(part, _inflatable(modules))}")
    mine = model.state_dict()
    kept = {name: value for name, value in mine.items() if _rule(name, parts) != "fresh"}
    theirs = {name: value for name, value in weights.items() if _rule(name, parts) != "fresh"}
    odd = sorted(kept.keys() ^ theirs.keys()) or [n for n in kept if kept[n].shape != theirs[n].shape]
    if odd:
        sizes = [str(tuple(side[odd[0]].shape)) if odd[0] in side else "nothing" for side in (theirs, kept)]
        said = f"the parent has {sizes[0]} and this stage {sizes[1]}"
        raise ValueError(f"handover: {odd[0]!r} does not fit: {said}; say fresh for its part")
    with torch.no_grad():
        model.load_state_dict({**mine, **theirs})
        for part, rule in parts.items():
            if rule == "inflate":
                module = modules[part]
                assert isinstance(module, Inflatable)
                module.inflate()


def _rule(name: str, parts: Mapping[str, Rule]) -> Rule:
    """The rule of the longest part that contains ``name``."""
    containing = [part for part in parts if name == part or name.startswith(part + ".")]
    return parts[max(containing, key=len)] if containing else "keep"


def _outer(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name in modules if "." not in name]


def _inflatable(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name, module in modules.items() if isinstance(module, Inflatable)]
