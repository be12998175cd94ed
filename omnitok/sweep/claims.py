"""Whether a claim speaks of arms and metrics that the sweep has."""

from collections.abc import Mapping, Sequence

from omnitok.spec import Fault, near
from omnitok.sweep.file import Asked, Claim


def claim_faults(
    asked: Asked, factors: Mapping[str, Sequence[str]], metrics: Mapping[str, Sequence[str]] | None
) -> list[Fault]:
    """``factors``: path -> labels. ``metrics``: name of an evaluation -> labels of its metrics, None where unknown."""
    faults = []
    for i, claim in enumerate(asked.file.claims):
        mark = asked.said["claims"].marks[i]
        problems = [
            *(_metric(claim, metrics) if metrics is not None else ()),
            *_arms(claim, factors),
            *_where(claim, factors),
        ]
        faults += [Fault(mark, f"claims[{i}].{path}", sentence) for path, sentence in problems]
    return faults


def unpaired(
    claims: Sequence[Claim], arms: Sequence[Mapping[str, str]], factors: Mapping[str, Sequence[str]]
) -> list[str]:
    """A sentence for each claim whose two labels no two arms have that are otherwise equal: it will have no pairs."""
    found = []
    for claim in claims:
        pair = claim.better or claim.equal, claim.than or claim.to
        factor = next(path for path, labels in factors.items() if set(pair) <= set(labels))
        where = {path: label for name, label in claim.where.items()
                 for path in factors if name in (path, path.rpartition(".")[2])}  # fmt: skip
        kept = [arm for arm in arms if all(arm.get(path) == label for path, label in where.items())]
        sides = [{_rest(arm, factor) for arm in kept if arm.get(factor) == label} for label in pair]
        if not sides[0] & sides[1]:
            found.append(
                f"the claim on {claim.metric}, {pair[0]} and {pair[1]}: no two arms of this design differ in that alone, "
                "so it has no pairs and stays undecided"
            )
    return found


def _rest(arm: Mapping[str, str], factor: str) -> frozenset[tuple[str, str]]:
    """An arm without one of its factors."""
    return frozenset((name, label) for name, label in arm.items() if name != factor)


def _metric(claim: Claim, metrics: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    if claim.on and claim.on not in metrics:
        return [("on", f"no evaluation {claim.on!r}{near(claim.on, metrics)}")]
    having = [name for name in ([claim.on] if claim.on else metrics) if claim.metric in metrics[name]]
    if not having:
        known = sorted({label for labels in metrics.values() for label in labels})
        return [("metric", f"no evaluation measures {claim.metric!r}{near(claim.metric, known)}")]
    if len(having) > 1:
        return [("on", f"more than one evaluation measures {claim.metric!r}; say on:{near('', having)}")]
    return []


def _arms(claim: Claim, factors: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    kind, other = ("better", "than") if claim.better else ("equal", "to")
    pair = (claim.better or claim.equal, claim.than or claim.to)
    every = [label for labels in factors.values() for label in labels]
    unknown = [(name, label) for name, label in zip((kind, other), pair, strict=True) if label not in every]
    if unknown:
        return [(name, f"no value is labelled {label!r}{near(label, every)}") for name, label in unknown]
    shared = [path for path, labels in factors.items() if pair[0] in labels and pair[1] in labels]
    if len(shared) != 1:
        of = "no one factor has" if not shared else "more than one factor has"
        return [(other, f"{of} both {pair[0]!r} and {pair[1]!r}; a claim compares two values of one factor")]
    return [(other, "the same label twice")] if pair[0] == pair[1] else []


def _where(claim: Claim, factors: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    problems = []
    for name, label in claim.where.items():
        matching = [path for path in factors if name in (path, path.rpartition(".")[2])]
        if len(matching) != 1:
            problems.append((f"where.{name}", f"names {len(matching)} factors{near(name, factors)}"))
        elif label not in factors[matching[0]]:
            problems.append((f"where.{name}", f"no value is labelled {label!r}{near(label, factors[matching[0]])}"))
    return problems
