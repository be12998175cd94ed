r"""Numbers for running text as LaTeX macros, so that prose cannot drift from the tables: ``\input{macros}``.

A name is ``\omnitok``, whose number it is, the metric, and what of it; letters only, digits as words, signs left out:

``\omnitokBestPhotosPsnr``: of metric photos/psnr the mean of the best arm (by its mean); with ``Spread`` its standard deviation,
with ``N`` its seeds, with ``Arm`` its name.
``\omnitokArmFsqRampPhotosPsnr``, ``\omnitokBaselineMeanColourPhotosPsnr``: of arm fsq+ramp, of a baseline; with ``Spread``, ``N``.
``\omnitokClaimFsqIsBetterThanVqOnPhotosPsnr``: the verdict on a claim; with ``Amount``, ``Interval``, ``N``.

These say the evaluation, and in a report of several sweeps the sweep before all (``\omnitokQuickstartBestPhotosPsnr``). Where
nothing else could be meant there are short forms too, without either (``\omnitokBestPsnr``), and a claim by its place
(``\omnitokClaimOne``). A name that has other signs than words are joined by, or is very long, ends with letters of its hash; two
that would be one get such letters each. A number prints as in the tables: what nobody measured as its hole, n as 0.
In text a macro is followed by ``{}`` or a sign.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from omnitok.exhibits.numbers import mean_and_sd
from omnitok.report.latex import escaped
from omnitok.report.section import Section
from omnitok.results import Metric
from omnitok.results.statistics import Summary, summary

DIGITS: Final = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
JOINED: Final = " _-+./=:,()"  # signs that a name may lose
LONG: Final = 60  # letters of a name; of what is longer the hash stands for the rest
HASH: Final = 8  # letters


class Macro(NamedTuple):
    """``long`` and ``short``: what it may be called; ``whose``: what no other is of; ``value``: as text; ``says``: a comment."""

    long: str
    short: tuple[str, ...]
    whose: tuple[str, ...]
    value: str
    says: str


class _Of(NamedTuple):
    """A metric of one sweep, what its names begin with and how they call it: the longest first."""

    slug: str
    befores: tuple[str, ...]
    metric: Metric
    middles: tuple[str, ...]

    def forms(self, begin: str, end: str) -> tuple[str, tuple[str, ...]]:
        """The long name and the short ones."""
        first, *rest = [before + begin + middle + end for before in self.befores for middle in self.middles]
        return first, tuple(rest)


class _Whose(NamedTuple):
    """An arm or baseline: what names begin with, and its numbers by metric column."""

    kind: str
    name: str
    numbers: Mapping[str, Summary]
    done: bool


def macros(sections: Sequence[Section]) -> str:
    """The file: a macro a line, each with what it is and its value in a comment."""
    found = [macro for one in sections for macro in _section(one, several=len(sections) > 1)]
    lines = [f"\\newcommand{{\\omnitok{name}}}{{{_printed(macro.value)}}}% {macro.says}: {_plain(macro.value)}"
             for name, macro in named(found)]  # fmt: skip
    head = r"% for \input in a preamble; written by omnitok, change the sweep instead"
    return "\n".join([head, *lines, ""])


def named(found: Sequence[Macro]) -> Iterator[tuple[str, Macro]]:
    """(name, macro): the long name of each, and those short ones that only it could have. No name comes twice."""
    longs = Counter(macro.long for macro in found)
    shorts = Counter(name for macro in found for name in dict.fromkeys(macro.short))
    taken = {name for name, count in longs.items() if count > 1} | set(longs)
    for macro in found:
        alone = longs[macro.long] == 1
        yield macro.long if alone else macro.long + _letters("\0".join(macro.whose)), macro
        yield from ((name, macro) for name in dict.fromkeys(macro.short) if shorts[name] == 1 and name not in taken)


def word(name: str) -> str:
    """A name as letters: "0.5 a_b" -> "ZeroPointFiveAB"."""
    said = re.sub(r"(?<=\d)\.(?=\d)", " Point ", name)
    parts = re.findall(r"[A-Za-z]+|[0-9]", said)
    text = "".join(DIGITS[int(part)] if part.isdigit() else part[0].upper() + part[1:] for part in parts)
    whole = bool(text) and len(text) <= LONG and all(c.isascii() and (c.isalnum() or c in JOINED) for c in name)
    return text if whole else text[:LONG] + _letters(name)


def _letters(text: str) -> str:
    """Letters of a hash; the first is a capital."""
    number, found = int.from_bytes(hashlib.sha256(text.encode()).digest()), ""
    for _ in range(HASH):
        number, digit = divmod(number, 26)
        found += chr(ord("a") + digit)
    return found.capitalize()


def _section(one: Section, several: bool) -> Iterator[Macro]:
    befores = (word(one.slug), "") if several else ("",)
    labels, known = Counter(metric.label for metric in one.metrics), list(_known(one))
    for metric in one.metrics:
        label = word(metric.label)
        middles = [word(metric.evaluation) + label, *([label] if labels[metric.label] == 1 else [])]
        of = _Of(one.slug, befores, metric, tuple(middles))
        for whose in known:
            yield from _numbers(of, whose, word(whose.kind) + word(whose.name), (whose.kind, whose.name))
        if metric.better != "neither" and any(whose.kind == "arm" for whose in known):
            best = _best(known, metric)
            yield from _numbers(of, best, "Best", ("best", "the best arm"))
            name, says = best.name if _n(best, metric) else "—", f"{_plain(metric.column)}, the best arm"
            yield Macro(*of.forms("Best", "Arm"), (one.slug, "best", "", metric.column, "Arm"), name, says)
    yield from _claims(one, befores)


def _numbers(of: _Of, whose: _Whose, begin: str, called: tuple[str, str]) -> Iterator[Macro]:
    metric, found = of.metric, whose.numbers[of.metric.column]
    hole = "n/a" if metric.missing or whose.done else "—"
    mean, spread = mean_and_sd(found) if found.n else (hole, "")
    for end, value, what in (("", mean, "mean"), ("Spread", spread or "—", "sd"), ("N", str(found.n), "n")):
        unit = f" in {_plain(metric.unit)}" if metric.unit and end != "N" else ""
        says = f"{_plain(metric.column)} of {_plain(called[1])}, {what}{unit}"
        yield Macro(*of.forms(begin, end), (of.slug, *called, metric.column, end), value, says)


def _known(one: Section) -> Iterator[_Whose]:
    """Every arm, then every baseline, of which there are trials."""
    columns = [metric.column for metric in one.metrics]
    for (kind, name), trials in one.frame.groupby(["kind", "arm"], sort=False):
        values = trials[columns].to_numpy(dtype=float, na_value=math.nan)
        numbers = {column: summary(values[:, i]) for i, column in enumerate(columns)}
        yield _Whose(str(kind), str(name), numbers, bool((trials["status"] == "done").any()))


def _best(known: Sequence[_Whose], metric: Metric) -> _Whose:
    """The arm with the best mean; of arms without numbers the first."""
    arms = [whose for whose in known if whose.kind == "arm"]
    there = [whose for whose in arms if _n(whose, metric)]
    sign = 1.0 if metric.better == "higher" else -1.0
    return max(there, key=lambda whose: sign * whose.numbers[metric.column].mean, default=arms[0])


def _n(whose: _Whose, metric: Metric) -> int:
    return whose.numbers[metric.column].n


def _claims(one: Section, befores: Sequence[str]) -> Iterator[Macro]:
    for i, verdict in enumerate(one.verdicts, 1):
        long, place = f"Claim{word(verdict.statement)}", f"Claim{word(str(i))}"
        for end, value in (
            ("", verdict.status), ("Amount", verdict.amount or "—"), ("Interval", verdict.ends or "—"), ("N", str(verdict.n))
        ):  # fmt: skip
            first, *rest = [begins + name + end for begins in befores for name in (long, place)]
            says = f"claim {i}, {_plain(verdict.statement)}, {end.lower() or 'verdict'}"
            yield Macro(first, tuple(rest), (one.slug, "claim", str(i), verdict.statement, end), value, says)


def _printed(value: str) -> str:
    r"""For text and mathematics alike."""
    return escaped(" ".join(value.split())).replace("$-$", r"\ensuremath{-}")


def _plain(text: str) -> str:
    """On one line."""
    return "".join(c if c.isprintable() else " " for c in text)
