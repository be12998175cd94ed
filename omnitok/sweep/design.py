"""Which arms a sweep has: ways to choose from the product of its factors. Our own enumeration, never Optuna's."""

import itertools
from collections.abc import Mapping, Sequence

from omnitok.sweep.file import Design

Arm = dict[str, str]  # factor -> label; a factor that is not named stands as the experiment says it


def arms(design: Design, factors: Mapping[str, Sequence[str]]) -> list[Arm]:
    """The arms in order, none twice. Raises ValueError where the factors do not suit the design.

    full: every combination. one_at_a_time: the experiment itself, then each value alone. cumulative: the experiment
    itself, then each factor's first value on top of the ones before. leave_one_out: the experiment itself, then each
    factor's one value, which is the ablated one, alone. zip: the first values together, the second values together, ...
    """
    if design == "full":
        return [dict(zip(factors, labels, strict=True)) for labels in itertools.product(*factors.values())]
    if design == "leave_one_out" and (many := [factor for factor, labels in factors.items() if len(labels) > 1]):
        raise ValueError(f"leave_one_out takes one value a factor, the ablated one; {many[0]} has more")
    if design in {"one_at_a_time", "leave_one_out"}:
        return [{}, *({factor: label} for factor, labels in factors.items() for label in labels)]
    if design == "cumulative":
        names = list(factors)
        return [{factor: factors[factor][0] for factor in names[:count]} for count in range(len(names) + 1)]
    lengths = {factor: len(labels) for factor, labels in factors.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"a zip needs as many values in each factor; there are {lengths}")
    return [dict(zip(factors, labels, strict=True)) for labels in zip(*factors.values(), strict=True)]


def name_of(arm: Arm) -> str:
    """How an arm is called in commands, paths and tables."""
    return "+".join(arm.values()) or "base"
