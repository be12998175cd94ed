"""Faces without classes: CelebA-HQ and FFHQ."""

import json
import re
from typing import Literal

from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent, suffix_of
from omnitok.data.manifest import Broken
from omnitok.data.pictures import SUFFIXES

MAPPING, PARTITION = "CelebA-HQ-to-CelebA-mapping.txt", "list_eval_partition.txt"
LAST_TRAIN, LAST_VAL, LAST = 162770, 182637, 202599  # pictures of CelebA, numbered from 1, as its partition has them
FOLDERS = {1024: "images1024x1024", 128: "thumbnails128x128"}  # of FFHQ
METADATA = "ffhq-dataset-v2.json"
TRAINED = 60_000  # of FFHQ, the first ones
_NUMBER = re.compile(r"(?:imgHQ)?(\d+)")
_PARTS: dict[str, Split] = {"0": "train", "1": "val", "2": "test"}


class CelebAHQ(Layout):
    """CelebA-HQ (arXiv:1710.10196) as CelebAMask-HQ (arXiv:1907.11922) has it: ``CelebA-HQ-img/<number>.jpg``, or pictures
    called by their number anywhere, with ``CelebA-HQ-to-CelebA-mapping.txt``. The splits are CelebA's own: its
    ``list_eval_partition.txt`` where that is there, else by the numbers that it has (train to 162770, val to 182637).

    first: the number of the first picture; some that pack it anew begin at 1.
    """

    def __init__(self, *, first: Literal[0, 1] = 0) -> None:
        self.first = first

    def read(self, tree: Tree) -> Listing:
        mapping = tree.need(MAPPING)
        partition = _partition(tree)
        there = _numbered(tree, tree.base("CelebA-HQ-img/"))
        files, missing = [], []
        for line, text in tree.lines(mapping):
            words = text.split()
            if line == 1 and words[0] == "idx":
                continue
            if len(words) != 3 or not words[0].isdecimal() or not words[2].endswith(".jpg"):
                raise tree.refuse(mapping, line, "expected a number, CelebA's number and CelebA's file")
            name = there.get(int(words[0]) + self.first)
            split = partition.get(words[2]) if partition else _by_number(words[2])
            if split is None:
                raise tree.refuse(mapping, line, f"{words[2]} is no picture of CelebA's partition")
            if name is None:
                missing.append(absent(f"CelebA-HQ-img/{int(words[0]) + self.first}.jpg", mapping, line))
            else:
                files.append(Listed(name, split))
        return Listing(files, (), missing)


def _partition(tree: Tree) -> dict[str, Split]:
    """{CelebA's file: its split}, empty where the list is not there."""
    name = tree.first(PARTITION, f"Eval/{PARTITION}")
    found = {}
    for line, text in tree.lines(name) if name else ():
        words = text.split()
        if len(words) != 2 or words[1] not in _PARTS:
            raise tree.refuse(name or PARTITION, line, "expected a file and 0, 1 or 2")
        found[words[0]] = _PARTS[words[1]]
    return found


def _by_number(name: str) -> Split | None:
    stem = name.removesuffix(".jpg")
    number = int(stem) if stem.isdecimal() else 0
    if not 1 <= number <= LAST:
        return None
    return "train" if number <= LAST_TRAIN else "val" if number <= LAST_VAL else "test"


class FFHQ(Layout):
    """FFHQ (arXiv:1812.04948): ``images1024x1024/00000/00000.png``, that folder itself, or pictures called by their number
    anywhere. With ``ffhq-dataset-v2.json`` every picture must be there. The official validation pictures, the last 10,000,
    are test; val is 2 % of the first 60,000 by hash, of the photos where the metadata says which faces are of one.

    size: which of the official folders: 1024 the aligned pictures, 128 their thumbnails.
    """

    def __init__(self, *, size: Literal[1024, 128] = 1024) -> None:
        self.folder = FOLDERS[size]
        self.key = {1024: "image", 128: "thumbnail"}[size]

    def read(self, tree: Tree) -> Listing:
        base = tree.base(f"{self.folder}/")
        if other := tree.base(*(f"{folder}/" for folder in FOLDERS.values())) if not base else "":
            raise tree.refuse(self.folder, 0, f"holds nothing, but {other} does; say its size")
        there = _numbered(tree, base)
        if METADATA in tree.known:
            return self._by_metadata(tree, there)
        if not there:
            raise tree.refuse(self.folder, 0, "holds no picture that is called by its number")
        files = [Listed(name, "train" if number < TRAINED else "test") for number, name in sorted(there.items())]
        return Listing(files, (), held=True)

    def _by_metadata(self, tree: Tree, there: dict[int, str]) -> Listing:
        files: list[Listed] = []
        missing: list[Broken] = []
        splits: dict[str, Split] = {"training": "train", "validation": "test"}
        text = tree.text(METADATA)
        try:
            for number, one in json.loads(text).items():
                split, photo = splits[one["category"]], str(one["metadata"]["photo_url"])
                if name := there.get(int(number)):
                    files.append(Listed(name, split, group=photo))
                else:
                    missing.append(absent(str(one[self.key]["file_path"]), METADATA, 0))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise tree.refuse(METADATA, 0, f"is not the metadata of FFHQ: {error!r}") from None
        return Listing(files, (), missing, held=True)


def _numbered(tree: Tree, base: str) -> dict[int, str]:
    """{number: picture}. Raises SpecError where two have the same."""
    found: dict[int, str] = {}
    for name in tree.under(base):
        said = _NUMBER.fullmatch(name.rpartition("/")[2].rpartition(".")[0])
        if said and suffix_of(name) in SUFFIXES and (other := found.setdefault(int(said[1]), name)) != name:
            raise tree.refuse(name, 0, f"has the number of {other}")
    return found
