"""What of a sweep's policies for failures applies to processes of this machine: trying again, and stopping. Loads no torch."""

from collections import Counter

from omnitok.launching.verdicts import frames
from omnitok.launching.work import Work
from omnitok.runs import Failure
from omnitok.sweep.failures import Failures


class Trying:
    """Counts what failed in one launch. A policy that gives another try other resources does not apply here."""

    def __init__(self, failures: Failures) -> None:
        self.failures = failures
        self.tries: Counter[tuple[str, str, str]] = Counter()
        self.alike: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self.stopped = ""  # why nothing more is to be begun

    def again(self, work: Work, failure: Failure) -> bool:
        """Whether a piece of work that failed is tried again."""
        policy, name = self.failures.of(failure.kind), (work.stage, str(work.evaluation))
        if seen := frames(failure.traceback):
            found = self.alike.setdefault((failure.kind, seen), set())
            found.add(name)
            if policy.stop_after is not None and len(found) >= policy.stop_after:
                said = f"stopped after {len(found)} failures with the same traceback"
                self.stopped = self.stopped or f"{said}: {failure.kind}: {failure.sentence}"
        self.tries[(*name, failure.kind)] += 1
        return policy.as_it_was and not self.stopped and self.tries[(*name, failure.kind)] <= policy.retry
