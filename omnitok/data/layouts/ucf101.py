"""UCF-101 (arXiv:1212.0402)."""

import re
from collections.abc import Iterator
from typing import Literal

from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent
from omnitok.spec import closest

LISTS = ("ucfTrainTestlist/", "")
_GROUP = re.compile(r"(.*_g\d+)_c\d+\.avi")


class UCF101(Layout):
    """``UCF-101/<Class>/v_<Class>_g01_c01.avi``, or the class folders themselves, with the official lists in
    ``ucfTrainTestlist/``: ``classInd.txt``, ``trainlist01.txt``, ``testlist01.txt`` and so on. Classes in the order of
    ``classInd.txt``. The official test list is test; val is 2 % of the groups of the train list by their hashes, since the
    clips of a group (g01) are cut from one video.

    fold: which of the three official train/test lists.
    """

    def __init__(self, *, fold: Literal[1, 2, 3] = 1) -> None:
        self.fold = fold

    def read(self, tree: Tree) -> Listing:
        base = tree.base("UCF-101/")
        index = tree.need(*(f"{lists}classInd.txt" for lists in LISTS))
        classes = _classes(tree, index)
        files, missing = [], []
        parts: tuple[tuple[Split, str], ...] = (("train", "trainlist"), ("test", "testlist"))
        for split, part in parts:
            name = tree.need(index.replace("classInd", f"{part}{self.fold:02d}"))
            for line, path, group in _listed(tree, name, classes):
                if base + path in tree.known:
                    files.append(Listed(base + path, split, path.split("/")[0], group))
                else:
                    missing.append(absent(base + path, name, line))
        return Listing(files, tuple(classes), missing, held=True)


def _classes(tree: Tree, name: str) -> dict[str, str]:
    """{class: its number}, in the order of the numbers."""
    found = {}
    for line, text in tree.lines(name):
        number, _, label = text.partition(" ")
        if not number.isdecimal() or not label or label in found:
            raise tree.refuse(name, line, "expected a number and a class of its own")
        found[label] = number
    return dict(sorted(found.items(), key=lambda one: int(one[1])))


def _listed(tree: Tree, name: str, classes: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """(line, path, group) of a train or test list. Raises SpecError."""
    for line, text in tree.lines(name):
        path, _, number = text.partition(" ")
        label = path.partition("/")[0]
        group = _GROUP.fullmatch(path)
        if not group:
            raise tree.refuse(name, line, f"{path!r} is not called like ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi")
        if label not in classes:
            raise tree.refuse(name, line, f"classInd.txt has no class {label!r}{closest(label, classes)}")
        if number and number != classes[label]:
            raise tree.refuse(name, line, f"says class {number}, but {label} is {classes[label]} in classInd.txt")
        yield line, path, group[1]
