"""Which arms a sweep has: ways to choose from the product of its factors. Our own enumeration, never Optuna's."""

import functools
import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from omnitok.spec import REQUIRED, Count, Registry, Spec, plain, resolve
from omnitok.sweep.orthogonal import array

Arm = dict[str, str]  # factor -> label; a factor that is not named stands as the experiment says it
Factors = Mapping[str, Sequence[str]]  # factor -> its labels


def arms(design: Spec | str, factors: Factors) -> list[Arm]:
    """The arms in order, none twice. Raises ValueError where the factors do not suit the design."""
    found: list[Arm] = resolve(DESIGNS.default(design) if isinstance(design, str) else design)(factors)
    return found


def identity_of(design: Spec) -> Any:
    """A design as data: its name, or a mapping where it has choices."""
    said = plain(design)
    return said if len(said) > 1 else said[DESIGNS.tag]


def name_of(arm: Arm) -> str:
    """How an arm is called in commands, paths and tables."""
    return "+".join(arm.values()) or "base"


def full(factors: Factors) -> list[Arm]:
    """Every combination."""
    return list(_product(factors))


def one_at_a_time(factors: Factors) -> list[Arm]:
    """The experiment itself, then each value alone."""
    return [{}, *({factor: label} for factor, labels in factors.items() for label in labels)]


def cumulative(factors: Factors) -> list[Arm]:
    """The experiment itself, then each factor's first value on top of the ones before."""
    names = list(factors)
    return [{factor: factors[factor][0] for factor in names[:count]} for count in range(len(names) + 1)]


def leave_one_out(factors: Factors) -> list[Arm]:
    """The experiment itself, then each factor's one value, which is the ablated one, alone."""
    if many := [factor for factor, labels in factors.items() if len(labels) > 1]:
        raise ValueError(f"leave_one_out takes one value a factor, the ablated one; {many[0]} has more")
    return one_at_a_time(factors)


def together(factors: Factors) -> list[Arm]:
    """The first values together, the second values together, and so on."""
    lengths = {factor: len(labels) for factor, labels in factors.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"a zip needs as many values in each factor; there are {lengths}")
    return [dict(zip(factors, labels, strict=True)) for labels in zip(*factors.values(), strict=True)]


def random(factors: Factors, *, n: Annotated[Count, REQUIRED], seed: Annotated[int, Field(ge=0)] = 0) -> list[Arm]:
    """So many of the combinations, drawn without replacement. An arm's place in the draw depends on the seed and its labels
    alone, so the arms of n are the first n of any larger n, and a new value leaves the order of the old arms.

    n: how many arms.
    seed: which draw; not the seeds of training.
    """
    from omnitok.randomness import key  # noqa: PLC0415, which loads torch

    if n > (most := _count(factors)):
        raise ValueError(f"random: n={n}: the factors have {most} combinations; say at most {most}, or design: full")
    drawn = functools.partial(key, seed, "design")
    return heapq.nsmallest(n, _product(factors), key=lambda arm: drawn(*itertools.chain(*arm.items())))


def fractional(factors: Factors, *, resolution: Literal[3, 4, 5] = 3) -> list[Arm]:
    """The smallest orthogonal array that is known here, in the order of the full product: factors of any number of levels,
    every value equally often with every value of each other factor (Box and Hunter, Technometrics 3, 1961).

    resolution: 3: main effects are clear of each other; 4: also of interactions of two; 5: also those of each other.
    """
    levels, most = [len(labels) for labels in factors.values()], _count(factors)
    rows = _fraction(levels, resolution)
    if rows is None:
        smaller = [f"resolution: {r} takes {len(found)} arms" for r in range(resolution - 1, 2, -1)
                   if (found := _fraction(levels, r))]  # fmt: skip
        said = "; or ".join([f"design: full takes {most}", *smaller, "design: {type: random, n: ...} takes any number"])
        shape = " x ".join(map(str, levels))
        raise ValueError(f"fractional: no array of resolution {resolution} is smaller than all of {shape}; {said}")
    return [{factor: factors[factor][level] for factor, level in zip(factors, row, strict=True)} for row in rows]


def _fraction(levels: Sequence[int], resolution: int) -> list[tuple[int, ...]] | None:
    """An array of this resolution that is smaller than the whole product."""
    rows = array(levels, resolution - 1) if len(levels) >= resolution else None
    return rows if rows and len(rows) < math.prod(levels) else None


def _count(factors: Factors) -> int:
    return math.prod(map(len, factors.values()))


def _product(factors: Factors) -> Iterator[Arm]:
    return (dict(zip(factors, labels, strict=True)) for labels in itertools.product(*factors.values()))


DESIGNS: Registry[list[Arm]] = Registry(
    "design",
    group="omnitok.designs",
    usual="full",
    full=full,
    one_at_a_time=one_at_a_time,
    cumulative=cumulative,
    leave_one_out=leave_one_out,
    zip=together,
    random=random,
    fractional=fractional,
)
if TYPE_CHECKING:
    Design = Spec
else:
    Design = DESIGNS.any  # what a sweep file may say of it
