"""Video files read frame by frame, and exact windows of them, by PyAV."""

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from omnitok.data.contract import DataError
from omnitok.data.decoders import KEY_GAP, Keys, borrowed, opened
from omnitok.data.pixels import AS_IT_IS, Pixels, Reading

SUFFIXES = {
    ".mp4": {"mp4"},
    ".mov": {"mov"},
    ".avi": {"avi"},
    ".mkv": {"matroska"},
    ".webm": {"webm"},
    ".mpg": {"mpeg", "mpegvideo", "mpegts"},
}
_DIFFER = "its frames differ in size"
MOST_BYTES = 4 << 30  # of decoded pixels held at once: 23 s of 1080p


class Video(NamedTuple):
    """What a whole decoding found. ``keys`` is empty where the file's times are not fit to seek by."""

    height: int
    width: int
    frames: int
    fps: float
    keys: Keys


def read_video(
    file: Path | bytes, name: str, reading: Reading = AS_IT_IS, most_bytes: int = MOST_BYTES
) -> tuple[Pixels, float]:
    """All frames, upright, 8-bit RGB, of the size that ``reading`` says, and frames a second.

    Raises DataError that says ``name``: damaged, without frames, or larger than ``most_bytes`` when decoded.
    """
    with opened(file, name) as decoder:
        frames: list[np.ndarray] = []
        for frame in decoder.frames:
            frames.append(decoder.upright(frame, reading))
            if len(frames) * frames[0].nbytes > most_bytes:
                raise DataError(f"{name}: more than {most_bytes >> 20} MiB when decoded; cut it or reduce it first")
        return _stacked(frames, name), _fps(decoder.stream)


def read_frames(
    file: Path | bytes, name: str, wanted: Sequence[int], keys: Keys = (), reading: Reading = AS_IT_IS
) -> Pixels:
    """The frames numbered ``wanted``, which rise, the same as these of ``read_video``.

    ``keys``: a survey's; decoding then begins at the keyframe before. Raises DataError that says ``name`` and which
    frames.
    """
    asked = f"frames {wanted[0]} to {wanted[-1] + 1}"
    with borrowed(file, name, f": {asked}") as decoder:
        found = decoder.take(wanted, keys, reading)
        if len(found) < len(wanted) and keys:  # a seek may have led astray; the beginning never does
            decoder.restart()
            found = decoder.take(wanted, (), reading)
        if len(found) < len(wanted):
            raise DataError(f"{name}: has no {asked}; it ends at frame {decoder.next}")
    return _stacked(found, name)


def survey_video(file: Path | bytes, name: str, suffix: str) -> Video:
    """Decode every frame. Raises DataError: damaged, shorter than it claims, or not the container that ``suffix`` says.

    A truncated MPEG program stream cannot be told from a short one where the cut falls between two packets.
    """
    with opened(file, name, threads=1) as decoder:  # a check has a process a core
        container, stream = decoder.container, decoder.stream
        if SUFFIXES[suffix].isdisjoint(container.format.name.split(",")):
            raise DataError(f"{name}: is a {container.format.name} file, which {suffix} does not say")
        packets = damaged = 0
        times: list[int | None] = []
        keys: list[int] = []
        sizes: set[tuple[int, int]] = set()
        shape = (0, 0)
        for packet in container.demux(stream):
            packets = _counted(container, packet, packets)
            damaged += packet.is_corrupt
            for frame in packet.decode():
                shape = shape if times else decoder.upright(frame, AS_IT_IS).shape[:2]
                sizes.add((frame.height, frame.width))
                damaged += frame.is_corrupt
                if frame.key_frame and (not keys or len(times) - keys[-1] >= KEY_GAP):
                    keys.append(len(times))
                times.append(frame.pts)
        reason = _DIFFER if len(sizes) > 1 else _damage(container, stream, packets, damaged, times)
        if reason:
            raise DataError(f"{name}: {reason}")
        return Video(*shape, len(times), _fps(stream), _seekable(keys, times))


def _counted(container: InputContainer, packet: "Packet[VideoStream]", packets: int) -> int:
    """How many frames there are up to a packet: times of an AVI file count those that were dropped, of which there is none."""
    packets += packet.size > 0
    if container.format.name == "avi" and packet.dts is not None:
        return max(packets, packet.dts + 1)
    return packets


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


def _stacked(frames: list[np.ndarray], name: str) -> Pixels:
    if not frames:
        raise DataError(f"{name}: has no frame that can be decoded")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise DataError(f"{name}: {_DIFFER}")
    return np.stack(frames)


def _fps(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else math.nan
