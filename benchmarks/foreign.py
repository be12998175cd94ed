"""What ordinary codecs make of exported items, for sweeps that lay foreign reconstructions beside ours:
``python -m benchmarks.foreign ITEMS FOLDER CODEC QUALITY``, where ITEMS is what ``omnitok evaluate --export-items`` wrote.

Of pictures CODEC is jpeg, webp or avif at a quality from 0 to 100, of clips libx264 or libvpx-vp9 at a constant rate
factor. Prints the bits a pixel of whole files, and of what in them is coded pixels.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

from omnitok.data import write_clip
from omnitok.training.recorded import FRAMES, exported, members, read_frames

PICTURES, CLIPS = ("jpeg", "webp", "avif"), ("libx264", "libvpx-vp9")
OPTIONS = {
    "libx264": {"preset": "veryslow", "threads": "1", "x264-params": "asm=0"},  # else clips so small differ by the call
    "libvpx-vp9": {"b": "0", "cpu-used": "0", "threads": "1"},
}
RATE = 15  # frames a second that a clip is said to have
FORMATS = {"libx264": "mp4", "libvpx-vp9": "webm"}


class Coded(NamedTuple):
    """An item [T H W 3] as a codec brought it back; bytes of its file, and of those that are coded pixels."""

    frames: np.ndarray
    whole: int
    pixels: int


def picture(frames: np.ndarray, codec: str, quality: int) -> Coded:
    """One picture [1 H W 3] through Pillow's encoder at its slowest."""
    written = io.BytesIO()
    slowest = {"jpeg": {"optimize": True}, "webp": {"method": 6}, "avif": {"speed": 0}}[codec]
    Image.fromarray(frames[0]).save(written, codec.upper(), quality=quality, **slowest)
    found = written.getvalue()
    with Image.open(io.BytesIO(found)) as back:
        return Coded(np.asarray(back.convert("RGB"))[None], len(found), _of_pixels(found, codec))


def _of_pixels(found: bytes, codec: str) -> int:
    """Bytes of a file from where its pixels begin: a JPEG's scan, a WebP's frame, what an AVIF's mdat holds."""
    begin = {"jpeg": b"\xff\xda", "webp": b"VP8 ", "avif": b"mdat"}[codec]
    return len(found) - found.index(begin) - (8 if codec == "webp" else 4)


def clip(frames: np.ndarray, codec: str, quality: int) -> Coded:
    """A clip [T H W 3] as one group of pictures; its coded pixels are the packets, but for what libx264 says of itself."""
    written, packets = io.BytesIO(), []
    with av.open(written, "w", format=FORMATS[codec]) as container:
        stream = container.add_stream(codec, rate=RATE, options={"crf": str(quality), **OPTIONS[codec]})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        made = [stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")) for frame in frames]
        for packet in [one for some in (*made, stream.encode(None)) for one in some]:
            packets.append(bytes(packet))
            container.mux(packet)
    with av.open(io.BytesIO(written.getvalue())) as container:
        back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    return Coded(back, len(written.getvalue()), sum(len(one) - _said_of_itself(one) for one in packets))


def _said_of_itself(packet: bytes) -> int:
    """Bytes of the SEI message in which libx264 names its version and options."""
    begin = packet.find(b"x264 - core")
    if begin < 0:
        return 0
    ends = [at for at in (packet.find(b"\0\0\1", begin), packet.find(b"\0\0\0\1", begin)) if at >= 0]
    return min(ends, default=len(packet)) - max(packet.rfind(b"\0\0\1", 0, begin), 0)


def main(said: Sequence[str]) -> None:
    if len(said) != 4 or said[2] not in (*PICTURES, *CLIPS) or not said[3].isdigit():
        sys.exit(f"say ITEMS FOLDER CODEC QUALITY (CODEC: {', '.join((*PICTURES, *CLIPS))})")
    items, folder, codec, quality = Path(said[0]), Path(said[1]), said[2], int(said[3])
    whole = pixels = seen = 0
    for export in exported(items):
        into = folder / export.name
        for name, path in members(export).items():
            frames = read_frames(path)
            if (len(frames) == 1) != (codec in PICTURES):
                continue
            coded = (picture if codec in PICTURES else clip)(frames, codec, quality)
            into.mkdir(parents=True, exist_ok=True)
            _write(into, name, coded.frames)
            whole, pixels = whole + coded.whole, pixels + coded.pixels
            seen += frames.shape[0] * frames.shape[1] * frames.shape[2]
    if not seen:
        sys.exit(f"{items}: holds no exported items that {codec} is for")
    print(f"{codec} {quality}: {8 * whole / seen:.3f} bits a pixel, {8 * pixels / seen:.3f} of them coded pixels")


def _write(into: Path, name: str, frames: np.ndarray) -> None:
    """Lossless, as items are exported."""
    if len(frames) == 1:
        write_clip(into / f"{name}.png", frames, 0.0)
        return
    inside = into / f"{name}{FRAMES}"
    inside.mkdir(exist_ok=True)
    for at in range(len(frames)):
        write_clip(inside / f"{at:06}.png", frames[at : at + 1], 0.0)


if __name__ == "__main__":
    main(sys.argv[1:])
