"""What the runs say to each claim that was written down before them. Runs are paired on everything but the claim."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from omnitok.exhibits.numbers import as_range, by_spread, with_unit
from omnitok.results import Metric, Results
from omnitok.results.statistics import Interval, Summary, by_seed, summary

Status = Literal["supported", "contradicted", "inconclusive", "not run", "does not apply"]


class Pair(NamedTuple):
    """Two trials that differ in what is claimed only, and by how much (in the direction of the claim)."""

    seed: int
    first: str
    second: str
    difference: float


class Verdict(NamedTuple):
    """What the runs say to one claim. ``difference``: how much better A is than B (or A - B, of an equality), over
    ``n`` seeds; ``interval``: its 95 % t interval; ``pairs``: the runs behind it, of ``planned`` that there could be;
    ``amount`` and ``ends`` are the two as text; ``finding`` is the sentence without the verdict."""

    claim: Mapping[str, Any]
    status: Status
    reason: str
    statement: str
    finding: str
    amount: str
    ends: str
    difference: float | None
    interval: Interval | None
    n: int
    pairs: tuple[Pair, ...]
    planned: int

    @property
    def sentence(self) -> str:
        """ "a is better than b on photos/psnr by 0.31 dB (95 % interval 0.12 to 0.50, n = 3 seeds): supported"."""
        because = f" ({self.reason})" if self.reason else ""
        some = f" [{len(self.pairs)} of {self.planned} pairs of runs]" if 0 < len(self.pairs) < self.planned else ""
        return f"{self.finding}: {self.status}{because}{some}"


def verdicts(results: Results) -> list[Verdict]:
    """One verdict a claim of the sweep, in its order."""
    found = [verdict(claim, results.rows, results.factors, results.metrics) for claim in results.claims]
    why = f"no trials yet of {', '.join(results.awaited)}, where the search comes first"
    return [one._replace(reason=why) if results.awaited and not one.planned else one for one in found]


def verdict(
    claim: Mapping[str, Any], frame: pd.DataFrame, factors: Mapping[str, Sequence[str]], metrics: Sequence[Metric]
) -> Verdict:
    """Supported, contradicted, inconclusive or not run; from one seed nothing follows.

    It does not apply where a side of every pair is done and the metric says nothing of it (of a bottleneck without a
    codebook, how much of one is used).
    ``better: A, than: B``: the whole 95 % interval of the improvement is above ``margin``, or wholly below it.
    ``equal: A, to: B``: two one-sided tests (the 90 % interval lies within the margin); contradicted where the 95 %
    interval lies wholly outside. Raises ValueError for labels, factors or metrics that the sweep does not have.
    """
    on = claim.get("on")
    having = [m for m in metrics if m.label == claim["metric"] and m.evaluation == (on or m.evaluation)]
    metric = _one(having, claim, "metrics")
    both = _both(claim, frame, factors, metric)
    pairs, planned = _pairs(both), len(both)
    seeds = by_seed(pd.DataFrame(pairs, columns=list(Pair._fields)), "difference")
    found = summary(seeds.values())
    status, reason = _status(claim, metric, found, _silent(both), planned)
    statement, wide = _statement(claim, metric), found.interval()
    width = wide.high - wide.low if wide else None
    return Verdict(
        claim=claim, status=status, reason=reason, statement=statement,
        finding=_finding(claim, metric, found, status, statement),
        amount=with_unit(by_spread(found.mean, width), metric.unit) if found.n else "",
        ends=as_range(wide) if wide else "", difference=found.mean if found.n else None, interval=wide, n=found.n,
        pairs=tuple(pairs), planned=planned,
    )  # fmt: skip


def answer(question: str, verdicts: Sequence[Verdict]) -> str:
    """One sentence that answers a sweep's question as far as the verdicts on its claims go."""
    if not verdicts:
        return f"“{question}” has no claims to decide it: the table shows what was measured."
    if all(verdict.status == "not run" for verdict in verdicts):
        none = "its one claim has no" if len(verdicts) == 1 else f"none of its {len(verdicts)} claims has"
        return f"“{question}” is not answered yet: {none} runs on both sides."
    said = []
    for status in ("supported", "contradicted", "inconclusive", "not run", "does not apply"):
        decided = status in ("supported", "contradicted")
        some = [v.finding if decided else v.statement for v in verdicts if v.status == status]
        said += [f"{status}: {'; '.join(some)}"] if some else []
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def labels(claim: Mapping[str, Any]) -> tuple[str, str]:
    """The two labels that a claim compares."""
    return (claim["better"], claim["than"]) if directed(claim) else (claim["equal"], claim["to"])


def directed(claim: Mapping[str, Any]) -> bool:
    """Whether a claim says "better than", not "equal to"; the words of the other kind are absent or empty."""
    return bool(claim.get("better"))


