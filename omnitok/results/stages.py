"""What the folders of stage runs say of themselves."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.runs.pools import borrowed


class Stage(NamedTuple):
    """What the folder of one stage run says of itself; nothing of it is known where there is no folder."""

    digest: str
    name: str
    attempts: tuple[dict[str, Any], ...]
    spec: dict[str, Any]
    provenance: dict[str, Any]
    reachable: bool
    pool: str  # that it is borrowed from; empty where it is one's own

    @property
    def seconds(self) -> float:
        """Of all attempts, the lost ones too."""
        return math.fsum(attempt.get("seconds", 0.0) for attempt in self.attempts)

    @property
    def hours(self) -> float:
        """Hours of devices: those of each attempt, once for each process that trained in it."""
        return math.fsum(one.get("seconds", 0.0) * one.get("processes", 1) for one in self.attempts) / 3600

    @property
    def throughput(self) -> float:
        """Training samples a second, those of each batch of a step, over what its attempts got done; NaN where nothing is
        known."""
        steps = sum(one["to_step"] - one["from_step"] for one in self.attempts if "to_step" in one)
        known = steps > 0 and self.seconds > 0 and "batch" in self.spec
        return steps * self.spec["batch"] * self._batches / self.seconds if known else math.nan

    @property
    def _batches(self) -> int:
        """How many one step is made of."""
        return int((self.spec.get("step") or {}).get("accumulate", 1))

    @property
    def memory(self) -> float:
        """Bytes at the peak of any attempt: on a GPU of its memory, else of the machine's; NaN where nobody measured it."""
        return max((float(one["peak_bytes"]) for one in self.attempts if "peak_bytes" in one), default=math.nan)


def stage_of(folder: Path) -> Stage:
    """Whatever there is of it."""
    said = _json(folder / runs.EXPERIMENT)
    provenance = _json(folder / runs.PROVENANCE)
    pool = (borrowed(folder) or {}).get("pool", "")
    return Stage(folder.name, said.get("stage", ""), tuple(runs.attempts(folder)), said.get("spec", {}), provenance,
                 folder.is_dir(), pool)  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = runs.read_json(path) if path.exists() else {}
    return said
