"""The files of a manifest as columns: a value a file each, in arrays, so that a million take a few hundred megabytes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, Field, field_validator, model_validator

from omnitok.data.contract import Split
from omnitok.data.stored import plain_path
from omnitok.spec import STRICT

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
KINDS: Final[tuple[Literal["photo", "clip"], ...]] = ("photo", "clip")

_CLEAN = re.compile(r"(?!\.\.?(/|$))[^/\\]+(/(?!\.\.?(/|$))[^/\\]+)*")  # what plain_path takes, far quicker to see
_HASHES = re.compile(r"[0-9a-f]*")

_RANGES = {
    "kind": (0, len(KINDS) - 1), "split": (0, len(SPLITS) - 1), "bytes": (1, 2**63 - 1), "height": (1, 2**31 - 1),
    "width": (1, 2**31 - 1), "frames": (1, 2**31 - 1), "fps": (0, 2**31 - 1), "at": (-1, 2**63 - 1),
    "keys": (-(2**63), 2**63 - 1), "key_counts": (0, 2**31 - 1),
}  # fmt: skip


def titled(path: str, member: str, at: int) -> str:
    """What an item is called: "cats/1.jpg", "train-00.tar/0001.jpg", "train.parquet[17].image"."""
    if not member:
        return path
    return f"{path}/{member}" if path.endswith(".tar") else f"{path}[{at}].{member}"


class Written(BaseModel):
    """The columns as a file has them. Kinds, splits and classes are places in their lists, -1 no class.

    ``fps`` is 0 for a photo. ``member``, ``at`` and ``keys`` are empty where no file has one; ``keys`` are the pairs of
    all files one after the other and ``key_counts`` how many each has.
    """

    model_config = STRICT

    path: list[str]
    sha256: list[str]
    bytes: list[int]
    kind: list[int]
    split: list[int]
    label: list[int] = Field(alias="class")
    height: list[int]
    width: list[int]
    frames: list[int]
    fps: list[float]
    member: list[str] = []
    at: list[int] = []
    keys: list[int] = []
    key_counts: list[int] = []

    @field_validator("path")
    @classmethod
    def _plain(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if not _CLEAN.fullmatch(path):
                plain_path(path)
        return paths

    @field_validator("sha256")
    @classmethod
    def _whole(cls, hashes: list[str]) -> list[str]:
        if any(len(one) != 64 for one in hashes) or not _HASHES.fullmatch("".join(hashes)):
            raise ValueError("each is 64 digits of lower-case hexadecimal")
        return hashes

    @model_validator(mode="after")
    def _fitting(self) -> "Written":
        count = len(self.path)
        for name in type(self).model_fields:
            optional = name in ("member", "at", "key_counts")
            found = len(getattr(self, name))
            if name != "keys" and found != count and not (optional and not found):
                raise ValueError(f"{name} has {found} values for {count} files")
        for name, (least, most) in _RANGES.items():
            values = getattr(self, name)
            if values and not least <= min(values) <= max(values) <= most:
                raise ValueError(f"{name} is from {least} to {most}")
        if sum(self.key_counts) * 2 != len(self.keys):
            raise ValueError(f"keys has {len(self.keys)} numbers, not twice {sum(self.key_counts)}")
        return self


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns in memory. ``hashes``: uint8 [n, 32]; ``keys``: int64 [pairs, 2], those of file i between
    ``key_starts[i]`` and ``key_starts[i + 1]``; ``at``: -1 where the file is not in another."""

    classes: tuple[str, ...]
    paths: Sequence[str]
    members: Sequence[str]
    hashes: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    splits: np.ndarray
    labels: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    frames: np.ndarray
    fps: np.ndarray
    at: np.ndarray
    keys: np.ndarray
    key_starts: np.ndarray

    @classmethod
    def of(cls, text: Written, classes: tuple[str, ...]) -> "Columns":
        count = len(text.path)
        counts = np.array(text.key_counts or [0] * count, np.int64)
        return cls(
            classes=classes, paths=text.path, members=text.member,
            hashes=np.frombuffer(bytes.fromhex("".join(text.sha256)), np.uint8).reshape(count, 32),
            sizes=np.array(text.bytes, np.int64), kinds=np.array(text.kind, np.int8),
            splits=np.array(text.split, np.int8), labels=np.array(text.label, np.int32),
            heights=np.array(text.height, np.int32), widths=np.array(text.width, np.int32),
            frames=np.array(text.frames, np.int32), fps=np.array(text.fps, np.float64),
            at=np.array(text.at or [-1] * count, np.int64),
            keys=np.array(text.keys, np.int64).reshape(-1, 2), key_starts=np.concatenate([[0], counts.cumsum()]),
        )  # fmt: skip

    def row(self, i: int) -> dict[str, Any]:
        """One file, as the fields of an Entry."""
        label, at, fps = int(self.labels[i]), int(self.at[i]), float(self.fps[i])
        keys = self.keys[self.key_starts[i] : self.key_starts[i + 1]].tolist()
        return {
            "path": self.paths[i], "sha256": self.hashes[i].tobytes().hex(), "bytes": int(self.sizes[i]),
            "kind": KINDS[self.kinds[i]], "split": SPLITS[self.splits[i]], "class": self.classes[label] if label >= 0 else "",
            "height": int(self.heights[i]), "width": int(self.widths[i]), "frames": int(self.frames[i]),
            "fps": fps or None, "member": self.members[i] if self.members else "", "at": at if at >= 0 else None,
            "keys": tuple((frame, time) for frame, time in keys),
        }  # fmt: skip

    def titles(self) -> Iterator[str]:
        """What each file is called: its path, and its place within where it has one."""
        if not self.members:
            yield from self.paths
            return
        for path, member, at in zip(self.paths, self.members, self.at.tolist(), strict=True):
            yield titled(path, member, at)

    def written(self) -> dict[str, list[Any]]:
        hashes = self.hashes.tobytes().hex()
        return {
            "path": list(self.paths), "sha256": [hashes[i : i + 64] for i in range(0, len(hashes), 64)],
            "bytes": self.sizes.tolist(), "kind": self.kinds.tolist(), "split": self.splits.tolist(),
            "class": self.labels.tolist(), "height": self.heights.tolist(), "width": self.widths.tolist(),
            "frames": self.frames.tolist(), "fps": self.fps.tolist(), "member": list(self.members),
            "at": self.at.tolist() if self.members else [], "keys": self.keys.reshape(-1).tolist(),
            "key_counts": np.diff(self.key_starts).tolist() if len(self.keys) else [],
        }  # fmt: skip
