"""What can be said: signatures read as schemas, files read as constructor calls."""

from omnitok.spec.decode import check, decode, refused_key
from omnitok.spec.identity import digest, identity, versions
from omnitok.spec.patch import assignment, expanded, parse_path, patched
from omnitok.spec.registry import (
    REQUIRED,
    STRICT,
    Count,
    Positive,
    Registry,
    Share,
    Spec,
    Weight,
    choices,
    flat,
    plain,
    resolve,
    slot_of,
    specs_in,
    version_of,
)
from omnitok.spec.text import Fault, Map, Mark, Seq, SpecError, dotted, kind, mark_of, near, read_value, read_yaml, walk

__all__ = [
    "REQUIRED", "STRICT", "Count", "Fault", "Map", "Mark", "Positive", "Registry", "Seq", "Share", "Spec", "SpecError",
    "Weight", "assignment", "check", "choices", "decode", "digest", "dotted", "expanded", "flat", "identity", "kind",
    "mark_of", "near", "parse_path", "patched", "plain", "read_value", "read_yaml", "refused_key", "resolve", "slot_of", "specs_in",
    "version_of", "versions", "walk",
]  # fmt: skip
