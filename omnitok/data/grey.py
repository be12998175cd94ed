"""Grey sequences: one file of several PGM pictures of one size, one after another, as netpbm defines the format.

They are lossless and need no decoder, so they are the same pixels everywhere, and a window is read without the rest.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from omnitok.data.contract import DataError
from omnitok.data.pixels import AS_IT_IS, Pixels, Reading, image_resized

SUFFIX: Final = ".pgm"
_HEADER: Final = re.compile(rb"P5\s(\d{1,5})\s(\d{1,5})\s255\s")


def read_grey(path: Path, wanted: Sequence[int], reading: Reading = AS_IT_IS) -> Pixels:
    """The frames that are numbered ``wanted``, grey repeated as RGB.

    Raises DataError: another format, too few frames, or frames that differ in size.
    """
    found = []
    try:
        with path.open("rb") as file:
            header = _HEADER.match(file.read(32))
            if header is None:
                raise DataError(f"{path}: is no sequence of 8-bit PGM pictures")
            width, height = int(header[1]), int(header[2])
            size = len(header[0]) + width * height
            for number in wanted:
                file.seek(number * size)
                content = file.read(size)
                if len(content) < size:
                    raise DataError(f"{path}: has no frame {number}")
                if not content.startswith(header[0]):
                    raise DataError(f"{path}: its frames differ in size")
                found.append(Image.frombytes("L", (width, height), content[len(header[0]) :]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    shape = reading.size(height, width)
    frames = [np.asarray(image_resized(image, *shape, reading.filter)) for image in found]
    return np.stack(frames)[..., None].repeat(3, axis=-1)
