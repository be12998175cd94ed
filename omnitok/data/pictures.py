"""Picture files read strictly and in one defined way, by Pillow."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from omnitok.data.contract import DataError
from omnitok.data.pixels import AS_IT_IS, Pixels, Reading, image_resized

SUFFIXES = {".png": {"PNG"}, ".jpg": {"JPEG", "MPO"}, ".jpeg": {"JPEG", "MPO"}, ".webp": {"WEBP"}, ".bmp": {"BMP"}}

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # MPO, a phone's JPEG with a second picture, is found by the JPEG reader

# What Pillow raises for damaged files, found by damaging files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error)
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def read_picture(content: bytes, name: str, reading: Reading = AS_IT_IS) -> Pixels:
    """The first picture of a file's bytes, upright (EXIF), 8-bit RGB, of the size that ``reading`` says.

    Alpha is laid over white, grey is repeated, 16 bits are divided by 257, palettes are looked up; colour profiles
    are not applied. Raises DataError that says ``name``: damaged, truncated, or too many pixels to be meant.
    """
    with _opened(content, name) as image:
        ImageOps.exif_transpose(image, in_place=True)
        upright = _rgb(image)
        height, width = reading.size(upright.height, upright.width)
        return np.asarray(image_resized(upright, height, width, reading.filter))[None]


def survey_picture(content: bytes, name: str, suffix: str) -> tuple[int, int]:
    """Decode all of it -> (height, width) upright. Raises DataError, also where it is not what ``suffix`` says."""
    with _opened(content, name) as image:
        if image.format not in SUFFIXES[suffix]:
            raise DataError(f"{name}: is a {image.format} picture, which {suffix} does not say")
        image.verify()  # PNG: the checksums and the end, which decoding does not need
    _, height, width, _ = read_picture(content, name).shape
    return height, width


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image.Image]:
    if not content:
        raise DataError(f"{name}: is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                yield image
    except _BOMBS:
        raise DataError(f"{name}: has more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: is no picture by its bytes, whatever its ending; read are {', '.join(_FORMATS)}"
        ) from None
    except _DAMAGE as error:
        raise DataError(f"{name}: cannot be decoded: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_narrowed(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _narrowed(values: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    return np.rint(values.astype(np.float64).clip(0, 65535) / 257).astype(np.uint8)
