"""Small real pictures and clips, cut out of the embedded ones, and datasets laid out of them as they are distributed."""

import functools
import io
import itertools
import tarfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from omnitok.data import check_folder
from omnitok.data.embedded import locate, manifest
from omnitok.data.manifest import Manifest, load
from omnitok.spec import SpecError

CODECS = {".avi": "mpeg4", ".mp4": "mpeg4", ".webm": "libvpx", ".mkv": "mpeg4"}
SIDE, FRAMES = 48, 6


@functools.cache
def _photos() -> tuple[Image.Image, ...]:
    found = [Image.open(locate(file)).convert("RGB") for file in manifest() if file.kind == "photo"]
    return tuple(photo.resize((96, 64)) for photo in found)


@functools.cache
def _frames(number: int) -> tuple[np.ndarray, ...]:
    """The first frames of an embedded clip."""
    clips = [file for file in manifest() if file.kind == "clip"]
    with av.open(str(locate(clips[number % len(clips)]))) as container:
        frames = itertools.islice(container.decode(video=0), 100)
        return tuple(frame.to_ndarray(format="rgb24", width=SIDE, height=SIDE) for frame in frames)


@functools.cache
def picture(number: int, kind: str = "JPEG") -> bytes:
    """A square of a real photo, another for each number."""
    photos, draw = _photos(), np.random.default_rng(number)
    photo = photos[number % len(photos)]
    top, left = (int(draw.integers(0, size - SIDE + 1)) for size in (photo.height, photo.width))
    out = io.BytesIO()
    photo.crop((left, top, left + SIDE, top + SIDE)).save(out, kind, quality=95)
    return out.getvalue()


@functools.cache
def clip(number: int, suffix: str = ".mp4", frames: int = FRAMES) -> bytes:
    """Some frames of a real clip, other ones for each number."""
    source = _frames(number % 3)
    start = 5 * number % (len(source) - frames)
    out = io.BytesIO()
    with av.open(out, "w", format={".mkv": "matroska"}.get(suffix, suffix[1:])) as container:
        stream = container.add_stream(CODECS[suffix], rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in source[start : start + frames]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def grown(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def shard(members: Iterable[tuple[str, bytes | str]], mode: str = "w:") -> bytes:
    """A tar of members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, said in members:
            content = said if isinstance(said, bytes) else said.encode()
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return out.getvalue()


def checked(folder: Path, layout: Any, **asked: Any) -> Manifest:
    check_folder(folder, layout=layout, **asked)
    return load(folder)


def faults(folder: Path, layout: Any, **asked: Any) -> str:
    with pytest.raises(SpecError) as refused:
        check_folder(folder, layout=layout, **asked)
    return str(refused.value)


def placed(manifest: Manifest) -> dict[str, tuple[str, str]]:
    return {file.title: (file.split, file.label) for file in manifest.files}


def held(manifest: Manifest, among: str) -> set[str]:
    """What was held out for val; all of it is from what the official lists train on."""
    found = {title for title, (split, _) in placed(manifest).items() if split == "val"}
    assert found and all(among in title for title in found)
    return found
