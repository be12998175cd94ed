"""Video files read frame by frame, and exact windows of them, by PyAV."""

import io
import itertools
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from omnitok.data.contract import DataError
from omnitok.data.pixels import Pixels, reduced_size

SUFFIXES = {
    ".mp4": {"mp4"},
    ".mov": {"mov"},
    ".avi": {"avi"},
    ".mkv": {"matroska"},
    ".webm": {"webm"},
    ".mpg": {"mpeg", "mpegvideo", "mpegts"},
}
MOST_BYTES = 4 << 30  # of decoded pixels held at once: 23 s of 1080p
KEY_GAP = 8  # frames between the keyframes that a survey lists; nearer ones save no decoding worth a seek

Keys = tuple[tuple[int, int], ...]  # (frame, its time in the stream's ticks) of keyframes


class Video(NamedTuple):
    """What a whole decoding found. ``keys`` is empty where the file's times are not fit to seek by."""

    height: int
    width: int
    frames: int
    fps: float
    keys: Keys


def read_video(
    file: Path | bytes, name: str, short_side: int | None = None, most_bytes: int = MOST_BYTES
) -> tuple[Pixels, float]:
    """All frames, upright, 8-bit RGB, and frames a second; area-reduced to ``short_side`` if that is smaller.

    Raises DataError that says ``name``: damaged, without frames, or larger than ``most_bytes`` when decoded.
    """
    with _opened(file, name) as (container, stream):
        stream.thread_type = "AUTO"
        frames: list[np.ndarray] = []
        for frame in container.decode(stream):
            frames.append(_upright(frame, short_side))
            if len(frames) * frames[0].nbytes > most_bytes:
                raise DataError(f"{name}: more than {most_bytes >> 20} MiB when decoded; cut it or reduce it first")
        return _stacked(frames, name), _fps(stream)


def read_window(path: Path, start: int, count: int, keys: Keys = (), short_side: int | None = None) -> Pixels:
    """Frames ``start`` to ``start + count`` of a video, the same as a slice of ``read_video``.

    ``keys``: a survey's; decoding then begins at the keyframe before ``start``. Raises DataError.
    """
    key = max((key for key in keys if key[0] <= start), default=None)
    with _opened(path, str(path)) as (container, stream):
        found = _from_key(container, stream, key[1], start - key[0], count) if key else []
    if len(found) < count:  # some containers seek past the keyframe that was asked for
        with _opened(path, str(path)) as (container, stream):
            found = list(itertools.islice(container.decode(stream), start, start + count))
    if len(found) < count:
        raise DataError(f"{path}: has no frames {start} to {start + count}; it ends at frame {start + len(found)}")
    return _stacked([_upright(frame, short_side) for frame in found], str(path))


def survey_video(path: Path, name: str, suffix: str) -> Video:
    """Decode every frame. Raises DataError: damaged, shorter than it claims, or not the container that ``suffix`` says.

    A truncated MPEG program stream cannot be told from a short one where the cut falls between two packets.
    """
    with _opened(path, name) as (container, stream):
        if SUFFIXES[suffix].isdisjoint(container.format.name.split(",")):
            raise DataError(f"{name}: is a {container.format.name} file, which {suffix} does not say")
        packets = damaged = 0
        times: list[int | None] = []
        keys: list[int] = []
        shape = (0, 0)
        for packet in container.demux(stream):
            packets += packet.size > 0
            damaged += packet.is_corrupt
            for frame in packet.decode():
                shape = shape if times else _upright(frame, None).shape[:2]
                damaged += frame.is_corrupt
                if frame.key_frame and (not keys or len(times) - keys[-1] >= KEY_GAP):
                    keys.append(len(times))
                times.append(frame.pts)
        reason = _damage(container, stream, packets, damaged, times)
        if reason:
            raise DataError(f"{name}: {reason}")
        return Video(*shape, len(times), _fps(stream), _seekable(keys, times))


def _damage(container: InputContainer, stream: VideoStream, packets: int, damaged: int, times: list[int | None]) -> str:
    """What is wrong with a video of which this much was found; nothing if it is whole."""
    if not times:
        return "has no frame that can be decoded"
    if not _fps(stream) > 0:
        return "does not say its frames a second"
    if damaged:
        return f"{damaged} of its packets and frames are damaged; it may be truncated"
    if packets < stream.frames:
        return f"is truncated: it claims {stream.frames} frames and holds {packets}"
    seconds, claimed = _seconds(stream, times), _claimed(container, stream)
    short = seconds + 2 / _fps(stream) < claimed
    return f"is truncated: it claims {claimed:.2f} s and holds {seconds:.2f} s" if short else ""


def _seconds(stream: VideoStream, times: list[int | None]) -> float:
    known = [time for time in times if time is not None]
    if not known or stream.time_base is None:
        return math.inf
    return float((max(known) - min(known)) * stream.time_base) + 1 / _fps(stream)


def _claimed(container: InputContainer, stream: VideoStream) -> float:
    """The length that the file says the video has, in seconds; 0 where it says none."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))  # as Matroska says it
    if tag:
        return float(tag[1]) * 3600 + float(tag[2]) * 60 + float(tag[3])
    alone = len(container.streams) == 1 and not stream.frames
    return container.duration / av.time_base if alone and container.duration else 0.0


def _seekable(keys: list[int], times: list[int | None]) -> Keys:
    known = [time for time in times if time is not None]
    rising = len(known) == len(times) and all(a < b for a, b in itertools.pairwise(known))
    return tuple((key, known[key]) for key in keys) if rising else ()


def _from_key(container: InputContainer, stream: VideoStream, time: int, skip: int, count: int) -> list[VideoFrame]:
    """``count`` frames from ``skip`` after the keyframe at ``time``; none if the container cannot go there."""
    container.seek(time, stream=stream)
    frames = (frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= time)
    first = next(frames, None)
    if first is None or first.pts != time:
        return []
    return list(itertools.islice(itertools.chain([first], frames), skip, skip + count))


@contextmanager
def _opened(file: Path | bytes, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        readable = io.BytesIO(file) if isinstance(file, bytes) else str(file)
        with av.open(readable, "r", metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError(f"{name}: has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DataError(f"{name}: its video is in a format that is not known here")
            yield container, stream
    except FFmpegError as error:
        raise DataError(f"{name}: cannot be decoded: {error.strerror}") from None


def _upright(frame: VideoFrame, short_side: int | None) -> np.ndarray:
    height, width = frame.height, frame.width
    if short_side is not None:
        height, width = reduced_size(height, width, short_side)
    exact = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=exact)
    return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation else pixels


def _stacked(frames: list[np.ndarray], name: str) -> Pixels:
    if not frames:
        raise DataError(f"{name}: has no frame that can be decoded")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise DataError(f"{name}: its frames differ in size")
    return np.stack(frames)


def _fps(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else math.nan
