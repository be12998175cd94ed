"""What can be said: signatures read as schemas, files read as constructor calls."""

from omnitok.spec.decode import check, decode, refused_key
from omnitok.spec.identity import digest, identities, identity, versions
from omnitok.spec.patch import assignment, expanded, parse_path, patched
from omnitok.spec.plugins import Origin
from omnitok.spec.registry import Registry, Spec, slot_of
from omnitok.spec.signature import PLACE, REQUIRED, STRICT, Count, Positive, Share, Weight, choices, version_of
from omnitok.spec.text import (
    Fault,
    Map,
    Mark,
    Seq,
    SpecError,
    bare,
    dotted,
    kind,
    mark_of,
    near,
    parse_yaml,
    read_text,
    read_value,
    read_yaml,
    walk,
)
from omnitok.spec.values import flat, flow, packages, places, plain, resolve, slots_below, specs_in
from omnitok.spec.words import closest, counted, hidden

__all__ = [
    "PLACE", "REQUIRED", "STRICT", "Count", "Fault", "Map", "Mark", "Origin", "Positive", "Registry", "Seq", "Share", "Spec", "SpecError",
    "Weight", "assignment", "bare", "check", "choices", "closest", "counted", "decode", "digest", "dotted", "expanded", "flat", "flow", "hidden", "identities", "identity",
    "kind",
    "mark_of", "near", "packages", "parse_path", "parse_yaml", "patched", "places", "plain", "read_text", "read_value", "read_yaml", "refused_key", "resolve", "slot_of", "slots_below", "specs_in",
    "version_of", "versions", "walk",
]  # fmt: skip
