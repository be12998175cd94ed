"""What has an identity: a hash of every choice that can change a result, and of nothing else."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from omnitok.spec.registry import Spec
from omnitok.spec.signature import version_of
from omnitok.spec.values import specs_in

DIGITS = 16  # 64 bits: at a million runs the chance of any collision is 3e-8


def digest(data: Any) -> str:
    """The hash of JSON data in a canonical order."""
    return _hash(_canonical(data))


def versions(spec: Spec) -> dict[str, int]:
    """{"quantizer.vq": 1}: the version of every component that a spec names; "quantizer.mine of their-pkg" is one of
    another package, so that two of one name are never taken for each other."""
    return {_called(inner): version_of(inner.component) for inner in specs_in(spec)}


def _called(spec: Spec) -> str:
    name = getattr(spec, spec.registry.tag)
    origin = spec.registry.origins.get(name)
    return f"{spec.registry.slot}.{name}" + (f" of {origin.distribution}" if origin else "")


def identity(spec: Mapping[str, Any], versions: Mapping[str, int], **rest: Any) -> str:
    """The digest of a node: its whole spec as data, the versions of its components, whatever else it stands on."""
    return identities(spec, versions)(**rest)


def identities(spec: Mapping[str, Any], versions: Mapping[str, int]) -> Callable[..., str]:
    """``identity`` of nodes that differ only in the rest: what they share is written out once."""
    shared = {"spec": _canonical(dict(spec)), "versions": _canonical(dict(versions))}

    def named(**rest: Any) -> str:
        parts = shared | {key: _canonical(value) for key, value in rest.items()}
        return _hash(f"{{{','.join(f'{_canonical(key)}:{text}' for key, text in sorted(parts.items()))}}}")

    return named


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
