"""How long a person waits for a command."""

from pathlib import Path

from benchmarks.measure import Row, python, seconds, times, workplace
from benchmarks.subjects import write_many
from omnitok import runs
from omnitok.launching.launch import settle
from omnitok.sweep.plan import plan_sweep
from omnitok.sweep.stored import store

COMMAND = ("-m", "omnitok.cli")


def helping(repeats: int = 15) -> list[Row]:
    pairs = [
        (seconds(lambda: python(*COMMAND, "--help")), seconds(lambda: python("-c", "pass"))) for _ in range(repeats)
    ]
    mine, bare = (tuple(sample) for sample in zip(*pairs, strict=True))
    python_row = Row("", "", "s", bare)
    how = "the whole process of `python -m omnitok.cli --help`, in turn with `python -c pass`"
    row = Row("`omnitok --help`", how, "s", mine, 0.3)
    return [row._replace(ratio=times(row.median, python_row.median, "a bare Python"))]


def stored_status(repeats: int = 5, values: int = 5, seeds: int = 4) -> list[Row]:
    """Storing a large sweep before its first trial starts, and asking how it stands when all of it is done."""
    with workplace() as folder:
        path = write_many(folder, values, seeds)
        planned = plan_sweep(path)
        settled = []
        for i in range(repeats):
            root = folder / f"runs{i}"
            root.mkdir()
            settled.append(seconds(lambda root=root: settle(root, planned)))  # type: ignore[misc]
        data = settle(runs.root(), planned)[1]
        store(runs.root(), planned.asked, data)
        _finish(runs.root(), data["stages"], data["evaluation_digests"])
        asked = tuple(seconds(lambda: python(*COMMAND, "status", str(path))) for _ in range(repeats))
    trials, stages = len(planned.trials), len(planned.runs)
    return [
        Row(
            f"make the folders of {trials:,} trials",
            f"`settle`, before the first trial of a launch starts: {stages:,} folders, each with an `experiment.json` that "
            "is on disk when it is seen",
            "s", tuple(settled),
        ),
        Row(
            f"`omnitok status` of {trials:,} trials",
            "the whole process, by the sweep's file, every trial trained and evaluated (empty files stand for results)",
            "s", asked,
        ),
    ]  # fmt: skip


def _finish(root: Path, stages: dict[str, object], evaluated: dict[str, dict[str, dict[str, str]]]) -> None:
    for stage in stages:
        (root / stage / runs.RESULT).touch()
    for stage, metrics in evaluated.items():
        (root / stage / runs.EVALUATIONS).mkdir()
        for digests in metrics.values():
            for found in digests.values():
                (root / stage / runs.EVALUATIONS / f"{found}.json").touch()