def _both(
    claim: Mapping[str, Any], frame: pd.DataFrame, factors: Mapping[str, Sequence[str]], metric: Metric
) -> pd.DataFrame:
    """A row a planned pair: the labels that both have, digest, status and value of both, and their difference."""
    a, b = labels(claim)
    factor = _one([path for path, known in factors.items() if a in known and b in known], claim, "factors")
    kept = frame[frame["kind"] == "arm"]
    for name, label in (claim.get("where") or {}).items():
        path = _one([path for path in factors if path == name or path.endswith(f".{name}")], claim, "factors")
        kept = kept[kept[path] == label]
    others = [path for path in factors if path != factor] + ["seed"]
    sides = kept[[*others, factor, "digest", "status", metric.column]].rename(columns={factor: "side"})
    sides = sides.rename(columns={metric.column: "value"})
    both = sides[sides["side"] == a].merge(sides[sides["side"] == b], on=others, suffixes=("", " of B"))
    sign = -1.0 if directed(claim) and metric.better == "lower" else 1.0
    both["difference"] = sign * (both["value"] - both["value of B"])
    return both


def _pairs(both: pd.DataFrame) -> list[Pair]:
    """The pairs that have both numbers."""
    there = both.dropna(subset=["difference"])
    columns = (there["seed"], there["digest"], there["digest of B"], there["difference"])
    return [Pair(int(s), d, e, float(x)) for s, d, e, x in zip(*columns, strict=True)]


def _silent(both: pd.DataFrame) -> str:
    """The sides that are done without a value, if every pair has one such side; else ""."""
    nulls = {end: (both[f"status{end}"] == "done") & both[f"value{end}"].isna() for end in ("", " of B")}
    if both.empty or not (nulls[""] | nulls[" of B"]).all():
        return ""
    return " and ".join(str(both[f"side{end}"].iloc[0]) for end, null in nulls.items() if null.any())


def _one(found: Sequence[Any], claim: Mapping[str, Any], what: str) -> Any:
    if len(found) != 1:
        raise ValueError(f"the claim {dict(claim)} fits {len(found)} {what} of the sweep, it must be one: {found}")
    return found[0]


def _status(claim: Mapping[str, Any], metric: Metric, found: Summary, silent: str, planned: int) -> tuple[Status, str]:
    if metric.missing:
        return "not run", metric.missing
    if silent:
        return "does not apply", f"{metric.column} has no value for {silent}"
    wide, narrow, margin = found.interval(0.95), found.interval(0.90), claim.get("margin") or 0.0
    if found.n == 0:
        return "not run", "" if planned else "no two arms of the design differ in this alone"
    if wide is None or narrow is None:
        return "inconclusive", "one seed shows no spread"
    if directed(claim) and metric.better == "neither":
        return "inconclusive", "no direction of this metric is better"
    if directed(claim):
        holds, fails = wide.low > margin, wide.high < margin
    else:
        holds = -margin < narrow.low and narrow.high < margin
        fails = wide.low > margin or wide.high < -margin
    return ("supported" if holds else "contradicted" if fails else "inconclusive"), ""


def _statement(claim: Mapping[str, Any], metric: Metric) -> str:
    """The claim in words, as it was made."""
    (a, b), margin = labels(claim), claim.get("margin") or 0.0
    within = with_unit(f"{margin:g}", metric.unit)
    relation = f"better than {b}" if directed(claim) else f"equal to {b}"
    limit = f" by more than {within}" if directed(claim) and margin else "" if directed(claim) else f" within {within}"
    return f"{a} is {relation} on {metric.column}{limit}{_where(claim)}"


def _where(claim: Mapping[str, Any]) -> str:
    said = [f"{name} = {label}" for name, label in (claim.get("where") or {}).items()]
    return f" where {' and '.join(said)}" if said else ""


def _finding(claim: Mapping[str, Any], metric: Metric, found: Summary, status: Status, statement: str) -> str:
    """What was found, in words that hold for the numbers: "a is worse than b on photos/psnr by 0.3 dB (...)"."""
    if found.n == 0:
        return statement
    wide, (a, b) = found.interval(0.95), labels(claim)
    seeds = f"n = {found.n} {'seed' if found.n == 1 else 'seeds'}"
    what = "improvement" if directed(claim) and metric.better == "lower" else "difference"  # the first is B - A there
    if wide is None:
        return f"{statement}: the {what} is {with_unit(by_spread(found.mean, None), metric.unit)} ({seeds})"
    if status == "inconclusive" or not directed(claim):
        amount = by_spread(found.mean, wide.high - wide.low)
        narrow = found.interval(0.90) if status == "supported" else None
        decided = f"90 % interval {as_range(narrow)}, " if narrow else ""  # two one-sided tests at 5 % each
        numbers = f"({decided}95 % interval {as_range(wide)}, {seeds})"
        return f"{statement}: the {what} is {with_unit(amount, metric.unit)} {numbers}"
    direction, ends = ("better", wide) if found.mean > 0 else ("worse", Interval(-wide.high, -wide.low, wide.level))
    amount = by_spread(abs(found.mean), wide.high - wide.low)
    numbers = f"(95 % interval {as_range(ends)}, {seeds})"
    comparison = f"{a} is {direction} than {b} on {metric.column} by {with_unit(amount, metric.unit)}"
    text = f"{comparison} {numbers}{_where(claim)}"
    margin = claim.get("margin") or 0.0
    return f"{text}, against a margin of {with_unit(f'{margin:g}', metric.unit)}" if margin else text
