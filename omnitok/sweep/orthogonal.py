"""Orthogonal arrays: few combinations of levels in which every so many factors are balanced. Loads no torch.

Linear arrays over prime fields (Hedayat, Sloane and Stufken, *Orthogonal Arrays*, 1999, chapters 3 and 9): a factor of
p^e levels is an e-dimensional space of linear forms, and an array has strength t when every t of these spaces are
independent. A factor of 6 levels is one of 2 beside one of 3. Beside them stand Plackett and Burman's 12 rows (1946) and
Taguchi's 18, which no field gives.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

MOST_ROWS = 4096
Vector = tuple[int, ...]
Row = tuple[int, ...]

_BURMAN = "11011100010"
_TAGUCHI = (
    "00000000 00111111 00222222 01001122 01112200 01220011 02010212 02121020 02202101 "
    "10022110 10100221 10211002 11012021 11120102 11201210 12021201 12102012 12210120"
)


def array(levels: Sequence[int], strength: int) -> list[Row] | None:
    """The smallest array that is known here in which every ``strength`` factors show each combination of their levels
    equally often; a row has a level a factor. Rows are sorted; None where there is none of at most 4096 rows."""
    known = [rows for rows in (_linear(levels, strength), _listed(levels, strength)) if rows]
    return min(known, key=len, default=None)


def _listed(levels: Sequence[int], strength: int) -> list[Row] | None:
    """What is known by its rows, with as many columns as are needed."""
    if strength != 2:
        return None
    if set(levels) == {2} and len(levels) <= len(_BURMAN):
        cyclic = [_BURMAN[i:] + _BURMAN[:i] for i in range(len(_BURMAN))]
        return sorted(tuple(map(int, row[: len(levels)])) for row in [*cyclic, "0" * len(_BURMAN)])
    if set(levels) <= {2, 3} and levels.count(2) <= 1 and levels.count(3) <= 7:
        threes = itertools.count(1)
        columns = [0 if count == 2 else next(threes) for count in levels]
        return sorted(tuple(int(row[column]) for column in columns) for row in _TAGUCHI.split())
    return None


def _linear(levels: Sequence[int], strength: int) -> list[Row] | None:
    """The product, over the primes, of linear arrays: of each factor that part of its levels."""
    parts: list[list[Row]] = []
    sizes: list[list[int]] = []
    for prime in sorted({p for count in levels for p in _primes(count)}):
        powers = [_primes(count).count(prime) for count in levels]
        forms = _forms(prime, powers, strength)
        if forms is None:
            return None
        parts.append(_rows(prime, forms))
        sizes.append([prime**power for power in powers])
    if math.prod(map(len, parts)) > MOST_ROWS:
        return None
    return sorted(_together(rows, sizes) for rows in itertools.product(*parts))


def _together(rows: Sequence[Row], sizes: Sequence[Sequence[int]]) -> Row:
    """Of each factor one level, from its levels at each prime."""
    found = [0] * len(rows[0])
    for row, size in zip(rows, sizes, strict=True):
        found = [level * many + part for level, many, part in zip(found, size, row, strict=True)]
    return tuple(found)


def _rows(prime: int, forms: Sequence[Sequence[Vector]]) -> list[Row]:
    """The level of each factor at every point of the space."""
    dimension = max((len(form) for factor in forms for form in factor), default=0)
    found = []
    for point in itertools.product(range(prime), repeat=dimension):
        row = []
        for factor in forms:
            level = 0
            for form in factor:
                level = level * prime + sum(a * b for a, b in zip(form, point, strict=True)) % prime
            row.append(level)
        found.append(tuple(row))
    return found


def _forms(prime: int, powers: Sequence[int], strength: int) -> list[list[Vector]] | None:
    """Of each factor as many linear forms as it has powers of the prime, in as few dimensions as are found."""
    least = sum(sorted(powers)[-strength:])
    for dimension in range(least, sum(powers) + 1):
        if prime**dimension > MOST_ROWS:
            return None
        if found := _within(prime, powers, strength, dimension):
            return found
    return None


def _within(prime: int, powers: Sequence[int], strength: int, dimension: int) -> list[list[Vector]] | None:
    """The first that fits, the largest factors first."""
    found: list[list[Vector]] = [[] for _ in powers]
    placed: list[list[Vector]] = []
    for factor in sorted(range(len(powers)), key=lambda i: -powers[i]):
        taken = {
            vector
            for some in itertools.combinations(placed, min(strength - 1, len(placed)))
            for vector in _span(prime, [form for forms in some for form in forms], dimension)
        } or {(0,) * dimension}
        for _ in range(powers[factor]):
            candidates = itertools.product(range(prime), repeat=dimension)
            form = next((c for c in candidates if _fits(prime, [*found[factor], c], taken)), None)
            if form is None:
                return None
            found[factor].append(form)
        if powers[factor]:
            placed.append(found[factor])
    return found


def _fits(prime: int, forms: Sequence[Vector], taken: set[Vector]) -> bool:
    """Whether the forms are independent, of each other and of all that is taken."""
    weights = itertools.product(range(prime), repeat=len(forms))
    next(weights)  # of all zeros, which is always taken
    return not any(_combined(prime, forms, some) in taken for some in weights)


def _span(prime: int, forms: Sequence[Vector], dimension: int) -> Iterator[Vector]:
    for weights in itertools.product(range(prime), repeat=len(forms)):
        yield _combined(prime, forms, weights) if forms else (0,) * dimension


def _combined(prime: int, forms: Sequence[Vector], weights: Sequence[int]) -> Vector:
    return tuple(
        sum(w * x for w, x in zip(weights, column, strict=True)) % prime for column in zip(*forms, strict=True)
    )


def _primes(number: int) -> list[int]:
    """Its prime factors, each as often as it divides."""
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found
