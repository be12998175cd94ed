"""The fixed items of a split as lossless files, for somebody else's tokenizer to reconstruct."""

from pathlib import Path
from typing import NamedTuple

from omnitok import runs
from omnitok.data import as_pixels, write_clip
from omnitok.evaluation.asked import Asked, refusing, spec_of
from omnitok.spec import Fault, Mark, SpecError, resolve
from omnitok.training import Evaluation
from omnitok.training.evaluate import protocol_of
from omnitok.training.recorded import FRAMES, INDEX, item_name
from omnitok.training.stage import data_root


class Items(NamedTuple):
    """Items that were written: where, how many, as how many files, as those of equal pixels are one; how they came to
    be."""

    folder: Path
    n: int
    files: int
    view: str


def export_items(folder: Path, asked: Asked) -> Items:
    """Write each item as ``NAME.png``, or of several frames as ``NAME.frames/000.png`` and so on, where NAME is a hash of
    its pixels, and an index that says which is which. Again to do the same.

    Raises SpecError: a folder that holds something else, and what ``evaluate_as_asked`` refuses of the data.
    """
    if folder.exists() and not (folder / INDEX).is_file() and any(folder.iterdir()):
        raise SpecError([Fault(Mark(str(folder)), "", "holds something else; name an empty folder")])
    spec = spec_of(asked, {})
    with refusing("evaluate"):
        evaluation: Evaluation = resolve(spec)(data_root())
        evaluation.shape()
        names, index = evaluation.dataset.items(evaluation.frames), []
        folder.mkdir(parents=True, exist_ok=True)
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
        seen = evaluation.seen
    said = {"fingerprint": seen.fingerprint, "view": seen.view, "evaluation": protocol_of(spec), "items": index}
    runs.write_json(folder / INDEX, said)
    return Items(folder, seen.n, len({one["name"] for one in index}), seen.view)
