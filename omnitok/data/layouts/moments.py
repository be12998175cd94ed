"""Moments in Time (arXiv:1801.03150)."""

from collections.abc import Iterator

from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent
from omnitok.spec import closest

CATEGORIES = "moments_categories.txt"


class MomentsInTime(Layout):
    """``training/<class>/*.mp4`` and ``validation/<class>/*.mp4`` with ``trainingSet.csv``, ``validationSet.csv`` and
    ``moments_categories.txt``, which orders the classes. The official validation set is test, since papers measure on it; val
    is 2 % of training by the hashes of the source videos' names (what is before the last ``_`` of a name).
    """

    def read(self, tree: Tree) -> Listing:
        classes = _classes(tree)
        files, missing = [], []
        parts: tuple[tuple[Split, str], ...] = (("train", "training"), ("test", "validation"))
        for split, part in parts:
            name = tree.need(f"{part}Set.csv")
            for line, path, label in _rows(tree, name, classes):
                if f"{part}/{path}" in tree.known:
                    group = path.rpartition("/")[2].rpartition("_")[0]
                    files.append(Listed(f"{part}/{path}", split, label, group))
                else:
                    missing.append(absent(f"{part}/{path}", name, line))
        return Listing(files, classes, missing, held=True)


def _classes(tree: Tree) -> tuple[str, ...]:
    name, found = tree.need(CATEGORIES), {}
    for line, row in tree.rows(name):
        if len(row) != 2 or not row[1].strip().isdecimal() or row[0] in found:
            raise tree.refuse(name, line, "expected a class of its own and its number")
        found[row[0]] = int(row[1])
    return tuple(sorted(found, key=found.__getitem__))


def _rows(tree: Tree, name: str, classes: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    """(line, path, class). Raises SpecError."""
    known = frozenset(classes)
    for line, row in tree.rows(name):
        if len(row) < 2 or "/" not in row[0]:
            raise tree.refuse(name, line, "expected a file in its class folder and its class")
        path, label = row[:2]
        if label not in known:
            raise tree.refuse(name, line, f"{CATEGORIES} has no class {label!r}{closest(label, classes)}")
        if path.partition("/")[0] != label:
            raise tree.refuse(name, line, f"{path} is said to be of class {label!r}")
        yield line, path, label
