"""The fixed items of a split as lossless files, for somebody else's tokenizer to reconstruct."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs
from omnitok.data import as_pixels, write_clip
from omnitok.evaluation.asked import Asked, refusing, spec_of
from omnitok.spec import Fault, Mark, SpecError, resolve
from omnitok.training import Evaluation
from omnitok.training.evaluate import key_of, protocol_of
from omnitok.training.recorded import FRAMES, INDEX, item_name
from omnitok.training.stage import data_root


class Items(NamedTuple):
    """Items that were written: where, how many, as how many files, as those of equal pixels are one; how they came to
    be."""

    folder: Path
    n: int
    files: int
    view: str


def export_items(parent: Path, asked: Asked) -> Items:
    """Into a sub-folder that is called after the evaluation, so that the items of several lie side by side, write each item as ``NAME.png``, or of several frames as ``NAME.frames/000000.png`` and so on, where NAME is a hash of
    its pixels, and an index that says which is which. Again to go on, or to do the same.

    Raises SpecError: a folder that holds something else, and what ``evaluate_as_asked`` refuses of the data.
    """
    spec = spec_of(asked, {})
    with refusing("evaluate"):
        evaluation: Evaluation = resolve(spec)(data_root())
        evaluation.shape()
        seen = evaluation.seen
        said = {"fingerprint": seen.fingerprint, "view": seen.view, "evaluation": protocol_of(spec)}
        folder = parent / key_of(spec).replace("/", "-")
        _refuse_no_exports(parent)
        _refuse_others(folder, said)
        folder.mkdir(parents=True, exist_ok=True)
        runs.write_json(folder / INDEX, {**said, "items": []})
        names, index = evaluation.dataset.items(evaluation.frames), []
        for i in evaluation.indices:
            clip = evaluation.dataset.item(i, evaluation.frames, evaluation.resolution)
            frames, name = as_pixels(clip), item_name(clip)
            index.append({"item": names[i], "name": name})
            if evaluation.frames == 1:
                write_clip(folder / f"{name}.png", frames, 0.0)
                continue
            (folder / f"{name}{FRAMES}").mkdir(exist_ok=True)
            for at in range(len(frames)):
                write_clip(folder / f"{name}{FRAMES}" / f"{at:06}.png", frames[at : at + 1], 0.0)
    runs.write_json(folder / INDEX, {**said, "items": index})
    return Items(folder, seen.n, len({one["name"] for one in index}), seen.view)


def _refuse_no_exports(parent: Path) -> None:
    """Raises SpecError where a folder holds anything but exports side by side."""
    sentence = "is no folder" if parent.exists() and not parent.is_dir() else ""
    if parent.is_dir() and (others := [one.name for one in sorted(parent.iterdir()) if not _is_export(one)]):
        sentence = f"holds something else ({others[0]})"
    if sentence:
        raise SpecError([Fault(Mark(str(parent)), "", f"{sentence}; name an empty folder, or one of exported items")])


def _is_export(path: Path) -> bool:
    return path.name.startswith(".") or (path / INDEX).is_file() or (path.is_dir() and not any(path.iterdir()))


def _refuse_others(folder: Path, said: Mapping[str, Any]) -> None:
    """Raises SpecError where a folder holds anything but these items, which one that was killed has begun."""
    sentence = "is no folder" if folder.exists() and not folder.is_dir() else ""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            held = runs.read_json(folder / INDEX)
        except (FileNotFoundError, ValueError):
            held = None
        if not isinstance(held, dict) or "evaluation" not in held:
            sentence = "holds something else"
        elif any(held.get(name) != value for name, value in said.items()):
            sentence = f"holds other items ({held.get('view')}, {INDEX} says of what)"
    if sentence:
        raise SpecError([Fault(Mark(str(folder)), "", f"{sentence}; name an empty folder")])
