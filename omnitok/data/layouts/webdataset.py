"""WebDataset shards: tar files whose members are read where they lie, at random, without unpacking."""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from omnitok.data.content import taken
from omnitok.data.contract import DataError
from omnitok.data.layouts.contract import SUFFIXES, Layout, Listed, Listing, Tree, ordered, settled, split_of, suffix_of
from omnitok.data.manifest import Broken
from omnitok.spec import Fault, Mark, SpecError

NAMES = ("classnames.txt", "classes.txt")
BLOCK = tarfile.BLOCKSIZE
_COMPRESSED = re.compile(r"\.(tar\.\w+|tgz|tbz2|txz)$")


class Member(NamedTuple):
    """A file in a shard. A sample is the members of one key, which is the name up to the first dot after the folders."""

    name: str
    at: int
    bytes: int

    @property
    def key(self) -> str:
        folder, slash, name = self.name.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def extension(self) -> str:
        return self.name.rpartition("/")[2].partition(".")[2].lower()


class WebDataset(Layout):
    """Tar files of samples: ``0001.jpg`` (png, webp, bmp, mp4, webm, ...) beside ``0001.cls``. A shard's split is a word of
    its path (train-000.tar, val/000.tar); where no shard says one, each class is split by the hashes of samples. With train
    and one other set, that is test, and val is 2 % of train by the hashes of keys. A class that is a number is named by
    that line of ``classnames.txt`` or ``classes.txt``, from 0, where there is one. Compressed shards are refused.

    label: the extension that holds a sample's class: cls, txt or json; none: no classes.
    field: of the JSON, which holds the class.
    """

    def __init__(
        self,
        *,
        label: Literal["cls", "txt", "json", "none"] = "cls",
        field: Annotated[str, Field(min_length=1)] = "label",
    ) -> None:
        self.label, self.field = label, field

    def read(self, tree: Tree) -> Listing:
        shards = [name for name in tree.names if name.endswith(".tar")]
        packed = [
            tree.fault(name, 0, "is compressed; unpack it to a .tar") for name in tree.names if _COMPRESSED.search(name)
        ]
        if packed or not shards:
            raise SpecError(packed or [Fault(Mark(str(tree.folder)), "", "holds no .tar")])
        classes = () if self.label == "none" else _names(tree)
        files: list[Listed] = []
        broken: list[Broken] = []
        for shard in shards:
            members, said = index(tree.folder / shard)
            if said:
                broken.append(Broken(path=shard, reason=said))
            files += self._samples(tree, shard, members, classes, whole=not said)
        said_by = {file.split is None for file in files}
        if len(said_by) > 1:
            raise SpecError(
                tree.fault(name, 0, "says no split, but others do") for name in shards if split_of(name) is None
            )
        named, held = settled(files)
        return Listing(named, classes or ordered(files), (), broken, held)

    def _samples(
        self, tree: Tree, shard: str, members: list[Member], classes: tuple[str, ...], whole: bool
    ) -> Iterator[Listed]:
        """What a shard holds; of one that is not whole, the samples whose class it still has."""
        split, labels = split_of(shard), {}
        for member in members:
            if member.extension == self.label:
                labels[member.key] = self._class(tree, shard, member, classes)
        for member in members:
            if suffix_of(member.name) not in SUFFIXES:
                continue
            label = labels.get(member.key, "")
            if self.label != "none" and not label:
                if not whole:
                    continue
                said = f"{member.name} has no {member.key}.{self.label} with its class; say label: none for no classes"
                raise tree.refuse(shard, 0, said)
            group = member.key if split else f"{shard}/{member.key}"
            yield Listed(shard, split, label, group, member.name, member.at, member.bytes)

    def _class(self, tree: Tree, shard: str, member: Member, classes: tuple[str, ...]) -> str:
        try:
            text = taken(tree.folder, shard, member.name, member.at, member.bytes).decode().strip()
            found = json.loads(text)[self.field] if self.label == "json" else text
        except (DataError, ValueError, LookupError, TypeError, RecursionError):
            raise tree.refuse(shard, 0, f"{member.name} says no class") from None
        if not isinstance(found, str | int):
            raise tree.refuse(shard, 0, f"{member.name} says the class {found!r}, which is no text and no number")
        label = str(found)
        if not classes or label in classes:
            return label
        if label.isdecimal() and int(label) < len(classes):
            return classes[int(label)]
        raise tree.refuse(shard, 0, f"{member.name} says class {label!r}, of which there are {len(classes)}")


def _names(tree: Tree) -> tuple[str, ...]:
    """The classes by their numbers, empty where nothing names them."""
    name = tree.first(*NAMES)
    found: dict[str, int] = {}
    for place, (line, text) in enumerate(tree.lines(name) if name else (), 1):
        if line != place or text in found:
            raise tree.refuse(name or "", line, f"{text!r}: expected a class of its own in every line")
        found[text] = line
    return tuple(found)


def index(path: Path) -> tuple[list[Member], str]:
    """The whole files in a tar, and what is wrong with it. Nothing is read but the heads."""
    members: list[Member] = []
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as shard:
            for head in shard:
                if head.isfile() and head.offset_data + head.size > size:
                    return members, f"is truncated in {head.name}"
                if head.isfile() and not head.issparse():
                    members.append(Member(head.name.removeprefix("./"), head.offset_data, head.size))
            ended = size - shard.offset >= 0 and _blank(path, shard.offset)
    except tarfile.TarError as error:
        return members, f"is no whole tar: {error}"
    except OSError as error:
        return members, f"cannot be read: {error.strerror}"
    return members, "" if ended else "is truncated: it has no end-of-archive block"


def _blank(path: Path, offset: int) -> bool:
    """Whether the block before or at ``offset``, where reading ended, is the one of zeros that ends a tar."""
    with path.open("rb") as file:
        file.seek(max(0, offset - BLOCK))
        found = file.read(2 * BLOCK)
    return bytes(BLOCK) in (found[:BLOCK], found[BLOCK:])
