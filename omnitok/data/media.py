"""A user's pictures and videos in and out, whole: what ``reconstruct`` reads and writes."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from omnitok.data import pictures, videos
from omnitok.data.contract import DataError
from omnitok.data.pixels import Pixels
from omnitok.spec import counted, near

WRITTEN = [".mp4", ".mov", ".mkv"]  # containers that hold H.264 with its times
CRF = "12"  # x264's quality: visually lossless, a tenth of the size of lossless


class Media(NamedTuple):
    """Decoded frames, uint8 [T, H, W, 3], and frames a second (0 for a picture)."""

    frames: Pixels
    fps: float


def read_clip(path: Path) -> Media:
    """A picture (one frame) or a whole video, upright, 8-bit RGB. Raises DataError that names the file."""
    suffix = path.suffix.lower()
    if suffix not in pictures.SUFFIXES and suffix not in videos.SUFFIXES:
        known = near(suffix, [*pictures.SUFFIXES, *videos.SUFFIXES])
        raise DataError(f"{path}: no picture or video by its ending{known}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if suffix in videos.SUFFIXES:
        return Media(*videos.read_video(path, str(path)))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return Media(pictures.read_picture(content, str(path)), 0.0)


def write_clip(path: Path, frames: Pixels, fps: float) -> None:
    """One frame as a picture, several as a video (H.264, else MPEG-4); a whole file or none at all.

    Raises DataError: an ending that does not fit the number of frames, odd sides of a video, or what the disk says.
    """
    fitting = list(pictures.SUFFIXES) if len(frames) == 1 else WRITTEN
    if path.suffix.lower() not in fitting:
        raise DataError(f"{path}: {counted(len(frames), 'frame')} cannot be written there{near(path.suffix, fitting)}")
    partial = path.with_name(f".{path.stem}.partial{path.suffix.lower()}")
    try:
        if len(frames) == 1:
            Image.fromarray(np.ascontiguousarray(frames[0])).save(partial, quality=95)
        else:
            _encode(partial, path, frames, fps)
        partial.replace(path)
    except (OSError, FFmpegError) as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _encode(partial: Path, path: Path, frames: Pixels, fps: float) -> None:
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise DataError(f"{path}: {height} x {width} pixels; the sides of a video must be even")
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(partial), "w") as container:
        if "libx264" in av.codecs_available:
            stream = container.add_stream("libx264", rate=rate, options={"crf": CRF})
        else:
            stream = container.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
