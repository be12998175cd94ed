"""What a stage takes over from its parent: part by part, said in the file, and a mismatch is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import safetensors.torch
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from omnitok.discriminators import inflated
from omnitok.model import Inflatable
from omnitok.spec import STRICT, near

Rule = Literal["keep", "fresh", "inflate", "inflate_first"]
Judges = Literal["fresh", "keep", "inflate_average", "inflate_center", "inflate_first", "inflate_last"]


class Handover(BaseModel):
    """What is taken from a parent.

    weights: the parent's trained weights, or their moving average.
    parts: {path of a module: keep | fresh | inflate | inflate_first}; the rest is kept. What only clips use is made from
        what images have taught, shared out over the frames of a patch or put at the first of them.
    adversary: whether discriminators begin anew, go on, or that of clips is made from that of images.
    """

    model_config = STRICT
    weights: Literal["raw", "ema"] = "raw"
    parts: dict[str, Rule] = {}
    adversary: Judges = "fresh"


def weights_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    return safetensors.torch.load(path.read_bytes())


def take_over(model: nn.Module, weights: Mapping[str, Tensor], parts: Mapping[str, Rule]) -> None:
    """Fill ``model`` with ``weights`` as ``parts`` say. Raises ValueError where they do not fit, naming the part."""
    modules = {name: module for name, module in model.named_modules() if name}
    for part, rule in parts.items():
        if part not in modules:
            raise ValueError(f"handover: the model has no part {part!r}{near(part, _outer(modules))}")
        if rule.startswith("inflate") and not isinstance(modules[part], Inflatable):
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
            if rule.startswith("inflate"):
                module = modules[part]
                assert isinstance(module, Inflatable)
                module.inflate("first" if rule == "inflate_first" else "average")


def take_judges(judges: nn.Module, weights: Mapping[str, Tensor], rule: Judges) -> None:
    """Fill discriminators with a parent's. Raises ValueError where they do not fit, or there are none to take."""
    if rule == "fresh":
        return
    mine = judges.state_dict()
    if not mine or not weights:
        raise ValueError(f"handover: adversary={rule}: {'the parent' if mine else 'this stage'} has no discriminators")
    how = rule.removeprefix("inflate_")
    if how != rule:
        image, video = (
            _under(state, f"discriminators.{what}.") for state, what in ((weights, "image"), (mine, "video"))
        )
        made = {f"discriminators.video.{name}": value for name, value in inflated(image, video, cast(Any, how)).items()}
        weights = {**weights, **made}
    odd = sorted(mine.keys() ^ weights.keys()) or [n for n in mine if mine[n].shape != weights[n].shape]
    if odd:
        raise ValueError(f"handover: adversary: {odd[0]!r} is not the same in the parent and in this stage; say fresh")
    judges.load_state_dict(weights)


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _rule(name: str, parts: Mapping[str, Rule]) -> Rule:
    """The rule of the longest part that contains ``name``."""
    containing = [part for part in parts if name == part or name.startswith(part + ".")]
    return parts[max(containing, key=len)] if containing else "keep"


def _outer(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name in modules if "." not in name]


def _inflatable(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name, module in modules.items() if isinstance(module, Inflatable)]
