"""A folder with a sub-folder a class."""

from collections.abc import Sequence
from typing import ClassVar

from omnitok.data.columns import SPLITS
from omnitok.data.contract import Split
from omnitok.data.layouts.contract import SUFFIXES, Layout, Listed, Listing, Tree
from omnitok.spec import Fault, Mark, SpecError


class Plain(Layout):
    """Pictures and videos in any folders; the class is the first folder, empty where a file lies in none.

    With train/, val/ and test/ at the top these are the splits; else each class is split by the hashes of its paths, a
    tenth each for val and test, at least one.
    """

    by_content: ClassVar[bool] = False

    def read(self, tree: Tree) -> Listing:
        if not tree.media:
            said = f"holds no picture and no video ({', '.join(SUFFIXES)})"
            raise SpecError([Fault(Mark(str(tree.folder)), "", said)])
        if not self._given(tree):
            return Listing([Listed(name, label=_first(name)) for name in tree.media])
        return Listing([_placed(name) for name in tree.media])

    def _given(self, tree: Tree) -> bool:
        """Whether the folder is split already. Raises SpecError where it is so in part."""
        there = [split for split in SPLITS if (tree.folder / split).is_dir()]
        if not there:
            return False
        if len(there) < len(SPLITS):
            missing = _folders([split for split in SPLITS if split not in there])
            said = f"has {_folders(there)} but not {missing}; have all three or none"
            raise SpecError([Fault(Mark(str(tree.folder)), "", said)])
        outside = [name for name in tree.media if name.split("/")[0] not in SPLITS]
        if outside:
            raise SpecError(tree.fault(name, 0, "lies outside train/, val/ and test/") for name in outside)
        return True


def _placed(name: str) -> Listed:
    top, _, rest = name.partition("/")
    return Listed(name, next(split for split in SPLITS if split == top), _first(rest))


def _first(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def _folders(splits: Sequence[Split]) -> str:
    return " and ".join(f"{split}/" for split in splits)
