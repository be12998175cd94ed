"""Grey sequences: one file of several PGM pictures of one size, one after another, as netpbm defines the format.

They are lossless and need no decoder, so they are the same pixels everywhere, and a window is read without the rest.
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from omnitok.data.contract import DataError
from omnitok.data.pixels import AS_IT_IS, Pixels, Reading, image_resized

_HEADER = re.compile(rb"P5\s(\d{1,5})\s(\d{1,5})\s255\s")


def read_grey(path: Path, start: int, count: int, reading: Reading = AS_IT_IS) -> Pixels:
    """Frames ``start`` to ``start + count``, grey repeated as RGB, of the size that ``reading`` says.

    Raises DataError: another format, too few frames, or frames that differ in size.
    """
    try:
        with path.open("rb") as file:
            header = _HEADER.match(file.read(32))
            if header is None:
                raise DataError(f"{path}: is no sequence of 8-bit PGM pictures")
            width, height = int(header[1]), int(header[2])
            size = len(header[0]) + width * height
            file.seek(start * size)
            content = file.read(count * size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) < count * size:
        raise DataError(
            f"{path}: has no frames {start} to {start + count}; it ends in frame {start + len(content) // size}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(count, size)
    if any(row.tobytes() != header[0] for row in rows[:, : len(header[0])]):
        raise DataError(f"{path}: its frames differ in size")
    frames = rows[:, len(header[0]) :].reshape(count, height, width)
    side = reading.size(height, width)
    if side != (height, width):
        frames = np.stack([np.asarray(image_resized(Image.fromarray(one), *side, reading.filter)) for one in frames])
    return np.repeat(frames[..., None], 3, axis=-1)
