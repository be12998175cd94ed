"""What somebody else's tokenizer made of our items, found by the pixels of the original."""

import functools
import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Final, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.data import DataError, as_clip, as_pixels, read_clip
from omnitok.data.pixels import Pixels
from omnitok.model import Baseline, Reconstruction
from omnitok.spec import PLACE, REQUIRED, digest

INDEX: Final = "index.json"  # beside exported items: which is which; no part of any identity
FRAMES: Final = ".frames"  # ends the name of a folder that holds the frames of one clip as pictures


class Unrecorded(DataError):
    """A clip was asked for whose reconstruction is not there."""


def item_name(clip: Float[Tensor, "3 T H W"]) -> str:
    """What an item is called among exported ones: a hash of its 8-bit pixels and its shape."""
    pixels = as_pixels(clip)
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]


def members(folder: Path) -> dict[str, Path]:
    """{name without its ending: a picture, a video, or a folder ``NAME.frames`` of pictures}, by name. Raises DataError:
    no folder, nothing in it, two of one name, a link to a folder, what is no file."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in _below(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{path}: has the name of {found[name].name}, so that one cannot be told from the other")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: holds no picture and no video")
    return found


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == INDEX:
            continue
        if path.is_symlink() and path.is_dir():
            raise DataError(f"{path}: is a link to a folder; these are not followed")
        if path.is_dir() and path.suffix != FRAMES:
            found += _below(path)
        elif path.is_dir() or path.is_file():
            found.append(path)
        else:  # a pipe would be waited for
            raise DataError(f"{path}: is no file, or a link to none")
    return found


def read_frames(path: Path) -> Pixels:
    """Of a picture, a video, or a folder of pictures, which are taken in the order of their names. Raises DataError."""
    if not path.is_dir():
        return read_clip(path).frames
    frames = [read_clip(one).frames for one in _below(path)]
    if not frames or any(frame.shape != frames[0].shape for frame in frames):
        raise DataError(f"{path}: {'its frames differ in size' if frames else 'holds no frame'}")
    return np.concatenate(frames)


def exported(folder: Path) -> tuple[Path, ...]:
    """The folder itself, where items were exported into it, or those of its sub-folders that are such; () where none is."""
    if (folder / INDEX).is_file():
        return (folder,)
    return tuple(sorted(path.parent for path in folder.glob(f"*/{INDEX}")))


def fingerprint_of(folder: Path) -> str:
    """The hash of all that a folder holds: names and bytes. Raises DataError."""
    files = [one for path in members(folder).values() for one in (_below(path) if path.is_dir() else [path])]
    try:
        told = {one.relative_to(folder).as_posix(): _sha256(one, one.stat().st_mtime_ns) for one in files}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return digest(told)


def _content(path: Path) -> list[str]:
    """The hashes of a picture, a video, or the frames in a folder."""
    return [_sha256(one, one.stat().st_mtime_ns) for one in (_below(path) if path.is_dir() else [path])]


@functools.lru_cache(maxsize=262144)
def _sha256(path: Path, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@final
class Recorded(Baseline):
    """Reconstructions that were made elsewhere, by how large a tokenizer and from how many tokens nobody knows, of items that ``omnitok evaluate --export-items`` has written: each is a
    picture, a video or a folder of frames with its item's name.

    folder: where they lie, of all evaluations together, in sub-folders or not; not part of the identity.
    fingerprint: the hash of the folder, which a refusal says; what lies there must have it.
    """

    fits: ClassVar[bool] = False

    def __init__(self, *, folder: Annotated[str, PLACE, REQUIRED], fingerprint: Annotated[str, REQUIRED]) -> None:
        super().__init__()
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"folder={folder}: no such folder")
        if (found := fingerprint_of(self.folder)) != fingerprint:
            raise ValueError(f"fingerprint={fingerprint}: the folder {folder} has {found}")
        self.places = self._by_item()

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        """Raises Unrecorded, DataError that names the file."""
        back = clip if clip.is_meta else torch.stack([self._of(one) for one in clip.cpu()]).to(clip)
        return Reconstruction(back, torch.empty((*clip.shape[:1], 1, 1, 1, 0), dtype=torch.long, device=clip.device))

    def find(self, original: Float[Tensor, "c T H W"]) -> Path:
        """Where the reconstruction of an item lies. Raises Unrecorded."""
        if (name := item_name(original)) not in self.places:
            raise Unrecorded(
                f"{self.folder}: has no reconstruction of the item {name}; one folder holds those of all evaluations that "
                "this is measured by, which on: can keep to some"
            )
        return self.places[name]

    def _by_item(self) -> dict[str, Path]:
        """An item may lie in several sub-folders, as often as it was exported. Raises ValueError where they differ."""
        found: dict[str, Path] = {}
        for path in members(self.folder).values():
            other = found.setdefault(path.with_suffix("").name, path)
            if other != path and _content(other) != _content(path):
                raise ValueError(f"folder={self.folder}: {other} and {path} are of one item, and they differ")
        return found

    def _of(self, original: Float[Tensor, "c T H W"]) -> Float[Tensor, "c T H W"]:
        path = self.find(original)
        back = as_clip(read_frames(path))
        refuse_other_size(path, back, original)
        return back


def refuse_other_size(path: Path, back: Tensor, original: Tensor) -> None:
    """Raises DataError where a reconstruction [c T H W] is not as large as its original."""
    if back.shape != original.shape:
        sizes = [" x ".join(map(str, one.shape[1:])) for one in (back, original)]
        raise DataError(f"{path}: is {sizes[0]} (frames x height x width), and its original is {sizes[1]}")
