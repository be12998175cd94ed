"""What has an identity: a hash of every choice that can change a result, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from omnitok.spec.registry import Spec, specs_in, version_of

DIGITS = 16  # 64 bits: at a million runs the chance of any collision is 3e-8


def digest(data: Any) -> str:
    """The hash of JSON data in a canonical order."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def versions(spec: Spec) -> dict[str, int]:
    """{"quantizer.vq": 1}: the version of every component that a spec names."""
    return {
        f"{inner.registry.slot}.{getattr(inner, inner.registry.tag)}": version_of(inner.component)
        for inner in specs_in(spec)
    }


def identity(spec: Mapping[str, Any], versions: Mapping[str, int], **rest: Any) -> str:
    """The digest of a node: its whole spec as data, the versions of its components, whatever else it stands on."""
    return digest({"spec": dict(spec), "versions": dict(versions), **rest})
