"""Text with its marks as JSON and back, so that what a file names is found and a fault names its line in any process."""

import os
from pathlib import Path
from typing import Any

from omnitok.spec import Map, Mark, Seq


def to_json(data: Any) -> Any:
    """A mapping is {"at": mark, "map": {key: [mark, value]}}, a list {"at": mark, "list": [[mark, value]]}."""
    if isinstance(data, Map):
        return {"at": _mark(data.mark), "map": {k: [_mark(data.marks[k]), to_json(v)] for k, v in data.items()}}
    if isinstance(data, Seq):
        return {"at": _mark(data.mark), "list": [[_mark(m), to_json(v)] for m, v in zip(data.marks, data, strict=True)]}
    return data


def from_json(data: Any) -> Any:
    if isinstance(data, dict) and "map" in data:
        inside = data["map"].items()
        marks = {key: Mark(*mark) for key, (mark, _) in inside}
        return Map({key: from_json(value) for key, (_, value) in inside}, Mark(*data["at"]), marks)
    if isinstance(data, dict):
        items = data["list"]
        return Seq([from_json(value) for _, value in items], Mark(*data["at"]), [Mark(*mark) for mark, _ in items])
    return data


def _mark(mark: Mark) -> list[Any]:
    """Of any process: what is relative to the working folder is not any more."""
    whole = mark.line and not mark.source.startswith("/")
    source = os.path.normpath(Path.cwd() / mark.source) if whole else mark.source
    return list(mark._replace(source=source, folder=mark.folder if mark.line else mark.folder or str(Path.cwd())))
