"""What ``match:`` says, that arms are to cost the same, and the search for the whole number that makes them. Loads no
torch."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from omnitok.spec import STRICT, Count, Positive, Share, refused_key

By = Literal["flops", "params", "bits"]
LARGEST = 2**24  # the largest number that is tried
MOST_BITS = 1024  # of a token


def _aim(said: Any) -> Any:
    """One refusal instead of one for each of the two kinds."""
    if said == "base" or (isinstance(said, int | float) and not isinstance(said, bool) and said > 0):
        return said
    raise ValueError(f"must be base, which is the experiment as it stands, or a number greater than 0, not {said!r}")


class Match(BaseModel):
    """Arms are made equal by one choice, which is solved for in each."""

    model_config = STRICT
    by: By = Field(description="what is equal: flops of a clip there and back, params of the model, bits a token")
    solve: str = Field(min_length=1, description="the path of the choice that makes it so; of a quantizer by bits")
    to: Annotated[Literal["base"] | Positive, BeforeValidator(_aim)] = Field(
        "base", description="base, which is the experiment as it stands, or a number"
    )
    multiple_of: Count = Field(8, description="what the solved number is a multiple of")
    within: Share = Field(0.02, description="how far an arm may stay off, as a part of what is aimed at")

    @model_validator(mode="after")
    def _fits(self) -> "Match":
        if self.by == "bits" and "multiple_of" in self.model_fields_set:
            raise refused_key("multiple_of", "by bits no number is searched; a quantizer says which settings it has")
        if self.by == "bits" and self.to != "base" and self.to % 1:
            raise refused_key("to", f"bits a token are whole, not {self.to}")
        if self.by == "bits" and self.to != "base" and self.to > MOST_BITS:
            raise refused_key("to", f"a token has at most {MOST_BITS} bits, not {self.to:.0f}")
        return self


def around(cost: Callable[[int], float], target: float, step: int, start: int) -> list[tuple[int, float]]:
    """The multiples of ``step`` beside ``target``, with their costs, the nearer one first; one alone where it is equal
    or where there is none below it. ``cost`` must grow; ``start`` is where it is looked at first.

    Raises ValueError where it does not grow, or where no number makes it large enough."""
    known: dict[int, float] = {}
    here = max(1, round(start / step))
    while True:
        known[here] = cost(step * here)
        _refuse_flat(known, step)
        low = max((n for n, found in known.items() if found <= target), default=0)
        high = min((n for n, found in known.items() if found > target), default=None)
        if known.get(low) == target:
            return [(step * low, target)]
        if high == low + 1:
            beside = [n for n in (low, high) if n]
            return sorted(((step * n, known[n]) for n in beside), key=lambda one: abs(one[1] - target))
        here = _next(known, target, low, high)
        if step * here > LARGEST:
            raise ValueError(f"is {known[low]:,.0f} even at {step * low:,}, and {target:,.0f} is wanted")


def _next(known: dict[int, float], target: float, low: int, high: int | None) -> int:
    """Where to look next: costs grow about as a power, the square until two are known."""
    if high is None:
        guess = math.ceil(low * math.sqrt(target / known[low])) if known[low] else 0
        return min(max(guess, low + 1), 8 * low)
    if not low:
        return min(max(math.floor(high * math.sqrt(target / known[high])), 1), high - 1)
    if not known[low] or len(known) > 8:
        return (low + high) // 2
    power = math.log(target / known[low]) / math.log(known[high] / known[low])
    return min(max(math.floor(low * (high / low) ** power), low + 1), high - 1)


def _refuse_flat(known: dict[int, float], step: int) -> None:
    numbers = sorted(known)
    for one, two in zip(numbers, numbers[1:], strict=False):
        if known[two] <= known[one]:
            raise ValueError(
                f"does not grow with it: {known[one]:,.0f} at {step * one:,}, {known[two]:,.0f} at {step * two:,}"
            )
