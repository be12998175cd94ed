"""The authors' names of a discriminator's weights, and ours."""

import re
from collections.abc import Mapping

from torch import Tensor

MODEL = re.compile(r"model(\d+)\.(\d+)\.(.+)")


def renamed(theirs: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A discriminator's state under the authors' names, ``<prefix>model<i>.<j>.*``, under ours; other prefixes are left
    out. Raises ValueError where there is nothing under the prefix."""
    inside = {key.removeprefix(prefix): value for key, value in theirs.items() if key.startswith(prefix)}
    found = {key: (MODEL.fullmatch(key), value) for key, value in inside.items()}
    depth = max((int(match[1]) for match, _ in found.values() if match), default=None)
    if depth is None:
        raise ValueError(f"no key of the {len(theirs)} begins with {prefix + 'model'!r}")
    return {
        _name(match, depth) if match else key: value
        for key, (match, value) in found.items()
        if not key.endswith("num_batches_tracked")
    }


def _name(match: re.Match[str], depth: int) -> str:
    """Convolution, then norm; in between the first model and the last two a placeholder stands before both."""
    place, index = int(match[1]), int(match[2])
    convolution = index == (1 if 0 < place < depth - 1 else 0)
    if place == depth:
        return f"{'last' if convolution else 'last_norm'}.{match[3]}"
    return f"hidden.{place}.{'convolution' if convolution else 'norm'}.{match[3]}"
