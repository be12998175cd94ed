"""A strip of frames -> a video that a page can play: VP9 in WebM, the same bytes for the same frames."""

import io
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from PIL import Image

RATE: Final = 8  # frames a second
LEAST: Final = 128  # pixels of the shorter side; smaller frames are enlarged, each pixel a square
OPTIONS: Final = {"crf": "12", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "0"}
BT601: Final = 6  # how colours become luma and chroma; browsers guess where a stream does not say


class Film(NamedTuple):
    """A video file as bytes, and the size of its frames in pixels."""

    webm: bytes
    width: int
    height: int


def film(strip: Path, frames: int, rate: int = RATE) -> Film:
    """``strip``: a picture of H x (frames * W) with the frames side by side, colour or grey.

    Raises ValueError where its width is no multiple of ``frames``.
    """
    with Image.open(strip) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape[1] % frames:
        raise ValueError(f"{strip.name} is {pixels.shape[1]} pixels wide, which {frames} frames do not divide")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=rate, options=dict(OPTIONS))
        pictures = [_enlarged(frame) for frame in np.split(pixels, frames, axis=1)]
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count, context.colorspace = 1, BT601
        context.flags |= Flags.bitexact
        for one in pictures:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(one).reformat(format="yuv420p", dst_colorspace=BT601))
            )
        container.mux(stream.encode(None))
    return Film(buffer.getvalue(), stream.width, stream.height)


def _enlarged(frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """At least ``LEAST`` pixels on the shorter side, both sides even, as halved chroma needs."""
    times = -(-LEAST // min(frame.shape[:2]))
    large = frame.repeat(times, axis=0).repeat(times, axis=1)
    height, width = large.shape[:2]
    return np.pad(large, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
