"""One look at every byte of a picture or video: what the manifest says of it, or what is wrong with it."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from omnitok.data import pictures, videos
from omnitok.data.content import taken
from omnitok.data.contract import DataError
from omnitok.data.layouts.contract import SUFFIXES, Listed, suffix_of
from omnitok.data.videos import Keys


class Facts(NamedTuple):
    """What the manifest says of a file, save its place in the dataset. ``fps`` is 0 for a photo."""

    sha256: str
    bytes: int
    kind: Literal["photo", "clip"]
    height: int
    width: int
    frames: int
    fps: float
    keys: Keys


def survey(folder: Path, listed: Listed, by_content: bool) -> Facts:
    """Decode all of it. ``by_content``: its kind is told by its first bytes, not by its ending. Raises DataError."""
    name = listed.title
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name}: its name is not UTF-8") from None
    if "\\" in listed.path:
        raise DataError(f"{name}: its name has a backslash, which is another thing elsewhere; rename it")
    try:
        source: Path | bytes = folder / listed.path
        if listed.member:
            source = taken(folder, listed.path, listed.member, listed.at, listed.bytes)
        size, sha256 = _hashed(source, name)
        suffix = _sniffed(source, name) if by_content else suffix_of(name)
        if suffix in pictures.SUFFIXES:
            content = source if isinstance(source, bytes) else source.read_bytes()
            height, width = pictures.survey_picture(content, name, suffix)
            return Facts(sha256, size, "photo", height, width, 1, 0.0, ())
        found = videos.survey_video(source, name, suffix)
        return Facts(sha256, size, "clip", found.height, found.width, found.frames, found.fps, found.keys)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None
    except DataError as error:
        raise DataError(str(error).removeprefix(f"{folder}/")) from None


def _hashed(source: Path | bytes, name: str) -> tuple[int, str]:
    if isinstance(source, Path) and not source.is_file():  # a pipe would wait for ever
        raise DataError(f"{name}: is no regular file, or a link to nothing")
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if not size:
        raise DataError(f"{name}: is empty (0 bytes)")
    if isinstance(source, bytes):
        return size, hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return size, hashlib.file_digest(file, "sha256").hexdigest()


def _sniffed(source: Path | bytes, name: str) -> str:
    """The ending that a file should have by its first bytes; the one that it has where these say nothing."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(16)
    else:
        head = source[:16]
    for suffix, start, mark in _MARKS:
        if head[start : start + len(mark)] == mark:
            return suffix
    if suffix_of(name) not in SUFFIXES:
        raise DataError(
            f"{name}: is no picture and no video, by its bytes or its ending; read are {', '.join(SUFFIXES)}"
        )
    return suffix_of(name)


_MARKS = (
    (".png", 0, b"\x89PNG\r\n\x1a\n"), (".jpg", 0, b"\xff\xd8\xff"), (".webp", 8, b"WEBP"), (".bmp", 0, b"BM"),
    (".mp4", 4, b"ftyp"), (".mkv", 0, b"\x1a\x45\xdf\xa3"), (".avi", 8, b"AVI "), (".mpg", 0, b"\x00\x00\x01\xba"),
)  # fmt: skip
