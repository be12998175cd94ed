"""How a number is written: as many digits as its spread allows, and no more."""

from omnitok.results.statistics import NOISE, Interval, Summary


def decimals(spread: float) -> int:
    """How many decimals show two significant digits of a spread."""
    exponent = int(f"{abs(spread):.1e}".partition("e")[2])
    return max(0, 1 - exponent)


def fixed(value: float, places: int) -> str:
    """A number with that many decimals and a true minus sign, and no minus before a zero."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def by_spread(value: float, spread: float | None) -> str:
    """A number to two significant digits of its spread; to four of its own where there is no spread."""
    if spread is None or spread <= NOISE * abs(value):
        return fixed(value, decimals(value) + 2) if value and abs(value) < 1000 else fixed(value, 0)
    return fixed(value, decimals(spread))


def full(value: float) -> str:
    """A single run's number, to eight significant digits."""
    return f"{value:.8g}".replace("-", "−")


def mean_and_sd(found: Summary) -> tuple[str, str]:
    """("23.12", "0.31"); the spread of one number is "", and that of equal ones is "0"."""
    value = by_spread(found.mean, found.sd)
    if found.sd is None:
        return value, ""
    return value, "0" if found.sd <= NOISE * abs(found.mean) else fixed(found.sd, decimals(found.sd))


def as_range(interval: Interval) -> str:
    """ "−0.12 to 0.50", to two significant digits of its width."""
    width = interval.high - interval.low
    return f"{by_spread(interval.low, width)} to {by_spread(interval.high, width)}"


def count(value: int | None) -> str:
    """123456 -> "123 k"; three significant digits, and nothing for nothing."""
    if value is None:
        return ""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """75.0 -> "1 min 15 s", to the second."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"


def with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text
