"""A small natural_mini that is made here: other files than the real ones, read by the same code."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from omnitok.data import write_clip
from omnitok.data.contract import Split
from omnitok.data.natural import NAME, Natural, NaturalFile

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def natural(root: Path) -> Natural:
    """Two photos, a grey sequence and a video of two shots a split, below ``root``; -> their table."""
    folder = root / NAME
    files = []
    for split in SPLITS:
        for place, kind in enumerate(("photo", "photo", "grey", "video")):
            name = f"{split}_{kind}{place}"
            frames = 1 if kind == "photo" else 20
            pixels = _moving(frames, seed=sum(map(ord, name)))
            path = folder / f"{name}{'.png' if kind == 'photo' else '.pgm' if kind == 'grey' else '.mp4'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "grey":
                path.write_bytes(b"".join(_pgm(frame) for frame in pixels))
            else:
                write_clip(path, pixels, 25.0)
            files.append(_file(path, split, frames, cuts=(17,) if kind == "video" else ()))
    return Natural(packages=(), files=tuple(files))


def _file(path: Path, split: Split, frames: int, cuts: tuple[int, ...]) -> NaturalFile:
    content = path.read_bytes()
    return NaturalFile(
        path=path.name, kind="photo" if frames == 1 else "clip", split=split, bytes=len(content), width=64, height=48,
        sha256=hashlib.sha256(content).hexdigest(), frames=frames, fps=25.0 if path.suffix == ".mp4" else None, cuts=cuts,
        name=path.stem, package="", member=path.name, licence="CC0", author="a test", origin="a test",
    )  # fmt: skip


def _moving(frames: int, seed: int) -> np.ndarray:
    """A texture that moves one pixel a frame."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(coarse).resize((64 + frames, 48), Image.Resampling.BICUBIC))
    return np.stack([wide[:, i : i + 64] for i in range(frames)])


def _pgm(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).convert("L").save(file, "PPM")
    return file.getvalue()
