"""Measuring a finished run as somebody asks on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnitok import runs
from omnitok.data import DataError
from omnitok.spec import Fault, Map, Mark, SpecError, decode, read_value
from omnitok.training import EVALUATIONS
from omnitok.trial import evaluate_run


def evaluate_as_asked(
    folder: Path, data: str | None, metrics: Sequence[str], *, split: str, frames: int, resolution: int | None
) -> list[dict[str, Any]]:
    """The metrics asked for of a finished run, as their files say them. What is not said is as it was trained.

    Raises SpecError: an unknown metric or dataset, items that do not fit the model; Busy where somebody else measures.
    """
    trained = runs.read_json(folder / runs.EXPERIMENT)["spec"]
    said = {
        "data": read_value(data, f"--data {data}") if data is not None else trained["data"],
        "split": split,
        "frames": frames,
        "resolution": trained["resolution"] if resolution is None else resolution,
        "metrics": [name.strip() for name in metrics],
    }
    words = {**said, "metrics": ",".join(metrics)}
    marks = {name: Mark(f"--{name} {value}") for name, value in words.items()}
    spec = decode(EVALUATIONS, Map(said, Mark("evaluate"), marks))
    try:
        found = evaluate_run(folder, spec)
    except (ValueError, DataError) as error:
        raise SpecError([Fault(Mark("evaluate"), "", str(error))]) from None
    return [runs.read_json(folder / runs.EVALUATIONS / f"{digest}.json") for digest in found]
