"""How long a sweep takes to plan, and a configuration to decode."""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, python_json, seconds, workplace
from benchmarks.subjects import QUICKSTART, write_different, write_many
from omnitok.spec import Map, decode, read_yaml
from omnitok.sweep.plan import plan_sweep
from omnitok.training import TASKS
from omnitok.training.stage import read_stages


class Planned(NamedTuple):
    """One plan: its time, how many trials and how many distinct stages."""

    seconds: float
    trials: int
    runs: int


def here(path: Path) -> Planned:
    """A plan in this process."""
    begun = time.perf_counter()
    plan = plan_sweep(path)
    return Planned(time.perf_counter() - begun, len(plan.trials), len(plan.runs))


def fresh(path: Path) -> Planned:
    """The first plan of a process of its own."""
    return Planned(*python_json("-m", "benchmarks.planning", str(path)))


def planning(
    repeats: int = 5, values: int = 5, seeds: int = 4, models: int = 50, timed: Callable[[Path], Planned] = fresh
) -> list[Row]:
    """Each time nothing is warm but the imports."""
    with workplace() as folder:
        many, different = write_many(folder, values, seeds), write_different(folder, models)
        pairs = [(timed(many), timed(different)) for _ in range(repeats)]
    _, trials, runs = pairs[0][0]
    return [
        Row(
            f"plan {trials:,} trials, after imports",
            f"the first `plan_sweep` of a fresh process, imports not counted (`torch._dynamo` is one; torch loads it at "
            f"its first operation on the meta device). The quickstart's two stages: 2 quantizers x {values} learning "
            f"rates x {values} schedules x {values} lengths x {seeds} seeds, which are {trials:,} trials and {runs:,} "
            "distinct stages, but only 2 distinct models: those are what is rehearsed, at 2 shapes each",
            "s", tuple(pair[0].seconds for pair in pairs), 1.0,
        ),
        Row(
            "plan an arm with a model of its own",
            f"the same, of a sweep of {models} widths of the quickstart with one seed; the time divided by {models}. "
            "Each arm is a model to be built and rehearsed on the meta device at 2 shapes",
            "ms", tuple(1e3 * pair[1].seconds / models for pair in pairs),
        ),
    ]  # fmt: skip


def decoding(repeats: int = 15, calls: int = 300) -> list[Row]:
    """A whole stage, its text already parsed."""
    stage = read_stages(read_yaml(QUICKSTART))[-1]
    own = {key: value for key, value in stage.said.items() if key not in {"init", "handover"}}
    text = Map(own, stage.said.mark, stage.said.marks)

    def decoded() -> None:
        for _ in range(calls):
            decode(TASKS, text)

    decoded()
    samples = tuple(1e6 * seconds(decoded) / calls for _ in range(repeats))
    how = f"`spec.decode` of the quickstart's joint stage with its whole model, YAML already parsed; {calls} calls a sample"
    return [Row("decode the configuration of a stage", how, "us", samples, 100.0)]


if __name__ == "__main__":
    importlib.import_module("torch._dynamo")  # torch does so at its first operation on the meta device
    print(json.dumps(here(Path(sys.argv[1]))))
