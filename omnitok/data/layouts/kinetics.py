"""Kinetics-400 (arXiv:1705.06950) and Kinetics-600 (arXiv:1808.01340)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent, suffix_of
from omnitok.data.videos import SUFFIXES
from omnitok.spec import Fault, SpecError

FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train/", "videos/train/"),
    "val": ("val/", "validate/", "validation/", "videos/val/"),
}
REPLACED = (
    "replacement/replacement_for_corrupted_k400/"  # whole ones of damaged videos of the Common Visual Data Foundation
)
LISTS = {"train": r"train\.(csv|txt)", "val": r"val(idate)?\.(csv|txt)"}
COLUMNS = ("label", "youtube_id", "time_start", "time_end")


class Row(NamedTuple):
    """A line of an annotation: a stretch of a video, in seconds."""

    line: int
    label: str
    video: str
    stem: str  # what its file is called


class Kinetics(Layout):
    """``<split>/<class>/<id>_<start>_<end>.mp4``, seconds in six digits, or without class folders as the Common Visual Data
    Foundation packs them (its replacements of damaged files are taken), with ``train.csv`` and ``val.csv`` or
    ``validate.csv`` at the top or in ``annotations/``, also called like ``kinetics-400_train.csv`` or ``train.txt``. The class is the label of
    the list; a class folder must agree. The official validation set is test, since papers measure on it; val is 2 % of
    train by the hashes of YouTube's names. The official test set is not used. The lists say which classes there are.
    """

    def read(self, tree: Tree) -> Listing:
        replaced = _by_stem(tree, (REPLACED,))
        files, missing, faults = [], [], []
        parts: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "val"))
        for split, part in parts:
            name = _list(tree, part)
            there = _by_stem(tree, FOLDERS[part]) | replaced
            for row in _rows(tree, name):
                path = there.get(row.stem)
                if path is None:
                    missing.append(absent(f"{part}/{row.stem}.mp4", name, row.line))
                elif said := _disagrees(path, row):
                    faults.append(Fault(tree.fault(path, 0, "").mark, "", f"{said}; {name}:{row.line}"))
                else:
                    files.append(Listed(path, split, row.label, row.video))
        if faults:
            raise SpecError(faults)
        return Listing(files, None, missing, held=True)


def _list(tree: Tree, part: str) -> str:
    """The annotation of a part. Raises SpecError: none, or several."""
    named = re.compile(rf"(annotations/)?(kinetics[\w-]*[_-])?{LISTS[part]}")
    found = [name for name in tree.names if named.fullmatch(name)]
    if len(found) > 1:
        raise tree.refuse(found[1], 0, f"and {found[0]} are both lists of {part}; move one away")
    return found[0] if found else tree.need(f"annotations/{part}.csv")


def _by_stem(tree: Tree, bases: tuple[str, ...]) -> dict[str, str]:
    found = [name for base in bases for name in tree.under(base) if suffix_of(name) in SUFFIXES]
    return {name.rpartition("/")[2].rpartition(".")[0]: name for name in found}


def _rows(tree: Tree, name: str) -> Iterator[Row]:
    rows = tree.rows(name)
    _, head = next(rows, (0, []))
    if any(column not in head for column in COLUMNS):
        raise tree.refuse(name, 1, f"expected the columns {', '.join(COLUMNS)}")
    label, video, start, end = (head.index(column) for column in COLUMNS)
    for line, row in rows:
        try:
            yield Row(line, row[label], row[video], f"{row[video]}_{int(row[start]):06d}_{int(row[end]):06d}")
        except (ValueError, IndexError):
            raise tree.refuse(name, line, f"expected {', '.join(COLUMNS)}, times in whole seconds") from None


def _disagrees(path: str, row: Row) -> str:
    """What is wrong with the class folder that a file lies in."""
    parts = path.split("/")
    split_folder = "/".join(parts[:-1]) + "/"
    if split_folder == REPLACED or any(split_folder in bases for bases in FOLDERS.values()):
        return ""
    return "" if _plain(parts[-2]) == _plain(row.label) else f"lies in {parts[-2]}/, but its class is {row.label!r}"


def _plain(label: str) -> str:
    """A class without what tools replace in the names of folders."""
    return re.sub(r"[^a-z0-9]", "", label.lower())
