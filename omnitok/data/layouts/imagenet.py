"""ImageNet-1k, the ILSVRC 2012 classification task (arXiv:1409.0575)."""

import re
from typing import NamedTuple

from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent, suffix_of
from omnitok.data.layouts.matlab import structs
from omnitok.data.pictures import SUFFIXES
from omnitok.spec import SpecError

KAGGLE = "ILSVRC/Data/CLS-LOC/"
TRUTH, META, SOLUTION = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "LOC_val_solution.csv"
DEVKITS = ("ILSVRC2012_devkit_t12/data/", "")
_WNID = re.compile(r"n\d{8}")


class Truth(NamedTuple):
    """What a list says of a validation picture, and where it says so."""

    label: str
    source: str
    line: int


class ImageNet(Layout):
    """``train/<wnid>/*.JPEG`` and ``val/``, in folders by wnid too, or flat with the development kit's
    ``ILSVRC2012_validation_ground_truth.txt`` and ``meta.mat``, or with ``LOC_val_solution.csv``; also below
    ``ILSVRC/Data/CLS-LOC/``. Classes are the wnids in their order. The official validation set is test, since papers
    measure on it and the official test has no labels; val is 2 % of the official train, by the hashes of names.
    """

    def read(self, tree: Tree) -> Listing:
        base = tree.base(KAGGLE)
        train, held = _pictures(tree, f"{base}train/"), _pictures(tree, f"{base}val/")
        files = [Listed(name, "train", _folder(tree, name)) for name in train]
        classes = tuple(sorted({file.label for file in files}))
        flat = any(name.count("/") == base.count("/") + 1 for name in held)
        truths = _truths(tree) if flat else {}
        labels = {name: _label(truths, name) if flat else _folder(tree, name) for name in held}
        faults = [
            tree.fault(name, 0, f"its class {label} has no picture in train/" if label else "no list names it")
            for name, label in labels.items()
            if label not in classes
        ]
        if faults:
            raise SpecError(faults)
        there = {_stem(name) for name in held}
        missing = [
            absent(f"{base}val/{stem}.JPEG", truth.source, truth.line)
            for stem, truth in truths.items()
            if stem not in there
        ]
        return Listing(
            [*files, *(Listed(name, "test", label) for name, label in labels.items())], classes, missing, held=True
        )


def _pictures(tree: Tree, base: str) -> list[str]:
    found = [name for name in tree.under(base) if suffix_of(name) in SUFFIXES]
    if not found:
        raise tree.refuse(base, 0, "holds no picture; unpack the official archives into it")
    return found


def _folder(tree: Tree, name: str) -> str:
    folder = name.split("/")[-2]
    if not _WNID.fullmatch(folder):
        raise tree.refuse(name, 0, f"lies in {folder}/, which is no wnid like n01440764")
    return folder


def _label(truths: dict[str, Truth], name: str) -> str:
    truth = truths.get(_stem(name))
    return truth.label if truth else ""


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _truths(tree: Tree) -> dict[str, Truth]:
    """The classes of the validation pictures, by their names without the ending."""
    if solution := tree.first(SOLUTION, f"ILSVRC/{SOLUTION}"):
        rows = [(line, row) for line, row in tree.rows(solution) if row[0] != "ImageId"]
        for line, row in rows:
            if len(row) < 2 or not _WNID.match(row[1]):
                raise tree.refuse(solution, line, "expected a picture and the wnid of its class")
        return {row[0]: Truth(row[1].split()[0], solution, line) for line, row in rows}
    truth = tree.need(*(f"{kit}{TRUTH}" for kit in DEVKITS), SOLUTION)
    wnids = _wnids(tree, truth.replace(TRUTH, META))
    found = {}
    for line, text in tree.lines(truth):
        if text not in wnids:
            raise tree.refuse(truth, line, f"{text!r} is no number of a class in {META}")
        found[f"ILSVRC2012_val_{line:08d}"] = Truth(wnids[text], truth, line)
    return found


def _wnids(tree: Tree, name: str) -> dict[str, str]:
    """{the development kit's number of a class: its wnid}."""
    content = tree.content(tree.need(name))
    try:
        return {str(int(one["ILSVRC2012_ID"])): str(one["WNID"]) for one in structs(content, "synsets")}
    except (ValueError, KeyError, OverflowError) as error:
        raise tree.refuse(name, 0, f"is not the development kit's table of classes: {error}") from None
