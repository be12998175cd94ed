"""What must be there before the runs of a sweep can be run again, as commands: datasets and pretrained weights."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from omnitok.results.collect import Sweep, evaluations
from omnitok.results.stages import Stage


def preparations(sweep: Sweep, known: Mapping[str, Stage]) -> tuple[str, ...]:
    """Commands that bring or make what a sweep reads; a comment for what only its owner has."""
    specs = [stage.spec for stage in known.values()] + [one["spec"] for one in sweep.plan["evaluations"]]
    data = [command for spec in specs for one in _dicts(spec.get("data")) for command in _data(one)]
    weights = {name: None for spec in specs for one in _dicts(spec.get("losses")) for name in _lpips(one)}
    weights |= dict.fromkeys(_measured(sweep))
    fetch = [f"omnitok weights fetch {' '.join(map(shlex.quote, sorted(weights)))}"] if weights else []
    return (*dict.fromkeys(data), *fetch)


def _dicts(said: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in what a file says, the parts of a mixture too."""
    if isinstance(said, Mapping):
        yield said
    for part in said.values() if isinstance(said, Mapping) else said if isinstance(said, list) else ():
        yield from _dicts(part)


def _data(said: Mapping[str, Any]) -> Iterator[str]:
    kind, name = said.get("type"), str(said.get("name", ""))
    if kind == "natural_mini":
        yield "omnitok data natural_mini"
    elif kind == "procgen16" and (size := re.fullmatch(r"procgen16-(\d+)-(\d+)", name)):
        yield f"omnitok data procgen16 --side {size[1]} --clips {size[2]}"
    elif kind in ("folder", "procgen16"):
        yield f"# data: {shlex.quote(name)} below OMNITOK_DATA, fingerprint {said.get('fingerprint', 'not said')}"


def _lpips(said: Mapping[str, Any]) -> Iterator[str]:
    if str(said.get("type")).startswith("lpips"):
        yield f"lpips_{said.get('network', 'vgg')}"


def _measured(sweep: Sweep) -> Iterator[str]:
    """The weights that metrics compute with, as the first run says that has all of its numbers."""
    for digest in dict.fromkeys(trial["stages"][-1] for trial in sweep.plan["trials"]):
        said = [one for *_, one in evaluations(sweep, digest)]
        if said and None not in said:
            yield from (name for one in said if one for name in one.get("networks") or ())
            return
